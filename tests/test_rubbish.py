"""Whatever the bytes: a right answer, or the documented error in one line."""

import gzip
import hashlib
import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import crafted
from tests.conftest import write_checkpoint
from tests.test_oracle import ORACLE_DIR
from vae_graph import checkpoints, data, inspection, resume
from vae_graph.training_graph import Settings

# One folder for all the examples of a test: each writes its files anew.
many = settings(max_examples=300, deadline=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
IMAGES = np.array([0x0803, 2, 28, 28], ">u4").tobytes() + bytes(range(256)) * 6 + bytes(32)


def damaged(content):
    """The bytes, cut off, or some of them changed, or with others at the end."""
    place = st.integers(0, len(content) - 1)
    changes = st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=4)

    def change(places):
        changed = bytearray(content)
        for at, byte in places:
            changed[at] = byte
        return bytes(changed)
    return st.one_of(place.map(lambda end: content[:end]), changes.map(change),
                     st.binary(min_size=1, max_size=9).map(lambda more: content + more))


def assert_one_line(error, beginning):
    assert str(error).startswith(beginning)
    assert "\n" not in str(error)


class TestIdxFiles:
    def check(self, path, content):
        path.write_bytes(content)
        try:
            items, digest = data.read_idx(path, (28, 28))
        except data.DataError as error:
            assert_one_line(error, f"{path}: expected ")
            return
        inner = gzip.decompress(content)
        assert digest == hashlib.sha256(inner).hexdigest()
        assert items.tobytes() == inner[16:]

    @many
    @given(st.binary(max_size=200))
    def test_any_bytes(self, tmp_path, content):
        self.check(tmp_path / "file", content)

    @many
    @given(st.one_of(st.binary(max_size=200), damaged(IMAGES)))
    def test_any_bytes_inside_a_gzip_file(self, tmp_path, content):
        self.check(tmp_path / "file", gzip.compress(content, 1))

    @many
    @given(damaged(gzip.compress(IMAGES)))
    def test_a_damaged_gzip_file(self, tmp_path, content):
        self.check(tmp_path / "file", content)

    @pytest.mark.parametrize("count", [data.MAX_ITEMS + 1, 2**32 - 1])
    def test_a_header_that_claims_too_much_is_refused_at_once(self, tmp_path, count):
        path = tmp_path / "file"
        path.write_bytes(gzip.compress(np.array([0x0803, count, 28, 28], ">u4").tobytes() + bytes(1000)))
        with pytest.raises(data.DataError, match=f"expected 1 to {data.MAX_ITEMS} items, found a header .* {count}$"):
            data.read_idx(path, (28, 28))

    def test_a_gzip_bomb_takes_no_more_memory_than_its_header_says(self, tmp_path):
        """100 MB of zeros in 100 kB, of which the header announces two images."""
        resource = pytest.importorskip("resource", reason="Windows tells no peak of memory")
        path = tmp_path / "bomb"
        path.write_bytes(gzip.compress(IMAGES[:16] + bytes(100_000_000), 1))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(data.DataError, match=r"expected 2 items of 784 bytes as its header says, found more$"):
            data.read_idx(path, (28, 28))
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


@pytest.fixture(scope="module")
def original():
    """The bytes of a real checkpoint's two files, and what is in it."""
    prefix = ORACLE_DIR / "parameter20.ckpt"
    content = [(ORACLE_DIR / f"{prefix.name}{part}").read_bytes() for part in (".index", ".data-00000-of-00001")]
    return content, inspection.inspect(str(prefix)).variables


