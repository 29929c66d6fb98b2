"""Reading checkpoints: found, validated, and refused with one line if invalid."""


import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.helpers import flip_a_byte, save_training_graph, write_checkpoint
from vae_graph import checkpoints


def test_layer_sizes_of_an_old_checkpoint(folder):
    newest, problems = checkpoints.latest_valid(folder)
    assert newest == checkpoints.Checkpoint(
        20, str(folder / "parameter20.ckpt"), checkpoints.LayerSizes(784, 16, 2, 12), step=0)
    assert problems == {}


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


def test_an_empty_folder_has_none(tmp_path):
    assert checkpoints.latest_valid(tmp_path) == (None, {})


def test_a_missing_variable_and_a_mismatch_are_named(folder):
    variables = checkpoints.read_variables(str(folder / "parameter20.ckpt"))
    with pytest.raises(checkpoints.CheckpointError, match="expected the variable encoder_z/b3/Adam_1, found none"):
        checkpoints.layer_sizes("p", {name: v for name, v in variables.items() if name != "encoder_z/b3/Adam_1"},
                                checkpoints.training_shapes)
    with pytest.raises(checkpoints.CheckpointError, match=r"decoder_output/b6 of shape \(784,\), found \(9,\)"):
        checkpoints.layer_sizes("p", variables | {"decoder_output/b6": np.zeros(9)})
    with pytest.raises(checkpoints.CheckpointError, match="encoder_hidden_1/w1"):
        checkpoints.layer_sizes("p", {"dense/kernel": np.zeros((2, 2))})


def test_the_most_similar_name_is_named(folder):
    variables = checkpoints.read_variables(str(folder / "parameter20.ckpt"))
    decoder = {name: value for name, value in variables.items() if name.startswith("decoder")}
    with pytest.raises(checkpoints.CheckpointError, match=r"variable encoder_hidden_1/w1, found none of that name; "
                                                          r"the most similar is decoder_hidden_1/w4$"):
        checkpoints.layer_sizes("p", decoder)
    with pytest.raises(checkpoints.CheckpointError, match=r"the most similar is encoder_hidden1/w1$"):
        checkpoints.layer_sizes("p", {"encoder_hidden1/w1": np.zeros(2), "dense/kernel": np.zeros(2)})
    with pytest.raises(checkpoints.CheckpointError, match=r"the most similar is none at all$"):
        checkpoints.layer_sizes("p", {})


def test_weights_alone_suffice_except_for_training(folder, tmp_path):
    variables = checkpoints.read_variables(str(folder / "parameter20.ckpt"))
    sizes = checkpoints.LayerSizes(784, 16, 2, 12)
    write_checkpoint(tmp_path / "parameter30.ckpt", {name: variables[name] for name in checkpoints.model_shapes(sizes)})
    newest, problems = checkpoints.latest_valid(tmp_path)
    assert (newest.epoch, newest.sizes, problems) == (30, sizes, {})
    newest, problems = checkpoints.latest_valid(tmp_path, checkpoints.training_shapes)
    assert newest is None
    assert "expected the variable encoder_hidden_1/w1/Adam, found none" in str(*problems.values())


@pytest.mark.parametrize(("name", "value", "message"), [
    ("encoder_hidden_1/w1", np.zeros(784, np.float32), "encoder_hidden_1/w1 and decoder_hidden_1/w4 to be matrices"),
    ("decoder_hidden_1/w4", np.zeros((3, 12), np.float32), r"encoder_z/w3 of shape \(16, 6\), found \(16, 4\)"),
    ("decoder_hidden_1/w4", np.zeros((0, 12), np.float32), "sizes of 1 or more, found n_input 784, .*, n_z 0"),
    ("decoder_output/b6", np.zeros(784), "decoder_output/b6 of type float32, found float64"),
    ("encoder_z/b3", np.array([0, np.nan, 0, 0], np.float32), "finite numbers, found NaN or infinity in encoder_z/b3"),
    ("encoder_z/b3", np.array([0, np.inf, 0, 0], np.float32), "finite numbers, found NaN or infinity in encoder_z/b3"),
])
def test_an_unusable_network_is_refused(folder, tmp_path, name, value, message):
    variables = checkpoints.read_variables(str(folder / "parameter20.ckpt"))
    prefix = write_checkpoint(tmp_path / "x", variables | {name: value})
    with pytest.raises(checkpoints.CheckpointError, match=f"^{prefix}: expected {message}"):
        checkpoints.read_network(prefix)


class TestFind:
    @pytest.mark.parametrize("name", ["parameter20.ckpt", "parameter20.ckpt.index", "parameter20.ckpt.meta",
                                      "parameter20.ckpt.data-00000-of-00001", ""])
    def test_by_prefix_by_any_file_and_by_folder(self, folder, name):
        assert checkpoints.find(folder / name) == (str(folder / "parameter20.ckpt"), {})

    @pytest.mark.parametrize("name", ["parameter30.ckpt", ""])
    def test_the_single_file_of_tensorflow_0(self, folder, name):
        values = checkpoints.read_variables(str(folder / "parameter20.ckpt"))
        write_checkpoint(folder / "parameter30.ckpt", values, write_version=tf.train.SaverDef.V1)
        assert checkpoints.find(folder / name) == (str(folder / "parameter30.ckpt"), {})

    def test_skipped_checkpoints_of_a_folder_are_returned(self, folder):
        (folder / "parameter20.ckpt.data-00000-of-00001").unlink()
        prefix, problems = checkpoints.find(folder)
        assert prefix == str(folder / "parameter0.ckpt")
        assert list(problems) == [str(folder / "parameter20.ckpt")]

    def test_weights_alone_suffice(self, folder, tmp_path):
        weights = checkpoints.read_network(str(folder / "parameter20.ckpt"))[1]
        prefix = write_checkpoint(tmp_path / "parameter5.ckpt", weights)
        assert checkpoints.find(tmp_path) == (prefix, {})

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
        with pytest.raises(checkpoints.CheckpointError, match=f"^{tmp_path}: .*, found: no parameter<epoch>.ckpt$"):
            checkpoints.find(tmp_path)
        for data in folder.glob("*.data*"):
            data.unlink()
        with pytest.raises(checkpoints.CheckpointError, match=r"found: .*parameter20.ckpt: expected a valid"):
            checkpoints.find(folder)
