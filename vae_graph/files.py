"""Atomic writes and locks: a file appears complete or not at all, and one process at a time writes to a folder."""

import contextlib
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from vae_graph.errors import UserError

STAGING = ".saving-"     # prefix of the names of incomplete files and folders
STAGING_NAME = re.compile(rf"{re.escape(STAGING)}(\d+-\d+|[a-z0-9_]{{8}})")        # of files and of folders
LOCK_FILE = ".lock"
SHARING_VIOLATIONS = (5, 32)      # Windows' ERROR_ACCESS_DENIED and ERROR_SHARING_VIOLATION


class FolderInUse(UserError):
    """Another process writes to a folder. The message names both."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file atomically: to a temporary file, fsynced, then renamed.

    Raises:
        OSError: it cannot be written; the error has the file's name.
    """
    # Without the file's name, which may be as long as the file system allows.
    temporary = path.with_name(f"{STAGING}{os.getpid()}-{threading.get_ident()}")
    try:
        temporary.touch()
        with _in_use(temporary):
            temporary.write_bytes(content)
            commit(temporary, path)
    except OSError as error:                 # the error of a full disk has no file name
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()               # it is there after an error only


def commit(path: Path, target: Path) -> None:
    """Fsync a file, then rename it: after a power loss the name must not be there without the content."""
    with open(path, "r+b") as file:
        os.fsync(file.fileno())
    _replace(path, target)
    sync_dir(target.parent)


def _replace(path: Path, target: Path) -> None:
    """`os.replace`, tried for a second while another program has the target open, which only Windows refuses."""
    for _ in range(10):
        try:
            os.replace(path, target)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in SHARING_VIOLATIONS:
                raise
            time.sleep(0.1)
    os.replace(path, target)


@contextlib.contextmanager
def staging_dir(folder: Path) -> Iterator[Path]:
    """A temporary directory inside `folder`, removed at the end with what is still in it."""
    with (tempfile.TemporaryDirectory(dir=folder, prefix=STAGING, ignore_cleanup_errors=True) as staging,
          _in_use(staging)):
        # Since Python 3.12 its name is absolute; TensorFlow cannot decode every parent's name.
        yield folder / Path(staging).name


def remove_stale(folder: Path) -> None:
    """Remove the incomplete files and folders of killed processes, but none that a process is writing.

    On Windows, which cannot open a folder to see whether it is locked, folders stay.
    """
    for path in folder.glob(f"{STAGING}*"):
        if not STAGING_NAME.fullmatch(path.name):
            continue
        with contextlib.suppress(OSError), _open(path) as descriptor:
            if descriptor is None or _lock(descriptor):
                path.unlink() if descriptor is None or not path.is_dir() else shutil.rmtree(path)


def sync_dir(folder: Path) -> None:
    """Fsync a directory, where that is possible and needed."""
    with _open(folder) as directory:
        if directory is not None:
            os.fsync(directory)


@contextlib.contextmanager
def _in_use(path: str | Path) -> Iterator[None]:
    """Lock a temporary file or folder, so that `remove_stale` knows that its process is alive."""
    with _open(path) as descriptor:
        if descriptor is not None:
            _lock_where_possible(descriptor)
        yield


def _lock_where_possible(descriptor: int) -> bool:
    """As `_lock`, for a descriptor without write access, which some network file systems cannot lock: then True."""
    try:
        return _lock(descriptor)
    except OSError:
        return True


@contextlib.contextmanager
def _open(path: str | Path) -> Iterator[int | None]:
    """The descriptor of a file or directory; None on Windows, which opens no directories."""
    if os.name == "nt":
        yield None
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)          # a pipe would block
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def lock_dir(folder: Path) -> Iterator[None]:
    """Lock an existing folder against other processes.

    The lock is the operating system's, which releases it when the process ends, however it ends. Besides the lock file,
    whose content is for people only, the folder itself is locked where the system allows it: the file may be deleted.

    Raises:
        FolderInUse: another process holds it.
    """
    with open(folder / LOCK_FILE, "a+", encoding="utf-8", errors="replace") as file, _open(folder) as directory:
        if not (_lock(file.fileno()) and (directory is None or _lock_where_possible(directory))):
            file.seek(0)
            raise FolderInUse(f"{folder}: expected a folder that no other run writes to, found it locked by "
                              f"{file.read(100) or 'another process'}; stop that run, or use another --checkpoint_dir")
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        # A byte beyond the text: on Windows nobody can read what is locked.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
