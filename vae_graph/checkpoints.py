"""What is in a checkpoint: the layers' sizes, the variables' names, and whether it is whole.

A checkpoint of epoch 20 is `parameter20.ckpt.index` and `parameter20.ckpt.data-00000-of-00001`;
`parameter20.ckpt` is its prefix, by which TensorFlow knows it. It holds the original's 39 variables
under the original's names, so that TensorFlow 1.x restores ours and we restore its. TensorFlow 0.x
wrote one file under the prefix itself; its reader is still there. No `.meta` graph is written, for
restoring does not need one and one from this TensorFlow no 1.x could read; and none is ever loaded.
"""

import difflib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph import claims

FILE_NAME = "parameter{epoch}.ckpt"
WHOLE_FILE = re.compile(r"parameter(\d+)\.ckpt(\.index)?")               # the file without which there is no checkpoint
PART = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")                 # what a checkpoint's files add to its prefix
# How the message of a session's error begins: with the operation that failed and where it was built.
SESSION_ERROR = re.compile(r"^Graph execution error:\s+(Detected at node .*?\nNode: [^\n]*\n)?", re.DOTALL)
STEP = "Variable"                # the original's step counter has no name of its own
RECORD_FILE = "resume.json"      # beside the checkpoints: what going on needs and the 39 variables do not hold
EVENT_FILES = "events.out.tfevents.*"      # beside them too: see `events`
# A folder of its own for a checkpoint in the midst of an epoch; in the order of names, which is that of steps.
STOPPED_FOLDER, STOPPED_FOLDERS = "stopped-{step:010}", "stopped-*"


class CheckpointError(ValueError):
    """A checkpoint cannot be used. The message names it, what was expected and what was found."""


