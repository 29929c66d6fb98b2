"""The training run: signals, kills and divergence at any step."""

import functools
import json
import os
import shutil
import signal
import sys

import pytest
import tensorflow.compat.v1 as tf

import run_mnist
from tests import helpers
from tests.helpers import one_line_error, parse_flags, posix_only, variables_as_bytes
from tests.small import SMALL
from vae_graph import checkpoints, files
from vae_graph.checkpoints import writing
from vae_graph.cli.execution import execute
from vae_graph.runs import events, signals
from vae_graph.runs.recorder import Diverged, FolderReplaced, Recorder
from vae_graph.runs.signals import Stopped
from vae_graph.runs.streams import OutputClosed

# An epoch has 11 steps: with the program's own graph in runs of 8 and 3.
train = functools.partial(helpers.train, batch_size=20, num_epoch=2)


@pytest.fixture(scope="module")
def uninterrupted(digits, tmp_path_factory):
    """The results of an uninterrupted run."""
    prefix, history = train(digits, tmp_path_factory.mktemp("uninterrupted"))
    return variables_as_bytes(prefix), history


class Killed(BaseException):
    """Simulates SIGKILL: only `finally` runs."""


class TestStops:
    """Within an epoch, in one process, compared with an uninterrupted run."""

    @pytest.fixture(autouse=True)
    def signals_not_ignored(self):
        """A shell that runs the tests in the background may have SIGINT ignored."""
        before = {number: signal.signal(number, signal.default_int_handler) for number in signals.STOP_SIGNALS}
        yield
        for number, handler in before.items():
            signal.signal(number, handler)

    @pytest.fixture
    def at_step(self, monkeypatch):
        """Call a function once, at a step of the run."""
        def arrange(number, act):
            after_steps, seen = Recorder.after_steps, []

            def after_steps_and_act(recorder, errors):
                first = recorder._progress.step
                if first <= number < first + len(errors) and not seen:
                    seen.append(number)
                    act()
                after_steps(recorder, errors)

            monkeypatch.setattr(Recorder, "after_steps", after_steps_and_act)
        return arrange

    @posix_only
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_saves_the_last_step(self, digits, tmp_path, at_step, uninterrupted, number):
        at_step(14, lambda: os.kill(os.getpid(), number))
        handler = signal.getsignal(number)
        with pytest.raises(Stopped) as stop:
            train(digits, tmp_path)
        assert stop.value.number == number
        assert signal.getsignal(number) == handler
        prefix = tmp_path / "stopped-0000000015" / "parameter1.ckpt"
        assert str(stop.value) == f"stopped by {number.name}; all steps so far are saved in {prefix}"
        assert checkpoints.read_variables(str(prefix))["Variable"] == 15
        after = train(digits, tmp_path)
        assert (variables_as_bytes(after[0]), after[1]) == uninterrupted
        assert not prefix.parent.exists()

    @posix_only
    @pytest.mark.parametrize(("make", "stream", "number", "found"), [
        (os.openpty, "stdout", signal.SIGHUP, None), (os.pipe, "stdout", signal.SIGINT, None),
        (os.openpty, "stdout", None, "Input/output error"), (os.pipe, "stderr", None, "Broken pipe")])
    def test_a_closed_output_saves_the_last_step(self, digits, tmp_path, monkeypatch, at_step, uninterrupted, make,
                                                 stream, number, found):
        """A terminal, or a pipe into a process that the same Ctrl-C ends: a write fails before the signal is seen."""
        def close():
            if number:
                os.kill(os.getpid(), number)
            os.close(reader)
            print("what fails", file=getattr(sys, stream), flush=True)

        at_step(14, close)
        reader, program_end = make()
        n_open = len(os.listdir("/dev/fd"))
        with open(program_end, "w") as output, monkeypatch.context() as patched:
            patched.setattr(sys, stream, output)
            with pytest.raises(Stopped if number else OutputClosed) as stop:
                train(digits, tmp_path)
            output.write("no error at the end")
        saved = tmp_path / "stopped-0000000015" / "parameter1.ckpt"
        assert str(stop.value) == (f"stopped by {number.name}" if number else f"expected an output that stays open, "
                                   f"found: {found}") + f"; all steps so far are saved in {saved}"
        assert len(os.listdir("/dev/fd")) == n_open - 2
        prefix, history = train(digits, tmp_path)
        assert (variables_as_bytes(prefix), history) == uninterrupted

    @posix_only
    @pytest.mark.parametrize("is_replaced", [True, False])
    @pytest.mark.parametrize("stops", [True, False])
    def test_a_folder_that_is_moved(self, digits, tmp_path, at_step, uninterrupted, is_replaced, stops):
        """What is saved then goes where the run began, or into no folder."""
        def move():
            (tmp_path / "run").rename(tmp_path / "moved")
            if is_replaced:
                (tmp_path / "run").mkdir()
            if stops:
                os.kill(os.getpid(), signal.SIGTERM)

        at_step(14, move)
        with pytest.raises(FolderReplaced) as error:
            train(digits, tmp_path / "run")
        place = tmp_path / ("moved" if sys.platform == "linux" else "run-saved-1")
        saved = place / f"stopped-{15 if stops else 22:010}"
        assert str(error.value) == (
            f"{tmp_path / 'run'}: expected the folder in which this run began, found "
            f"{'another one' if is_replaced else 'nothing of that name'}; all steps so far are saved in "
            f"{saved / ('parameter1.ckpt' if stops else 'parameter2.ckpt')}")
        assert not is_replaced or not [*(tmp_path / "run").iterdir()]
        prefix, history = train(digits, place)
        assert (variables_as_bytes(prefix), history) == uninterrupted

    @posix_only
    def test_a_folder_that_is_moved_during_a_save(self, digits, tmp_path, monkeypatch, uninterrupted):
        def move_and_save(session, saver, folder, epoch, **kwargs):
            if epoch == 1 and (tmp_path / "run").exists():
                (tmp_path / "run").rename(tmp_path / "moved")
            return save(session, saver, folder, epoch, **kwargs)

        save = writing.save
        monkeypatch.setattr(writing, "save", move_and_save)
        with pytest.raises(FolderReplaced, match="stopped-0000000022"):
            train(digits, tmp_path / "run")
        monkeypatch.undo()
        place = tmp_path / ("moved" if sys.platform == "linux" else "run-saved-1")
        prefix, history = train(digits, place)
        assert (variables_as_bytes(prefix), history) == uninterrupted

    @posix_only
    def test_a_signal_as_the_log_is_closed(self, digits, tmp_path, monkeypatch):
        def signal_and_close(log, close=events.Log.close):
            os.kill(os.getpid(), signal.SIGTERM)
            close(log)

        monkeypatch.setattr(events.Log, "close", signal_and_close)
        with pytest.raises(Stopped):
            train(digits, tmp_path)

    @posix_only
    def test_a_folder_that_is_removed(self, digits, tmp_path, at_step, uninterrupted):
        """The work is saved beside it."""
        at_step(14, lambda: shutil.rmtree(tmp_path / "run"))
        with pytest.raises(FolderReplaced, match=r"found nothing of that name; all .* are saved in .*run-saved"):
            train(digits, tmp_path / "run")
        prefix, history = train(digits, tmp_path / "run-saved-1")
        assert (variables_as_bytes(prefix), history) == uninterrupted

    @posix_only
    @pytest.mark.parametrize("step", [10, 21])
    def test_a_signal_at_the_end_of_an_epoch(self, digits, tmp_path, at_step, uninterrupted, step):
        at_step(step, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Stopped):
            train(digits, tmp_path)
        prefix, history = train(digits, tmp_path)
        assert (variables_as_bytes(prefix), history) == uninterrupted

    @pytest.mark.as_run
    @posix_only
    def test_stops_between_the_programs_own_eight_steps(self, digits, tmp_path, at_step, uninterrupted):
        for step, saved in ((1, 8), (12, 19)):
            at_step(step, lambda: os.kill(os.getpid(), signal.SIGTERM))
            with pytest.raises(Stopped):
                train(digits, tmp_path)
            assert [path.name for path in tmp_path.glob("stopped-*")] == [f"stopped-{saved:010}"]
        prefix, history = train(digits, tmp_path)
        assert (variables_as_bytes(prefix), history) == uninterrupted

    @posix_only
    def test_a_stop_before_the_first_step(self, digits, tmp_path, at_step, uninterrupted):
        """Its checkpoint is that of the stop before it."""
        at_step(14, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Stopped) as first:
            train(digits, tmp_path)
        with pytest.raises(Stopped) as second:
            train(digits, tmp_path, lambda prefix: os.kill(os.getpid(), signal.SIGTERM))
        assert str(second.value) == str(first.value)
        prefix, history = train(digits, tmp_path)
        assert (variables_as_bytes(prefix), history) == uninterrupted

    @posix_only
    def test_an_invalid_checkpoint_of_a_stop_is_archived(self, digits, tmp_path, at_step, uninterrupted, capsys):
        at_step(15, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Stopped):
            train(digits, tmp_path)
        broken = tmp_path / "stopped-0000000016" / "parameter1.ckpt.data-00000-of-00001"
        broken.write_bytes(b"")
        prefix, history = train(digits, tmp_path)
        assert f"resuming from {tmp_path / 'parameter0.ckpt'}: 1 of 2 epochs done" in capsys.readouterr().out
        assert (variables_as_bytes(prefix), history) == uninterrupted
        assert not broken.parent.exists()
        assert (tmp_path / "earlier-1" / broken.parent.name / broken.name).exists()

    @posix_only
    def test_a_second_signal_stops_at_once(self, digits, tmp_path, at_step):
        def twice():
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)

        at_step(14, twice)
        with pytest.raises(KeyboardInterrupt):
            train(digits, tmp_path)

    @posix_only
    def test_an_ignored_signal_stays_ignored(self, digits, tmp_path, at_step, uninterrupted):
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            at_step(14, lambda: os.kill(os.getpid(), signal.SIGHUP))
            assert train(digits, tmp_path)[1] == uninterrupted[1]
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        finally:
            signal.signal(signal.SIGHUP, before)

    def test_killed_between_two_renames(self, digits, tmp_path, monkeypatch, uninterrupted):
        """Killed before each rename in turn: of the record, the checkpoint's two files, the state file."""
        commit, count = files.commit, []

        def die(path, target):
            count.append(target.name)
            if len(count) == number:
                raise Killed
            commit(path, target)

        # The last kill of the first epoch leaves its state file to be written when the run is resumed.
        files_of_epoch = ["resume.json", "parameter{}.ckpt.data-00000-of-00001", "parameter{}.ckpt.index", "checkpoint"]
        for epoch, number in [*((0, number) for number in (1, 2, 3, 4)), *((1, number) for number in (2, 3, 4, 5))]:
            count.clear()
            monkeypatch.setattr(files, "commit", die)
            with pytest.raises(Killed):
                train(digits, tmp_path)
            assert count[-1] == files_of_epoch[number - 1 - epoch].format(epoch)
        monkeypatch.setattr(files, "commit", commit)
        prefix, history = train(digits, tmp_path)
        assert (variables_as_bytes(prefix), history) == uninterrupted
        assert not [*tmp_path.glob(".saving-*")]
        assert tf.train.latest_checkpoint(tmp_path) == prefix

    @pytest.mark.parametrize(("error", "expected", "message"), [
        (Killed(), Killed, None), (OSError(28, "No space left"), checkpoints.CheckpointError,
                                 "stopped-0000000015: expected to write a checkpoint, found: .*No space left$")])
    def test_a_stop_that_cannot_be_saved(self, digits, tmp_path, monkeypatch, at_step, uninterrupted, error, expected,
                                         message):
        at_step(14, lambda: os.kill(os.getpid(), signal.SIGTERM))

        def die(path, content):
            if "stopped" in str(path):
                raise error
            path.write_bytes(content)

        with monkeypatch.context() as patched:
            patched.setattr(files, "write_atomic", die)
            with pytest.raises(expected, match=message):
                train(digits, tmp_path)
        assert not [*tmp_path.glob("stopped-*")]
        prefix, history = train(digits, tmp_path)
        assert (variables_as_bytes(prefix), history) == uninterrupted


