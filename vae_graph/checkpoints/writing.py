"""Writing checkpoints atomically: a crash damages neither the new one nor the old."""

from pathlib import Path

import tensorflow.compat.v1 as tf

from vae_graph import files
from vae_graph.checkpoints.format import FILE_NAME, CheckpointError, files_of
from vae_graph.checkpoints.reading import check_finite, iter_variables
from vae_graph.checkpoints.safe_names import safe_dir
from vae_graph.errors import first_line


def check_folder(folder: Path) -> None:
    """Check that TensorFlow can write to a folder and that it can be read back, before anything in it is changed.

    Raises:
        CheckpointError: it cannot.
    """
    content, found = b"written by TensorFlow", b""
    try:
        with files.staging_dir(folder) as staging:
            with safe_dir(staging) as folder_for_tensorflow, \
                    tf.io.gfile.GFile(str(folder_for_tensorflow / "probe"), "wb") as file:
                file.write(content)
            found = (staging / "probe").read_bytes()
    except (tf.errors.OpError, OSError) as error:
        raise CheckpointError(f"{folder}: expected a folder to write to, found: {first_line(error)}") from None
    if found != content:
        raise CheckpointError(f"{folder}: expected to read back what is written there, found other content")


def save(session: tf.Session, saver: tf.train.Saver, folder: Path, epoch: int, destination: Path | None = None) -> str:
    """Write the checkpoint of `epoch` and return its prefix, in `destination` if the caller moves it there.

    It is written to a staging directory, read back, fsynced, and only then renamed.

    Raises:
        CheckpointError: it cannot be written, or has NaN or infinity in it.
    """
    prefix = str((destination or folder) / FILE_NAME.format(epoch=epoch))
    try:
        with files.staging_dir(folder) as staging:
            written = str(staging / Path(prefix).name)
            with safe_dir(staging) as folder_for_tensorflow:
                saver.save(session, str(folder_for_tensorflow / Path(prefix).name), write_meta_graph=False,
                           write_state=False)
            for name, value in iter_variables(written):
                check_finite(prefix, {name: value}, [name])
            for part in files_of(written):
                files.commit(part, folder / part.name)
    except CheckpointError:
        raise
    except (tf.errors.OpError, ValueError, OSError) as error:
        raise CheckpointError(f"{prefix}: expected to write a checkpoint, found: {first_line(error)}") from None
    return prefix