class TestCheckpoints:
    def check(self, prefix):
        try:
            return inspection.inspect(str(prefix))
        except checkpoints.CheckpointError as error:
            assert_one_line(error, f"{prefix}: expected ")

    @many
    @given(st.data())
    @pytest.mark.parametrize("part", [0, 1])
    def test_a_damaged_file_tells_the_truth_or_is_refused(self, tmp_path, original, part, data):
        content, variables = original
        files = [data.draw(damaged(some)) if number == part else some for number, some in enumerate(content)]
        found = self.check(crafted.write(tmp_path, *files))
        assert found is None or found.variables == variables

    @many
    @given(st.binary(max_size=300))
    def test_any_bytes(self, tmp_path, content):
        self.check(crafted.write(tmp_path, content))
        (tmp_path / "single.ckpt").write_bytes(content)          # as TensorFlow 0.x wrote them
        self.check(tmp_path / "single.ckpt")

    @many
    @given(st.binary(max_size=60))
    def test_any_block_of_a_table_that_is_sealed(self, tmp_path, content):
        self.check(crafted.write(tmp_path, crafted.sealed([content])))
        self.check(crafted.write(tmp_path, crafted.sealed([crafted.block([])], index=content)))

    @many
    @given(st.one_of(st.binary(max_size=60), damaged(crafted.entry())), st.one_of(st.binary(max_size=20),
                                                                                 damaged(crafted.header())))
    def test_any_entry_of_a_table_that_is_sealed(self, tmp_path, entry, header):
        self.check(crafted.write(tmp_path, crafted.table([(b"", header), (b"w", entry)])))

    @pytest.mark.parametrize(("claim", "found"), [
        ({"sizes": [-5]}, r"a variable of shape \[-5\]"),
        ({"sizes": [2**40, 2**40]}, "a variable of shape "),
        ({"sizes": [2**40, 2**40, 0]}, "a variable of shape "),
        ({"sizes": [1] * 300}, "a variable of shape "),
        ({"sizes": [10**12]}, "1000000000000 numbers claimed in 64 bytes"),
        ({"sizes": [10**9], "dtype": 7}, "1000000000 numbers claimed in 64 bytes"),
        ({"dtype": 99}, "a variable of the unknown type 99"),
        ({"dtype": 104}, "a variable of the unknown type 104"),
        ({"offset": -5}, "Seeking to a negative position"),
        ({"offset": 10**15}, "Read less bytes than requested"),
        ({"shard_id": 7}, "No such file or directory"),
        ({"crc32c": 1}, "Checksum does not match"),
    ])
    def test_what_cannot_be_is_refused(self, tmp_path, claim, found):
        """All but the last four would end the process, had TensorFlow's reader been asked."""
        prefix = crafted.write(tmp_path, crafted.table([(b"", crafted.header()), (b"w", crafted.entry(**claim))]))
        with pytest.raises(checkpoints.CheckpointError, match=f"expected a whole checkpoint, found: .*{found}"):
            inspection.inspect(prefix)

    def test_what_can_be_is_read(self, tmp_path):
        values = np.arange(16, dtype=np.float32)
        prefix = crafted.write(tmp_path, crafted.table([
            (b"", crafted.header()), (b"w", crafted.entry(data=values.tobytes()))]), values.tobytes())
        [variable] = inspection.inspect(prefix).variables
        assert variable == inspection.Variable("w", (16,), "float32", np.linalg.norm(values.astype(float)), 0, 0)

    def test_names_without_end(self, tmp_path):
        key = crafted.varint(0) + crafted.varint(5000) + crafted.varint(0) + b"w" * 5000
        with pytest.raises(checkpoints.CheckpointError, match="found: a damaged table"):
            inspection.inspect(crafted.write(tmp_path, crafted.sealed([key + bytes(8)])))
        entry = crafted.entry(sizes=[])
        size = crafted.varint(len(entry))
        growing = b"".join(crafted.varint(900) + crafted.varint(1) + size + b"w" + entry for _ in range(20_000))
        first = crafted.varint(0) + crafted.varint(900) + size + b"w" * 900 + entry
        with pytest.raises(checkpoints.CheckpointError, match="found: names without end"):
            inspection.inspect(crafted.write(tmp_path, crafted.sealed([first + growing + bytes(8)])))

    def test_blocks_that_are_the_same_block(self, tmp_path):
        """A table that sends its reader to one place again and again."""
        block = crafted.block([(b"", crafted.header()), (b"w", crafted.entry())])
        handle = crafted.varint(0) + crafted.varint(len(block))
        index = crafted.block([(b"a", handle), (b"b", handle)])
        with pytest.raises(checkpoints.CheckpointError, match="found: a damaged table"):
            inspection.inspect(crafted.write(tmp_path, crafted.sealed([block], index=index)))

    def test_an_entry_without_a_name(self, tmp_path):
        """After the header, to TensorFlow, it is a variable."""
        prefix = crafted.write(tmp_path, crafted.table([(b"", crafted.header()), (b"", crafted.entry(dtype=0))]))
        with pytest.raises(checkpoints.CheckpointError, match="found: a variable of the unknown type 0"):
            inspection.inspect(prefix)

    def test_the_single_file_may_claim_as_little(self, tmp_path):
        prefix = write_checkpoint(tmp_path / "old.ckpt", {"w": np.zeros(5, np.float32)},
                                  write_version=tf.train.SaverDef.V1)
        assert [variable.name for variable in inspection.inspect(prefix).variables] == ["w"]
        slices = crafted.saved_slices("w", [-5])
        (tmp_path / "old.ckpt").write_bytes(crafted.table([(b"", slices)]))
        with pytest.raises(checkpoints.CheckpointError, match=r"found: a variable of shape \[-5\]"):
            inspection.inspect(prefix)


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
                    max_leaves=8)
RUN = resume.Run(vars(Settings()).copy(), {"file": "digest"})


class TestRecords:
    """`resume.json`, which is the program's own, and yet only a file."""

    def check(self, path):
        try:
            run = resume._read_record(path, like=RUN)
        except checkpoints.CheckpointError as error:
            assert_one_line(error, f"{path}: expected the record that this program writes, found ")
        else:
            assert run.settings.keys() == RUN.settings.keys()
            assert len({len(column) for column in run.errors.values()}) == 1

    @many
    @given(st.binary(max_size=100))
    def test_any_bytes(self, tmp_path, content):
        (tmp_path / "resume.json").write_bytes(content)
        self.check(tmp_path / "resume.json")

    @many
    @given(damaged(RUN.as_json()))
    def test_a_damaged_record(self, tmp_path, content):
        (tmp_path / "resume.json").write_bytes(content)
        self.check(tmp_path / "resume.json")

    @many
    @given(st.sampled_from(list(vars(RUN))), JSON)
    def test_a_record_with_another_part(self, tmp_path, name, value):
        (tmp_path / "resume.json").write_text(json.dumps(vars(RUN) | {name: value}))
        self.check(tmp_path / "resume.json")

    def test_numbers_that_are_none(self, tmp_path):
        (tmp_path / "resume.json").write_text(json.dumps(vars(RUN) | {"unfinished": [0.0, float("nan"), 0.0]}))
        with pytest.raises(checkpoints.CheckpointError):
            resume._read_record(tmp_path / "resume.json", like=RUN)

    def test_nested_too_deep(self, tmp_path):
        (tmp_path / "resume.json").write_text("[" * 100_000)
        self.check(tmp_path / "resume.json")

    def test_a_good_one(self, tmp_path):
        (tmp_path / "resume.json").write_bytes(RUN.as_json())
        assert resume._read_record(tmp_path / "resume.json", like=RUN) == RUN
