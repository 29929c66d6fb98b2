"""A trained model carried over: to plain TensorFlow 2 as a SavedModel, to those with no TensorFlow as NumPy arrays."""

import io
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph import checkpoints, files
from vae_graph.model import Bernoulli_decoder, gaussian_encoder


class ExportError(ValueError):
    """A model cannot be written. The message names the place, what was expected and what was found."""


def saved_model(prefix: str, folder: Path) -> None:
    """Write a checkpoint's network, dropout off, as a SavedModel that needs no code of this package.

    Its signatures, float32 each, are functions of `tf.saved_model.load(folder).signatures`:
        encode: images [batch, n_input] -> mean, std [batch, n_z].
        decode: z [batch, n_z] -> images [batch, n_input], probabilities in [0, 1].
        reconstruct: images [batch, n_input] -> images [batch, n_input]. It decodes the mean, not a sample, and so
            gives the same each time.

    Args:
        prefix: the checkpoint.
        folder: it appears whole or not at all, and must not be there yet, or be empty.

    Raises:
        CheckpointError: the checkpoint is not whole, not of this network, or has NaN or infinity in it.
        ExportError: there is something in the folder, or it cannot be written.
    """
    sizes, _ = checkpoints.read_network(prefix)
    folder = Path(os.path.abspath(folder))
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ExportError(f"{folder}: expected a name that is free or an empty folder, found something there")
    holding = folder.with_name(f".{folder.name}-{os.getpid()}")
    try:
        holding.mkdir(parents=True)
        _write_saved_model(prefix, sizes, holding)
        if folder.exists():
            folder.rmdir()           # Windows renames to no name that is taken
        holding.rename(folder)
    except (OSError, tf.errors.OpError) as error:
        raise ExportError(f"{folder}: expected a folder that can be written, found: {checkpoints.first_line(error)}"
                          ) from None
    finally:
        shutil.rmtree(holding, ignore_errors=True)


def npz(prefix: str, path: Path) -> None:
    """Write the twelve variables of a checkpoint's network under their names, for `numpy.load`.

    Args:
        prefix: the checkpoint.
        path: the file; it appears whole or not at all, and takes the place of an earlier one.

    Raises:
        CheckpointError: the checkpoint is not whole, not of this network, or has NaN or infinity in it.
        ExportError: the file cannot be written.
    """
    network: dict[str, Any] = checkpoints.read_network(prefix)[1]
    content = io.BytesIO()
    np.savez(content, **network)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(path, content.getvalue())
    except OSError as error:
        raise ExportError(f"{path}: expected a file that can be written, found: {error}") from None


def _write_saved_model(prefix: str, sizes: checkpoints.LayerSizes, folder: Path) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.placeholder(tf.float32, [None, sizes.n_input], name="images")
        z = tf.placeholder(tf.float32, [None, sizes.n_z], name="z")
        mean, std = gaussian_encoder(images, sizes.n_hidden_encoder, sizes.n_z, keep_prob=1.0)
        # Two decoders, one set of weights.
        decoded = Bernoulli_decoder(z, sizes.n_hidden_decoder, sizes.n_input, keep_prob=1.0)
        reconstructed = Bernoulli_decoder(mean, sizes.n_hidden_decoder, sizes.n_input, keep_prob=1.0)
        tf.train.Saver().restore(session, prefix)

        signature = tf.saved_model.predict_signature_def
        builder = tf.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, [tf.saved_model.SERVING], signature_def_map={
            "encode": signature({"images": images}, {"mean": mean, "std": std}),
            "decode": signature({"z": z}, {"images": decoded}),
            "reconstruct": signature({"images": images}, {"images": reconstructed})})
        builder.save()
