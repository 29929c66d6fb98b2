"""Exports of a trained model: a SavedModel for plain TensorFlow 2, NumPy arrays for use without TensorFlow."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph import checkpoints
from vae_graph.checkpoints import files
from vae_graph.checkpoints.safe_names import safe_dir
from vae_graph.errors import UserError
from vae_graph.model import Bernoulli_decoder, gaussian_encoder


class ExportError(UserError):
    """A model cannot be written. The message names the path, what was expected and what was found."""


def saved_model(prefix: str, folder: Path) -> None:
    """Write a checkpoint's network, dropout off, as a SavedModel that needs no code of this package.

    Its signatures, float32 each, are functions of `tf.saved_model.load(folder).signatures`:
        encode: images [batch, n_input] -> mean, std [batch, n_z].
        decode: z [batch, n_z] -> images [batch, n_input], probabilities in [0, 1].
        reconstruct: images [batch, n_input] -> images [batch, n_input]. It decodes the mean, not a sample, and so
            is deterministic.

    Args:
        prefix: the checkpoint.
        folder: it must not exist yet, or be empty; it appears complete or not at all.

    Raises:
        CheckpointError: the checkpoint is invalid, not of this network, or has NaN or infinity in it.
        ExportError: the folder is not empty, or cannot be written.
    """
    sizes, _ = checkpoints.read_network(prefix)
    folder = Path(os.path.abspath(folder))
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ExportError(f"{folder}: expected a new or empty folder, found files there")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        files.remove_stale(folder.parent)
        with files.staging_dir(folder.parent) as staging:
            written = staging / "saved_model"
            with safe_dir(staging) as folder_for_tensorflow:
                _write_saved_model(prefix, sizes, folder_for_tensorflow / written.name)
            if folder.exists():
                folder.rmdir()           # Windows cannot rename to an existing name
            written.rename(folder)
    except (OSError, tf.errors.OpError) as error:
        raise ExportError(f"{folder}: expected a writable folder, found: {checkpoints.first_line(error)}"
                          ) from None


def npz(prefix: str, path: Path) -> None:
    """Write the twelve variables of a checkpoint's network under their names, for `numpy.load`.

    Args:
        prefix: the checkpoint.
        path: the file; it is written atomically and replaces an earlier export, but nothing else.

    Raises:
        CheckpointError: the checkpoint is invalid, not of this network, or has NaN or infinity in it.
        ExportError: the file cannot be written, or is there and not an earlier export.
    """
    if path.exists() and not _is_export(path):
        found = "a folder" if path.is_dir() else "another file"
        raise ExportError(f"{path}: expected a new file or an earlier export, found {found}")
    network: dict[str, Any] = checkpoints.read_network(prefix)[1]
    content = io.BytesIO()
    np.savez(content, **network)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.remove_stale(path.parent)
        files.write_atomic(path, content.getvalue())
    except OSError as error:
        raise ExportError(f"{path}: expected a writable file, found: {error}") from None


def _is_export(path: Path) -> bool:
    """Whether a file has the arrays that `npz` writes."""
    names = checkpoints.model_shapes(checkpoints.LayerSizes(1, 1, 1, 1))
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return {*archive.namelist()} == {f"{name}.npy" for name in names}
    except (OSError, zipfile.BadZipFile):
        return False


def _write_saved_model(prefix: str, sizes: checkpoints.LayerSizes, folder: Path) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.placeholder(tf.float32, [None, sizes.n_input], name="images")
        z = tf.placeholder(tf.float32, [None, sizes.n_z], name="z")
        mean, std = gaussian_encoder(images, sizes.n_hidden_encoder, sizes.n_z, keep_prob=1.0)
        # Two decoders, one set of weights.
        decoded = Bernoulli_decoder(z, sizes.n_hidden_decoder, sizes.n_input, keep_prob=1.0)
        reconstructed = Bernoulli_decoder(mean, sizes.n_hidden_decoder, sizes.n_input, keep_prob=1.0)
        checkpoints.restore(session, tf.train.Saver(), prefix)

        signature = tf.saved_model.predict_signature_def
        builder = tf.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, [tf.saved_model.SERVING], signature_def_map={
            "encode": signature({"images": images}, {"mean": mean, "std": std}),
            "decode": signature({"z": z}, {"images": decoded}),
            "reconstruct": signature({"images": images}, {"images": reconstructed})})
        builder.save()
