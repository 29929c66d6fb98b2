"""Nothing is lost: runs that are killed, starved, told to stop, or find that others were there before."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import run_mnist
from tests import kills
from tests.conftest import command, one_line_error
from tests.test_program import SMALL
from tests.test_training import train, variables_as_bytes
from vae_graph import checkpoints, data, files, signals, training

posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows has no such thing")


@posix_only
def test_twenty_kills_change_no_byte(idx_files, tmp_path):
    expected, seconds = kills.unbroken(tmp_path / "unbroken", idx_files)
    moments, report = random.Random(0), Counter()
    while report["kills"] < 20:
        report["runs"] += 1
        folder = tmp_path / str(report["runs"])
        found = kills.killed(folder, idx_files, 20 - report["kills"], seconds, moments, report)
        assert kills.differences(found, expected) == []
    assert report["while a checkpoint was written"] > 0


@pytest.fixture(scope="module")
def unbroken(digits, tmp_path_factory):
    """What a run leaves that nothing stops."""
    prefix, history = train(digits, tmp_path_factory.mktemp("unbroken"))
    return variables_as_bytes(prefix), history


class Killed(BaseException):
    """Stands for a SIGKILL: nothing but `finally` sees it."""


class TestStops:
    """In the midst of an epoch, in one process, against a run that nothing stops."""

    @pytest.fixture(autouse=True)
    def signals_are_heard(self):
        """Who starts the tests in the background may have had SIGINT ignored."""
        before = {number: signal.signal(number, signal.default_int_handler) for number in signals.ENDING}
        yield
        for number, handler in before.items():
            signal.signal(number, handler)

    @pytest.fixture
    def at_step(self, monkeypatch):
        """Do something once, when the run comes to a step."""
        def arrange(number, act):
            check, seen = training._refuse_divergence, []

            def look(errors, epoch, step, prefix):
                if step == number and not seen:
                    seen.append(step)
                    act()
                check(errors, epoch, step, prefix)

            monkeypatch.setattr(training, "_refuse_divergence", look)
        return arrange

    @posix_only
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_leaves_the_last_step(self, digits, tmp_path, at_step, unbroken, number):
        at_step(6, lambda: os.kill(os.getpid(), number))         # the third of four steps of epoch 1
        handler = signal.getsignal(number)
        with pytest.raises(training.Stopped) as stop:
            train(digits, tmp_path)
        assert stop.value.number == number
        assert signal.getsignal(number) == handler
        prefix = tmp_path / "stopped-0000000007" / "parameter1.ckpt"
        assert str(stop.value) == f"stopped by {number.name}; {prefix} has all the work so far"
        assert checkpoints.read_variables(str(prefix))["Variable"] == 7
        after = train(digits, tmp_path)
        assert (variables_as_bytes(after[0]), after[1]) == unbroken
        assert not prefix.parent.exists()

    @posix_only
    @pytest.mark.parametrize("step", [3, 15])
    def test_a_signal_at_the_end_of_an_epoch(self, digits, tmp_path, at_step, unbroken, step):
        at_step(step, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(training.Stopped):
            train(digits, tmp_path)
        prefix, history = train(digits, tmp_path)
        assert (variables_as_bytes(prefix), history) == unbroken

    @posix_only
    def test_many_stops(self, digits, tmp_path, at_step, unbroken):
        for step in (1, 2, 5, 6, 11):
            at_step(step, lambda: os.kill(os.getpid(), signal.SIGTERM))
            with pytest.raises(training.Stopped):
                train(digits, tmp_path)
            assert len([*tmp_path.glob("stopped-*")]) == 1
        prefix, history = train(digits, tmp_path)
        assert (variables_as_bytes(prefix), history) == unbroken

    @posix_only
    def test_a_second_signal_ends_at_once(self, digits, tmp_path, at_step):
        def twice():
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)

        at_step(6, twice)
        with pytest.raises(KeyboardInterrupt):
            train(digits, tmp_path)

    @posix_only
    def test_an_ignored_signal_stays_ignored(self, digits, tmp_path, at_step, unbroken):
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            at_step(6, lambda: os.kill(os.getpid(), signal.SIGHUP))
            assert train(digits, tmp_path)[1] == unbroken[1]
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        finally:
            signal.signal(signal.SIGHUP, before)

    @pytest.mark.parametrize("number", range(1, 13))
    def test_killed_between_two_files(self, digits, tmp_path, monkeypatch, unbroken, number):
        """Each time that a file gets its name is a time to die; the record, the checkpoint's two files, the state."""
        rename, count = files.rename_durably, []

        def die(path, target):
            count.append(target)
            if len(count) == number:
                raise Killed
            rename(path, target)

        monkeypatch.setattr(files, "rename_durably", die)
        with pytest.raises(Killed):
            train(digits, tmp_path)
        prefix, history = train(digits, tmp_path)
        assert (variables_as_bytes(prefix), history) == unbroken
        assert not [*tmp_path.glob(".saving-*")]

    def test_killed_while_a_stop_is_written(self, digits, tmp_path, monkeypatch, at_step, unbroken):
        at_step(6, lambda: os.kill(os.getpid(), signal.SIGTERM))
        monkeypatch.setattr(training.saving.files, "write_whole", lambda path, content: self.refuse(path, content))
        with pytest.raises(Killed):
            train(digits, tmp_path)
        monkeypatch.undo()
        monkeypatch.setattr(training, "STEPS_A_RUN", 1)
        prefix, history = train(digits, tmp_path)
        assert (variables_as_bytes(prefix), history) == unbroken

    @staticmethod
    def refuse(path, content):
        if "stopped" in str(path):
            raise Killed
        path.write_bytes(content)


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


