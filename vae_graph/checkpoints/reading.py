"""Reading checkpoints: every one is validated before it is used."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple
from typing import TYPE_CHECKING

import numpy as np

from vae_graph.checkpoints.format import (
    STEP,
    CheckpointError,
    LayerSizes,
    ShapesOf,
    ValuesMissing,
    model_shapes,
    training_shapes,
)
from vae_graph.checkpoints.variables import DataMissing, read_index, read_v1, read_v2
from vae_graph.errors import first_line

if TYPE_CHECKING:
    import tensorflow.compat.v1 as tf

MAX_HINT_SIZE, MAX_HINTS = 200, 1_000        # of the names that are compared with a missing one


def read_variables(prefix: str) -> dict[str, np.ndarray]:
    """Every variable of a checkpoint by its name: see `variables`.

    Raises:
        ValuesMissing: the index is there, and the file with the values is not.
        CheckpointError: there is no such checkpoint, or it is invalid.
        OSError: it cannot be read.
    """
    return dict(iter_variables(prefix))


def iter_variables(prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    """The names and values of a checkpoint's variables, one at a time.

    Raises: see `read_variables`.
    """
    yield from _checked(prefix, read_v2(prefix) if os.path.exists(f"{prefix}.index") else read_v1(prefix))


def read_shapes(prefix: str) -> dict[str, np.ndarray]:
    """The variables that a checkpoint's index lists, as arrays of the right shape and type, without their values.

    Raises: see `read_variables`.
    """
    return dict(_checked(prefix, read_index(prefix)))


def _checked(prefix: str, variables: Iterator[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
    try:
        yield from variables
    except ValueError as error:
        kind = ValuesMissing if isinstance(error, DataMissing) else CheckpointError
        raise kind(f"{prefix}: expected a valid checkpoint, found: {first_line(error)}") from None


def layer_sizes(prefix: str, variables: dict[str, np.ndarray], expected_shapes: ShapesOf = model_shapes) -> LayerSizes:
    """The layer sizes that the weights' shapes give, once all expected variables are there and fit them.

    Args:
        prefix: the checkpoint, for messages.
        variables: see `read_variables`.
        expected_shapes: of the variables that must be there: `model_shapes` or `training_shapes`.

    Raises:
        CheckpointError: a variable is missing, or its type or shape does not match the others.
    """
    unit_sizes = LayerSizes(1, 1, 1, 1)
    _check_names(prefix, variables, expected_shapes(unit_sizes))
    try:
        n_input, n_hidden_encoder = variables["encoder_hidden_1/w1"].shape
        n_z, n_hidden_decoder = variables["decoder_hidden_1/w4"].shape
    except ValueError:
        raise CheckpointError(f"{prefix}: expected encoder_hidden_1/w1 and decoder_hidden_1/w4 to be matrices, found "
                              "another number of dimensions") from None
    sizes = LayerSizes(n_input, n_hidden_encoder, n_z, n_hidden_decoder)
    if min(astuple(sizes)) < 1:
        raise CheckpointError(f"{prefix}: expected sizes of 1 or more, found {sizes}")
    for name, shape in expected_shapes(sizes).items():
        if variables[name].shape != shape:
            raise CheckpointError(f"{prefix}: expected {name} of shape {shape}, found {variables[name].shape}")
        dtype = "int32" if name == STEP else "float32"
        if variables[name].dtype != dtype:
            raise CheckpointError(f"{prefix}: expected {name} of type {dtype}, found {variables[name].dtype}")
    return sizes


def restore(session: tf.Session, prefix: str) -> None:
    """Restore all variables of a training's session from a checkpoint, as `Saver.restore` does.

    Raises:
        CheckpointError: the checkpoint is invalid, not of a training, or has NaN or infinity in it.
        OSError: it cannot be read.
    """
    values = read_variables(prefix)
    check_finite(prefix, values, training_shapes(layer_sizes(prefix, values, training_shapes)))
    assign(session, values)


def assign(session: tf.Session, values: Mapping[str, np.ndarray]) -> None:
    """Assign arrays to all variables of a session's graph, by name.

    This is what `Saver.restore` amounts to: each variable's assignment is run. `Saver` would read the arrays from the
    file, which another process may have replaced since it was validated.
    """
    variables = session.graph.get_collection("variables")
    # An initializer assigns its second input, here replaced. It is in the graph, which may be final.
    session.run([variable.initializer for variable in variables],
                {variable.initializer.inputs[1]: values[variable.op.name] for variable in variables})


def read_network(prefix: str) -> tuple[LayerSizes, dict[str, np.ndarray]]:
    """The layer sizes and the twelve variables of a checkpoint's network.

    Raises:
        CheckpointError: the checkpoint is invalid, not of this network, or has NaN or infinity in it.
        OSError: it cannot be read.
    """
    variables = read_variables(prefix)
    sizes = layer_sizes(prefix, variables)
    network = {name: variables[name] for name in model_shapes(sizes)}
    check_finite(prefix, network, network)
    return sizes, network


def check_finite(prefix: str, variables: dict[str, np.ndarray], names: Iterable[str]) -> None:
    """Raise CheckpointError if there is NaN or infinity in one of the named variables."""
    for name in names:
        if not np.isfinite(variables[name]).all():
            raise CheckpointError(f"{prefix}: expected finite numbers, found NaN or infinity in {name}")


def _check_names(prefix: str, variables: Iterable[str], expected: Iterable[str]) -> None:
    """Name the first missing variable and, in case the file is another program's, the most similar one present."""
    present = {*variables}
    for name in expected:
        if name not in present:
            # Comparing names takes time in proportion to their length, and a file can have many long ones.
            candidates = sorted(other for other in present if len(other) <= MAX_HINT_SIZE)[:MAX_HINTS]
            nearest = difflib.get_close_matches(name, candidates, n=1, cutoff=0)
            raise CheckpointError(f"{prefix}: expected the variable {name}, found none of that name; the most similar "
                                  f"is {nearest[0] if nearest else 'none at all'}")
