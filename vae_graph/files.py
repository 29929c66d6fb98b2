"""Atomic writes: a file appears complete or not at all."""

import contextlib
import os
import platform
import re
import secrets
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from vae_graph import locks

# The name of an incomplete file or folder: with the host and the process that writes it.
STAGING, INCOMPLETE = ".saving-", ".incomplete"
STAGING_NAME = re.compile(rf"{re.escape(STAGING)}([0-9a-f]{{8}})-([0-9]+)-[a-z0-9_]+{re.escape(INCOMPLETE)}")
HOST = f"{zlib.crc32(platform.node().encode()):08x}"
LONGEST_SAVE_S = 24 * 60 * 60
SHARING_VIOLATIONS = (5, 32)      # Windows' ERROR_ACCESS_DENIED and ERROR_SHARING_VIOLATION


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file atomically: to a temporary file, fsynced, then renamed.

    Raises:
        OSError: it cannot be written; the error has the file's name.
    """
    # Without the file's name, which may be as long as the file system allows.
    temporary = path.with_name(f"{_staging_prefix()}{secrets.token_hex(8)}{INCOMPLETE}")
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
    with (tempfile.TemporaryDirectory(INCOMPLETE, _staging_prefix(), folder, ignore_cleanup_errors=True) as staging,
          _in_use(staging)):
        # Since Python 3.12 its name is absolute; TensorFlow cannot decode every parent's name.
        yield folder / Path(staging).name


def _staging_prefix() -> str:
    return f"{STAGING}{HOST}-{os.getpid()}-"


def remove_stale(folder: Path) -> None:
    """Remove the incomplete files and folders of killed processes, but none that a process is writing.

    Another host's, whose processes cannot be looked up from here, are removed after a day. On Windows, which cannot
    open a folder to see whether it is locked, folders stay.
    """
    for path in folder.glob(f"{STAGING}*"):
        name = STAGING_NAME.fullmatch(path.name)
        if not name or _may_be_in_use(path, host=name[1], process=int(name[2])):
            continue
        with contextlib.suppress(OSError), locks.open_descriptor(path) as descriptor:
            if descriptor is not None and not locks.lock(descriptor):
                continue
            if descriptor is not None and path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _may_be_in_use(path: Path, host: str, process: int) -> bool:
    """Whether a process that has not locked the file or folder yet, or cannot lock it, may be writing to it."""
    if host != HOST:
        with contextlib.suppress(OSError):
            return time.time() - path.lstat().st_mtime < LONGEST_SAVE_S
        return True
    return process != os.getpid() and _is_running(process)      # this process may have the number of an earlier one


def _is_running(process: int) -> bool:
    """Whether this host has a process of this number."""
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
    with locks.open_descriptor(folder) as directory:
        if directory is not None:
            try:
                os.fsync(directory)
            except OSError as error:
                if error.errno not in locks.UNSUPPORTED:
                    raise
                locks.warn_once(folder, "its file system cannot fsync folders: a power loss may cost the files written "
                                        "last")


@contextlib.contextmanager
def _in_use(path: str | Path) -> Iterator[None]:
    """Lock a temporary file or folder, so that `remove_stale` knows that its process is alive."""
    with locks.open_descriptor(path) as descriptor:
        if descriptor is not None:
            locks.lock_where_possible(descriptor)
        yield
