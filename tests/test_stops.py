"""A run that is stopped or killed at any moment, and started again, ends with the bytes of one that was not."""

import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest
import tensorflow.compat.v1 as tf

from tests import kills
from tests.conftest import posix_only
from tests.test_training import train, variables_as_bytes
from vae_graph import checkpoints, files, saving, signals, training


@posix_only
@pytest.mark.slow
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
    def test_a_stop_before_the_first_step(self, digits, tmp_path, at_step, unbroken):
        """It is where the stop before it was."""
        at_step(6, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(training.Stopped) as first:
            train(digits, tmp_path)
        with pytest.raises(training.Stopped) as second:
            train(digits, tmp_path, lambda prefix: os.kill(os.getpid(), signal.SIGTERM))
        assert str(second.value) == str(first.value)
        prefix, history = train(digits, tmp_path)
        assert (variables_as_bytes(prefix), history) == unbroken

    @posix_only
    def test_a_broken_stop_is_moved_out_of_the_way(self, digits, tmp_path, at_step, unbroken, capsys):
        at_step(10, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(training.Stopped):
            train(digits, tmp_path)
        broken = tmp_path / "stopped-0000000011" / "parameter2.ckpt.data-00000-of-00001"
        broken.write_bytes(b"")
        prefix, history = train(digits, tmp_path)
        assert f"going on from {tmp_path / 'parameter0.ckpt'}, epoch 1 of 4" in capsys.readouterr().out
        assert (variables_as_bytes(prefix), history) == unbroken
        assert not broken.parent.exists()
        assert (tmp_path / "earlier-1" / broken.parent.name / broken.name).exists()

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
        assert tf.train.latest_checkpoint(tmp_path) == prefix

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


def test_a_save_that_loses_its_parameter_server_is_no_broken_checkpoint(tmp_path):
    """The cluster is joined again then."""
    class Lost:
        def save(self, *args, **flags):
            raise tf.errors.UnavailableError(None, None, "gone")

    with pytest.raises(tf.errors.UnavailableError):
        saving.save(None, Lost(), tmp_path, 3)
    assert not [*tmp_path.iterdir()]


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
