"""Resuming: from the latest valid checkpoint, and only as the same run."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from tests.helpers import files_of_at_most, flip_a_byte, posix_only, train, write_checkpoint
from tests.small import ORACLE_DIR, SETTINGS
from vae_graph import checkpoints, training
from vae_graph.runs.progress import Progress
from vae_graph.runs.record import RunRecord
from vae_graph.settings import SettingsError


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """A run of three epochs, which each test copies."""
    folder = tmp_path_factory.mktemp("trained")
    train(digits, folder, num_epoch=3)
    return folder


@pytest.fixture
def run_folder(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


@pytest.mark.parametrize(("step", "place"), [(40, (3, 0)), (46, (4, 2)), (56, (7, 0))])
def test_the_position_in_a_run(tmp_path, step, place):
    """Of one that was resumed from a checkpoint of epoch 2 and step 40, and has four batches per epoch."""
    record = RunRecord(dataclasses.replace(SETTINGS, num_epoch=8), {}, first_epoch=3, first_step=40)
    progress = Progress(tmp_path, record, None, 784, 4, step)
    assert (progress.epoch, progress.batch) == place
    assert progress.last_step == 40 + 5 * 4


@posix_only
@pytest.mark.parametrize("damage", [flip_a_byte, lambda path: None])
def test_nothing_is_done_in_a_folder_that_cannot_be_written_to(digits, run_folder, damage):
    damage(run_folder / "parameter2.ckpt.data-00000-of-00001")
    before = {path.name: path.read_bytes() for path in run_folder.iterdir()}
    with files_of_at_most(0), pytest.raises(checkpoints.CheckpointError, match="expected a folder to write to"):
        train(digits, run_folder, num_epoch=4)
    assert {path.name: path.read_bytes() for path in run_folder.iterdir()} == before


def test_a_checkpoint_that_cannot_be_read_is_not_called_invalid(digits, run_folder, monkeypatch):
    """As after an error of the disk: another attempt may succeed."""
    def fail(*args):
        raise OSError(5, "Input/output error")

    before = {path.name: path.read_bytes() for path in run_folder.iterdir()}
    monkeypatch.setattr(np, "fromfile", fail)
    with pytest.raises(OSError, match="Input/output error"):
        train(digits, run_folder, num_epoch=4)
    assert {path.name: path.read_bytes() for path in run_folder.iterdir()} == before


def test_a_stopped_run_resumes(digits, tmp_path, capsys):
    def stop(prefix):
        if prefix.endswith("parameter2.ckpt"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(digits, tmp_path, stop)
    before = capsys.readouterr().out.splitlines()
    prefix, history = train(digits, tmp_path)
    after = capsys.readouterr().out.splitlines()
    assert len(before) == 1 + 3
    assert after[0].startswith("training on ")
    assert after[1] == f"resuming from {tmp_path / 'parameter2.ckpt'}: 3 of 4 epochs done"
    assert len(after) == 2 + 1
    assert history["epoch"] == [0, 1, 2, 3]
    assert checkpoints.read_variables(prefix)["Variable"] == 4 * 4


def test_a_resumed_run_draws_new_noise(digits, tmp_path):
    """With a learning rate too small to move a weight, two epochs differ by their noise alone."""
    train(digits, tmp_path, num_epoch=1, learning_rate=1e-30)
    _, history = train(digits, tmp_path, num_epoch=2, learning_rate=1e-30)
    assert history["Recon_error"][0] != history["Recon_error"][1]


def test_a_finished_run_is_not_changed(digits, tmp_path, capsys):
    prefix, history = train(digits, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    capsys.readouterr()
    seen = []
    assert train(digits, tmp_path, seen.append, num_epoch=3) == (prefix, history)
    assert seen == [prefix]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert capsys.readouterr().out == f"{prefix} has 4 epochs: nothing left to train for --num_epoch 3\n"


def test_resumes_from_the_latest_valid_checkpoint(digits, tmp_path, capsys):
    train(digits, tmp_path)
    broken = tmp_path / "parameter3.ckpt.data-00000-of-00001"
    broken.write_bytes(broken.read_bytes()[:100])
    _, history = train(digits, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[5].startswith(f"skipped: {tmp_path / 'parameter3.ckpt'}: expected a valid checkpoint")
    assert lines[6] == f"the skipped files are now in {tmp_path / 'earlier-1'}"
    assert lines[8] == f"resuming from {tmp_path / 'parameter2.ckpt'}: 3 of 4 epochs done"
    assert history["epoch"] == [0, 1, 2, 3]
    assert (tmp_path / "earlier-1" / broken.name).stat().st_size == 100


def test_without_a_record_the_flags_are_named(digits, tmp_path, capsys):
    """As with a checkpoint of the original's."""
    train(digits, tmp_path, num_epoch=1)
    (tmp_path / "resume.json").unlink()
    capsys.readouterr()
    _, history = train(digits, tmp_path, num_epoch=2, keep_prob=0.5)
    assert capsys.readouterr().out.splitlines()[0] == (
        f"{tmp_path / 'parameter0.ckpt'} has no record of how it was trained: all settings are those of the flags, "
        "such as --keep_prob 0.5, --learning_rate 0.01 and --seed 7")
    assert history["epoch"] == [1]


