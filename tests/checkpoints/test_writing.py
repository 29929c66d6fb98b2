"""Writing checkpoints: the original's files, or one line and nothing else."""


import pytest

from tests.helpers import save_training_graph
from vae_graph import checkpoints


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


def test_saving_to_an_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(checkpoints.CheckpointError, match=r"parameter0.ckpt: expected to write a checkpoint") as error:
        save_training_graph(tmp_path / "file", 0)
    assert "\n" not in str(error.value)
