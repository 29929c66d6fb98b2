"""The tables of a checkpoint: whatever the bytes, the right values or one line."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import crafted
from tests.helpers import assert_one_line, damaged, many, write_checkpoint
from tests.small import ORACLE_DIR
from vae_graph import checkpoints
from vae_graph.checkpoints import inspection, table


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

    @settings(many, max_examples=50)
    @given(st.data())
    @pytest.mark.parametrize("part", [0, 1])
    def test_a_damaged_file_gives_the_same_values_or_is_refused(self, tmp_path, original, part, data):
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
    def test_any_block_of_a_table_with_valid_checksums(self, tmp_path, content):
        self.check(crafted.write(tmp_path, crafted.sealed([content])))
        self.check(crafted.write(tmp_path, crafted.sealed([crafted.block([])], index=content)))

    @many
    @given(st.one_of(st.binary(max_size=60), damaged(crafted.entry())), st.one_of(st.binary(max_size=20),
                                                                                 damaged(crafted.header())))
    def test_any_entry_of_a_table_with_valid_checksums(self, tmp_path, entry, header):
        self.check(crafted.write(tmp_path, crafted.table([(b"", header), (b"w", entry)])))

    @pytest.mark.parametrize(("claim", "found"), [
        ({"sizes": [-5]}, r"a variable of shape \(-5,\)"),
        ({"sizes": [2**40, 2**40]}, "a variable of shape "),
        ({"sizes": [2**40, 2**40, 0]}, "a variable of shape "),
        ({"sizes": [1] * 300}, "a variable of shape "),
        ({"sizes": [10**12]}, "1000000000000 elements of float32 in 64 bytes"),
        ({"sizes": [10**9], "dtype": 7}, "1000000000 elements of string in 64 bytes"),
        ({"dtype": 99}, "a variable of the unknown type 99"),
        ({"dtype": 104}, "a variable of the unknown type 104"),
        *(({"slices": [[(0, 8)], extents]}, "a slice ") for extents in (
            [(0, -5)], [(-1, 4)], [(0, 0)], [(12, 5)], [(2**62, 2**62)], [], [(0, 4), (0, 4)])),
        ({"offset": -5}, "64 bytes at -5 of the 64 bytes of parameter0.ckpt.data-00000-of-00001"),
        ({"offset": 10**15}, "64 bytes at 1000000000000000 of the 64 bytes of parameter0.ckpt.data-"),
        ({"shard_id": 7}, "no file parameter0.ckpt.data-00007-of-00001"),
        ({"crc32c": 1}, "a variable 'w' whose checksum does not match"),
    ])
    def test_impossible_entries_are_refused(self, tmp_path, claim, found):
        """For the first of them, TensorFlow's reader aborts the process."""
        prefix = crafted.write(tmp_path, crafted.table([(b"", crafted.header()), (b"w", crafted.entry(**claim))]))
        with pytest.raises(checkpoints.CheckpointError, match=f"expected a valid checkpoint, found: .*{found}"):
            checkpoints.read_variables(prefix)

    @pytest.mark.parametrize(("claim", "found"), [
        ({"min_consumer": 2}, "a newer format"), ({"endianness": 1}, "numbers in the byte order of another machine")])
    def test_other_formats_are_refused(self, tmp_path, claim, found):
        content = crafted.table([(b"", crafted.header(**claim)), (b"w", crafted.entry())])
        with pytest.raises(checkpoints.CheckpointError, match=f"0.ckpt: expected a valid checkpoint, found: {found}$"):
            inspection.inspect(crafted.write(tmp_path, content))

    @pytest.mark.parametrize(("block", "found"), [
        (b"", "a damaged table"), (bytes(8) + b"\3\0\0\0", "a damaged table"),       # no room for its restarts
        (b"\1\1\0w" + bytes(4), "a damaged table"),                                 # the prefix of no key
        (b"\0\2\0w" + bytes(4), "a damaged table"), (b"\0\1\1w" + bytes(4), "a damaged table"),
        (b"\0\1\x80" + bytes(4), "a damaged table"), (crafted.block([]), "a table without a header")])
    def test_impossible_blocks_are_refused(self, tmp_path, block, found):
        with pytest.raises(checkpoints.CheckpointError, match=f"0.ckpt: expected a valid checkpoint, found: {found}$"):
            inspection.inspect(crafted.write(tmp_path, crafted.sealed([block])))

    def test_a_file_that_is_too_large_is_not_read(self, tmp_path, monkeypatch):
        content = crafted.table([(b"", crafted.header())])
        prefix = crafted.write(tmp_path, content)
        monkeypatch.setattr(table, "MAX_FILE_SIZE", len(content))
        assert inspection.inspect(prefix).variables == ()
        monkeypatch.setattr(table, "MAX_FILE_SIZE", len(content) - 1)
        with pytest.raises(checkpoints.CheckpointError, match=f"found: parameter0.ckpt.index of {len(content)} bytes$"):
            inspection.inspect(prefix)

    @pytest.mark.parametrize("content", [b"", bytes(47), bytes(48)])
    def test_a_file_that_is_not_a_checkpoint_is_refused(self, tmp_path, content):
        with pytest.raises(checkpoints.CheckpointError, match=r"found: a file that is not a checkpoint$"):
            inspection.inspect(crafted.write(tmp_path, content))

    def test_a_name_that_is_not_utf_8_is_refused(self, tmp_path):
        content = crafted.table([(b"", crafted.header()), (b"\xff", crafted.entry())])
        with pytest.raises(checkpoints.CheckpointError, match=r"found: a name that is not UTF-8$"):
            inspection.inspect(crafted.write(tmp_path, content))

    def test_a_missing_file_and_a_folder_are_named(self, tmp_path):
        with pytest.raises(checkpoints.CheckpointError, match=r"found: no file x.ckpt$"):
            inspection.inspect(str(tmp_path / "x.ckpt"))
        (tmp_path / "x.ckpt.index").mkdir()
        with pytest.raises(checkpoints.CheckpointError, match=r"found: x.ckpt.index, which is not a regular file$"):
            inspection.inspect(str(tmp_path / "x.ckpt"))

    def test_a_compressed_table_is_refused(self, tmp_path):
        content = crafted.sealed([crafted.block([(b"", crafted.header())])], compression=b"\1")
        with pytest.raises(checkpoints.CheckpointError, match="found: a compressed table, which TensorFlow does not "):
            inspection.inspect(crafted.write(tmp_path, content))

    @pytest.mark.parametrize("min_consumer", [0, 1])
    def test_a_possible_entry_is_read(self, tmp_path, min_consumer):
        values = np.arange(16, dtype=np.float32)
        prefix = crafted.write(tmp_path, crafted.table([
            (b"", crafted.header(min_consumer=min_consumer)), (b"w", crafted.entry(data=values.tobytes()))]),
            values.tobytes())
        [variable] = inspection.inspect(prefix).variables
        assert variable == inspection.Variable("w", (16,), "float32", np.linalg.norm(values.astype(float)), 0, 0)

    def test_names_that_are_too_long(self, tmp_path):
        key = crafted.varint(0) + crafted.varint(70_000) + crafted.varint(0) + b"w" * 70_000
        with pytest.raises(checkpoints.CheckpointError, match="found: names that are too long"):
            inspection.inspect(crafted.write(tmp_path, crafted.sealed([key + bytes(8)])))
        entry = crafted.entry(sizes=[])
        size = crafted.varint(len(entry))
        growing = b"".join(crafted.varint(900) + crafted.varint(2) + size + number.to_bytes(2, "big") + entry
                           for number in range(20_000))
        first = bytes(3) + crafted.varint(0) + crafted.varint(900) + size + b"w" * 900 + entry        # after a header
        with pytest.raises(checkpoints.CheckpointError, match="found: names that are too long"):
            inspection.inspect(crafted.write(tmp_path, crafted.sealed([first + growing + bytes(8)])))

    def test_a_long_name_is_read(self, tmp_path):
        values = bytes(64)
        prefix = crafted.write(tmp_path, crafted.table([
            (b"", crafted.header()), (b"w" * 5000, crafted.entry(data=values))]), values)
        assert [variable.name for variable in inspection.inspect(prefix).variables] == ["w" * 5000]

    def test_numbers_of_thousands_of_digits(self, tmp_path):
        """A field that should be an integer, as bytes of any length."""
        shard = b"\x1a" + crafted.varint(10_000) + b"\xff" * 10_000
        with pytest.raises(checkpoints.CheckpointError, match="found: an entry that cannot be parsed"):
            inspection.inspect(crafted.write(tmp_path, crafted.table([
                (b"", crafted.header()), (b"w", crafted.entry() + shard)])))

    def test_a_single_file_that_multiplies_its_parts(self, tmp_path):
        """The same variable many times, of as many parts; a variable of strings as often whole."""
        path = tmp_path / "old.ckpt"
        parts = [(number.to_bytes(2, "big"), crafted.saved_part("w", [(0, 8)], bytes(32))) for number in range(1, 2000)]
        for header, found in (
                (crafted.saved_slices("w", [8]) * 2000, "1999 parts with 15992 elements"),
                (crafted.saved_slices("w", [8]) + crafted.saved_slices("w", [8]), "1999 parts"),
                (crafted.saved_slices("w", [8], dtype=7), "1999 parts")):
            path.write_bytes(crafted.table([(b"", header), *parts]))
            with pytest.raises(checkpoints.CheckpointError, match=f"found: {found}"):
                inspection.inspect(str(path))
        path.write_bytes(crafted.table([(b"", crafted.saved_slices("w", [8]) * 2), parts[0]]))
        with pytest.raises(checkpoints.CheckpointError, match="found: the variable 'w' twice"):
            inspection.inspect(str(path))

    def test_a_type_that_tensorflow_does_not_read_in_a_single_file(self, tmp_path):
        path = tmp_path / "old.ckpt"
        path.write_bytes(crafted.table([(b"", crafted.saved_slices("w", [8], dtype=8)),
                                        (b"w", crafted.saved_part("w", [(0, 8)], bytes(32)))]))
        [variable] = inspection.inspect(str(path)).variables
        assert (variable.dtype, variable.norm) == ("complex64", None)

    def test_index_entries_that_share_a_block(self, tmp_path):
        """A table whose index refers to one block repeatedly."""
        block = crafted.block([(b"", crafted.header()), (b"w", crafted.entry())])
        handle = crafted.varint(0) + crafted.varint(len(block))
        index = crafted.block([(b"a", handle), (b"b", handle)])
        with pytest.raises(checkpoints.CheckpointError, match="found: a damaged table"):
            inspection.inspect(crafted.write(tmp_path, crafted.sealed([block], index=index)))

    def test_an_entry_without_a_name(self, tmp_path):
        """After the header, TensorFlow takes it for a variable."""
        prefix = crafted.write(tmp_path, crafted.table([(b"", crafted.header()), (b"", crafted.entry(dtype=0))]))
        with pytest.raises(checkpoints.CheckpointError, match="found: a damaged table"):
            inspection.inspect(prefix)

    def test_impossible_entries_of_the_single_file_are_refused(self, tmp_path):
        prefix = write_checkpoint(tmp_path / "old.ckpt", {"w": np.zeros(5, np.float32)},
                                  write_version=tf.train.SaverDef.V1)
        assert [variable.name for variable in inspection.inspect(prefix).variables] == ["w"]
        (tmp_path / "old.ckpt").write_bytes(crafted.table([(b"", crafted.saved_slices("w", [5], [[(0, -5)]]))]))
        with pytest.raises(checkpoints.CheckpointError, match=r"found: a slice \[\(0, -5\)\] of a variable of shape "):
            inspection.inspect(prefix)
        slices = crafted.saved_slices("w", [-5])
        (tmp_path / "old.ckpt").write_bytes(crafted.table([(b"", slices)]))
        with pytest.raises(checkpoints.CheckpointError, match=r"found: a variable of shape \(-5,\)"):
            inspection.inspect(prefix)
