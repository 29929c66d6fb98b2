"""The files in a run's folder: which checkpoints are kept, those saved within an epoch, archives of earlier runs."""

import contextlib
import itertools
from collections.abc import Iterable
from pathlib import Path

import tensorflow.compat.v1 as tf

from vae_graph import files
from vae_graph.checkpoints import FILE_NAME, CheckpointError, files_of, writing
from vae_graph.errors import first_line
from vae_graph.runs.events import EVENT_FILES
from vae_graph.runs.record import RECORD_FILE, STOPPED_FOLDER, STOPPED_GLOB

MAX_TO_KEEP = 5      # checkpoints, the original's Saver's default


def prune(folder: Path, epochs: Iterable[int], step: int) -> None:
    """Keep the latest five of the checkpoints of some epochs, as the original's Saver does; remove stops before `step`.

    The `checkpoint` state file, by which TensorFlow's own functions find them, names them without their folder, so
    that it may be moved.

    Raises:
        OSError: a file cannot be removed, or the state file cannot be written.
    """
    _prune_stopped(folder, step)
    names = [FILE_NAME.format(epoch=epoch) for epoch in sorted(epochs)]
    names = [name for name in names if (folder / f"{name}.index").exists()]
    if not names:
        return
    for name in names[:-MAX_TO_KEEP]:
        for path in reversed(files_of(str(folder / name))):
            path.unlink()
    state = [f'model_checkpoint_path: "{names[-1]}"',
             *(f'all_model_checkpoint_paths: "{name}"' for name in names[-MAX_TO_KEEP:])]
    files.write_atomic(folder / "checkpoint", "\n".join([*state, ""]).encode())


def _prune_stopped(folder: Path, step: int) -> None:
    """Remove the checkpoints of stops before `step`: the run has a later valid one."""
    for place in folder.glob(STOPPED_GLOB):
        if place.name < STOPPED_FOLDER.format(step=step):
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
                archive_run(folder, [place] if place.exists() else [])
                inner.rename(place)
                files.sync_dir(folder)
    except OSError as error:
        raise CheckpointError(f"{place}: expected to write a checkpoint, found: {first_line(error)}") from None
    _prune_stopped(folder, step)
    return prefix


def archive_run(folder: Path, paths: Iterable[Path] | None = None) -> Path | None:
    """Move files into a new folder inside `folder`, so that they cannot conflict with a new run; nothing is deleted.

    Args:
        folder: the run's.
        paths: the files and folders to move; all of the run's by default.

    Returns:
        The new folder, or None if there was nothing to move.

    Raises:
        CheckpointError: the folder cannot be written to and read back; nothing is moved.
    """
    patterns = ("parameter*.ckpt*", "checkpoint", RECORD_FILE, STOPPED_GLOB, EVENT_FILES)
    moved = [path for pattern in patterns for path in folder.glob(pattern)] if paths is None else [*paths]
    if not moved:
        return None
    writing.check_folder(folder)
    candidates = (folder / f"earlier-{number}" for number in itertools.count(1))
    earlier = next(candidate for candidate in candidates if not candidate.exists())
    earlier.mkdir()
    for path in moved:
        path.rename(earlier / path.name)
    return earlier
