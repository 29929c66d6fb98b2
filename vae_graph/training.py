"""The original's training: Adam under a decaying learning rate, one Session, one visible loop."""

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph import checkpoints
from vae_graph.model import Variational_autoencoder

ERROR_NAMES = ("Recon_error", "Regularization_error", "ELBO")
# Measured on two cores: see tests/README.md.
N_TOWERS = 2
STEPS_A_RUN = 4
FREE_TO_CHANGE = {"num_epoch", "checkpoint_every"}


@dataclass(frozen=True)
class Settings:
    """What determines a run, besides its data. All but the last two are the original's flags, with its defaults."""

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


class SettingsError(ValueError):
    """Settings do not fit the data or the run that is to go on. The message names the flag and both values."""


class Step(NamedTuple):
    """One step of training; to run it is to run those before it too."""

    errors: tuple[tf.Tensor, ...]    # Recon_error, Regularization_error, ELBO of its batch, before its update
    train_op: tf.Operation


class TrainingGraph(NamedTuple):
    """The ends of the graph that a training loop holds."""

    input_data: tf.Tensor        # float32 [steps * batch, n_input]
    dropout_rate: tf.Tensor      # float32 scalar; takes the KEEP probability, as the original's does
    steps: tuple[Step, ...]


def training_graph(n_input: int, settings: Settings, n_steps: int = 1, n_towers: int = 1) -> TrainingGraph:
    """Add the autoencoder and its optimizer to the default graph: the original's 39 variables, no others.

    Args:
        n_input: pixels of an image.
        settings: see `Settings`.
        n_steps: steps that one `Session.run` can take, each on the next `batch_size` rows of `input_data`.
        n_towers: parts of a batch that are worked on side by side; their gradients' mean is the batch's.
    """
    input_data = tf.placeholder(tf.float32, [None, n_input], name="input_data")
    dropout_rate = tf.placeholder(tf.float32, [], name="dropout_rate")

    # Without a name of its own it is `Variable` in the checkpoint; the name is part of the file format.
    global_step = tf.Variable(0, trainable=False, use_resource=True)
    optimizer = tf.train.AdamOptimizer(lambda: tf.train.exponential_decay(      # asked for anew in each step
        settings.learning_rate, global_step, settings.decay_step, settings.decay_rate))

    steps: list[Step] = []
    for start in range(0, n_steps * settings.batch_size, settings.batch_size):
        with tf.control_dependencies([step.train_op for step in steps[-1:]]):
            errors = _errors(input_data[start:start + settings.batch_size], dropout_rate, settings, n_towers)
            steps.append(Step(errors, optimizer.minimize(errors[-1], global_step=global_step)))
    return TrainingGraph(input_data, dropout_rate, tuple(steps))


def _errors(batch: tf.Tensor, keep_prob: tf.Tensor, settings: Settings, n_towers: int) -> tuple[tf.Tensor, ...]:
    """The three errors of a batch, built as towers: networks on parts of the batch that share their weights."""
    shares = [len(part) for part in np.array_split(np.arange(settings.batch_size), min(n_towers, settings.batch_size))]
    towers = []
    for part, n_images in zip(tf.split(batch, shares), shares, strict=True):
        # A size that is known while the graph is built spares the session to ask for it in every step.
        part.set_shape([n_images, batch.shape[1]])
        _, _, *errors = Variational_autoencoder(
            part, settings.n_hidden_encoder, settings.n_z, settings.n_hidden_decoder, keep_prob)
        towers.append([error * (n_images / settings.batch_size) for error in errors])
    return tuple(tf.add_n(parts) for parts in zip(*towers, strict=True))


def train(images: np.ndarray, data_sha256: dict[str, str], settings: Settings, folder: Path,
          at_checkpoint: Callable[[str], None] = lambda prefix: None) -> tuple[str, dict[str, list]]:
    """Train up to epoch `num_epoch`, from the newest whole checkpoint in `folder` where there is one.

    Args:
        images: float32 [n, n_input] in [0, 1], walked in this order, the last partial batch left out.
        data_sha256: what the data set is known by; a run goes on only with the same data.
        settings: see `Settings`.
        folder: where the checkpoints are; it must exist.
        at_checkpoint: called with the prefix of each checkpoint, the one gone on from and those written.

    Returns:
        The last checkpoint's prefix, and the mean errors of each epoch (nats an image, dropout on) as
        columns: `epoch`, `Recon_error`, `Regularization_error`, `ELBO`.

    Raises:
        SettingsError: a batch is larger than the training set, or `folder` holds a run with other settings or data.
        CheckpointError: a checkpoint cannot be written.
    """
    if settings.batch_size > len(images):
        raise SettingsError(f"--batch_size: expected at most {len(images)}, the number of training images, "
                            f"found {settings.batch_size}")
    history: dict[str, list] = {name: [] for name in ("epoch", *ERROR_NAMES)}
    run = {"settings": dataclasses.asdict(settings), "data": data_sha256, "errors": history}
    newest = _point_to_resume(folder, run)
    first_epoch = newest.epoch + 1 if newest else 0
    prefix = newest.prefix if newest else ""
    n_batches = len(images) // settings.batch_size

    with tf.Graph().as_default():
        # A resumed run draws new noise, not that of the first epochs again.
        tf.set_random_seed(settings.seed + first_epoch)
        graph = training_graph(images.shape[1], settings, STEPS_A_RUN, N_TOWERS)
        saver = tf.train.Saver(save_relative_paths=True)
        initializer = tf.global_variables_initializer()

        with tf.Session(config=session_config()) as session:
            if newest:
                saver.restore(session, newest.prefix)
                at_checkpoint(newest.prefix)
            else:
                session.run(initializer)
            tf.get_default_graph().finalize()
            progress = _progress_bar(n_batches * max(0, settings.num_epoch - first_epoch))

            for epoch in range(first_epoch, settings.num_epoch):
                errors = np.zeros(len(ERROR_NAMES))
                for first in range(0, n_batches, STEPS_A_RUN):
                    steps = graph.steps[:n_batches - first]          # the last run may be a shorter one
                    start, end = first * settings.batch_size, (first + len(steps)) * settings.batch_size
                    _, batch_errors = session.run(
                        [steps[-1].train_op, [step.errors for step in steps]],
                        feed_dict={graph.input_data: images[start:end], graph.dropout_rate: settings.keep_prob})
                    errors += np.sum(batch_errors, axis=0, dtype=np.float64)
                    progress.add(len(steps))

                errors /= n_batches
                _print_epoch(epoch, errors)
                for name, value in zip(("epoch", *ERROR_NAMES), (epoch, *errors.tolist()), strict=True):
                    history[name].append(value)

                if epoch % settings.checkpoint_every == 0 or epoch == settings.num_epoch - 1:
                    checkpoints.write_whole(folder / checkpoints.RESUME_FILE, json.dumps(run, indent=1).encode())
                    prefix = checkpoints.save(session, saver, folder, epoch)
                    at_checkpoint(prefix)

    return prefix, history


