"""The training graph: a prototype of the network, the copies of it that are run, and their noise.

The builders draw noise with random ops, whose state no checkpoint saves; their signatures are the original's, so other
noise cannot be passed in. Therefore the network is built once, as a prototype that is not run. Each step imports copies
of it in which stateless random numbers replace the random ops: one copy per tower, a data-parallel split of the batch.
"""

import math
from collections.abc import Sequence
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
    noise: list[list[tf.Tensor]]     # of each tower, in the order of `Prototype.random_ops`; may be fed


class TrainingGraph(NamedTuple):
    """The tensors that a training loop feeds and fetches."""

    input_data: tf.Tensor        # float32 [steps * batch, n_input]
    dropout_rate: tf.Tensor      # float32 scalar; takes the KEEP probability, as the original's does
    global_step: tf.Variable     # int32 scalar, the step counter
    steps: tuple[Step, ...]


class Layer(NamedTuple):
    """A layer of a tower, x W + b."""

    x: tf.Tensor                 # float32 [n, n_in]
    delta: tf.Tensor             # float32 [n, n_out], the gradient of the tower's ELBO with respect to x W
    weights: tf.Variable
    biases: tf.Variable


class Prototype(NamedTuple):
    """The network on n images of a batch, forward and backward: to be copied, not run."""

    graph_def: tf.GraphDef
    images: tf.Tensor            # placeholder, float32 [n, n_input]
    keep_prob: tf.Tensor         # placeholder, float32 scalar
    errors: list[tf.Tensor]      # what the n images contribute to the batch's three mean errors
    layers: list[Layer]
    random_ops: list[tf.Operation]


def training_graph(n_input: int, settings: Settings, n_steps: int = 1, n_towers: int = 1) -> TrainingGraph:
    """Add the autoencoder and its optimizer to the default graph: the original's 39 variables and no others.

    Args:
        n_input: pixels per image.
        settings: see `Settings`.
        n_steps: steps that one `Session.run` can take, each on the next `batch_size` rows of `input_data`.
        n_towers: data-parallel splits of each batch. Up to rounding, errors and gradients do not depend on it.
    """
    input_data, dropout_rate, global_step = inputs(n_input)
    rows = split_rows(settings.batch_size, n_towers)
    prototypes = {n_images: build_prototype(n_input, settings, n_images) for n_images in sorted({*map(len, rows)})}
    # `apply_gradients` calls the function, so that each update reads the step counter after the previous update.
    optimizer = tf.train.AdamOptimizer(lambda: learning_rate(settings, global_step))
    # Read once, before all updates: the first update needs its noise, and the noise needs this value.
    step_before = global_step.read_value()
    steps: list[Step] = []
    for number in range(n_steps):
        images = input_data[number * settings.batch_size:(number + 1) * settings.batch_size]
        previous = [step.train_op for step in steps[-1:]]                # none before the first
        with tf.control_dependencies(previous):          # noise of later steps would only take memory
            noise = stateless_noise(prototypes[len(rows[0])].random_ops, rows, settings, step_before + number)
        errors, gradients = build_towers([prototypes[len(some)] for some in rows], images, dropout_rate, noise,
                                         previous, f"step_{number + 1}")
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
    """The learning rate of the original's `AdamOptimizer`, which decays continuously."""
    return tf.train.exponential_decay(
        settings.learning_rate, global_step, settings.decay_step, settings.decay_rate)


def split_rows(n_rows: int, n_parts: int) -> list[range]:
    """The rows of a batch in consecutive parts whose sizes differ by one at most; none is empty."""
    parts = np.array_split(range(n_rows), min(n_parts, n_rows))
    return [range(part[0], part[-1] + 1) for part in parts]


