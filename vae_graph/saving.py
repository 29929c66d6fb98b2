"""Checkpoints written so that no crash can hurt one, neither the new nor the old."""

import contextlib
import itertools
from collections.abc import Iterable
from pathlib import Path

import tensorflow.compat.v1 as tf

from vae_graph import files
from vae_graph.checkpoints import (
    EVENT_FILES,
    FILE_NAME,
    RECORD_FILE,
    STOPPED_FOLDER,
    STOPPED_FOLDERS,
    CheckpointError,
    files_of,
    first_line,
    read_variables,
    refuse_not_finite,
)
from vae_graph.cluster import UNREACHABLE

N_KEPT = 5       # checkpoints, as the original's Saver keeps


def save(session: tf.Session, saver: tf.train.Saver, folder: Path, epoch: int) -> str:
    """Write the checkpoint of `epoch` and return its prefix.

    It is written beside its place, read back, brought to the disk, and only then given its names.

    Raises:
        CheckpointError: it cannot be written, or there is NaN or infinity in it.
        tf.errors.UnavailableError, AbortedError, CancelledError: who has the variables is gone.
    """
    prefix = str(folder / FILE_NAME.format(epoch=epoch))
    try:
        with files.holding_folder(folder) as holding:
            written = saver.save(session, str(holding / Path(prefix).name), write_meta_graph=False, write_state=False)
            variables = read_variables(written)
            refuse_not_finite(prefix, variables, variables)
            for part in files_of(written):
                files.rename_durably(part, folder / part.name)
    except (CheckpointError, *UNREACHABLE):
        raise
    except (tf.errors.OpError, ValueError, OSError) as error:
        raise CheckpointError(f"{prefix}: expected to write a checkpoint, found: {first_line(error)}") from None
    return prefix


def keep_newest(folder: Path, epochs: Iterable[int], step: int) -> None:
    """Leave the newest five of the checkpoints of some epochs, as the original's Saver does, and no stop before `step`.

    They are named in the `checkpoint` state file, by which TensorFlow's own functions find them, without their
    folder: it may be moved.

    Raises:
        OSError: a file cannot be removed, or the state file not be written.
    """
    _forget_stopped(folder, step)
    names = [FILE_NAME.format(epoch=epoch) for epoch in sorted(epochs)]
    names = [name for name in names if (folder / f"{name}.index").exists()]
    if not names:
        return
    for name in names[:-N_KEPT]:
        for path in reversed(files_of(str(folder / name))):
            path.unlink()
    state = [f'model_checkpoint_path: "{names[-1]}"',
             *(f'all_model_checkpoint_paths: "{name}"' for name in names[-N_KEPT:])]
    files.write_whole(folder / "checkpoint", "\n".join([*state, ""]).encode())


def save_stopped(session: tf.Session, saver: tf.train.Saver, folder: Path, epoch: int, step: int, record: bytes) -> str:
    """Write a checkpoint in the midst of `epoch`, after so many steps, and return its prefix.

    It has a folder of its own, which appears whole, the run's record in it, or not at all. So the checkpoints of
    whole epochs stay what they are.

    Raises:
        CheckpointError: it cannot be written, or there is NaN or infinity in it.
    """
    place = folder / STOPPED_FOLDER.format(step=step)
    try:
        with files.holding_folder(folder) as holding:
            inner = holding / place.name
            inner.mkdir()
            prefix = save(session, saver, inner, epoch)
            files.write_whole(inner / RECORD_FILE, record)
            if not place.exists():           # else this run was stopped at this very step before
                inner.rename(place)
                files.sync_folder(folder)
    except OSError as error:
        raise CheckpointError(f"{place}: expected to write a checkpoint, found: {first_line(error)}") from None
    _forget_stopped(folder, step)
    return str(place / Path(prefix).name)


def set_aside(folder: Path, some: Iterable[Path] | None = None) -> Path | None:
    """Move files into a new folder inside `folder`, so that nothing is in another run's way and nothing is lost.

    Args:
        some: the files and folders; all of a run's if they are not named.

    Returns:
        The new folder, or None where there was nothing to move.
    """
    patterns = ("parameter*.ckpt*", "checkpoint", RECORD_FILE, STOPPED_FOLDERS, EVENT_FILES)
    moved = [path for pattern in patterns for path in folder.glob(pattern)] if some is None else [*some]
    if not moved:
        return None
    candidates = (folder / f"earlier-{number}" for number in itertools.count(1))
    earlier = next(candidate for candidate in candidates if not candidate.exists())
    earlier.mkdir()
    for path in moved:
        path.rename(earlier / path.name)
    return earlier


def _forget_stopped(folder: Path, step: int) -> None:
    """Remove the checkpoints of stops before `step`, for the run has a whole one beyond them."""
    for place in folder.glob(STOPPED_FOLDERS):
        if place.name < STOPPED_FOLDER.format(step=step):
            with contextlib.suppress(OSError), files.holding_folder(folder) as holding:
                place.rename(holding / place.name)      # gone at once, not file by file