def session_config() -> tf.ConfigProto:
    """A thread for each tower, and the cores shared out among them: a small matrix product is best left to one core."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return tf.ConfigProto(inter_op_parallelism_threads=N_TOWERS,
                          intra_op_parallelism_threads=max(1, n_cores // N_TOWERS))


def _point_to_resume(folder: Path, run: dict) -> checkpoints.Checkpoint | None:
    """The checkpoint to go on from, if any; the errors of the epochs before it are put into `run`."""
    newest, problems = checkpoints.newest_whole(folder, checkpoints.training_shapes)
    for problem in problems:
        print(f"skipped: {problem}")
    if newest is None:
        if problems:     # weights without Adam's slots, perhaps: of use to someone, and in the new run's way
            print(f"none can be gone on from: they are now in {checkpoints.set_aside(folder)}")
        return None

    # Checkpoints of the original have no resume file beside them; their sizes still tell something.
    settings = {name: size for name, size in dataclasses.asdict(newest.sizes).items() if name != "n_input"}
    if before := _read_run(folder / checkpoints.RESUME_FILE, like=run):
        settings = before["settings"]
        _refuse_other_data(folder, before["data"], run["data"])
        n_done = sum(epoch <= newest.epoch for epoch in before["errors"]["epoch"])
        for name, column in before["errors"].items():
            run["errors"][name] += column[:n_done]
    _refuse_other_settings(folder, settings, run["settings"])

    num_epoch = run["settings"]["num_epoch"]
    if newest.epoch + 1 < num_epoch:
        print(f"going on from {newest.prefix}, epoch {newest.epoch + 1} of {num_epoch}")
    else:
        print(f"{newest.prefix} has {newest.epoch + 1} epochs: none of the {num_epoch} is left to train")
    return newest


def _refuse_other_settings(folder: Path, before: dict, now: dict) -> None:
    for name, value in before.items():
        if name not in FREE_TO_CHANGE and now[name] != value:
            raise SettingsError(f"--{name}: expected {value} as in the run in {folder}, found {now[name]}; go on with "
                                f"--{name} {value}, begin anew with --restart, or name another --checkpoint_dir")


def _refuse_other_data(folder: Path, before: dict[str, str], now: dict[str, str]) -> None:
    for name, digest in before.items():
        if now[name] != digest:
            raise SettingsError(f"--dataset: expected the data of the run in {folder} ({name} with SHA-256 {digest}), "
                                f"found {now[name]}; begin anew with --restart, or name another --checkpoint_dir")


def _read_run(path: Path, like: dict) -> dict | None:
    """The record of a run, its parts with the same names in them as those of `like`; None where there is none."""
    try:
        run = json.loads(path.read_bytes())
        if all(run[part].keys() == like[part].keys() for part in like):
            return run
        found = "other names in it"
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        found = repr(error)
    raise checkpoints.CheckpointError(f"{path}: expected the record that this program writes, found {found}; remove "
                                      "the file to go on without the errors of the epochs before")


def _print_epoch(epoch: int, errors: np.ndarray) -> None:
    """The original's line; on a terminal it takes the place of the progress bar."""
    recon, regularization, elbo = errors
    print(("\r\x1b[K" if sys.stdout.isatty() else "")
          + f"Epoch:  {epoch}   Reconstruction_Error:  {recon:.4f}   Regularization_Error:  {regularization:.4f}"
          + f"   ELBO:  {elbo:.4f}", flush=True)


def _progress_bar(n_steps: int) -> tf.keras.utils.Progbar:
    """Steps done and time left of the whole run; silent unless the output is a terminal."""
    return tf.keras.utils.Progbar(n_steps, verbose=1 if sys.stdout.isatty() else 0, interval=0.2)
