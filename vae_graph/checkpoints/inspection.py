"""What is in a checkpoint, found without building a graph: its program, its step, each of its variables."""

import math
import os
from dataclasses import dataclass

import numpy as np

from vae_graph import checkpoints
from vae_graph.checkpoints import CheckpointError, LayerSizes

STEPS_PER_EPOCH = 55_000 // 128      # the original's, on MNIST

# A variable that identifies the program whose variable names a checkpoint has.
ORIGINS = {
    "encoder_hidden_1/w1": "MINGUKKANG/VAE_tensorflow, the original's and this program's",
    "decoder_hidden_1/w4": "MINGUKKANG/VAE_tensorflow, the original's and this program's",
    "gaussian_MLP_encoder/w0": "hwalsuklee/tensorflow-mnist-VAE",
    "enc_fc1/weights": "shaohua0116/VAE-Tensorflow",
    "_CHECKPOINTABLE_OBJECT_GRAPH": "TensorFlow 2's, of objects and not of variable scopes",
}


@dataclass(frozen=True)
class Variable:
    """One variable of a checkpoint."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    norm: float | None               # square root of the sum of squares; None without numbers, or if not finite
    n_nan: int | None                # None if the values are missing
    n_inf: int | None


@dataclass(frozen=True)
class Inspection:
    """What is in a checkpoint."""

    prefix: str
    format: str                      # "V2", or "V1", the single file of TensorFlow 0.x
    origin: str                      # the program whose names the variables have, or "unknown"
    sizes: LayerSizes | None         # None if it is not this network
    mismatch: str | None             # why it is not
    step: int | None                 # None if there is no step counter
    epochs: float | None             # this network's steps as epochs of MNIST, at the original's 429 steps per epoch
    n_adam_slots: int                # of 24; resuming exactly needs all
    variables: tuple[Variable, ...]  # by name
    missing: str | None              # why the values are missing, if only names and shapes are known


def inspect(prefix: str) -> Inspection:
    """Inspect a checkpoint of any program, by its prefix.

    Raises:
        CheckpointError: it is invalid.
        OSError: it cannot be read.
    """
    sizes, mismatch, missing = None, None, None
    try:
        values = checkpoints.read_variables(prefix)
    except checkpoints.ValuesMissing as error:
        values = checkpoints.read_shapes(prefix)
        missing = str(error).removeprefix(f"{prefix}: expected a valid checkpoint, found: ")
    try:
        sizes = checkpoints.layer_sizes(prefix, values)
    except CheckpointError as error:
        mismatch = str(error)
    step = None if missing else _step(values, is_this_network=sizes is not None)
    return Inspection(
        prefix=str(prefix),
        format="V2" if os.path.exists(f"{prefix}.index") else "V1",
        origin=next((program for name, program in ORIGINS.items() if name in values), "unknown"),
        sizes=sizes,
        mismatch=mismatch,
        step=step,
        epochs=None if step is None or sizes is None else step / STEPS_PER_EPOCH,
        n_adam_slots=sum(name.endswith(("/Adam", "/Adam_1")) for name in values),
        variables=tuple(_variable(name, value, missing is not None) for name, value in sorted(values.items())),
        missing=missing)


def _step(values: dict[str, np.ndarray], is_this_network: bool) -> int | None:
    """The step counter: the original's, which has no name of its own, or the one that most programs have."""
    for name in (checkpoints.STEP, "global_step") if is_this_network else ("global_step",):
        value = values.get(name)
        if value is not None and value.ndim == 0 and np.issubdtype(value.dtype, np.integer):
            return int(value)
    return None


def _variable(name: str, value: np.ndarray, is_missing: bool) -> Variable:
    # Strings and the like, which are not read, have the name of their type.
    shape, dtype = value.shape, value.dtype.names[0] if value.dtype.names else value.dtype.name
    if is_missing:
        return Variable(name, shape, dtype, None, None, None)
    if value.dtype.names or value.dtype.kind == "c":
        return Variable(name, shape, dtype, None, 0, 0)
    value = value.astype(np.float64)
    n_nan, n_inf = int(np.isnan(value).sum()), int(np.isinf(value).sum())
    with np.errstate(over="ignore"):
        norm = float(np.linalg.norm(value))
    return Variable(name, shape, dtype, norm if math.isfinite(norm) else None, n_nan, n_inf)
