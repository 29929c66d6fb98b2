"""Locks on folders: one process at a time writes to a folder, and a folder that is held is known again when moved."""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vae_graph.errors import UserError, printable

LOCK_FILE = ".lock"
# What file systems answer that have no locks, or cannot fsync folders.
UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
REMEDY = "if it is there and no run writes to the folder, remove it, or use another --checkpoint_dir"
_warned: set[str] = set()


class FolderInUse(UserError):
    """A folder cannot be locked: another process writes to it, or its lock file is unusable. The message says which."""


@contextlib.contextmanager
def lock_dir(folder: Path) -> Iterator[None]:
    """Lock an existing folder against other processes.

    The lock is the operating system's, which releases it when the process ends, however it ends. Besides the lock file,
    whose content is for people only, the folder itself is locked where the system allows it: the file may be deleted.

    Raises:
        FolderInUse: another process holds it, or the lock file is not a regular file that can be opened.
    """
    with _open_lock_file(folder / LOCK_FILE) as file, open_descriptor(folder) as directory:
        try:
            is_locked = lock(file) and (directory is None or lock_where_possible(directory))
        except OSError as error:
            if error.errno == errno.EBADF:           # NFS locks no file that is open for reading only
                raise FolderInUse(f"{folder / LOCK_FILE}: expected a lock file that can be written to, found one that "
                                  f"cannot; {REMEDY}") from None
            if error.errno not in UNSUPPORTED:
                raise
            warn_once(folder, "its file system has no locks: make sure that no other run writes to it")
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
    with open_descriptor(folder) as descriptor:
        yield HeldFolder(folder, _identity(folder), descriptor)


def _identity(folder: Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def without_links(folder: Path) -> Path:
    """A folder's path, without symbolic links if there are any in it: they may be changed."""
    resolved = folder.resolve()
    return folder if resolved == Path(os.path.abspath(folder)) else resolved


def lock_where_possible(descriptor: int) -> bool:
    """As `lock`, for a descriptor without write access, which some network file systems cannot lock: then True."""
    try:
        return lock(descriptor)
    except OSError:
        return True


@contextlib.contextmanager
def open_descriptor(path: str | Path) -> Iterator[int | None]:
    """The descriptor of a file or directory; None on Windows, which opens no directories."""
    if os.name == "nt":
        yield None
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)          # a pipe would block
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def warn_once(folder: Path, text: str) -> None:
    """Print a warning, the first time that it applies to any folder."""
    if text not in _warned:
        _warned.add(text)
        print(printable(f"{folder}: {text}"), file=sys.stderr)


if sys.platform == "win32":
    import msvcrt

    def lock(descriptor: int) -> bool:
        # A byte beyond the text: on Windows nobody can read what is locked.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
