"""The files in a run's folder: which checkpoints are kept, those saved within an epoch, archives of earlier runs."""

import contextlib
import itertools
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import tensorflow.compat.v1 as tf

from vae_graph import files
from vae_graph.checkpoints import FILE_NAME, CheckpointError, files_of, writing
from vae_graph.errors import first_line
from vae_graph.runs.events import EVENT_FILES
from vae_graph.runs.record import RECORD_FILE, STOPPED_FOLDER, read_bytes, stopped_folders

MAX_TO_KEEP = 5      # checkpoints, the original's Saver's default
ARCHIVE_FILE = ".archiving"      # lists the files of an archive while they are moved


def prune(folder: Path, epochs: Iterable[int], step: int) -> None:
    """Keep the latest five of the checkpoints of some epochs, as the original's Saver does; remove stops before `step`.

    The `checkpoint` state file, by which TensorFlow's own functions find them, names them without their folder, so
    that it may be moved.

    Raises:
        OSError: a file cannot be removed, or the state file cannot be written.
    """
    _prune_stopped(folder, step)
    of_run = [FILE_NAME.format(epoch=epoch) for epoch in sorted(epochs)]
    names = [name for name in of_run if (folder / f"{name}.index").exists()]
    if not names:
        return
    for name in names[:-MAX_TO_KEEP]:
        for path in reversed(files_of(str(folder / name))):
            path.unlink()
    for path in folder.glob("parameter*.ckpt.data-*-of-*"):          # of a checkpoint whose removal was interrupted
        name = path.name.partition(".data-")[0]
        if name in of_run and path.is_file() and not (folder / f"{name}.index").exists():
            path.unlink()
    state = [f'model_checkpoint_path: "{names[-1]}"',
             *(f'all_model_checkpoint_paths: "{name}"' for name in names[-MAX_TO_KEEP:])]
    files.write_atomic(folder / "checkpoint", "\n".join([*state, ""]).encode())


def _prune_stopped(folder: Path, step: int) -> None:
    """Remove the checkpoints of stops before `step`: the run has a later valid one."""
    for place in stopped_folders(folder):
        if place.name < STOPPED_FOLDER.format(step=step) and (place / RECORD_FILE).is_file():
            with contextlib.suppress(OSError), files.staging_dir(folder) as staging:
                place.rename(staging / place.name)      # removed at once, not file by file


def save_stopped(session: tf.Session, saver: tf.train.Saver, folder: Path, epoch: int, step: int, record: bytes) -> str:
    """Write a checkpoint within `epoch`, after `step` steps, and return its prefix.

    It has a folder of its own, with the run's record, which appears complete or not at all. So the checkpoints at the
    ends of epochs are not affected.

    Raises:
        CheckpointError: it cannot be written, or has NaN or infinity in it.
    """
    place = folder / STOPPED_FOLDER.format(step=step)
    try:
        with files.staging_dir(folder) as staging:
            inner = staging / place.name
            inner.mkdir()
            prefix = writing.save(session, saver, inner, epoch, destination=place)
            files.write_atomic(inner / RECORD_FILE, record)
            # Else the run was stopped at this very step before.
            if not Path(f"{prefix}.index").exists():
                if place.exists():
                    archive_run(folder, [place])
                inner.rename(place)
                files.sync_dir(folder)
    except OSError as error:
        raise CheckpointError(f"{place}: expected to write a checkpoint, found: {first_line(error)}") from None
    _prune_stopped(folder, step)
    return prefix


def archive_run(folder: Path, paths: Iterable[Path] | None = None) -> Path | None:
    """Move files into a new folder inside `folder`, so that they cannot conflict with a new run; nothing is deleted.

    A kill leaves files in both places; `finish_archiving` moves the others too.

    Args:
        folder: the run's.
        paths: the files and folders to move; all of the run's by default.

    Returns:
        The new folder, or None if there was nothing to move.

    Raises:
        CheckpointError: the folder cannot be written to and read back; nothing is moved.
        OSError: a file cannot be moved; the next start tries again.
    """
    finished = finish_archiving(folder)
    patterns = ("parameter*.ckpt*", "checkpoint", RECORD_FILE, EVENT_FILES)
    moved = [*stopped_folders(folder), *(path for pattern in patterns for path in folder.glob(pattern))] \
        if paths is None else [*paths]
    if not moved:
        return finished
    writing.check_folder(folder)
    archive = {"folder": _unused(folder, "earlier"), "names": [path.name for path in moved]}
    files.write_atomic(folder / ARCHIVE_FILE, json.dumps(archive).encode())
    return finish_archiving(folder)


def finish_archiving(folder: Path) -> Path | None:
    """Move the files that `archive_run` has listed and not moved yet; return their new folder, None without a list.

    Raises:
        CheckpointError: the list is not one that this program wrote.
        OSError: a file cannot be moved.
    """
    path = folder / ARCHIVE_FILE
    if not os.path.lexists(path):
        return None
    try:
        archive = json.loads(read_bytes(path))
        moved = [name for name in archive["names"] if os.path.lexists(folder / name)]
        if not re.fullmatch("earlier-[0-9]+", archive["folder"]) or not all(
                name == os.path.basename(name) and name not in ("", ".", "..") for name in archive["names"]):
            raise ValueError("a name that is not of a file in the folder")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"{path}: expected the files that an interrupted --restart has to move, found: {error}; "
                              "move them by hand and remove the file") from None
    earlier = folder / archive["folder"]
    if earlier.is_symlink() or any(os.path.lexists(earlier / name) for name in moved):
        earlier = folder / _unused(folder, "earlier")        # nothing is replaced
    earlier.mkdir(exist_ok=True)
    for name in moved:
        (folder / name).rename(earlier / name)
    files.sync_dir(earlier)
    path.unlink()
    files.sync_dir(folder)
    return earlier


def folder_beside(folder: Path) -> Path:
    """Make a folder beside a run's, for what cannot be saved in it."""
    place = folder.parent / _unused(folder.parent, f"{folder.name}-saved")
    place.mkdir(parents=True)
    return place


def _unused(folder: Path, name: str) -> str:
    """A name with the first number that no file in a folder has."""
    names = (f"{name}-{number}" for number in itertools.count(1))
    return next(numbered for numbered in names if not os.path.lexists(folder / numbered))
