"""Atomic writes and locks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import run_mnist
from tests.helpers import SMALL, one_line_error, posix_only, train
from vae_graph import files


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
    (tmp_path / ".saving-1-2").touch()
    os.mkfifo(tmp_path / ".saving-3-4")
    monkeypatch.setattr(files.os, "replace", clean_then_replace)
    with files.staging_dir(tmp_path) as staging:
        files.write_atomic(tmp_path / "run.json", b"whole")
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([staging.name, "run.json"])
    files.remove_stale(tmp_path)
    assert (tmp_path / "run.json").read_bytes() == b"whole"


def test_files_are_fsynced_before_they_are_renamed(digits, tmp_path, monkeypatch):
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
        (folder / ".saving-half_abc").mkdir(parents=True)
        (folder / ".saving-half_abc" / "parameter0.ckpt.index").touch()
        (folder / ".saving-1-2").touch()
        (folder / ".lock").write_text("process 1")
        assert run_mnist.main(["--dataset", "other", *SMALL, "--num_epoch", "1"]) == 0
        (folder / ".saving-of-another-program").touch()
        assert run_mnist.main(["--dataset", "other", *SMALL, "--num_epoch", "2"]) == 0
        assert [path.name for path in folder.glob(".saving-*")] == [".saving-of-another-program"]