class TestDivergence:
    def test_it_stops_in_the_same_epoch_and_names_step_and_error(self, digits, tmp_path):
        prefix, _ = train(digits, tmp_path, num_epoch=1)
        before = variables_as_bytes(prefix)
        record = json.loads((tmp_path / "resume.json").read_text())
        record["settings"]["learning_rate"] = 1e30
        (tmp_path / "resume.json").write_text(json.dumps(record))
        with pytest.raises(Diverged) as error:
            train(digits, tmp_path, learning_rate=1e30)
        assert str(error.value).startswith(
            "step 12 in epoch 1: expected finite errors, found Recon_error nan; the latest valid checkpoint is "
            f"{prefix}; restart with --restart and ")
        assert variables_as_bytes(prefix) == before
        assert checkpoints.latest_valid(tmp_path)[0].prefix == prefix

    def test_before_the_first_checkpoint(self, digits, tmp_path):
        with pytest.raises(Diverged, match="; there is no checkpoint yet; restart"):
            train(digits, tmp_path, learning_rate=1e30)

    def test_weights_that_diverge_in_the_last_step_are_not_saved(self, digits, tmp_path):
        """A step's errors are those before its update: the weights diverge first."""
        with pytest.raises(checkpoints.CheckpointError, match="expected finite numbers, found NaN or infinity in "):
            train(digits, tmp_path, batch_size=220, num_epoch=1, learning_rate=float("inf"))
        assert checkpoints.latest_valid(tmp_path) == (None, {})

    def test_is_one_line(self, in_tmp, capsys):
        flags = parse_flags(["--dataset", "other", *SMALL])
        flags.learning_rate = 1e30           # more than the flag allows
        assert execute(run_mnist.COMMANDS["train"], flags) == 2
        assert one_line_error(capsys).startswith("step 1 in epoch 0: expected finite errors, found ")
