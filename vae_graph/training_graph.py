"""The training graph: a prototype of one gradient step, the copies of it that are run, and their noise.

The builders draw their noise with random ops whose state no checkpoint saves. So what they build is a prototype, which
is never run: each step that a `Session.run` takes is a copy of it, with stateless noise in place of those ops.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph.model import Variational_autoencoder, add_noise
from vae_graph.settings import Settings

ERROR_NAMES = ("Recon_error", "Regularization_error", "ELBO")
PHILOX = 1      # the random number generator: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011

Gradients = list[tuple[tf.Tensor, tf.Variable]]      # as `Optimizer.apply_gradients` takes them


class Step(NamedTuple):
    """One gradient step. Running it runs the steps before it too."""

    errors: list[tf.Tensor]          # the three of `ERROR_NAMES` on its batch, before its update
    train_op: tf.Operation
    noise: dict[str, tf.Tensor]      # by the name of the prototype's random op that each replaces; may be fed


class TrainingGraph(NamedTuple):
    """The tensors that a training loop feeds and fetches."""

    input_data: tf.Tensor        # float32 [steps * batch, n_input]
    dropout_rate: tf.Tensor      # float32 scalar; takes the KEEP probability, as the original's does
    global_step: tf.Variable     # int32 scalar, the step counter
    steps: tuple[Step, ...]


class Layer(NamedTuple):
    """A layer of a tower, x W + b."""

    product: tf.Operation        # x W
    weights: tf.Variable
    biases: tf.Variable


class Tower(NamedTuple):
    """The network on some rows of the batch. All towers share its weights."""

    rows: range
    errors: list[tf.Tensor]      # the share of these rows in the batch's three mean errors
    layers: list[Layer]
    draws: list[tf.Operation]    # the builders' random ops


class Prototype(NamedTuple):
    """The graph of one step up to its gradients: to be copied, not run."""

    graph_def: tf.GraphDef
    batch: tf.Tensor             # placeholder, float32 [rows of all towers, n_input]
    keep_prob: tf.Tensor         # placeholder, float32 scalar
    errors: list[tf.Tensor]
    gradients: Gradients         # of the last error
    towers: list[Tower]


def training_graph(n_input: int, settings: Settings, n_steps: int = 1, n_towers: int = 1) -> TrainingGraph:
    """Add the autoencoder and its optimizer to the default graph: the original's 39 variables and no others.

    Args:
        n_input: pixels per image.
        settings: see `Settings`.
        n_steps: steps that one `Session.run` can take, each on the next `batch_size` rows of `input_data`.
        n_towers: data-parallel splits of each batch. Up to rounding, errors and gradients do not depend on it.
    """
    input_data, dropout_rate, global_step = inputs(n_input)
    one_step = prototype(n_input, settings, split_rows(settings.batch_size, n_towers))
    optimizer = tf.train.AdamOptimizer(lambda: learning_rate(settings, global_step))     # each update calls it
    # Read once for all steps of a run; the first step's update waits for its noise, and so for this.
    first_step = global_step.read_value()
    steps: list[Step] = []
    for number in range(n_steps):
        images = input_data[number * settings.batch_size:(number + 1) * settings.batch_size]
        previous = [step.train_op for step in steps[-1:]]                # none before the first
        with tf.control_dependencies(previous):
            noise = stateless_noise(one_step.towers, settings, first_step + number)
        errors, gradients = copy(one_step, images, dropout_rate, noise, previous, f"step_{number + 1}")
        with tf.control_dependencies(previous):
            train_op = optimizer.apply_gradients(gradients, global_step)
        steps.append(Step(errors, train_op, noise))
    return TrainingGraph(input_data, dropout_rate, global_step, tuple(steps))


def inputs(n_input: int) -> tuple[tf.Tensor, tf.Tensor, tf.Variable]:
    """The placeholders for the images and the keep probability, and the step counter."""
    return (tf.placeholder(tf.float32, [None, n_input], name="input_data"),
            tf.placeholder(tf.float32, [], name="dropout_rate"),
            # Without a name of its own it is `Variable` in the checkpoint; the name is part of the file format.
            tf.Variable(0, trainable=False, use_resource=True))


def learning_rate(settings: Settings, global_step: tf.Variable) -> tf.Tensor:
    """That of the original's `AdamOptimizer`, which decays continuously."""
    return tf.train.exponential_decay(
        settings.learning_rate, global_step, settings.decay_step, settings.decay_rate)


