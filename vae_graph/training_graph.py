"""The training graph: the autoencoder in towers, Adam, and several steps per `Session.run`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph.model import Variational_autoencoder, add_noise
from vae_graph.settings import Settings

ERROR_NAMES = ("Recon_error", "Regularization_error", "ELBO")
PHILOX = 1      # the random number generator: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011


class Step(NamedTuple):
    """One gradient step. Running it runs the steps before it too."""

    errors: tuple[tf.Tensor, ...]    # the three of `ERROR_NAMES` on its batch, before its update
    train_op: tf.Operation
    global_step: tf.Tensor           # int32 scalar, the step counter after it
    noise: dict[str, tf.Tensor]      # its random numbers, by the op's name in the builders' graph; may be fed


class TrainingGraph(NamedTuple):
    """The tensors that a training loop feeds and fetches."""

    input_data: tf.Tensor        # float32 [steps * batch, n_input]
    dropout_rate: tf.Tensor      # float32 scalar; takes the KEEP probability, as the original's does
    global_step: tf.Variable     # int32 scalar, the step counter
    steps: tuple[Step, ...]


def training_graph(n_input: int, settings: Settings, n_steps: int = 1, n_towers: int = 1) -> TrainingGraph:
    """Add the autoencoder and its optimizer to the default graph: the original's 39 variables and no others.

    The builders and the optimizer build the graph of one step. It is not run itself: it is exported as a GraphDef and
    imported `n_steps` times, on the same variables. Importing a copy is faster than building a step again, and lets
    each copy have another batch and other noise.

    Args:
        n_input: pixels per image.
        settings: see `Settings`.
        n_steps: steps that one `Session.run` can take, each on the next `batch_size` rows of `input_data`.
        n_towers: parts into which each batch is split, a network for each; up to rounding, the gradients are those of
            one network.
    """
    input_data, dropout_rate, batch, global_step = inputs(n_input, settings.batch_size)
    errors = mean_errors(batch, dropout_rate, settings, n_towers)
    train_op = adam(settings, global_step).apply_gradients(batch_gradients(errors[-1]), global_step=global_step)

    # Only copies of these are run.
    fetch_names = [train_op.name, *(error.name for error in errors)]
    step_graph_def = extract_subgraph(fetch_names)
    # Read once for all steps of a run; the first step's update waits for its noise, and so for this.
    first_step = global_step.read_value()
    steps: list[Step] = []
    for number in range(n_steps):
        start = number * settings.batch_size
        with tf.control_dependencies([step.train_op for step in steps[-1:]]):        # none before the first
            noise = stateless_noise(step_graph_def, settings.seed, first_step + number)
            # Imported nodes have no control dependencies on others. Reads through these handles, which have, see the
            # previous step's update.
            handles = {variable.handle.name: tf.identity(variable.handle) for variable in tf.global_variables()}
        step_op, *step_errors = copy_step(
            step_graph_def, fetch_names, f"step_{number + 1}", noise,
            handles | {batch.name: input_data[start:start + settings.batch_size], dropout_rate.name: dropout_rate})
        steps.append(Step(tuple(step_errors), step_op, first_step + number + 1, noise))
    return TrainingGraph(input_data, dropout_rate, global_step, tuple(steps))


def inputs(n_input: int, n_images: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Variable]:
    """The placeholders for the fed images, the keep probability and one batch of `n_images`; the step counter."""
    input_data = tf.placeholder(tf.float32, [None, n_input], name="input_data")
    dropout_rate = tf.placeholder(tf.float32, [], name="dropout_rate")
    # With static shapes the session need not compute any in each step.
    batch = tf.placeholder(tf.float32, [n_images, n_input], name="batch")
    # Without a name of its own it is `Variable` in the checkpoint; the name is part of the file format.
    global_step = tf.Variable(0, trainable=False, use_resource=True)
    return input_data, dropout_rate, batch, global_step


def mean_errors(batch: tf.Tensor, keep_prob: tf.Tensor, settings: Settings, n_towers: int) -> tuple[tf.Tensor, ...]:
    """The three errors of a batch, built as towers: networks on parts of the batch that share their weights.

    On a host with GPUs, the towers are placed on them in turn.
    """
    n_batch, _ = batch.shape.as_list()
    n_gpus = len(tf.config.list_physical_devices("GPU"))
    sizes = [len(rows) for rows in np.array_split(np.arange(n_batch), min(n_towers, n_batch))]
    towers = []
    for number, (images, n_images) in enumerate(zip(tf.split(batch, sizes), sizes, strict=True)):
        with tf.device(f"/device:GPU:{number % n_gpus}" if n_gpus else ""):
            _, _, *errors = Variational_autoencoder(
                images, settings.n_hidden_encoder, settings.n_z, settings.n_hidden_decoder, keep_prob,
                add_noise(images) if settings.add_noise else None)
        towers.append([error * (n_images / n_batch) for error in errors])
    return tuple(tf.add_n(terms) for terms in zip(*towers, strict=True))


def batch_gradients(error: tf.Tensor) -> list[tuple[tf.Tensor, tf.Variable]]:
    """The gradients of an error with respect to all weights and biases, from one product per weight matrix.

    With respect to weights W, `tf.gradients` would compute x^T delta in each tower and add the results. It is called
    with respect to the products x W instead; x and delta are concatenated over the towers and multiplied once.

    Args:
        error: scalar, of towers whose layers are `matmul(x, weights) + biases`, with the same variables in all.

    Returns:
        Pairs of a gradient and its variable, for `Optimizer.apply_gradients`.
    """
    products = [op for op in error.graph.get_operations() if op.type == "MatMul"]
    deltas = tf.gradients(error, [product.outputs[0] for product in products])
    gradients = []
    variables = tf.trainable_variables()         # weights and biases in turn, in the order of their creation
    for weights, biases in zip(variables[::2], variables[1::2], strict=True):
        # The second factor of a layer's products is read from the handle of its weights.
        layer = [(product.inputs[0], delta) for product, delta in zip(products, deltas, strict=True)
                 if product.inputs[1].op.inputs[0] is weights.handle]
        x, delta = (tf.concat(parts, 0) for parts in zip(*layer, strict=True))
        gradients += [(tf.matmul(x, delta, transpose_a=True), weights), (tf.reduce_sum(delta, 0), biases)]
    return gradients


def adam(settings: Settings, global_step: tf.Variable) -> tf.train.AdamOptimizer:
    """The original's optimizer, whose learning rate decays continuously."""
    return tf.train.AdamOptimizer(tf.train.exponential_decay(
        settings.learning_rate, global_step, settings.decay_step, settings.decay_rate))


