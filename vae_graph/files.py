"""Files that a crash cannot hurt: written whole or not at all, and into a folder by one process at a time."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HOLDING = ".saving-"     # what the names of files and folders begin with that are not yet whole
LOCK_FILE = ".lock"


class FolderInUse(ValueError):
    """Another process writes into a folder. The message names both."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it appears whole under its name or not at all, whatever happens meanwhile.

    Raises:
        OSError: it cannot be written; the file's name is in it.
    """
    holding = path.with_name(f"{HOLDING}{os.getpid()}-{path.name}")
    try:
        holding.write_bytes(content)
        rename_durably(holding, path)
    except OSError as error:                 # that of a full disk names no file
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        holding.unlink(missing_ok=True)


def rename_durably(path: Path, target: Path) -> None:
    """Give a file its name once its content is on the disk: a power loss must not leave the name without it."""
    with open(path, "r+b") as file:
        os.fsync(file.fileno())
    os.replace(path, target)
    sync_folder(target.parent)


@contextlib.contextmanager
def holding_folder(folder: Path) -> Iterator[Path]:
    """A folder inside `folder` that is removed in the end, with what is still in it."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=HOLDING, ignore_cleanup_errors=True) as holding:
        # Since Python 3.12 its name is absolute; TensorFlow cannot take all that may stand before `folder`.
        yield folder / Path(holding).name


def tidy(folder: Path) -> None:
    """Remove what a killed process was writing; only while no other is at work in the folder."""
    for left in folder.glob(f"{HOLDING}*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk. Windows does so by itself, and opens no folders."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder that must be there.

    The operating system's lock, which ends with its process however that ends; what stands in the file is for
    people only.

    Raises:
        FolderInUse: another process has it.
    """
    with open(folder / LOCK_FILE, "a+", encoding="utf-8") as file:
        if not _lock(file.fileno()):
            file.seek(0)
            raise FolderInUse(f"{folder}: expected a folder that no other run writes to, found {file.read()} at work "
                              "in it; stop that one, or name another --checkpoint_dir")
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        # A byte behind the text: Windows lets nobody read what is locked.
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