def split_rows(n_rows: int, n_parts: int) -> list[range]:
    """The rows of a batch in consecutive parts whose sizes differ by one at most; none is empty."""
    parts = np.array_split(range(n_rows), min(n_parts, n_rows))
    return [range(part[0], part[-1] + 1) for part in parts]


def prototype(n_input: int, settings: Settings, rows_of_towers: Sequence[range]) -> Prototype:
    """Add the prototype of a step to the default graph. On a host with GPUs, its towers are placed on them in turn.

    Args:
        n_input: pixels per image.
        settings: see `Settings`.
        rows_of_towers: consecutive rows of a batch for each tower: together a whole batch, or a shard of it.
    """
    sizes = [len(rows) for rows in rows_of_towers]
    # With static shapes the session need not compute any in each step.
    batch = tf.placeholder(tf.float32, [sum(sizes), n_input], name="batch")
    keep_prob = tf.placeholder(tf.float32, [], name="keep_prob")
    n_gpus = len(tf.config.list_physical_devices("GPU"))
    towers = []
    for number, (images, rows) in enumerate(zip(tf.split(batch, sizes), rows_of_towers, strict=True)):
        with tf.device(f"/device:GPU:{number % n_gpus}" if n_gpus else ""):
            towers.append(tower(images, rows, keep_prob, settings))
    errors = [tf.add_n(terms) for terms in zip(*(tower.errors for tower in towers), strict=True)]
    gradients = batch_gradients(errors[-1], towers)
    results = [*errors, *(gradient for gradient, _ in gradients)]
    graph_def = tf.graph_util.extract_sub_graph(
        tf.get_default_graph().as_graph_def(), [result.op.name for result in results])
    return Prototype(graph_def, batch, keep_prob, errors, gradients, towers)


def tower(images: tf.Tensor, rows: range, keep_prob: tf.Tensor, settings: Settings) -> Tower:
    """Add the network on some rows of a batch, float32 [rows, n_input], to the default graph."""
    graph = tf.get_default_graph()
    n_before = len(graph.get_operations())
    _, _, *errors = Variational_autoencoder(
        images, settings.n_hidden_encoder, settings.n_z, settings.n_hidden_decoder, keep_prob,
        add_noise(images) if settings.add_noise else None)
    added = graph.get_operations()[n_before:]
    by_handle = {variable.handle.name: variable for variable in tf.trainable_variables()}

    def variable_read_by(tensor: tf.Tensor) -> tf.Variable:
        return by_handle[tensor.op.inputs[0].name]

    layers = []
    for product in (op for op in added if op.type == "MatMul"):
        [plus_biases] = product.outputs[0].consumers()
        layers.append(Layer(product, variable_read_by(product.inputs[1]), variable_read_by(plus_biases.inputs[1])))
    # The first tower adds the variables too, whose initializers draw from the session's state.
    draws = [op for op in added if op.type in STATELESS_DRAWS and "/Initializer/" not in op.name]
    return Tower(rows, [error * (len(rows) / settings.batch_size) for error in errors], layers, draws)


def batch_gradients(error: tf.Tensor, towers: Sequence[Tower]) -> Gradients:
    """The gradients of the towers' common error: equivalent to `Optimizer.compute_gradients(error)`.

    That computes x^T delta, with delta the gradient with respect to x W, in each tower and adds the results. Here x
    and delta are concatenated over the towers and multiplied once per weight matrix.
    """
    products = [layer.product for tower in towers for layer in tower.layers]
    deltas = dict(zip(products, tf.gradients(error, [product.outputs[0] for product in products]), strict=True))
    gradients: Gradients = []
    for layers in zip(*(tower.layers for tower in towers), strict=True):
        x = tf.concat([layer.product.inputs[0] for layer in layers], 0)
        delta = tf.concat([deltas[layer.product] for layer in layers], 0)
        gradients += [(tf.matmul(x, delta, transpose_a=True), layers[0].weights),
                      (tf.reduce_sum(delta, 0), layers[0].biases)]
    return gradients