def build_prototype(n_input: int, settings: Settings, n_images: int) -> Prototype:
    """Add the network on `n_images` of a batch to the default graph, forward and backward."""
    graph = tf.get_default_graph()
    # With static shapes the session need not compute any in each step.
    images = tf.placeholder(tf.float32, [n_images, n_input], name="images")
    keep_prob = tf.placeholder(tf.float32, [], name="keep_prob")
    n_before = len(graph.get_operations())
    _, _, *means = Variational_autoencoder(
        images, settings.n_hidden_encoder, settings.n_z, settings.n_hidden_decoder, keep_prob,
        add_noise(images) if settings.add_noise else None)
    errors = [mean * (n_images / settings.batch_size) for mean in means]
    # The builders return no layers; these, and the random ops, are found among the operations that they added: one
    # MatMul per layer, since the gradients are not there yet.
    added = graph.get_operations()[n_before:]
    # The first prototype adds the variables too, whose initializers keep their random ops.
    random_ops = [op for op in added if op.type in STATELESS_DRAWS and "/Initializer/" not in op.name]
    products = [op for op in added if op.type == "MatMul"]
    variables = {variable.handle.name: variable for variable in tf.trainable_variables()}
    layers = []
    for product, delta in zip(products, tf.gradients(errors[-1], [op.outputs[0] for op in products]), strict=True):
        plus_biases = next(op for op in product.outputs[0].consumers() if op.type == "AddV2")
        weights, biases = (variables[read.op.inputs[0].name] for read in (product.inputs[1], plus_biases.inputs[1]))
        layers.append(Layer(product.inputs[0], delta, weights, biases))
    results = [*errors, *(tensor for layer in layers for tensor in (layer.x, layer.delta))]
    graph_def = tf.graph_util.extract_sub_graph(graph.as_graph_def(), [result.op.name for result in results])
    # Without the nodes that each copy replaces: importing them takes time, and XLA could not compile them.
    replaced = {images.op.name, keep_prob.op.name, *(op.name for op in random_ops),
                *(variable.handle.op.name for layer in layers for variable in (layer.weights, layer.biases))}
    graph_def = tf.GraphDef(node=[node for node in graph_def.node if node.name not in replaced],
                            versions=graph_def.versions)
    return Prototype(graph_def, images, keep_prob, errors, layers, random_ops)


def _copy_prototype(prototype: Prototype, images: tf.Tensor, keep_prob: tf.Tensor, noise: Sequence[tf.Tensor],
                    after: Sequence[tf.Operation], name: str) -> tuple[list[tf.Tensor], list[Layer]]:
    """Import a prototype into the default graph: equivalent to building it again on these images with this noise.

    Args:
        prototype: see `Prototype`.
        images, keep_prob: in place of its placeholders.
        noise: in place of its random ops.
        after: the updates that the copy sees: it reads the variables after them.
        name: the copy's name scope.

    Returns:
        The copy's errors and layers.
    """
    # The copy reads the variables by these handles, which wait for `after`: so it sees those updates, and only the
    # reads wait. Inside `control_dependencies`, its constants would wait too, and fewer operations would be fused.
    with tf.control_dependencies(after):
        handles = {variable.handle.name: tf.identity(variable.handle) if after else variable.handle
                   for layer in prototype.layers for variable in (layer.weights, layer.biases)}
    xs, deltas = [layer.x for layer in prototype.layers], [layer.delta for layer in prototype.layers]
    results = tf.import_graph_def(
        prototype.graph_def, name=name, return_elements=[tensor.name for tensor in (*prototype.errors, *xs, *deltas)],
        input_map={prototype.images.name: images, prototype.keep_prob.name: keep_prob, **handles,
                   **{op.outputs[0].name: numbers for op, numbers in zip(prototype.random_ops, noise, strict=True)}})
    layers = zip(prototype.layers, results[-2 * len(xs):-len(xs)], results[-len(xs):], strict=True)
    return results[:len(prototype.errors)], [layer._replace(x=x, delta=delta) for layer, x, delta in layers]