def test_a_network_without_slots_is_left_where_it_is(digits, tmp_path):
    """It is not damaged: it must not be moved aside and replaced by a new run."""
    sizes = checkpoints.LayerSizes(784, SETTINGS.n_hidden_encoder, SETTINGS.n_z, SETTINGS.n_hidden_decoder)
    write_checkpoint(tmp_path / "parameter199.ckpt", {
        name: np.zeros(shape, np.float32) for name, shape in checkpoints.model_shapes(sizes).items()})
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(SettingsError, match=r"without them: it can be used, but not trained further"):
        train(digits, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_without_a_valid_checkpoint_a_new_run_begins(digits, tmp_path, capsys):
    """The earlier record is archived too: it would conflict with the new one."""
    train(digits, tmp_path, num_epoch=1)
    (tmp_path / "parameter0.ckpt.index").write_bytes(b"")
    capsys.readouterr()
    _, history = train(digits, tmp_path, num_epoch=2, seed=8)
    assert f"the skipped files are now in {tmp_path / 'earlier-1'}" in capsys.readouterr().out
    assert history["epoch"] == [0, 1]
    assert (tmp_path / "earlier-1" / "resume.json").exists()


@pytest.mark.parametrize(("name", "value"), [
    ("n_hidden_encoder", 17), ("n_z", 3), ("n_hidden_decoder", 13), ("learning_rate", 0.5), ("decay_rate", 0.5),
    ("decay_step", 7), ("batch_size", 51), ("keep_prob", 0.5), ("seed", 8), ("shuffle", True), ("add_noise", True)])
def test_other_settings_are_refused(digits, run_folder, name, value):
    before = {path: path.read_bytes() for path in run_folder.iterdir()}
    with pytest.raises(SettingsError) as error:
        train(digits, run_folder, **{name: value})
    assert str(error.value).startswith(
        f"--{name}: expected {getattr(SETTINGS, name)} as in the run in {run_folder}, found {value}; ")
    assert {path: path.read_bytes() for path in run_folder.iterdir()} == before


def test_the_error_names_flags_without_a_value(digits, tmp_path):
    train(digits, tmp_path, num_epoch=1, shuffle=True)
    with pytest.raises(SettingsError, match=r"expected True .*, found False; resume with --shuffle, restart"):
        train(digits, tmp_path)
    with pytest.raises(SettingsError, match=r"expected False .*, found True; resume with no --add_noise, restart"):
        train(digits, tmp_path, shuffle=True, add_noise=True)


def test_other_data_are_refused(digits, run_folder):
    with pytest.raises(SettingsError, match="--dataset: expected the data of the run"):
        train(dataclasses.replace(digits, sha256=dict.fromkeys(digits.sha256, "0" * 64)), run_folder)


def test_resumes_from_the_originals_checkpoint(digits, tmp_path):
    """Written by TensorFlow 1.4.0, without a record: Adam's slots and the step are resumed too."""
    shutil.copytree(ORACLE_DIR, tmp_path / "old")
    with pytest.raises(SettingsError, match=r"--n_hidden_encoder: expected 16 .*, found 20"):
        train(digits, tmp_path / "old", num_epoch=22, n_hidden_encoder=20)
    prefix, history = train(digits, tmp_path / "old", num_epoch=22)
    assert history["epoch"] == [21]
    assert checkpoints.read_variables(prefix)["Variable"] == 20 + 4


@pytest.mark.parametrize("content", [
    "", "[]", "\xff", '{"settings": {}}', '{"settings": [], "data": {}, "errors": {}}',
    '{"settings": {"n_zz": 2}, "data": {}, "errors": {}}'])
def test_an_invalid_record_is_named(digits, run_folder, content):
    (run_folder / "resume.json").write_text(content, encoding="latin-1")
    expected = r"resume\.json: expected a record written by this program"
    with pytest.raises(checkpoints.CheckpointError, match=expected):
        train(digits, run_folder)


@pytest.mark.parametrize(("name", "value"), [("first_step", 13), ("n_epoch_steps", 1)])
def test_a_record_of_other_steps_is_refused(digits, run_folder, name, value):
    """The checkpoint beside it is that of step 12, at the end of an epoch."""
    record = json.loads((run_folder / "resume.json").read_text()) | {name: value, "epoch_sums": [0.0] * 3}
    (run_folder / "resume.json").write_text(json.dumps(record))
    expected = rf"parameter2\.ckpt and its 12 steps, found .*{name} {value}"
    with pytest.raises(checkpoints.CheckpointError, match=expected):
        train(digits, run_folder)


@pytest.mark.parametrize("state", [None, "", 'model_checkpoint_path: "parameter99.ckpt"\n', "\0\xff", (
    'model_checkpoint_path: "C:\\\\vae\\\\save\\\\parameter2.ckpt"\n'
    'all_model_checkpoint_paths: "C:\\\\vae\\\\save\\\\parameter2.ckpt"\n')])
def test_the_state_file_is_not_needed(digits, run_folder, capsys, state):
    (run_folder / "checkpoint").unlink()
    if state is not None:
        (run_folder / "checkpoint").write_text(state, encoding="latin-1")
    capsys.readouterr()
    _, history = train(digits, run_folder)
    assert f"resuming from {run_folder / 'parameter2.ckpt'}: 3 of 4 epochs done" in capsys.readouterr().out
    assert history["epoch"] == [0, 1, 2, 3]


def test_the_number_of_towers_is_part_of_the_run(digits, tmp_path, monkeypatch, capsys):
    """A resumed run has that of its record; another number is allowed, and changes results by rounding."""
    def resume(n_towers, num_epoch):
        _, history = train(digits, tmp_path / "run", n_towers=n_towers, num_epoch=num_epoch)
        record = json.loads((tmp_path / "run" / "resume.json").read_text())
        notes = [line for line in capsys.readouterr().out.splitlines() if "differ by rounding" in line]
        return record["n_towers"], notes, history

    monkeypatch.setattr(training, "default_towers", lambda batch_size: 2)
    assert resume(None, 1)[:2] == (2, [])
    assert resume(1, 2)[:2] == (1, [f"the run in {tmp_path / 'run'} split each batch into 2; with 1 its results differ "
                                    "by rounding"])
    monkeypatch.setattr(training, "default_towers", lambda batch_size: 8)
    n_towers, notes, history = resume(None, 3)
    assert (n_towers, notes) == (1, [])
    _, others = train(digits, tmp_path / "other", n_towers=2, num_epoch=3)
    for name, column in history.items():
        np.testing.assert_allclose(column, others[name], rtol=1e-5)
