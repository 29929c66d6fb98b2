"""Writing checkpoints: the original's files, or one line and nothing else."""

import gzip

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.helpers import assert_one_line, save_training_graph
from vae_graph import checkpoints, files
from vae_graph.checkpoints import writing


def save(folder, value=1.0):
    """Save a checkpoint of one variable."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("w", initializer=np.float32([0, value]))
        session.run(tf.global_variables_initializer())
        return writing.save(session, tf.train.Saver(), folder, 3)


def test_ours_has_the_variables_of_tensorflow_1_4(folder):
    ours = checkpoints.read_variables(save_training_graph(folder, 21))
    theirs = checkpoints.read_variables(str(folder / "parameter20.ckpt"))
    assert len(ours) == 39
    assert {name: (value.shape, value.dtype) for name, value in ours.items()} == {
        name: (value.shape, value.dtype) for name, value in theirs.items()}


def test_no_graph_and_no_state_are_written(tmp_path, monkeypatch):
    def note(part, target):
        staged.append(sorted(path.name for path in part.parent.iterdir()))
        commit(part, target)

    staged, commit = [], files.commit
    monkeypatch.setattr(files, "commit", note)
    assert save(tmp_path) == str(tmp_path / "parameter3.ckpt")
    names = ["parameter3.ckpt.data-00000-of-00001", "parameter3.ckpt.index"]
    assert (staged[0], sorted(path.name for path in tmp_path.iterdir())) == (names, names)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_network_that_is_not_finite_is_not_saved(tmp_path, value):
    prefix = tmp_path / "parameter3.ckpt"
    with pytest.raises(checkpoints.CheckpointError, match=f"^{prefix}: expected finite numbers, found .* in w$"):
        save(tmp_path, value)
    assert not [*tmp_path.iterdir()]


def test_saving_to_an_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(checkpoints.CheckpointError) as error:
        save(tmp_path / "file")
    assert_one_line(error.value, f"{tmp_path / 'file' / 'parameter3.ckpt'}: expected to write a checkpoint, found: ")
    with pytest.raises(checkpoints.CheckpointError) as error:
        writing.check_folder(tmp_path / "file")
    assert_one_line(error.value, f"{tmp_path / 'file'}: expected a folder to write to, found: ")


ERRORS = [tf.errors.ResourceExhaustedError(None, None, "the disk\nis full"), ValueError("the disk\nis full"),
          OSError("the disk\nis full")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_of_each_kind_are_one_line(tmp_path, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(tf.train.Saver, "save", fail)
    monkeypatch.setattr(tf.io.gfile, "GFile", fail)
    with pytest.raises(checkpoints.CheckpointError, match=r"expected to write a checkpoint, found: the disk$"):
        save(tmp_path)
    if not isinstance(error, ValueError):            # which no file system raises
        with pytest.raises(checkpoints.CheckpointError, match=r"expected a folder to write to, found: the disk$"):
            writing.check_folder(tmp_path)
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_does_not_keep_what_is_written(tmp_path, monkeypatch):
    writing.check_folder(tmp_path)
    monkeypatch.setattr(tf.io.gfile, "GFile", gzip.open)
    with pytest.raises(checkpoints.CheckpointError, match=f"^{tmp_path}: expected to read back what is written there"):
        writing.check_folder(tmp_path)
    assert not [*tmp_path.iterdir()]