def test_content_is_on_the_disk_before_it_has_a_name(digits, tmp_path, monkeypatch):
    synced, replace, fsync = set(), os.replace, os.fsync

    def note(descriptor):
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def check(source, target):
        assert os.stat(source).st_ino in synced, target
        replaced.append(Path(target).name)
        replace(source, target)

    replaced = []
    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "replace", check)
    train(digits, tmp_path, num_epoch=1)
    assert replaced == ["resume.json", "parameter0.ckpt.data-00000-of-00001", "parameter0.ckpt.index", "checkpoint"]


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
    def test_the_last_checkpoint_stays(self, in_tmp, capsys, n_bytes, expected):
        assert run_mnist.main([*self.FLAGS, "--num_epoch", "1"]) == 0
        folder = in_tmp / "checkpoints" / "other"
        before = {path.name: path.read_bytes() for path in folder.glob("parameter*")}
        # The pictures of the checkpoint gone on from are there already.
        with pytest.MonkeyPatch.context() as patch, files_of_at_most(n_bytes):
            patch.setattr(run_mnist, "draw_results", lambda *args: None)
            capsys.readouterr()
            assert run_mnist.main([*self.FLAGS, "--num_epoch", "2"]) == 2
        assert expected in one_line_error(capsys)
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

    def test_what_a_dead_process_left_is_cleared_away(self, in_tmp):
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


def test_five_checkpoints_are_kept_over_stops_too(digits, tmp_path):
    for num_epoch in (3, 4, 9):
        train(digits, tmp_path, num_epoch=num_epoch, checkpoint_every=1)
    assert {path.name for path in tmp_path.glob("*.index")} == {f"parameter{epoch}.ckpt.index" for epoch in range(4, 9)}
    assert (tmp_path / "checkpoint").read_text() == "".join(
        [f'model_checkpoint_path: "parameter{epoch}.ckpt"\n' for epoch in (8,)]
        + [f'all_model_checkpoint_paths: "parameter{epoch}.ckpt"\n' for epoch in range(4, 9)])


def test_checkpoints_of_another_run_are_not_removed(digits, tmp_path):
    """The run goes on from one without a record: it is not its own."""
    train(digits, tmp_path, num_epoch=1)
    (tmp_path / "resume.json").unlink()
    train(digits, tmp_path, num_epoch=8, checkpoint_every=1)
    assert {path.name for path in tmp_path.glob("*.index")} == {
        f"parameter{epoch}.ckpt.index" for epoch in (0, 3, 4, 5, 6, 7)}


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
                     "without --restart, goes on from there\n")
