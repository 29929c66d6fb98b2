"""What is in a checkpoint: the layers' sizes, the variables' names, and whether it is whole.

A checkpoint of epoch 20 is `parameter20.ckpt.index` and `parameter20.ckpt.data-00000-of-00001`;
`parameter20.ckpt` is its prefix, by which TensorFlow knows it. It holds the original's 39 variables
under the original's names, so that TensorFlow 1.x restores ours and we restore its. No `.meta` graph
is written: restoring does not need one, and one from this TensorFlow no 1.x could read.
"""

import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

FILE_NAME = "parameter{epoch}.ckpt"
INDEX_FILE = re.compile(r"parameter(\d+)\.ckpt\.index")
RESUME_FILE = "resume.json"      # beside the checkpoints: what a resumed run needs and the 39 variables do not hold


class CheckpointError(ValueError):
    """A checkpoint cannot be used. The message names it, what was expected and what was found."""


@dataclass(frozen=True)
class LayerSizes:
    """The four numbers that determine the network."""

    n_input: int
    n_hidden_encoder: int
    n_z: int
    n_hidden_decoder: int


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint: the last epoch that it has seen, its prefix and the sizes of its network."""

    epoch: int
    prefix: str
    sizes: LayerSizes


def model_shapes(sizes: LayerSizes) -> dict[str, tuple[int, ...]]:
    """The network's twelve variables and their shapes."""
    n_encoder, n_decoder = sizes.n_hidden_encoder, sizes.n_hidden_decoder
    return {
        "encoder_hidden_1/w1": (sizes.n_input, n_encoder), "encoder_hidden_1/b1": (n_encoder,),
        "encoder_hidden_2/w2": (n_encoder, n_encoder), "encoder_hidden_2/b2": (n_encoder,),
        "encoder_z/w3": (n_encoder, 2 * sizes.n_z), "encoder_z/b3": (2 * sizes.n_z,),
        "decoder_hidden_1/w4": (sizes.n_z, n_decoder), "decoder_hidden_1/b4": (n_decoder,),
        "decoder_hidden_2/w5": (n_decoder, n_decoder), "decoder_hidden_2/b5": (n_decoder,),
        "decoder_output/w6": (n_decoder, sizes.n_input), "decoder_output/b6": (sizes.n_input,),
    }


def training_shapes(sizes: LayerSizes) -> dict[str, tuple[int, ...]]:
    """All 39 variables of a checkpoint: the network's, Adam's two slots for each, Adam's powers, the step counter."""
    shapes: dict[str, tuple[int, ...]] = {"beta1_power": (), "beta2_power": (), "Variable": ()}
    for name, shape in model_shapes(sizes).items():
        shapes |= {name: shape, f"{name}/Adam": shape, f"{name}/Adam_1": shape}
    return shapes


def read_variables(prefix: str) -> dict[str, np.ndarray]:
    """Every variable of a checkpoint by its name. Reading them verifies the checksums of the format.

    Raises:
        CheckpointError: there is no such checkpoint, or it is not whole.
    """
    try:
        reader = tf.train.load_checkpoint(prefix)
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except (tf.errors.OpError, RuntimeError, LookupError, ValueError) as error:      # the reader raises all of these
        raise CheckpointError(f"{prefix}: expected a whole checkpoint, found: {_first_line(error)}") from None


def layer_sizes(prefix: str, variables: dict[str, np.ndarray]) -> LayerSizes:
    """The sizes read off the weights' shapes, once all 39 variables are seen to be there and to fit them.

    Raises:
        CheckpointError: a variable is missing or has another shape than its neighbours ask for.
    """
    try:
        n_input, n_hidden_encoder = variables["encoder_hidden_1/w1"].shape
        n_z, n_hidden_decoder = variables["decoder_hidden_1/w4"].shape
    except (KeyError, ValueError):
        raise CheckpointError(f"{prefix}: expected the matrices encoder_hidden_1/w1 and decoder_hidden_1/w4, "
                              f"found {', '.join(sorted(variables)[:3])} ...") from None
    sizes = LayerSizes(n_input, n_hidden_encoder, n_z, n_hidden_decoder)
    for name, shape in training_shapes(sizes).items():
        if name not in variables:
            raise CheckpointError(f"{prefix}: expected the variable {name}, found none of that name")
        if variables[name].shape != shape:
            raise CheckpointError(f"{prefix}: expected {name} of shape {shape}, found {variables[name].shape}")
    return sizes


def newest_whole(folder: Path) -> tuple[Checkpoint | None, list[CheckpointError]]:
    """The whole checkpoint of the highest epoch in a folder, and what is wrong with those above it.

    TensorFlow's `checkpoint` state file is not asked: it may be stale, or name another machine's folder.
    """
    matches = filter(None, (INDEX_FILE.fullmatch(path.name) for path in folder.glob("parameter*.ckpt.index")))
    problems: list[CheckpointError] = []
    for epoch in sorted((int(match[1]) for match in matches), reverse=True):
        prefix = str(folder / FILE_NAME.format(epoch=epoch))
        try:
            return Checkpoint(epoch, prefix, layer_sizes(prefix, read_variables(prefix))), problems
        except CheckpointError as error:
            problems.append(error)
    return None, problems


def save(session: tf.Session, saver: tf.train.Saver, folder: Path, epoch: int) -> str:
    """Write the checkpoint of `epoch` and return its prefix.

    Raises:
        CheckpointError: it cannot be written.
    """
    prefix = str(folder / FILE_NAME.format(epoch=epoch))
    try:
        # TensorFlow writes under other names and renames, the index last: without its index there is no checkpoint.
        return saver.save(session, prefix, write_meta_graph=False)
    except (tf.errors.OpError, ValueError, OSError) as error:
        raise CheckpointError(f"{prefix}: expected to write a checkpoint, found: {_first_line(error)}") from None


def set_aside(folder: Path) -> Path | None:
    """Move a run's files into a new folder inside `folder`, so that another run can begin and nothing is lost.

    Returns:
        The new folder, or None where there was nothing to move.
    """
    files = [path for pattern in ("parameter*.ckpt*", "checkpoint", RESUME_FILE) for path in folder.glob(pattern)]
    if not files:
        return None
    candidates = (folder / f"earlier-{number}" for number in itertools.count(1))
    earlier = next(candidate for candidate in candidates if not candidate.exists())
    earlier.mkdir()
    for path in files:
        path.rename(earlier / path.name)
    return earlier


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it appears whole under its name or not at all."""
    holding = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        holding.write_bytes(content)
        os.replace(holding, path)
    except BaseException:
        holding.unlink(missing_ok=True)
        raise


def _first_line(error: Exception) -> str:
    """What went wrong, without the stack of graph operations that TensorFlow's messages end with."""
    return str(getattr(error, "message", error)).partition("\n")[0]