def extract_subgraph(fetch_names: Sequence[str]) -> tf.GraphDef:
    """The part of the default graph that some tensors and operations depend on."""
    return tf.graph_util.extract_sub_graph(
        tf.get_default_graph().as_graph_def(), [name.partition(":")[0] for name in fetch_names])


def copy_step(step_graph_def: tf.GraphDef, fetch_names: Sequence[str], name: str, noise: Mapping[str, tf.Tensor],
              replacements: Mapping[str, tf.Tensor]) -> list[Any]:
    """Import a copy of a step's graph into the default graph, with other inputs.

    Args:
        step_graph_def: see `extract_subgraph`.
        fetch_names: the tensors and operations to return.
        name: the copy's name scope.
        noise: tensors to use in place of its random ops, by the ops' names.
        replacements: tensors to use in place of others, by the others' names.
    """
    return tf.import_graph_def(step_graph_def, return_elements=list(fetch_names), name=name,
                               input_map={**replacements, **{f"{op}:0": tensor for op, tensor in noise.items()}})


def stateless_noise(step_graph_def: tf.GraphDef, seed: int, step: tf.Tensor, replica: int = 0) -> dict[str, tf.Tensor]:
    """The random numbers of one step, one tensor for each random op of the graph, by the op's name.

    The builders' random ops keep their state in the session, which no checkpoint saves. These are a function of seed,
    op and step, and every checkpoint has the step: a resumed run draws what it would have drawn without the stop.
    """
    # A draw increments the lower half of Philox' 128-bit counter; the step is the upper half.
    counter = tf.cast(tf.stack([0, step]), tf.uint64)
    noise: dict[str, tf.Tensor] = {}
    random_nodes = [node for node in step_graph_def.node if node.op in STATELESS_DRAWS]
    # The replicas of a cluster number their ops consecutively, as the towers of one process do.
    for number, node in enumerate(random_nodes, start=replica * len(random_nodes)):
        key = np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)
        shape = tf.get_default_graph().get_operation_by_name(node.name).outputs[0].shape.as_list()
        noise[node.name] = STATELESS_DRAWS[node.op](shape, key, counter)
    return noise


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