def copy(prototype: Prototype, images: tf.Tensor, keep_prob: tf.Tensor, noise: Mapping[str, tf.Tensor],
         after: Sequence[tf.Operation], name: str) -> tuple[list[tf.Tensor], Gradients]:
    """Import a prototype into the default graph: equivalent to building it again on this batch with this noise.

    Args:
        prototype: see `Prototype`.
        images, keep_prob: in place of its placeholders.
        noise: see `stateless_noise`.
        after: the updates that the copy sees: it reads the variables after them.
        name: the copy's name scope.

    Returns:
        The copy's errors and gradients.
    """
    gradients, variables = zip(*prototype.gradients, strict=True)
    # It would not do to import within `control_dependencies`: constants would wait too, and fewer operations be fused.
    with tf.control_dependencies(after):
        handles = {variable.handle.name: tf.identity(variable.handle) if after else variable.handle
                   for variable in variables}
    results = tf.import_graph_def(
        prototype.graph_def, name=name, return_elements=[tensor.name for tensor in (*prototype.errors, *gradients)],
        input_map={prototype.batch.name: images, prototype.keep_prob.name: keep_prob, **handles,
                   **{f"{op}:0": numbers for op, numbers in noise.items()}})
    n_errors = len(prototype.errors)
    return results[:n_errors], list(zip(results[n_errors:], variables, strict=True))


def stateless_noise(towers: Sequence[Tower], settings: Settings, step: tf.Tensor) -> dict[str, tf.Tensor]:
    """The random numbers of a step, by the name of the random op that each tensor replaces.

    They are a function of seed and step, which every checkpoint has: a resumed run draws what it would have drawn
    without the stop. They are drawn for the whole batch, in two halves, of which each tower takes its rows: the number
    of towers does not change them.
    """
    # A draw increments the lower half of Philox' 128-bit counter; the step is the upper half.
    counter = tf.cast(tf.stack([0, step]), tf.uint64)
    halves = split_rows(settings.batch_size, 2)
    n_draws = len(towers[0].draws)
    noise: dict[str, tf.Tensor] = {}
    for number, ops in enumerate(zip(*(tower.draws for tower in towers), strict=True)):
        numbers = []
        for half, rows in enumerate(halves):
            key = np.random.SeedSequence([settings.seed, half * n_draws + number]).generate_state(1, np.uint64)
            shape = [len(rows), *ops[0].outputs[0].shape.as_list()[1:]]
            numbers.append(STATELESS_DRAWS[ops[0].type](shape, key, counter))
        for op, tower in zip(ops, towers, strict=True):
            noise[op.name] = _take_rows(numbers, halves, tower.rows)
    return noise


def _take_rows(parts: Sequence[tf.Tensor], rows_of_parts: Sequence[range], rows: range) -> tf.Tensor:
    """Some rows of a matrix that is given in parts."""
    taken = []
    for part, of_part in zip(parts, rows_of_parts, strict=True):
        start, stop = max(rows.start, of_part.start), min(rows.stop, of_part.stop)
        if start < stop:
            is_whole = (start, stop) == (of_part.start, of_part.stop)
            taken.append(part if is_whole else part[start - of_part.start:stop - of_part.start])
    return tf.concat(taken, 0) if len(taken) > 1 else taken[0]


def stateless_uniform(shape: Sequence[int], key: np.ndarray, counter: tf.Tensor) -> tf.Tensor:
    """Multiples of 2^-16 in [0, 1), float32: 16 random bits per number, where TensorFlow draws 32.

    The builders only compare them with a probability, which this rounds by less than 2^-16.
    """
    n_numbers = math.prod(shape)
    pairs = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[(n_numbers + 1) // 2], key=key, counter=counter, alg=PHILOX, dtype=tf.uint32)
    halves = tf.bitcast(pairs, tf.uint16)
    if n_numbers % 2:
        halves = tf.reshape(halves, [-1])[:n_numbers]
    return tf.reshape(tf.cast(halves, tf.float32) * 2**-16, shape)


def stateless_normal(shape: Sequence[int], key: np.ndarray, counter: tf.Tensor) -> tf.Tensor:
    """Numbers of the standard normal distribution, float32."""
    return tf.raw_ops.StatelessRandomNormalV2(shape=shape, key=key, counter=counter, alg=PHILOX)


# The builders' random ops, and what draws the same distribution from a key and a counter.
STATELESS_DRAWS = {"RandomUniform": stateless_uniform, "RandomStandardNormal": stateless_normal}
