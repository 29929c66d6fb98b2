"""The files in a run's folder: what is kept, removed and archived."""

import shutil

import pytest

from tests.helpers import save_training_graph, train
from vae_graph.checkpoints import CheckpointError, writing
from vae_graph.runs.folder import archive_run


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
