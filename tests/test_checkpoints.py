"""Checkpoints are the original's files, and a broken one is known before it is used."""

import os
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.conftest import write_checkpoint
from tests.test_oracle import ORACLE_DIR
from vae_graph import checkpoints, files, saving, training

SMALL = {"n_hidden_encoder": 16, "n_z": 2, "n_hidden_decoder": 12}


@pytest.fixture
def folder(tmp_path):
    """TensorFlow 1.4.0's two checkpoints, at epochs 0 and 20."""
    return shutil.copytree(ORACLE_DIR, tmp_path / "checkpoints")


def save_training_graph(folder, epoch):
    with tf.Graph().as_default(), tf.Session() as session:
        training.training_graph(784, training.Settings(**SMALL))
        session.run(tf.global_variables_initializer())
        return saving.save(session, tf.train.Saver(), folder, epoch)


def test_sizes_are_read_off_an_old_checkpoint(folder):
    newest, problems = checkpoints.newest_whole(folder)
    assert newest == checkpoints.Checkpoint(
        20, str(folder / "parameter20.ckpt"), checkpoints.LayerSizes(784, 16, 2, 12), step=0)
    assert problems == {}


def test_ours_has_the_variables_of_tensorflow_1_4(folder):
    ours = checkpoints.read_variables(save_training_graph(folder, 21))
    theirs = checkpoints.read_variables(str(folder / "parameter20.ckpt"))
    assert len(ours) == 39
    assert {name: (value.shape, value.dtype) for name, value in ours.items()} == {
        name: (value.shape, value.dtype) for name, value in theirs.items()}


def test_no_graph_is_written(folder):
    save_training_graph(folder, 21)
    assert sorted(path.name for path in folder.glob("parameter21*")) == [
        "parameter21.ckpt.data-00000-of-00001", "parameter21.ckpt.index"]


def test_newest_is_by_number_and_needs_no_state_file(folder):
    save_training_graph(folder, 100)
    (folder / "checkpoint").write_text('model_checkpoint_path: "C:\\\\vae\\\\parameter0.ckpt"\n')
    newest, _ = checkpoints.newest_whole(folder)
    assert newest.epoch == 100
    (folder / "checkpoint").unlink()
    assert checkpoints.newest_whole(folder)[0] == newest


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [
    pytest.param(lambda index, values: values.unlink(), id="no data"),
    pytest.param(lambda index, values: values.write_bytes(values.read_bytes()[:-1000]), id="truncated data"),
    pytest.param(lambda index, values: flip_a_byte(values), id="flipped byte in data"),
    pytest.param(lambda index, values: index.write_bytes(index.read_bytes()[:500]), id="truncated index"),
    pytest.param(lambda index, values: flip_a_byte(index), id="flipped byte in index"),
    pytest.param(lambda index, values: index.write_bytes(b""), id="empty index"),
])
def test_a_broken_newest_is_passed_over_and_named(folder, damage):
    damage(folder / "parameter20.ckpt.index", folder / "parameter20.ckpt.data-00000-of-00001")
    newest, problems = checkpoints.newest_whole(folder)
    assert newest.epoch == 0
    [(prefix, problem)] = problems.items()
    assert prefix == str(folder / "parameter20.ckpt")
    assert str(problem).startswith(f"{prefix}: expected a whole checkpoint, found: ")
    assert "\n" not in str(problem)


@pytest.mark.parametrize(("needed", "epoch"), [(checkpoints.model_shapes, 30), (checkpoints.training_shapes, 20)])
def test_infinity_in_adams_slots_matters_to_training_only(folder, needed, epoch):
    variables = checkpoints.read_variables(str(folder / "parameter20.ckpt"))
    slot = {"encoder_z/b3/Adam": np.full(4, np.inf, np.float32)}
    write_checkpoint(folder / "parameter30.ckpt", variables | slot)
    assert checkpoints.newest_whole(folder, needed)[0].epoch == epoch


def test_an_empty_folder_has_none(tmp_path):
    assert checkpoints.newest_whole(tmp_path) == (None, {})


