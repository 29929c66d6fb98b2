"""Exports of a trained model: a SavedModel for plain TensorFlow 2, ONNX graphs, and arrays without a graph."""

import contextlib
import dataclasses
import functools
import importlib
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph import checkpoints, files
from vae_graph.checkpoints.safe_names import safe_dir
from vae_graph.errors import UserError, first_line
from vae_graph.model import Bernoulli_decoder, gaussian_encoder

MAX_HEADER_SIZE = 100_000        # of a safetensors file with twelve arrays: larger by far


class ExportError(UserError):
    """A model cannot be written. The message names the path, what was expected and what was found."""


def saved_model(prefix: str, folder: str | Path) -> None:
    """Write a checkpoint's network, dropout off, as a SavedModel that needs no code of this package.

    Its signatures, float32 each, are functions of `tf.saved_model.load(folder).signatures`:
        encode: images [batch, n_input] -> mean, std [batch, n_z].
        decode: z [batch, n_z] -> images [batch, n_input], probabilities in [0, 1].
        reconstruct: images [batch, n_input] -> reconstructions [batch, n_input]. It decodes the mean, not a sample,
            and so is deterministic.

    Args:
        prefix: the checkpoint.
        folder: it must not exist yet, or be empty; it appears complete or not at all.

    Raises:
        CheckpointError: the checkpoint is invalid, not of this network, or has NaN or infinity in it.
        ExportError: the folder is not empty, or cannot be written.
    """
    sizes, network = checkpoints.read_network(prefix)
    with _new_folder(folder) as staged, safe_dir(staged.parent) as parent_for_tensorflow:
        _write_saved_model(sizes, network, parent_for_tensorflow / staged.name)


def onnx(prefix: str, folder: str | Path) -> None:
    """Write a checkpoint's network, dropout off, as encode.onnx, decode.onnx and reconstruct.onnx.

    Their inputs and outputs are those of `saved_model`'s signatures of the same names.

    Args:
        prefix: the checkpoint.
        folder: it must not exist yet, or be empty; it appears complete or not at all.

    Raises:
        CheckpointError, ExportError: see `saved_model`; or the package onnx is not installed.
    """
    _import_extra("onnx", "--onnx")
    from vae_graph import _onnx_graphs

    sizes, network = checkpoints.read_network(prefix)
    with _new_folder(folder) as staged:
        staged.mkdir()
        for name, content in _onnx_graphs.graphs(sizes, network).items():
            (staged / f"{name}.onnx").write_bytes(content)


def npz(prefix: str, path: str | Path) -> None:
    """Write the twelve variables of a checkpoint's network under their names, for `numpy.load`.

    Of a checkpoint of another program, it writes all arrays; those of types that NumPy lacks become float32, and
    strings and the like are left out.

    Args:
        prefix: the checkpoint.
        path: the file; it is written atomically and replaces an earlier export, but nothing else.

    Raises:
        CheckpointError: the checkpoint is invalid, or of this network with NaN or infinity in it.
        ExportError: the file cannot be written, or is there and not an earlier export.
    """
    variables = checkpoints.read_variables(prefix)
    try:
        checkpoints.layer_sizes(prefix, variables)
    except checkpoints.CheckpointError:
        arrays = {name: value if value.dtype.isbuiltin == 1 else value.astype(np.float32)
                  for name, value in variables.items() if not value.dtype.names}
    else:
        arrays = checkpoints.read_network(prefix)[1]

    def content(arrays: dict[str, Any]) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:        # as `np.savez`, for any names, such as "file"
            for name, value in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, value, allow_pickle=False)
        return buffer.getvalue()

    _write_arrays(arrays, path, content, _names_in_npz)


