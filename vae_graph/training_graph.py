"""The graph of the training: the autoencoder in towers, Adam, and several steps in one `Session.run`."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph.model import Variational_autoencoder, add_noise

# What draws noise in the builders' graph, and what draws the same from a key and a counter.
COUNTED_NOISE = {"RandomUniform": tf.raw_ops.StatelessRandomUniformV2,
                 "RandomStandardNormal": tf.raw_ops.StatelessRandomNormalV2}
PHILOX = 1      # the generator of both kinds of ops: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011


@dataclass(frozen=True)
class Settings:
    """What determines a run, besides its data. The first nine are the original's flags, with its defaults."""

    n_hidden_encoder: int = 500      # units in each of the encoder's two hidden layers
    n_z: int = 2                     # latent dimensions
    n_hidden_decoder: int = 500      # units in each of the decoder's two hidden layers
    num_epoch: int = 200
    batch_size: int = 128            # images a step
    learning_rate: float = 1e-4      # Adam's, at step 0
    decay_rate: float = 0.96         # the learning rate is multiplied by this ...
    decay_step: int = 2000           # ... over so many steps, continuously
    keep_prob: float = 0.6           # probability of KEEPING a hidden unit
    seed: int = 0
    checkpoint_every: int = 20       # epochs
    shuffle: bool = False            # the images in a new order every epoch, which the original does not do
    add_noise: bool = False          # the encoder sees noisy images: see `model.add_noise`


class Step(NamedTuple):
    """One step of training; to run it is to run those before it too."""

    errors: tuple[tf.Tensor, ...]    # Recon_error, Regularization_error, ELBO of its batch, before its update
    train_op: tf.Operation
    global_step: tf.Tensor           # int32 scalar, the steps taken once it is
    noise: dict[str, tf.Tensor]      # what it draws, by the name of the op in the builders' graph; may be fed


class TrainingGraph(NamedTuple):
    """The ends of the graph that a training loop holds."""

    input_data: tf.Tensor        # float32 [steps * batch, n_input]
    dropout_rate: tf.Tensor      # float32 scalar; takes the KEEP probability, as the original's does
    global_step: tf.Variable     # int32 scalar, the steps taken so far
    steps: tuple[Step, ...]


def training_graph(n_input: int, settings: Settings, n_steps: int = 1, n_towers: int = 1) -> TrainingGraph:
    """Add the autoencoder and its optimizer to the default graph: the original's 39 variables, no others.

    The builders and the optimizer make the graph of one step. It is a pattern and is not run: what is run are
    its copies, one for each of `n_steps`, on the same variables. A graph is data, so that a copy is quicker to
    come by than a step that is built again; and its inputs can be exchanged, so that its noise can.

    Args:
        n_input: pixels of an image.
        settings: see `Settings`.
        n_steps: steps that one `Session.run` can take, each on the next `batch_size` rows of `input_data`.
        n_towers: parts of a batch that are worked on side by side; their gradients' mean is the batch's.
    """
    input_data, dropout_rate, batch, global_step = inputs(n_input, settings.batch_size)
    errors = mean_errors(batch, dropout_rate, settings, n_towers)
    train_op = adam(settings, global_step).minimize(errors[-1], global_step=global_step)

    ends = [train_op.name, *(error.name for error in errors)]
    pattern = pattern_of(ends)
    # Read once for all steps of a run; the first step's update waits for its noise, and so for this.
    first_step = global_step.read_value()
    steps: list[Step] = []
    for number in range(n_steps):
        start = number * settings.batch_size
        with tf.control_dependencies([step.train_op for step in steps[-1:]]):
            noise = counted_noise(pattern, settings.seed, first_step + number)
            # Who reads a variable by this handle reads what the step before has made of it.
            handles = {variable.handle.name: tf.identity(variable.handle) for variable in tf.global_variables()}
        train_op, *errors = tf.import_graph_def(
            pattern, return_elements=ends, name=f"step_{number + 1}",
            input_map={batch.name: input_data[start:start + settings.batch_size], dropout_rate.name: dropout_rate}
            | handles | {f"{name}:0": tensor for name, tensor in noise.items()})
        steps.append(Step(tuple(errors), train_op, first_step + number + 1, noise))
    return TrainingGraph(input_data, dropout_rate, global_step, tuple(steps))


