"""Finding checkpoints: by prefix, by file, by folder, by TensorFlow's state file."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.helpers import flip_a_byte, save_training_graph, write_checkpoint
from vae_graph import checkpoints

pytestmark = pytest.mark.quick


def test_latest_is_by_number_and_needs_no_state_file(folder):
    save_training_graph(folder, 100)
    (folder / "checkpoint").write_text('model_checkpoint_path: "C:\\\\vae\\\\parameter0.ckpt"\n')
    newest, _ = checkpoints.latest_valid(folder)
    assert newest.epoch == 100
    (folder / "checkpoint").unlink()
    assert checkpoints.latest_valid(folder)[0] == newest


@pytest.mark.parametrize("damage", [
    pytest.param(lambda index, values: values.unlink(), id="no data"),
    pytest.param(lambda index, values: values.write_bytes(values.read_bytes()[:-1000]), id="truncated data"),
    pytest.param(lambda index, values: flip_a_byte(values), id="flipped byte in data"),
    pytest.param(lambda index, values: index.write_bytes(index.read_bytes()[:500]), id="truncated index"),
    pytest.param(lambda index, values: flip_a_byte(index), id="flipped byte in index"),
    pytest.param(lambda index, values: index.write_bytes(b""), id="empty index"),
])
def test_an_invalid_latest_checkpoint_is_skipped_and_named(folder, damage):
    damage(folder / "parameter20.ckpt.index", folder / "parameter20.ckpt.data-00000-of-00001")
    newest, problems = checkpoints.latest_valid(folder)
    assert newest.epoch == 0
    [(prefix, problem)] = problems.items()
    assert prefix == str(folder / "parameter20.ckpt")
    assert str(problem).startswith(f"{prefix}: expected a valid checkpoint, found: ")
    assert "\n" not in str(problem)


@pytest.mark.parametrize(("needed", "epoch"), [(checkpoints.model_shapes, 30), (checkpoints.training_shapes, 20)])
def test_infinity_in_adams_slots_is_invalid_for_training_only(folder, needed, epoch):
    variables = checkpoints.read_variables(str(folder / "parameter20.ckpt"))
    slot = {"encoder_z/b3/Adam": np.full(4, np.inf, np.float32)}
    write_checkpoint(folder / "parameter30.ckpt", variables | slot)
    assert checkpoints.latest_valid(folder, needed)[0].epoch == epoch


def test_the_step_is_read_for_training_only(folder):
    assert [checkpoints.latest_valid(folder, shapes)[0].step
            for shapes in (checkpoints.training_shapes, checkpoints.model_shapes)] == [20, 0]


@pytest.mark.parametrize("number", ["007", "\u0667", "7" * 5000, "-7", " 7"])
def test_numbers_that_the_program_does_not_write(tmp_path, number):
    for name in (f"parameter{number[:200]}.ckpt.index", f"parameter{number[:200]}.ckpt.data-00000-of-00001"):
        (tmp_path / name).touch()
    assert checkpoints.latest_valid(tmp_path) == (None, {})


def test_an_empty_folder_has_none(tmp_path):
    assert checkpoints.latest_valid(tmp_path) == (None, {})


def test_weights_alone_suffice_except_for_training(folder, tmp_path):
    variables = checkpoints.read_variables(str(folder / "parameter20.ckpt"))
    sizes = checkpoints.LayerSizes(784, 16, 2, 12)
    write_checkpoint(tmp_path / "parameter30.ckpt", {name: variables[name] for name in checkpoints.model_shapes(sizes)})
    newest, problems = checkpoints.latest_valid(tmp_path)
    assert (newest.epoch, newest.sizes, problems) == (30, sizes, {})
    newest, problems = checkpoints.latest_valid(tmp_path, checkpoints.training_shapes)
    assert newest is None
    assert "expected the variable encoder_hidden_1/w1/Adam, found none" in str(*problems.values())


class TestFind:
    @pytest.mark.parametrize("name", ["parameter20.ckpt", "parameter20.ckpt.index", "parameter20.ckpt.meta",
                                      "parameter20.ckpt.data-00000-of-00001", ""])
    def test_by_prefix_by_any_file_and_by_folder(self, folder, name):
        assert checkpoints.find(folder / name) == (str(folder / "parameter20.ckpt"), {}, [])

    @pytest.mark.parametrize("name", ["parameter30.ckpt", ""])
    def test_the_single_file_of_tensorflow_0(self, folder, name):
        values = checkpoints.read_variables(str(folder / "parameter20.ckpt"))
        write_checkpoint(folder / "parameter30.ckpt", values, write_version=tf.train.SaverDef.V1)
        assert checkpoints.find(folder / name) == (str(folder / "parameter30.ckpt"), {}, [])

    def test_copies_under_other_names_are_not_checkpoints(self, folder):
        for name in ("parameter30.ckpt.index.old", "parameter30.ckpt~", "my-parameter30.ckpt.index"):
            (folder / name).touch()
        assert checkpoints.find(folder) == (str(folder / "parameter20.ckpt"), {}, [])

    def test_skipped_checkpoints_of_a_folder_are_returned(self, folder):
        (folder / "parameter20.ckpt.data-00000-of-00001").unlink()
        prefix, problems, _ = checkpoints.find(folder)
        assert prefix == str(folder / "parameter0.ckpt")
        assert list(problems) == [str(folder / "parameter20.ckpt")]

    def test_weights_alone_suffice(self, folder, tmp_path):
        weights = checkpoints.read_network(str(folder / "parameter20.ckpt"))[1]
        prefix = write_checkpoint(tmp_path / "parameter5.ckpt", weights)
        assert checkpoints.find(tmp_path) == (prefix, {}, [])

    @pytest.mark.parametrize("name", ["parameter9.ckpt", "parameter9.ckpt.index", "nowhere/parameter9.ckpt"])
    def test_nothing_of_that_name(self, folder, name):
        with pytest.raises(checkpoints.CheckpointError, match=f"{name}: expected .*, found nothing of that name$"):
            checkpoints.find(folder / name)

    @pytest.mark.parametrize("name", ["parameter20.ckpt", "parameter20.ckpt.data-00000-of-00001"])
    def test_data_without_index(self, folder, name):
        (folder / "parameter20.ckpt.index").unlink()
        with pytest.raises(checkpoints.CheckpointError, match=f"{name}: expected .*, found no .index file beside it$"):
            checkpoints.find(folder / name)

    def test_a_graph_alone(self, tmp_path):
        (tmp_path / "parameter20.ckpt.meta").touch()
        with pytest.raises(checkpoints.CheckpointError, match=r"found no .index file beside it$"):
            checkpoints.find(tmp_path / "parameter20.ckpt.meta")

    def test_a_folder_without_a_valid_one(self, folder, tmp_path):
        with pytest.raises(checkpoints.CheckpointError, match=f"^{tmp_path}: .*, found: no checkpoint$"):
            checkpoints.find(tmp_path)
        for data in folder.glob("*.data*"):
            data.unlink()
        with pytest.raises(checkpoints.CheckpointError, match=r"found: .*parameter20.ckpt: expected a valid"):
            checkpoints.find(folder)


class TestOtherNames:
    """A folder with `my_model-1000`, `-2000` and `-10000`."""

    @pytest.fixture
    def models(self, folder, tmp_path):
        weights = checkpoints.read_network(str(folder / "parameter20.ckpt"))[1]
        models = tmp_path / "models"
        models.mkdir()
        for step in (1000, 2000, 10000):
            write_checkpoint(models / f"my_model-{step}", weights)
        return models

    @staticmethod
    def prefixes(models, *steps):
        return [str(models / f"my_model-{step}") for step in steps]

    def test_the_highest_number_without_a_state_file(self, models):
        [prefix, *others] = self.prefixes(models, 10000, 2000, 1000)
        assert checkpoints.find(models) == (prefix, {}, others)

    def test_a_name_without_a_number_comes_last(self, models):
        for step, name in ((1000, "trained"), (2000, "model-0")):
            for path in models.glob(f"my_model-{step}.*"):
                path.rename(models / f"{name}{path.suffix}")
        assert checkpoints.find(models).others == [str(models / "model-0"), str(models / "trained")]

    @pytest.mark.parametrize("named", ["my_model-2000", "/home/somebody/2018/my_model-2000",
                                       r"C:\\vae\\my_model-2000", r"\155/my_model-\0620\060\060"])
    def test_the_state_file_decides_by_its_base_name(self, models, named):
        (models / "checkpoint").write_text(
            f'model_checkpoint_path: "{named}"\nall_model_checkpoint_paths: "my_model-1000"\n')
        [prefix, *others] = self.prefixes(models, 2000, 10000, 1000)
        assert checkpoints.find(models) == (prefix, {}, others)
        assert checkpoints.find(models / "checkpoint") == (prefix, {}, [])

    def test_a_state_file_of_tensorflows(self, models):
        weights = checkpoints.read_variables(self.prefixes(models, 1000)[0])
        prefix = write_checkpoint(models / "modèle-3", weights)
        tf.train.update_checkpoint_state(str(models), prefix)
        assert checkpoints.find(models).prefix == prefix

    @pytest.mark.parametrize("state", [b"", b"\xff\x00", b'model_checkpoint_path: "', b'model_checkpoint_path: ""'])
    def test_a_state_file_that_names_none(self, models, state):
        (models / "checkpoint").write_bytes(state)
        assert checkpoints.find(models)[:2] == (self.prefixes(models, 10000)[0], {})

    @pytest.mark.parametrize("path", ["", "checkpoint"])
    def test_a_state_file_that_names_a_missing_one(self, models, path):
        (models / "checkpoint").write_bytes(b'model_checkpoint_path: "gone-7"')
        found = checkpoints.find(models / path)
        assert (found.prefix, list(found.problems)) == (self.prefixes(models, 10000)[0], [str(models / "gone-7")])
        assert str(*found.problems.values()) == (f"{models / 'gone-7'}: expected the checkpoint that "
                                                 f"{models / 'checkpoint'} names, found nothing of that name")

    def test_a_state_file_that_names_a_missing_one_beside_the_originals(self, folder):
        (folder / "checkpoint").write_bytes(b'model_checkpoint_path: "gone-7"')
        assert checkpoints.find(folder) == (str(folder / "parameter20.ckpt"), {}, [])
        found = checkpoints.find(folder / "checkpoint")
        assert (found.prefix, list(found.problems)) == (str(folder / "parameter20.ckpt"), [str(folder / "gone-7")])

    def test_a_state_file_alone(self, tmp_path):
        (tmp_path / "checkpoint").write_bytes(b'model_checkpoint_path: "gone-7"')
        with pytest.raises(checkpoints.CheckpointError, match=r"gone-7: expected the checkpoint that .* names, "):
            checkpoints.find(tmp_path)

    def test_an_invalid_one_is_skipped_and_named(self, models):
        flip_a_byte(models / "my_model-10000.data-00000-of-00001")
        [broken, prefix, *others] = self.prefixes(models, 10000, 2000, 1000)
        found = checkpoints.find(models)
        assert (found.prefix, list(found.problems), found.others) == (prefix, [broken], others)

    def test_the_single_file_of_tensorflow_0(self, models):
        weights = checkpoints.read_variables(self.prefixes(models, 1000)[0])
        prefix = write_checkpoint(models / "my_model-20000", weights, write_version=tf.train.SaverDef.V1)
        (models / "my_model-20000.meta").touch()
        assert checkpoints.find(models).prefix == prefix

    @pytest.mark.parametrize("is_named", [True, False])
    def test_the_single_file_of_tensorflow_0_without_a_graph(self, models, tmp_path, is_named):
        """Named by the state file beside others, or alone and known by its content."""
        folder = models if is_named else tmp_path / "alone"
        folder.mkdir(exist_ok=True)
        (folder / "notes.txt").write_text("the best so far")
        weights = checkpoints.read_variables(self.prefixes(models, 1000)[0])
        prefix = write_checkpoint(folder / "vae", weights, write_version=tf.train.SaverDef.V1)
        if is_named:
            (folder / "checkpoint").write_text('model_checkpoint_path: "/tmp/vae"\n')
        assert checkpoints.find(folder).prefix == prefix

    def test_a_folder_and_a_prefix_as_text(self, models):
        [prefix, *_] = self.prefixes(models, 10000)
        assert checkpoints.find(str(models)).prefix == checkpoints.find(prefix).prefix == prefix
        assert checkpoints.latest_valid(str(models)) == (None, {})

    def test_parameter_epoch_comes_first(self, models):
        """A folder of the original's is read as before, whatever else is in it."""
        weights = checkpoints.read_variables(self.prefixes(models, 1000)[0])
        prefix = write_checkpoint(models / "parameter5.ckpt", weights)
        (models / "checkpoint").write_text('model_checkpoint_path: "my_model-2000"\n')
        assert checkpoints.find(models) == (prefix, {}, [])
        assert checkpoints.find(models / "checkpoint").prefix == self.prefixes(models, 2000)[0]

    def test_none_of_this_network(self, tmp_path):
        write_checkpoint(tmp_path / "other-1", {"w": np.zeros(2, np.float32)})
        with pytest.raises(checkpoints.CheckpointError, match=r"other-1: expected the variable encoder_hidden_1/w1"):
            checkpoints.find(tmp_path)