@dataclass(frozen=True)
class LayerSizes:
    """The four numbers that determine the network."""

    n_input: int
    n_hidden_encoder: int
    n_z: int
    n_hidden_decoder: int

    def __str__(self) -> str:
        return ", ".join(f"{name} {size}" for name, size in asdict(self).items())


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint."""

    epoch: int                       # the last that it has seen
    prefix: str
    sizes: LayerSizes
    step: int                        # its step counter; 0 where only the network was asked for


ShapesOf = Callable[[LayerSizes], dict[str, tuple[int, ...]]]


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
    shapes = model_shapes(sizes)
    slots = {f"{name}/{slot}": shape for name, shape in shapes.items() for slot in ("Adam", "Adam_1")}
    return {**shapes, **slots, "beta1_power": (), "beta2_power": (), STEP: ()}


def find(path: Path) -> tuple[str, dict[str, CheckpointError]]:
    """The prefix of the checkpoint that a path means.

    Args:
        path: a prefix, one of a checkpoint's files, or a folder, whose newest whole checkpoint is meant.

    Returns:
        The prefix, and what is wrong with the newer checkpoints of a folder, by their prefixes.

    Raises:
        CheckpointError: there is none.
    """
    if path.is_dir():
        newest, problems = newest_whole(path, model_shapes)
        if newest is None:
            found = next(iter(problems.values())) if problems else "no parameter<epoch>.ckpt"
            raise CheckpointError(f"{path}: expected a folder with a whole checkpoint in it, found: {found}")
        return newest.prefix, problems

    prefix = PART.sub("", str(path))
    if not os.path.isfile(prefix + ".index") and not os.path.isfile(prefix):
        half = os.path.exists(path) or os.path.exists(f"{prefix}.data-00000-of-00001")
        raise CheckpointError(f"{path}: expected a checkpoint's prefix, one of its files, or a folder of checkpoints, "
                              f"found {'no .index file beside it' if half else 'nothing of that name'}")
    return prefix, {}


def read_variables(prefix: str) -> dict[str, np.ndarray]:
    """Every variable of a checkpoint by its name. Reading them verifies the checksums of the format.

    Strings, of which this network has none, are not read: they are empty objects.

    Raises:
        CheckpointError: there is no such checkpoint, it is not whole, or it claims what cannot be.
    """
    try:
        claims.refuse_impossible(prefix)
        reader = tf.train.load_checkpoint(prefix)
        shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        return {name: reader.get_tensor(name) if dtypes[name].is_numpy_compatible and dtypes[name] != tf.string
                else np.empty(shapes[name], object) for name in shapes}
    except (tf.errors.OpError, RuntimeError, LookupError, ValueError, OSError) as error:     # the reader raises many
        raise CheckpointError(f"{prefix}: expected a whole checkpoint, found: {first_line(error)}") from None


def layer_sizes(prefix: str, variables: dict[str, np.ndarray], needed: ShapesOf = model_shapes) -> LayerSizes:
    """The sizes read off the weights' shapes, once all variables needed are seen to be there and to fit them.

    Args:
        prefix: what to call the checkpoint in a message.
        variables: see `read_variables`.
        needed: the variables that must be there, `model_shapes` or `training_shapes`.

    Raises:
        CheckpointError: a variable is missing, of another type, or of another shape than its neighbours ask for.
    """
    unit_sizes = LayerSizes(1, 1, 1, 1)
    _refuse_missing(prefix, variables, needed(unit_sizes))
    try:
        n_input, n_hidden_encoder = variables["encoder_hidden_1/w1"].shape
        n_z, n_hidden_decoder = variables["decoder_hidden_1/w4"].shape
    except ValueError:
        raise CheckpointError(f"{prefix}: expected encoder_hidden_1/w1 and decoder_hidden_1/w4 to be matrices, found "
                              "another number of dimensions") from None
    sizes = LayerSizes(n_input, n_hidden_encoder, n_z, n_hidden_decoder)
    if min(astuple(sizes)) < 1:
        raise CheckpointError(f"{prefix}: expected sizes of 1 or more, found {sizes}")
    for name, shape in needed(sizes).items():
        if variables[name].shape != shape:
            raise CheckpointError(f"{prefix}: expected {name} of shape {shape}, found {variables[name].shape}")
        dtype = "int32" if name == STEP else "float32"
        if variables[name].dtype != dtype:
            raise CheckpointError(f"{prefix}: expected {name} of type {dtype}, found {variables[name].dtype}")
    return sizes


def read_network(prefix: str) -> tuple[LayerSizes, dict[str, np.ndarray]]:
    """The sizes and the twelve variables of a checkpoint's network, seen to be fit for use.

    Raises:
        CheckpointError: the checkpoint is not whole, not of this network, or has NaN or infinity in it.
    """
    variables = read_variables(prefix)
    sizes = layer_sizes(prefix, variables)
    network = {name: variables[name] for name in model_shapes(sizes)}
    refuse_not_finite(prefix, network, network)
    return sizes, network


def newest_whole(folder: Path, needed: ShapesOf = model_shapes
                 ) -> tuple[Checkpoint | None, dict[str, CheckpointError]]:
    """The whole checkpoint of the highest epoch in a folder, and what is wrong with those above it, by their prefixes.

    TensorFlow's `checkpoint` state file is not asked: it may be stale, or name another machine's folder.

    Args:
        needed: the variables that make a checkpoint whole, `model_shapes` or `training_shapes`.
    """
    matches = (WHOLE_FILE.fullmatch(path.name) for path in folder.glob("parameter*.ckpt*"))
    problems: dict[str, CheckpointError] = {}
    for epoch in sorted({int(match[1]) for match in matches if match}, reverse=True):
        prefix = str(folder / FILE_NAME.format(epoch=epoch))
        try:
            variables = read_variables(prefix)
            sizes = layer_sizes(prefix, variables, needed)
            refuse_not_finite(prefix, variables, needed(sizes))
            return Checkpoint(epoch, prefix, sizes, int(variables[STEP]) if STEP in needed(sizes) else 0), problems
        except CheckpointError as error:
            problems[prefix] = error
    return None, problems


def newest_to_resume(folder: Path) -> tuple[Checkpoint | None, dict[str, CheckpointError]]:
    """The checkpoint of the most steps, of an epoch's end or of a stop, and what is wrong with those above it."""
    found = [newest_whole(place, training_shapes) for place in (folder, *folder.glob(STOPPED_FOLDERS))]
    whole = [newest for newest, _ in found if newest]
    problems = {prefix: problem for _, some in found for prefix, problem in some.items()}
    return max(whole, key=lambda checkpoint: checkpoint.step, default=None), problems


def files_of(prefix: str) -> list[Path]:
    """The files of a checkpoint, the index last: without it there is no checkpoint."""
    name = Path(prefix).name
    there = [path for path in Path(prefix).parent.iterdir() if path.name == name or path.name.startswith(f"{name}.")]
    return sorted(there, key=lambda path: path.suffix == ".index")


def refuse_not_finite(prefix: str, variables: dict[str, np.ndarray], names: Iterable[str]) -> None:
    """Raise CheckpointError if there is NaN or infinity in one of the variables named."""
    for name in names:
        if not np.isfinite(variables[name]).all():
            raise CheckpointError(f"{prefix}: expected finite numbers, found NaN or infinity in {name}")


def _refuse_missing(prefix: str, variables: Iterable[str], needed: Iterable[str]) -> None:
    """Name the first variable that is missing and, for one who holds another program's file, the nearest there is."""
    there = sorted(variables)
    for name in needed:
        if name not in there:
            nearest = difflib.get_close_matches(name, there, n=1, cutoff=0)
            raise CheckpointError(f"{prefix}: expected the variable {name}, found none of that name; the nearest is "
                                  f"{nearest[0] if nearest else 'none at all'}")


def first_line(error: Exception) -> str:
    """What went wrong, without the graph operations that TensorFlow's messages begin and end with."""
    text = SESSION_ERROR.sub("", str(getattr(error, "message", error)))
    return text.partition("\n")[0]
