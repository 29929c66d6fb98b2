"""Atomic writes and locks."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers import NO_PROCESS, posix_only, train
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


def test_what_another_host_may_be_writing_is_stale_after_a_day(tmp_path):
    other_host = f"{int(files.HOST, 16) ^ 1:08x}"
    staging = tmp_path / f".saving-{NO_PROCESS.replace(files.HOST, other_host)}-abcdefgh.incomplete"
    staging.touch()
    files.remove_stale(tmp_path)
    assert staging.exists()
    os.utime(staging, (0, time.time() - 2 * files.LONGEST_SAVE_S))
    files.remove_stale(tmp_path)
    assert not staging.exists()


@posix_only
def test_what_a_running_process_has_not_locked_yet_is_not_stale(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        staging = tmp_path / f"{files.STAGING}{files.HOST}-{process.pid}-abcdefgh{files.INCOMPLETE}"
        staging.mkdir()
        files.remove_stale(tmp_path)
        assert staging.exists()
        process.communicate(b"\n")
    files.remove_stale(tmp_path)
    assert not staging.exists()


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
