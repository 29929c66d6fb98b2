"""The files in a run's folder: what is kept, removed and archived."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.helpers import posix_only, save_training_graph, train
from tests.small import SETTINGS
from vae_graph import files
from vae_graph.checkpoints import CheckpointError, writing
from vae_graph.runs.folder import ARCHIVE_FILE, archive_run, finish_archiving, save_stopped
from vae_graph.training_graph import training_graph


def test_archiving_a_run_loses_nothing(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "oracle.npz"}
    earlier = archive_run(folder)
    assert {path.name: path.read_bytes() for path in earlier.iterdir()} == before
    assert [path.name for path in folder.glob("*") if path != earlier] == ["oracle.npz"]
    assert archive_run(folder) is None
    save_training_graph(folder, 0)
    assert archive_run(folder) != earlier
    shutil.rmtree(earlier)                                  # an unused number need not be the next one
    save_training_graph(folder, 0)
    assert archive_run(folder) == earlier


def test_an_archive_that_is_killed_is_completed(digits, tmp_path, monkeypatch):
    """Before each of its renames in turn; a new run begins in an empty folder."""
    class Killed(BaseException):
        pass

    def die(path, target):
        if target.parent.name.startswith("earlier-"):
            count.append(path.name)
            if len(count) == number:
                raise Killed
        return rename(path, target)

    rename, n_files = Path.rename, 5             # record, state file, index, data and events
    for number in range(1, n_files + 1):
        count, folder = [], tmp_path / str(number)
        train(digits, folder, num_epoch=1)
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert len(before) == n_files
        monkeypatch.setattr(Path, "rename", die)
        with pytest.raises(Killed):
            archive_run(folder)
        monkeypatch.undo()
        assert len([*folder.glob("earlier-1/*")]) == number - 1
        train(digits, folder, num_epoch=2, seed=8)
        assert {path.name: path.read_bytes() for path in (folder / "earlier-1").iterdir()} == before
        assert not (folder / ARCHIVE_FILE).exists()
        assert archive_run(folder).name == "earlier-2"


@pytest.mark.parametrize("content", [
    "", "[]", "{}", '{"folder": "..", "names": []}', "[" * 100_000, '{"folder": "earlier-1", "names": ["../kept"]}',
    '{"folder": "earlier-1", "names": [1]}', '{"folder": "earlier-1\\u0000", "names": []}'])
def test_a_list_of_moves_that_is_not_the_programs(tmp_path, content):
    (tmp_path / "kept").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ARCHIVE_FILE).write_text(content)
    with pytest.raises(CheckpointError, match=r"run.\.archiving: expected the files that "):
        finish_archiving(tmp_path / "run")
    assert {path.name for path in tmp_path.rglob("*")} == {"kept", "run", ARCHIVE_FILE}


def test_other_peoples_files_stay(digits, tmp_path):
    """Whose names are only similar to the program's."""
    names = ("stopped-0000000003 (my backup)", "stopped-0000000003-notes", "stopped-1", "stopped-0000000002",
             ".saving-password", ".saving-pictures", ".saving-1-notes", "parameter3.ckpt.data-notes",
             "parameter3.ckpt.notes")
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "kept").touch()
    train(digits, tmp_path, num_epoch=9, checkpoint_every=1)
    files.remove_stale(tmp_path)
    assert {path.parent.name for path in tmp_path.glob("*/kept")} == {*names}


def test_the_rest_of_a_removed_checkpoint_is_removed(digits, tmp_path):
    train(digits, tmp_path, num_epoch=6, checkpoint_every=1)
    rest, other = (tmp_path / f"parameter{epoch}.ckpt.data-00000-of-00001" for epoch in (0, 77))
    rest.touch()
    other.touch()
    train(digits, tmp_path, num_epoch=7, checkpoint_every=1)
    assert (rest.exists(), other.exists()) == (False, True)


def test_an_archive_replaces_nothing(digits, tmp_path):
    """A file that is already in the archive stays; what is still to be moved goes into another one."""
    train(digits, tmp_path, num_epoch=1)
    (tmp_path / "earlier-1").mkdir()
    (tmp_path / "earlier-1" / "resume.json").write_text("kept")
    (tmp_path / ARCHIVE_FILE).write_text(json.dumps({"folder": "earlier-1", "names": ["resume.json", "gone"]}))
    assert finish_archiving(tmp_path) == tmp_path / "earlier-2"
    assert (tmp_path / "earlier-1" / "resume.json").read_text() == "kept"
    assert [path.name for path in (tmp_path / "earlier-2").iterdir()] == ["resume.json"]


@posix_only
def test_a_dangling_link_with_the_name_of_an_archive(folder):
    (folder / "earlier-1").symlink_to("nowhere")
    assert archive_run(folder).name == "earlier-2"


def test_nothing_is_moved_if_what_is_written_is_not_read_back(folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(writing.Path, "read_bytes", lambda path: b"other")
    with pytest.raises(CheckpointError, match="expected to read back what is written there"):
        archive_run(folder)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_five_checkpoints_are_kept_across_resumed_runs(digits, tmp_path):
    for num_epoch in (3, 4, 9):
        train(digits, tmp_path, num_epoch=num_epoch, checkpoint_every=1)
    assert {path.name for path in tmp_path.glob("*.index")} == {f"parameter{epoch}.ckpt.index" for epoch in range(4, 9)}
    assert (tmp_path / "checkpoint").read_text() == "".join(
        [f'model_checkpoint_path: "parameter{epoch}.ckpt"\n' for epoch in (8,)]
        + [f'all_model_checkpoint_paths: "parameter{epoch}.ckpt"\n' for epoch in range(4, 9)])


def test_checkpoints_of_another_run_are_not_removed(digits, tmp_path):
    """The run resumes from one without a record, which it did not write."""
    train(digits, tmp_path, num_epoch=1)
    (tmp_path / "resume.json").unlink()
    train(digits, tmp_path, num_epoch=8, checkpoint_every=1)
    assert {path.name for path in tmp_path.glob("*.index")} == {
        f"parameter{epoch}.ckpt.index" for epoch in (0, 3, 4, 5, 6, 7)}


def stop(folder, bias=0.0):
    """Save an untrained network as that of a stop after 77 steps."""
    with tf.Graph().as_default(), tf.Session() as session:
        training_graph(784, SETTINGS)
        session.run(tf.global_variables_initializer())
        tf.trainable_variables()[1].load(np.full(16, bias), session)
        return save_stopped(session, tf.train.Saver(), folder, 3, 77, b"{}")


def test_an_incomplete_stop_is_archived_by_one_at_the_same_step(tmp_path):
    (tmp_path / "stopped-0000000077").mkdir()
    (tmp_path / "stopped-0000000077" / "kept").touch()
    (tmp_path / "checkpoint").touch()                       # of the run, not of the stop
    prefix = stop(tmp_path)
    assert Path(f"{prefix}.index").exists()
    assert Path(prefix).with_name("resume.json").read_bytes() == b"{}"
    assert stop(tmp_path) == prefix
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.glob("earlier-*/*")} == {
        "earlier-1/stopped-0000000077"}


def test_a_stop_with_nan_is_named_by_its_own_folder(tmp_path):
    with pytest.raises(CheckpointError) as error:
        stop(tmp_path, np.nan)
    place = tmp_path / "stopped-0000000077" / "parameter3.ckpt"
    assert str(error.value).startswith(f"{place}: expected finite numbers")
