"""Atomic writes and locks: a file appears complete or not at all, and one process at a time writes to a folder."""

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vae_graph.errors import UserError, printable

STAGING, INCOMPLETE = ".saving-", ".incomplete"      # the names of incomplete files and folders begin and end so
STAGING_NAME = re.compile(rf"{re.escape(STAGING)}([0-9]+)-[a-z0-9_]+{re.escape(INCOMPLETE)}")      # with a process
LOCK_FILE = ".lock"
SHARING_VIOLATIONS = (5, 32)      # Windows' ERROR_ACCESS_DENIED and ERROR_SHARING_VIOLATION
# What file systems answer that have no locks, or cannot fsync folders.
UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)


REMEDY = "if it is there and no run writes to the folder, remove it, or use another --checkpoint_dir"
_warned: set[str] = set()


class FolderInUse(UserError):
    """A folder cannot be locked: another process writes to it, or its lock file is unusable. The message says which."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file atomically: to a temporary file, fsynced, then renamed.

    Raises:
        OSError: it cannot be written; the error has the file's name.
    """
    # Without the file's name, which may be as long as the file system allows.
    temporary = path.with_name(f"{STAGING}{os.getpid()}-{secrets.token_hex(8)}{INCOMPLETE}")
    try:
        with open(temporary, "xb") as file, _in_use(temporary):
            file.write(content)
            file.close()
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
    with (tempfile.TemporaryDirectory(INCOMPLETE, f"{STAGING}{os.getpid()}-", folder, ignore_cleanup_errors=True
                                      ) as staging, _in_use(staging)):
        # Since Python 3.12 its name is absolute; TensorFlow cannot decode every parent's name.
        yield folder / Path(staging).name


def remove_stale(folder: Path) -> None:
    """Remove the incomplete files and folders of killed processes, but none that a process is writing.

    On Windows, which cannot open a folder to see whether it is locked, folders stay.
    """
    for path in folder.glob(f"{STAGING}*"):
        name = STAGING_NAME.fullmatch(path.name)
        # Its own process may have had the number of an earlier one; another's may not have locked its folder yet.
        if not name or (int(name[1]) != os.getpid() and _is_running(int(name[1]))):
            continue
        with contextlib.suppress(OSError), _open(path) as descriptor:
            if descriptor is not None and not _lock(descriptor):
                continue
            if descriptor is not None and path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _is_running(process: int) -> bool:
    """Whether this machine has a process of this number."""
    if os.name == "nt":              # where signal 0 would end it
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def sync_tree(folder: Path) -> None:
    """Fsync a folder and everything in it."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            sync_dir(path)
        else:
            with open(path, "r+b") as file:
                os.fsync(file.fileno())


def sync_dir(folder: Path) -> None:
    """Fsync a directory, where that is possible and needed."""
    with _open(folder) as directory:
        if directory is not None:
            try:
                os.fsync(directory)
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    raise
                _warn(folder, "its file system cannot fsync folders: a power loss may cost the files written last")


def _warn(folder: Path, text: str) -> None:
    """Print a warning, the first time that it applies to any folder."""
    if text not in _warned:
        _warned.add(text)
        print(printable(f"{folder}: {text}"), file=sys.stderr)


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


@dataclass(frozen=True)
class HeldFolder:
    """A folder that is held open: it can be told from another of its name, and be found again."""

    path: Path
    identity: tuple[int, int]
    descriptor: int | None           # none on Windows

    def is_there(self) -> bool:
        """Whether it still has its name. True if that cannot be seen: a save will show whether it can be written."""
        try:
            return _identity(self.path) == self.identity
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True

    def moved_to(self) -> Path | None:
        """Where it is now; None if it is nowhere, or the system does not say it, as Linux does."""
        if self.descriptor is None:
            return None
        try:
            path = Path(os.readlink(f"/proc/self/fd/{self.descriptor}"))
            return path if _identity(path) == self.identity else None
        except OSError:
            return None


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[HeldFolder]:
    """Hold a folder open."""
    with _open(folder) as descriptor:
        yield HeldFolder(folder, _identity(folder), descriptor)


def _identity(folder: Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def without_links(folder: Path) -> Path:
    """A folder's path, without symbolic links if there are any in it: they may be changed."""
    resolved = folder.resolve()
    return folder if resolved == Path(os.path.abspath(folder)) else resolved


@contextlib.contextmanager
def lock_dir(folder: Path) -> Iterator[None]:
    """Lock an existing folder against other processes.

    The lock is the operating system's, which releases it when the process ends, however it ends. Besides the lock file,
    whose content is for people only, the folder itself is locked where the system allows it: the file may be deleted.

    Raises:
        FolderInUse: another process holds it, or the lock file is not a regular file that can be opened.
    """
    with _open_lock_file(folder / LOCK_FILE) as file, _open(folder) as directory:
        try:
            is_locked = _lock(file) and (directory is None or _lock_where_possible(directory))
        except OSError as error:
            if error.errno == errno.EBADF:           # NFS locks no file that is open for reading only
                raise FolderInUse(f"{folder / LOCK_FILE}: expected a lock file that can be written to, found one that "
                                  f"cannot; {REMEDY}") from None
            if error.errno not in UNSUPPORTED:
                raise
            _warn(folder, "its file system has no locks: make sure that no other run writes to it")
            is_locked = True
        if not is_locked:
            os.lseek(file, 0, os.SEEK_SET)
            holder = os.read(file, 100).decode(errors="replace")
            raise FolderInUse(f"{folder}: expected a folder that no other run writes to, found it locked by "
                              f"{holder or 'another process'}; stop that run, or use another --checkpoint_dir")
        with contextlib.suppress(OSError):   # another user's lock file is open for reading only
            os.truncate(file, 0)
            os.lseek(file, 0, os.SEEK_SET)
            os.write(file, f"process {os.getpid()}".encode())
        yield


@contextlib.contextmanager
def _open_lock_file(path: Path) -> Iterator[int]:
    """The descriptor of a lock file, which is created if missing; no link is followed."""
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        try:
            descriptor = os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:              # another user's
            descriptor = os.open(path, flags | os.O_RDONLY)
    except OSError as error:
        found = "a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise FolderInUse(f"{path}: expected a lock file of this program, found: {found}; {REMEDY}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FolderInUse(f"{path}: expected a lock file of this program, found no regular file; {REMEDY}")
        yield descriptor
    finally:
        os.close(descriptor)


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
