"""Nothing is lost: runs that are starved, that diverge, in a hostile place, or that find others at work."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import run_mnist
from tests import kills
from tests.conftest import command, one_line_error, posix_only
from tests.test_program import SMALL
from tests.test_training import train, variables_as_bytes
from vae_graph import checkpoints, data, files, training


def test_the_data_may_vanish_once_they_are_read(in_tmp, idx_folder):
    def train_and(act):
        data_set = data.other(idx_folder)
        folder = in_tmp / act.__name__
        prefix, _ = train(data_set, folder, lambda prefix: act())
        return variables_as_bytes(prefix)

    def keep():
        pass

    def truncate():
        for file in data.FILES:
            (idx_folder / file.name).write_bytes(b"")

    assert train_and(keep) == train_and(truncate)


@contextlib.contextmanager
def files_of_at_most(n_bytes):
    """What a full disk, a quota and `ulimit -f` have in common."""
    resource = pytest.importorskip("resource", reason="Windows has no limits of this kind")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestFullDisk:
    FLAGS = ("--dataset", "other", *SMALL, "--checkpoint_every", "1")

    @pytest.mark.parametrize(("n_bytes", "expected"), [
        (50_000, "checkpoints/other/parameter1.ckpt: expected to write a checkpoint, found: "),
        (100, "checkpoints/other/resume.json'"),
    ])
    def test_the_last_checkpoint_stays(self, in_tmp, without_pictures, capsys, n_bytes, expected):
        assert run_mnist.main([*self.FLAGS, "--num_epoch", "1"]) == 0
        folder = in_tmp / "checkpoints" / "other"
        before = {path.name: path.read_bytes() for path in folder.glob("parameter*")}
        capsys.readouterr()
        with files_of_at_most(n_bytes):
            assert run_mnist.main([*self.FLAGS, "--num_epoch", "2"]) == 2
        message = one_line_error(capsys)
        assert expected in message
        assert "File too large" in message
        assert {path.name: path.read_bytes() for path in folder.glob("parameter*")} == before
        assert not [*folder.glob(".saving-*")]
        assert run_mnist.main([*self.FLAGS, "--num_epoch", "2"]) == 0
        assert checkpoints.newest_whole(folder)[0].epoch == 1

    def test_a_picture_that_does_not_fit_is_named(self, in_tmp, capsys):
        flags = [*self.FLAGS, "--n_hidden_encoder", "1", "--n_hidden_decoder", "1", "--num_epoch", "1"]
        with files_of_at_most(40_000):
            assert run_mnist.main(flags) == 2
        assert "figures/other/result1_reconstruction.png'" in one_line_error(capsys)
        assert not [*Path("figures", "other").iterdir()]
        assert checkpoints.newest_whole(in_tmp / "checkpoints" / "other")[0].epoch == 0
        assert run_mnist.main(flags) == 0


def test_a_folder_that_vanishes_is_one_line(in_tmp, monkeypatch, capsys):
    monkeypatch.setattr(run_mnist, "draw_results", lambda *args: shutil.rmtree(in_tmp / "checkpoints"))
    assert run_mnist.main(["--dataset", "other", *SMALL]) == 2
    assert "checkpoints/other/" in one_line_error(capsys)


class TestTwoRuns:
    def test_the_second_stops_at_once(self, in_tmp, capsys):
        folder = Path("checkpoints", "other")
        folder.mkdir(parents=True)
        (folder / ".lock").write_text("process of long ago")
        with files.sole_writer(folder):
            assert run_mnist.main(["--dataset", "other", *SMALL, "--restart"]) == 2
        assert one_line_error(capsys) == (
            f"{folder}: expected a folder that no other run writes to, found process {os.getpid()} at work in it; stop "
            "that one, or name another --checkpoint_dir")
        assert [path.name for path in folder.iterdir()] == [".lock"]

    def test_in_another_process_too(self, tmp_path):
        hold = ("import sys, pathlib\nfrom vae_graph import files\nwith files.sole_writer(pathlib.Path(sys.argv[1])):\n"
                "    print('held', flush=True)\n    sys.stdin.read()")
        environment = os.environ | {"PYTHONPATH": str(kills.__file__).rpartition("tests")[0]}
        with subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, env=environment) as process:
            process.stdout.readline()
            with pytest.raises(files.FolderInUse, match=f"found process {process.pid} at work"), \
                    files.sole_writer(tmp_path):
                pass
            process.kill()
            process.wait()
            with files.sole_writer(tmp_path):        # the lock of a dead process is no lock
                pass

    def test_what_a_dead_process_left_is_cleared_away(self, in_tmp, without_pictures):
        folder = in_tmp / "checkpoints" / "other"
        (folder / ".saving-half").mkdir(parents=True)
        (folder / ".saving-half" / "parameter0.ckpt.index").touch()
        (folder / ".saving-1-resume.json").touch()
        (folder / ".lock").write_text("process 1")
        assert run_mnist.main(["--dataset", "other", *SMALL, "--num_epoch", "1"]) == 0
        assert not [*folder.glob(".saving-*")]


class TestDivergence:
    def test_stops_in_the_same_epoch_and_names_step_and_term(self, digits, tmp_path):
        prefix, _ = train(digits, tmp_path, num_epoch=1)
        before = variables_as_bytes(prefix)
        record = json.loads((tmp_path / "resume.json").read_text())
        record["settings"]["learning_rate"] = 1e30
        (tmp_path / "resume.json").write_text(json.dumps(record))
        with pytest.raises(training.Diverged) as error:
            train(digits, tmp_path, learning_rate=1e30)
        assert str(error.value).startswith("step 5 in epoch 1: expected finite errors, found Recon_error nan; the last "
                                           f"good checkpoint is {prefix}; begin anew with --restart and ")
        assert variables_as_bytes(prefix) == before
        assert checkpoints.newest_whole(tmp_path)[0].prefix == prefix

    def test_before_the_first_checkpoint(self, digits, tmp_path):
        with pytest.raises(training.Diverged, match="; there is no checkpoint yet; begin anew"):
            train(digits, tmp_path, learning_rate=1e30)

    def test_weights_that_diverge_in_the_last_step_are_not_kept(self, digits, tmp_path):
        """The errors are those before the update: the first sign of it is in the weights."""
        with pytest.raises(checkpoints.CheckpointError, match="expected finite numbers, found NaN or infinity in "):
            train(digits, tmp_path, batch_size=220, num_epoch=1, learning_rate=float("inf"))
        assert checkpoints.newest_whole(tmp_path) == (None, {})

    def test_is_one_line(self, in_tmp, monkeypatch, capsys):
        flags = run_mnist.parse_flags(["--dataset", "other", *SMALL])
        flags.learning_rate = 1e30           # more than the flag allows
        monkeypatch.setattr(run_mnist, "parse_flags", lambda argv: flags)
        assert run_mnist.main() == 2
        assert one_line_error(capsys).startswith("step 1 in epoch 0: expected finite errors, found ")


@pytest.mark.parametrize("state", [None, "", 'model_checkpoint_path: "parameter99.ckpt"\n', "\0\xff", (
    'model_checkpoint_path: "C:\\\\vae\\\\save\\\\parameter2.ckpt"\n'
    'all_model_checkpoint_paths: "C:\\\\vae\\\\save\\\\parameter2.ckpt"\n')])
def test_the_state_file_is_not_needed(digits, tmp_path, capsys, state):
    train(digits, tmp_path, num_epoch=3)
    (tmp_path / "checkpoint").unlink()
    if state is not None:
        (tmp_path / "checkpoint").write_text(state, encoding="latin-1")
    capsys.readouterr()
    _, history = train(digits, tmp_path)
    assert f"going on from {tmp_path / 'parameter2.ckpt'}, epoch 3 of 4" in capsys.readouterr().out
    assert history["epoch"] == [0, 1, 2, 3]


@posix_only
def test_in_a_hostile_place(tmp_path, idx_files):
    """No display, no home, a locale of seven bits, a path with spaces and other letters."""
    place = tmp_path / "Größe und 図"
    place.mkdir()
    run = command("--dataset", "other", "--data_dir", "données", *SMALL, "--num_epoch", "1")
    shutil.copytree(idx_files, place / "données")
    environment = {name: value for name, value in run["env"].items()
                   if name not in ("DISPLAY", "HOME", "LANG", "LC_ALL", "PYTHONUTF8", "PYTHONIOENCODING")}
    environment |= {"HOME": "/dev/null", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(**run | {"env": environment, "text": False}, cwd=place)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (place / "figures" / "other" / "result3_manifold.png").exists()
    assert b"Test set of donn" in done.stdout


@posix_only
def test_an_output_that_is_closed_is_one_line(in_tmp):
    with subprocess.Popen(**command("--dataset", "other", *SMALL)) as process:
        process.stdout.close()
        error = process.stderr.read()
        assert process.wait() == 2
    assert error == ("run_mnist.py: error: expected an output that stays open, found it closed; the same command, "
                     "without --restart, goes on from the last checkpoint\n")