def inputs(n_input: int, n_images: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Variable]:
    """What a step is computed from: the images that are fed, the keep probability, one batch, the step counter."""
    input_data = tf.placeholder(tf.float32, [None, n_input], name="input_data")
    dropout_rate = tf.placeholder(tf.float32, [], name="dropout_rate")
    # Sizes that are known while the graph is built spare the session to ask for them in every step.
    batch = tf.placeholder(tf.float32, [n_images, n_input], name="batch")
    # Without a name of its own it is `Variable` in the checkpoint; the name is part of the file format.
    global_step = tf.Variable(0, trainable=False, use_resource=True)
    return input_data, dropout_rate, batch, global_step


def pattern_of(ends: list[str]) -> tf.GraphDef:
    """The part of the default graph that some tensors and operations need, by their names."""
    return tf.graph_util.extract_sub_graph(
        tf.get_default_graph().as_graph_def(), [end.partition(":")[0] for end in ends])


def adam(settings: Settings, global_step: tf.Variable) -> tf.train.AdamOptimizer:
    """The original's optimizer, whose learning rate decays continuously."""
    return tf.train.AdamOptimizer(tf.train.exponential_decay(
        settings.learning_rate, global_step, settings.decay_step, settings.decay_rate))


def mean_errors(batch: tf.Tensor, keep_prob: tf.Tensor, settings: Settings, n_towers: int) -> tuple[tf.Tensor, ...]:
    """The three errors of a batch, built as towers: networks on parts of the batch that share their weights.

    Where there are GPUs, the towers are on them in turn.
    """
    n_batch = batch.shape[0]
    n_gpus = len(tf.config.list_physical_devices("GPU"))
    shares = [len(part) for part in np.array_split(np.arange(n_batch), min(n_towers, n_batch))]
    towers = []
    for number, (part, n_images) in enumerate(zip(tf.split(batch, shares), shares, strict=True)):
        with tf.device(f"/device:GPU:{number % n_gpus}" if n_gpus else ""):
            _, _, *errors = Variational_autoencoder(
                part, settings.n_hidden_encoder, settings.n_z, settings.n_hidden_decoder, keep_prob,
                add_noise(part) if settings.add_noise else None)
        towers.append([error * (n_images / n_batch) for error in errors])
    return tuple(tf.add_n(parts) for parts in zip(*towers, strict=True))


def counted_noise(pattern: tf.GraphDef, seed: int, step: tf.Tensor, replica: int = 0) -> dict[str, tf.Tensor]:
    """The noise of one step, for each op of the pattern that draws some.

    The builders' ops keep their position in the session, where no checkpoint finds it. Here a number is
    determined by seed, op and step, and the step is in every checkpoint: a run that was stopped goes on with
    the noise that it would have had.
    """
    # A draw counts up in the lower half of Philox' counter of 128 bits; the upper half is the step's own.
    counter = tf.cast(tf.stack([0, step]), tf.uint64)
    noise: dict[str, tf.Tensor] = {}
    drawing = [node for node in pattern.node if node.op in COUNTED_NOISE]
    # The replicas of a cluster number their ops one after the other, as the towers of one process do.
    for number, node in enumerate(drawing, start=replica * len(drawing)):
        key = np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)
        shape = tf.get_default_graph().get_operation_by_name(node.name).outputs[0].shape.as_list()
        noise[node.name] = COUNTED_NOISE[node.op](shape=shape, key=key, counter=counter, alg=PHILOX)
    return noise