class TestOfAnyProgram:
    """A folder without a checkpoint of this network."""

    @pytest.fixture
    def others(self, tmp_path):
        for step in (1, 2, 10):
            write_checkpoint(tmp_path / f"other-{step}", {"w": np.full(1000, step, np.float32)})
        return tmp_path

    def test_the_latest(self, others):
        assert checkpoints.find(others, any_program=True) == (
            str(others / "other-10"), {}, [str(others / "other-2"), str(others / "other-1")])

    def test_one_that_is_damaged_or_gone_is_named(self, others):
        flip_a_byte(others / "other-10.data-00000-of-00001")
        (others / "checkpoint").write_text('model_checkpoint_path: "gone-7"')
        found = checkpoints.find(others, any_program=True)
        assert (found.prefix, found.others) == (str(others / "other-2"), [str(others / "other-1")])
        assert [*found.problems] == [str(others / "other-10"), str(others / "gone-7")]

    def test_one_of_this_network_is_preferred(self, others, folder):
        write_checkpoint(others / "a", checkpoints.read_network(str(folder / "parameter20.ckpt"))[1])
        assert checkpoints.find(others, any_program=True).prefix == str(others / "a")

    def test_an_index_if_no_values_are_there(self, others):
        for path in others.glob("*.data*"):
            path.unlink()
        assert checkpoints.find(others, any_program=True).prefix == str(others / "other-10")
        with pytest.raises(checkpoints.CheckpointError, match="no file other-10"):
            checkpoints.find(others)


@pytest.mark.parametrize(("content", "kind"), [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer: `git lfs pull`"),
    (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
    (b"PK\x03\x04" + bytes(26) + b"archive/data.pkl" + bytes(99), "a PyTorch file"),
    (b"PK\x03\x04" + bytes(26) + b"metadata.json" + bytes(99), "a ZIP archive"),
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + bytes(99), "a PyTorch file"),
    (b"\x08\x01\x12\xf0\x01" + bytes(99), "a SavedModel's graph; its variables are in the checkpoint variables/")])
@pytest.mark.parametrize("name", ["", "model"])
def test_other_formats_are_named(tmp_path, content, kind, name):
    (tmp_path / "a.txt").write_text("notes")
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(checkpoints.CheckpointError, match=rf"^{tmp_path / name}: expected .*, found: .*{kind}"):
        checkpoints.read_variables(checkpoints.find(tmp_path / name).prefix)


def test_a_label_is_a_folders_name_and_a_checkpoints():
    assert [checkpoints.label(prefix) for prefix in ("/runs/a/parameter0.ckpt", "a/b", "b")] == [
        "a/parameter0.ckpt", "a/b", "b"]