def safetensors(prefix: str, path: str | Path) -> None:
    """Write the twelve variables of a checkpoint's network under their names as a safetensors file.

    Its metadata has the layer sizes and the activations.

    Args:
        prefix, path: as for `npz`.

    Raises:
        CheckpointError, ExportError: see `npz`; or the package safetensors is not installed.
    """
    save = _import_extra("safetensors.numpy", "--safetensors").save
    sizes, network = checkpoints.read_network(prefix)
    metadata = {**{name: str(size) for name, size in dataclasses.asdict(sizes).items()},
                "activations": "elu in hidden layers, softplus + 1e-6 for std, sigmoid for images"}
    _write_arrays(network, path, functools.partial(save, metadata=metadata), _names_in_safetensors)


def _import_extra(module: str, flag: str) -> ModuleType:
    """Import a package that only one export needs."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ExportError(f"{flag}: expected the package {package}, found none; pip install {package} installs it"
                          ) from None


@contextlib.contextmanager
def _new_folder(folder: str | Path) -> Iterator[Path]:
    """A place for a new folder's content, which is renamed to `folder` at the end.

    A mount point, such as a container's volume, is empty and stays: the content is moved into it, graphs last.
    """
    folder = Path(os.path.realpath(folder))
    place = folder if os.path.ismount(folder) else folder.parent
    files.remove_stale(place)                    # first: a killed export's would be files in a mount point
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        found = "files in it" if folder.is_dir() else "a file"
        raise ExportError(f"{folder}: expected a new or empty folder, found {found}")
    try:
        place.mkdir(parents=True, exist_ok=True)
        with files.staging_dir(place) as staging:
            yield staging / "export"
            files.sync_tree(staging / "export")
            if place == folder:
                for path in sorted((staging / "export").iterdir(), key=Path.is_file):
                    path.rename(folder / path.name)
            else:
                if folder.exists():
                    folder.rmdir()       # Windows cannot rename to an existing name
                (staging / "export").rename(folder)
            files.sync_dir(place)
    except (OSError, tf.errors.OpError) as error:
        raise ExportError(f"{folder}: expected a writable folder, found: {first_line(error)}") from None


def _write_arrays(arrays: dict[str, Any], path: str | Path, content: Callable[[dict[str, Any]], bytes],
                  names_in: Callable[[Path], set[str]]) -> None:
    """Write arrays as one file, atomically, unless another file is there.

    Args:
        content: the file's bytes, from the arrays by their names.
        names_in: the names of the arrays in a file of this format; none in another file.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() and names_in(path) == arrays.keys()):
        found = "a folder" if path.is_dir() else "another file"
        raise ExportError(f"{path}: expected a new file or an earlier export, found {found}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.remove_stale(path.parent)
        files.write_atomic(path, content(arrays))
    except (OSError, struct.error) as error:         # the second: a name that is too long for an archive
        raise ExportError(f"{path}: expected a writable file, found: {error}") from None


def _names_in_npz(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return set()


def _names_in_safetensors(path: Path) -> set[str]:
    """From its header: a length of eight bytes, then JSON."""
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size)) if size <= MAX_HEADER_SIZE else None
    except (OSError, ValueError, RecursionError):
        return set()
    return {*header} - {"__metadata__"} if isinstance(header, dict) else set()


def _write_saved_model(sizes: checkpoints.LayerSizes, network: dict[str, np.ndarray], folder: Path) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.placeholder(tf.float32, [None, sizes.n_input], name="images")
        z = tf.placeholder(tf.float32, [None, sizes.n_z], name="z")
        mean, std = gaussian_encoder(images, sizes.n_hidden_encoder, sizes.n_z, keep_prob=1.0)
        # Two decoders, one set of weights.
        decoded = Bernoulli_decoder(z, sizes.n_hidden_decoder, sizes.n_input, keep_prob=1.0)
        reconstructed = Bernoulli_decoder(mean, sizes.n_hidden_decoder, sizes.n_input, keep_prob=1.0)
        checkpoints.assign(session, network)

        signature = tf.saved_model.predict_signature_def
        builder = tf.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, [tf.saved_model.SERVING], signature_def_map={
            "encode": signature({"images": images}, {"mean": mean, "std": std}),
            "decode": signature({"z": z}, {"images": decoded}),
            "reconstruct": signature({"images": images}, {"reconstructions": reconstructed})})
        builder.save()
