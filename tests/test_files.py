"""Atomic writes and locks."""

import contextlib
import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import run_mnist
from tests.helpers import NO_PROCESS, SMALL, one_line_error, posix_only, train
from vae_graph import files
from vae_graph.runs.recorder import Recorder


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such file modes")
def test_file_modes_follow_the_umask(tmp_path):
    before = os.umask(0o022)
    try:
        files.write_atomic(tmp_path / "picture.png", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "picture.png").stat().st_mode & 0o777 == 0o644


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    files.write_atomic(path, b"old")

    def full_disk(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        files.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@posix_only
def test_what_a_process_is_writing_is_not_stale(tmp_path, monkeypatch):
    def clean_then_replace(source, target):
        files.remove_stale(tmp_path)
        replace(source, target)

    replace = os.replace
    (tmp_path / f".saving-{NO_PROCESS}-2.incomplete").touch()
    os.mkfifo(tmp_path / f".saving-{NO_PROCESS}-4.incomplete")
    monkeypatch.setattr(files.os, "replace", clean_then_replace)
    with files.staging_dir(tmp_path) as staging:
        files.write_atomic(tmp_path / "run.json", b"whole")
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([staging.name, "run.json"])
    files.remove_stale(tmp_path)
    assert (tmp_path / "run.json").read_bytes() == b"whole"


@posix_only
def test_each_file_is_fsynced_then_renamed_then_its_folder_fsynced(digits, tmp_path, monkeypatch):
    events, replace, fsync = [], os.replace, os.fsync

    def note_fsync(descriptor):
        events.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def note_replace(source, target):
        assert events[-1] == os.stat(source).st_ino
        events.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    train(digits, tmp_path, num_epoch=1)
    assert events[1::3] == ["resume.json", "parameter0.ckpt.data-00000-of-00001", "parameter0.ckpt.index", "checkpoint"]
    assert events[2::3] == [tmp_path.stat().st_ino] * 4


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
    with pytest.raises(files.FolderInUse, match="expected a lock file of this program, found"), \
            files.lock_dir(tmp_path):
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
    with files.lock_dir(tmp_path), pytest.raises(files.FolderInUse, match="found it locked by process 7"), \
            files.lock_dir(tmp_path):
        pass
    is_readable = False
    with pytest.raises(files.FolderInUse, match="Permission denied; if it is there and no"), files.lock_dir(tmp_path):
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
    monkeypatch.setattr(files, "_warned", set())
    monkeypatch.setattr(files.fcntl, "flock", refuse)
    monkeypatch.setattr(os, "fsync", fsync_files)
    with files.lock_dir(tmp_path):
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
    monkeypatch.setattr(files.fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output error"), files.lock_dir(tmp_path):
        pass


@posix_only
def test_what_a_running_process_has_not_locked_yet_is_not_stale(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        staging = tmp_path / f"{files.STAGING}{process.pid}-abcdefgh{files.INCOMPLETE}"
        staging.mkdir()
        files.remove_stale(tmp_path)
        assert staging.exists()
        process.communicate(b"\n")
    files.remove_stale(tmp_path)
    assert not staging.exists()


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


@pytest.mark.parametrize(("winerror", "n_refusals", "n_tries"), [
    (5, 1, 2), (32, 10, 11), (32, 99, 11), (33, 99, 1), (None, 99, 1)])
def test_a_file_that_is_open_elsewhere_is_replaced_if_it_closes(tmp_path, monkeypatch, winerror, n_refusals, n_tries):
    tries, slept, replace = [], [], os.replace

    def refuse(source, target):
        tries.append(target)
        if len(tries) > n_refusals:
            return replace(source, target)
        error = PermissionError(13, "Access is denied")
        if winerror:
            error.winerror = winerror
        raise error

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(files.time, "sleep", slept.append)
    with pytest.raises(PermissionError, match="denied") if n_refusals == 99 else contextlib.nullcontext():
        files.write_atomic(tmp_path / "picture.png", b"new")
    assert len(tries) == n_tries
    assert sum(slept) == pytest.approx(0.1 * (n_tries - 1))
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"] * (n_refusals < 99)


def test_a_staging_folder_that_cannot_be_removed_is_left(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(39, "Directory not empty")

    monkeypatch.setattr(os, "rmdir", refuse)
    with files.staging_dir(tmp_path) as staging:
        pass
    assert staging.is_dir()


def test_where_folders_cannot_be_opened(tmp_path, monkeypatch):
    """On Windows: nothing is fsynced or locked but files, and folders of killed processes stay."""
    monkeypatch.setattr(files, "_open", lambda path: contextlib.nullcontext())
    monkeypatch.setattr(os, "fsync", os.fstat)                   # which takes no None either
    (tmp_path / f".saving-{NO_PROCESS}-half_abc.incomplete").mkdir()
    (tmp_path / f".saving-{NO_PROCESS}-2.incomplete").touch()
    with files.lock_dir(tmp_path), files.staging_dir(tmp_path):
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

    own = files._lock
    monkeypatch.setattr(files, "_lock", lock)
    with files.lock_dir(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"process {os.getpid()}"
        with pytest.raises(files.FolderInUse), files.lock_dir(tmp_path):
            pass


HOLD_LOCK = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("files", sys.argv[1])
files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(files)
with files.lock_dir(pathlib.Path(sys.argv[2])):
    print("locked", flush=True)
    sys.stdin.read()
"""


class TestTwoRuns:
    def test_the_second_exits_at_once(self, in_tmp, capsys):
        folder = Path("checkpoints", "other")
        folder.mkdir(parents=True)
        (folder / ".lock").write_text("process of long ago")
        with files.lock_dir(folder):
            assert run_mnist.main(["--dataset", "other", *SMALL, "--restart"]) == 2
        assert one_line_error(capsys) == (
            f"{folder}: expected a folder that no other run writes to, found it locked by process {os.getpid()}; stop "
            "that run, or use another --checkpoint_dir")
        assert [path.name for path in folder.iterdir()] == [".lock"]

    def test_the_lock_holds_across_processes(self, tmp_path):
        with subprocess.Popen([sys.executable, "-c", HOLD_LOCK, files.__file__, tmp_path], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"locked\n"
            with pytest.raises(files.FolderInUse, match=f"found it locked by process {process.pid}; stop that run"), \
                    files.lock_dir(tmp_path):
                pass
            process.kill()
        with files.lock_dir(tmp_path):        # a dead process holds no lock
            pass

    @posix_only
    def test_the_lock_holds_without_its_file(self, tmp_path):
        with files.lock_dir(tmp_path):
            (tmp_path / ".lock").unlink()
            with pytest.raises(files.FolderInUse), files.lock_dir(tmp_path):
                pass
        with files.lock_dir(tmp_path):
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