def test_a_missing_variable_and_a_misfit_are_named(folder):
    variables = checkpoints.read_variables(str(folder / "parameter20.ckpt"))
    with pytest.raises(checkpoints.CheckpointError, match="expected the variable encoder_z/b3/Adam_1, found none"):
        checkpoints.layer_sizes("p", {name: v for name, v in variables.items() if name != "encoder_z/b3/Adam_1"},
                                checkpoints.training_shapes)
    with pytest.raises(checkpoints.CheckpointError, match=r"decoder_output/b6 of shape \(784,\), found \(9,\)"):
        checkpoints.layer_sizes("p", variables | {"decoder_output/b6": np.zeros(9)})
    with pytest.raises(checkpoints.CheckpointError, match="encoder_hidden_1/w1"):
        checkpoints.layer_sizes("p", {"dense/kernel": np.zeros((2, 2))})


def test_the_nearest_name_is_told(folder):
    variables = checkpoints.read_variables(str(folder / "parameter20.ckpt"))
    decoder = {name: value for name, value in variables.items() if name.startswith("decoder")}
    with pytest.raises(checkpoints.CheckpointError, match=r"variable encoder_hidden_1/w1, found none of that name; "
                                                          r"the nearest is decoder_hidden_1/w4$"):
        checkpoints.layer_sizes("p", decoder)
    with pytest.raises(checkpoints.CheckpointError, match=r"the nearest is encoder_hidden1/w1$"):
        checkpoints.layer_sizes("p", {"encoder_hidden1/w1": np.zeros(2), "dense/kernel": np.zeros(2)})
    with pytest.raises(checkpoints.CheckpointError, match=r"the nearest is none at all$"):
        checkpoints.layer_sizes("p", {})


def test_the_weights_are_enough_but_for_training(folder, tmp_path):
    variables = checkpoints.read_variables(str(folder / "parameter20.ckpt"))
    sizes = checkpoints.LayerSizes(784, 16, 2, 12)
    write_checkpoint(tmp_path / "parameter30.ckpt", {name: variables[name] for name in checkpoints.model_shapes(sizes)})
    newest, problems = checkpoints.newest_whole(tmp_path)
    assert (newest.epoch, newest.sizes, problems) == (30, sizes, {})
    newest, problems = checkpoints.newest_whole(tmp_path, checkpoints.training_shapes)
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
def test_a_network_unfit_for_use_is_refused(folder, tmp_path, name, value, message):
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

    def test_what_is_passed_over_in_a_folder_is_told(self, folder):
        (folder / "parameter20.ckpt.data-00000-of-00001").unlink()
        prefix, problems = checkpoints.find(folder)
        assert prefix == str(folder / "parameter0.ckpt")
        assert list(problems) == [str(folder / "parameter20.ckpt")]

    def test_weights_are_enough(self, folder, tmp_path):
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

    def test_a_folder_without_a_whole_one(self, folder, tmp_path):
        with pytest.raises(checkpoints.CheckpointError, match=f"^{tmp_path}: .*, found: no parameter<epoch>.ckpt$"):
            checkpoints.find(tmp_path)
        for data in folder.glob("*.data*"):
            data.unlink()
        with pytest.raises(checkpoints.CheckpointError, match=r"found: .*parameter20.ckpt: expected a whole"):
            checkpoints.find(folder)


def test_saving_where_nothing_can_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(checkpoints.CheckpointError, match=r"parameter0.ckpt: expected to write a checkpoint") as error:
        save_training_graph(tmp_path / "file", 0)
    assert "\n" not in str(error.value)


def test_a_run_set_aside_loses_nothing(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "oracle.npz"}
    earlier = saving.set_aside(folder)
    assert {path.name: path.read_bytes() for path in earlier.iterdir()} == before
    assert [path.name for path in folder.glob("*") if path != earlier] == ["oracle.npz"]
    assert saving.set_aside(folder) is None
    save_training_graph(folder, 0)
    assert saving.set_aside(folder) != earlier
    shutil.rmtree(earlier)                                  # the number that is free is not always the next
    save_training_graph(folder, 0)
    assert saving.set_aside(folder) == earlier


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such file modes")
def test_a_file_may_be_read_by_whom_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        files.write_whole(tmp_path / "picture.png", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "picture.png").stat().st_mode & 0o777 == 0o644


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    files.write_whole(path, b"old")

    def full_disk(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        files.write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
