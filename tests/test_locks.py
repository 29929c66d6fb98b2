"""Locks on folders, and what they keep other processes from."""

import contextlib
import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import run_mnist
from tests.helpers import NO_PROCESS, one_line_error, posix_only, train
from tests.small import SMALL
from vae_graph import files, locks
from vae_graph.runs.recorder import Recorder


@posix_only
def test_no_link_is_followed(in_tmp, capsys):
    """Where the program writes names of its own."""
    (in_tmp / "kept").write_text("kept")
    (in_tmp / "checkpoints" / "other").mkdir(parents=True)
    (in_tmp / "checkpoints" / "other" / ".lock").symlink_to(in_tmp / "kept")
    assert run_mnist.main(["--dataset", "other", *SMALL]) == 2
    assert one_line_error(capsys).startswith(f"{Path('checkpoints', 'other', '.lock')}: expected a lock file of this ")
    assert (in_tmp / "kept").read_text() == "kept"


@posix_only
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_lock_file_that_is_no_file(tmp_path, make):
    make(tmp_path / ".lock")
    with pytest.raises(locks.FolderInUse, match="expected a lock file of this program, found"), \
            locks.lock_dir(tmp_path):
        pass


def test_a_lock_file_of_another_user(tmp_path, monkeypatch):
    """It may be readable only, which is enough; or not even that."""
    def refuse(path, flags, mode=0o777):
        if str(path).endswith(".lock") and (flags & os.O_RDWR or not is_readable):
            raise PermissionError(13, "Permission denied", str(path))
        return os_open(path, flags, mode)

    (tmp_path / ".lock").write_text("process 7")
    os_open, is_readable = os.open, True
    monkeypatch.setattr(os, "open", refuse)
    with locks.lock_dir(tmp_path), pytest.raises(locks.FolderInUse, match="found it locked by process 7"), \
            locks.lock_dir(tmp_path):
        pass
    is_readable = False
    with pytest.raises(locks.FolderInUse, match="Permission denied; if it is there and no"), locks.lock_dir(tmp_path):
        pass


@posix_only
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_locks_or_fsync_of_folders(digits, tmp_path, monkeypatch, capsys, number):
    """A run says so once, and trains."""
    def refuse(*args):
        raise OSError(number, os.strerror(number))

    def fsync_files(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            refuse()
        fsync(descriptor)

    fsync = os.fsync
    monkeypatch.setattr(locks, "_warned", set())
    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    monkeypatch.setattr(os, "fsync", fsync_files)
    with locks.lock_dir(tmp_path):
        train(digits, tmp_path, num_epoch=2, checkpoint_every=1)
    assert sorted(capsys.readouterr().err.splitlines()) == [
        f"{tmp_path}: its file system cannot fsync folders: a power loss may cost the files written last",
        f"{tmp_path}: its file system has no locks: make sure that no other run writes to it"]


@posix_only
def test_another_error_of_a_lock_or_an_fsync_is_one(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        files.sync_dir(tmp_path)
    monkeypatch.setattr(locks.fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output error"), locks.lock_dir(tmp_path):
        pass


@posix_only
def test_a_link_that_changes_while_a_run_trains(in_tmp, without_pictures, monkeypatch):
    """The run goes on where it began; the folder that the link names then is another run's."""
    def change_link(recorder, epoch):
        if epoch == 0:
            (in_tmp / "latest").unlink()
            (in_tmp / "latest").symlink_to("b")
        end_epoch(recorder, epoch)

    for name in "ab":
        (in_tmp / name).mkdir()
    (in_tmp / "latest").symlink_to("a")
    end_epoch = Recorder.end_epoch
    monkeypatch.setattr(Recorder, "end_epoch", change_link)
    assert run_mnist.main(["--dataset", "other", *SMALL, "--checkpoint_dir", "latest"]) == 0
    assert (in_tmp / "a" / "other" / "parameter1.ckpt.index").exists()
    assert not [*(in_tmp / "b").iterdir()]


def test_where_folders_cannot_be_opened(tmp_path, monkeypatch):
    """On Windows: nothing is fsynced or locked but files, and folders of killed processes stay."""
    monkeypatch.setattr(locks, "open_descriptor", lambda path: contextlib.nullcontext())
    monkeypatch.setattr(os, "fsync", os.fstat)                   # which takes no None either
    (tmp_path / f".saving-{NO_PROCESS}-half_abc.incomplete").mkdir()
    (tmp_path / f".saving-{NO_PROCESS}-2.incomplete").touch()
    with locks.lock_dir(tmp_path), files.staging_dir(tmp_path):
        files.remove_stale(tmp_path)
        files.write_atomic(tmp_path / "run.json", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock", f".saving-{NO_PROCESS}-half_abc.incomplete", "run.json"]


@posix_only
def test_a_folder_whose_file_system_has_no_locks_for_readers(tmp_path, monkeypatch):
    def lock(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(9, "Bad file descriptor")
        return own(descriptor)

    own = locks.lock
    monkeypatch.setattr(locks, "lock", lock)
    with locks.lock_dir(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"process {os.getpid()}"
        with pytest.raises(locks.FolderInUse), locks.lock_dir(tmp_path):
            pass


HOLD_LOCK = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("locks", sys.argv[1])
locks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(locks)
with locks.lock_dir(pathlib.Path(sys.argv[2])):
    print("locked", flush=True)
    sys.stdin.read()
"""


class TestTwoRuns:
    def test_the_second_exits_at_once(self, in_tmp, capsys):
        folder = Path("checkpoints", "other")
        folder.mkdir(parents=True)
        (folder / ".lock").write_text("process of long ago")
        with locks.lock_dir(folder):
            assert run_mnist.main(["--dataset", "other", *SMALL, "--restart"]) == 2
        assert one_line_error(capsys) == (
            f"{folder}: expected a folder that no other run writes to, found it locked by process {os.getpid()}; stop "
            "that run, or use another --checkpoint_dir")
        assert [path.name for path in folder.iterdir()] == [".lock"]

    def test_the_lock_holds_across_processes(self, tmp_path):
        with subprocess.Popen([sys.executable, "-c", HOLD_LOCK, locks.__file__, tmp_path], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"locked\n"
            with pytest.raises(locks.FolderInUse, match=f"found it locked by process {process.pid}; stop that run"), \
                    locks.lock_dir(tmp_path):
                pass
            process.kill()
        with locks.lock_dir(tmp_path):        # a dead process holds no lock
            pass

    @posix_only
    def test_the_lock_holds_without_its_file(self, tmp_path):
        with locks.lock_dir(tmp_path):
            (tmp_path / ".lock").unlink()
            with pytest.raises(locks.FolderInUse), locks.lock_dir(tmp_path):
                pass
        with locks.lock_dir(tmp_path):
            pass

    def test_stale_files_of_a_killed_process_are_removed(self, in_tmp, without_pictures):
        folder = in_tmp / "checkpoints" / "other"
        staging = folder / f".saving-{NO_PROCESS}-half_abc.incomplete"
        staging.mkdir(parents=True)
        (staging / "parameter0.ckpt.index").touch()
        (folder / f".saving-{NO_PROCESS}-2.incomplete").touch()
        (folder / ".lock").write_text("process 1")
        assert run_mnist.main(["--dataset", "other", *SMALL, "--num_epoch", "1"]) == 0
        (folder / ".saving-of-another-program").touch()
        assert run_mnist.main(["--dataset", "other", *SMALL, "--num_epoch", "2"]) == 0
        assert [path.name for path in folder.glob(".saving-*")] == [".saving-of-another-program"]