def build_towers(prototypes: Sequence[Prototype], images: tf.Tensor, keep_prob: tf.Tensor,
                 noise: Sequence[Sequence[tf.Tensor]], after: Sequence[tf.Operation], name: str
                 ) -> tuple[list[tf.Tensor], Gradients]:
    """Add a copy of each prototype on the next rows of some images; on a host with GPUs, on the GPUs in turn.

    Equivalent to one network on all images and `Optimizer.compute_gradients` of its ELBO. `compute_gradients` would
    multiply x^T delta in each tower and add the products; here x and delta are concatenated and multiplied once per
    weight matrix, which is faster (tests/benchmarks/README.md).

    Args:
        prototypes: of the towers.
        images: float32 [rows of all towers, n_input].
        keep_prob, noise, after, name: see `_copy_prototype`; `noise` has a list for each tower.

    Returns:
        The sums of the towers' errors, and the gradients of the last of them.
    """
    n_gpus = len(tf.config.list_physical_devices("GPU"))
    parts = tf.split(images, [prototype.images.shape[0] for prototype in prototypes])
    copies = []
    for number, (prototype, part, of_tower) in enumerate(zip(prototypes, parts, noise, strict=True)):
        with tf.device(f"/device:GPU:{number % n_gpus}" if n_gpus else ""):
            copies.append(_copy_prototype(prototype, part, keep_prob, of_tower, after, f"{name}/tower_{number + 1}"))
    errors, layers_of_towers = zip(*copies, strict=True)
    gradients: Gradients = []
    for layers in zip(*layers_of_towers, strict=True):
        x, delta = tf.concat([layer.x for layer in layers], 0), tf.concat([layer.delta for layer in layers], 0)
        gradients += [(tf.matmul(x, delta, transpose_a=True), layers[0].weights),
                      (tf.reduce_sum(delta, 0), layers[0].biases)]
    return [tf.add_n(terms) for terms in zip(*errors, strict=True)], gradients


def stateless_noise(random_ops: Sequence[tf.Operation], rows_of_towers: Sequence[range], settings: Settings,
                    step: tf.Tensor) -> list[list[tf.Tensor]]:
    """The random numbers of a step for each tower, in place of the random ops of its prototype.

    They are a function of seed and step only: a resumed run draws what it would have drawn without the stop. They are
    drawn for the whole batch, of which each tower takes its rows, so that the number of towers does not change them;
    and always in two halves, since the published results come from two towers, each of which drew its own.
    """
    # A draw increments the lower half of Philox' 128-bit counter; the step is the upper half.
    counter = tf.cast(tf.stack([0, step]), tf.uint64)
    halves = split_rows(settings.batch_size, 2)
    noise: list[list[tf.Tensor]] = [[] for _ in rows_of_towers]
    for number, op in enumerate(random_ops):
        numbers = []
        for half, rows in enumerate(halves):
            key = np.random.SeedSequence([settings.seed, half * len(random_ops) + number]).generate_state(1, np.uint64)
            shape = [len(rows), *op.outputs[0].shape.as_list()[1:]]
            numbers.append(STATELESS_DRAWS[op.type](shape, key, counter))
        for of_tower, rows in zip(noise, rows_of_towers, strict=True):
            of_tower.append(_take_rows(numbers, halves, rows))
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


def _stateless_uniform(shape: Sequence[int], key: np.ndarray, counter: tf.Tensor) -> tf.Tensor:
    """Multiples of 2^-16 in [0, 1), float32: 16 random bits per number, where TensorFlow draws 32.

    The builders only compare them with a probability, which is thereby rounded by less than 2^-16.
    """
    n_numbers = math.prod(shape)
    pairs = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[(n_numbers + 1) // 2], key=key, counter=counter, alg=PHILOX, dtype=tf.uint32)
    halves = tf.bitcast(pairs, tf.uint16)
    if n_numbers % 2:
        halves = tf.reshape(halves, [-1])[:n_numbers]
    return tf.reshape(tf.cast(halves, tf.float32) * 2**-16, shape)


def _stateless_normal(shape: Sequence[int], key: np.ndarray, counter: tf.Tensor) -> tf.Tensor:
    """Numbers of the standard normal distribution, float32."""
    return tf.raw_ops.StatelessRandomNormalV2(shape=shape, key=key, counter=counter, alg=PHILOX)


# The builders' random ops, and what draws the same distribution from a key and a counter.
STATELESS_DRAWS = {"RandomUniform": _stateless_uniform, "RandomStandardNormal": _stateless_normal}
