"""The original's training: one Session, one visible loop, and a way on after a stop."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph import checkpoints, files, saving, signals
from vae_graph.resume import ERROR_NAMES, SettingsError, resumed
from vae_graph.training_graph import Settings, training_graph

# Measured on two cores: see tests/README.md.
N_TOWERS = 2
STEPS_A_RUN = 4


class Diverged(ValueError):
    """An error became NaN or infinite. The message names the step, the term and the way out."""


class Stopped(Exception):
    """A signal stopped the run; a whole checkpoint of its last finished step is kept."""

    def __init__(self, number: signal.Signals, prefix: str) -> None:
        super().__init__(f"stopped by {number.name}; {prefix} has all the work so far")
        self.number = number


def train(pixels: np.ndarray, data_sha256: dict[str, str], settings: Settings, folder: Path,
          at_checkpoint: Callable[[str], None] = lambda prefix: None) -> tuple[str, dict[str, list]]:
    """Train up to epoch `num_epoch`, from the newest whole checkpoint in `folder` where there is one.

    A run that was stopped, or killed, and went on ends with the same bytes as one that was not: the order of the
    images is fixed, each step's noise is determined by seed and step, and the sums of an epoch's errors are kept.

    Args:
        pixels: uint8 [n, n_input], walked in this order, the last partial batch left out. Batch by batch they
            become float32 in [0, 1]; all at once they would take four times the memory.
        data_sha256: what the data set is known by; a run goes on only with the same data.
        settings: see `Settings`.
        folder: where the checkpoints are; it must exist.
        at_checkpoint: called with the prefix of each checkpoint, the one gone on from and those written.

    Returns:
        The last checkpoint's prefix, and the mean errors of each epoch (nats an image, dropout on) as
        columns: `epoch`, `Recon_error`, `Regularization_error`, `ELBO`.

    Raises:
        SettingsError: a batch is larger than the training set, or `folder` holds a run with other settings or data.
        CheckpointError: a checkpoint cannot be written, or the record beside one is spoiled.
        OSError: the record cannot be written.
        Diverged: an error became NaN or infinite.
        Stopped: SIGINT, SIGTERM or SIGHUP came.
    """
    if settings.batch_size > len(pixels):
        raise SettingsError(f"--batch_size: expected at most {len(pixels)}, the number of training images, "
                            f"found {settings.batch_size}")
    n_batches = len(pixels) // settings.batch_size
    run, newest = resumed(folder, settings, data_sha256, n_batches)
    step = newest.step if newest else 0
    prefix = newest.prefix if newest else ""
    first_epoch, first_batch = run.position(step, n_batches)
    if newest:
        print(_way_on(newest.prefix, first_epoch, settings.num_epoch))

    with tf.Graph().as_default():
        tf.set_random_seed(settings.seed)
        graph = training_graph(pixels.shape[1], settings, STEPS_A_RUN, N_TOWERS)
        saver = tf.train.Saver()
        initializer = tf.global_variables_initializer()
        tf.get_default_graph().finalize()

        with tf.Session(config=session_config()) as session, signals.noted() as received:
            if newest:
                saver.restore(session, newest.prefix)
                # A killed run may not have come to this.
                saving.keep_newest(folder, run.errors["epoch"], step)
                at_checkpoint(newest.prefix)
            else:
                session.run(initializer)
            progress = _progress_bar(max(0, n_batches * (settings.num_epoch - first_epoch) - first_batch))

            for epoch in range(first_epoch, settings.num_epoch):
                for first in range(first_batch, n_batches, STEPS_A_RUN):
                    if received:
                        prefix = saving.save_stopped(session, saver, folder, epoch, step, run.as_json())
                        raise Stopped(received[0], prefix)
                    steps = graph.steps[:n_batches - first]          # the last run may be a shorter one
                    start, end = first * settings.batch_size, (first + len(steps)) * settings.batch_size
                    images = np.divide(pixels[start:end], 255, dtype=np.float32)
                    _, errors = session.run(
                        [steps[-1].train_op, [step.errors for step in steps]],
                        feed_dict={graph.input_data: images, graph.dropout_rate: settings.keep_prob})
                    _refuse_divergence(errors, epoch, step, prefix)
                    run.add(errors)
                    step += len(steps)
                    progress.add(len(steps))
                first_batch = 0
                _print_epoch(epoch, run.end_epoch(epoch, n_batches))

                if epoch % settings.checkpoint_every == 0 or epoch == settings.num_epoch - 1:
                    files.write_whole(folder / checkpoints.RECORD_FILE, run.as_json())
                    prefix = saving.save(session, saver, folder, epoch)
                    saving.keep_newest(folder, run.errors["epoch"], step)
                    at_checkpoint(prefix)
            if received:
                raise Stopped(received[0], prefix)

    return prefix, run.errors


def session_config() -> tf.ConfigProto:
    """A thread for each tower, and the cores shared out among them: a small matrix product is best left to one core."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return tf.ConfigProto(inter_op_parallelism_threads=N_TOWERS,
                          intra_op_parallelism_threads=max(1, n_cores // N_TOWERS))


def _way_on(prefix: str, epoch: int, num_epoch: int) -> str:
    if epoch < num_epoch:
        return f"going on from {prefix}, epoch {epoch} of {num_epoch}"
    return f"{prefix} has {epoch} epochs: none of the {num_epoch} is left to train"


def _refuse_divergence(errors: list[tuple[float, ...]], epoch: int, step: int, prefix: str) -> None:
    """Stop at the first step whose errors are not finite: what comes after it is nothing but NaN."""
    if np.isfinite(errors).all():
        return
    number, term = np.argwhere(~np.isfinite(errors))[0]
    raise Diverged(
        f"step {step + number} in epoch {epoch}: expected finite errors, found {ERROR_NAMES[term]} "
        f"{errors[number][term]}; {f'the last good checkpoint is {prefix}' if prefix else 'there is no checkpoint yet'}"
        "; begin anew with --restart and a smaller --learning_rate, a larger --batch_size or another --seed")


def _print_epoch(epoch: int, errors: list[float]) -> None:
    """The original's line; on a terminal it takes the place of the progress bar."""
    recon, regularization, elbo = errors
    print(("\r\x1b[K" if sys.stdout.isatty() else "")
          + f"Epoch:  {epoch}   Reconstruction_Error:  {recon:.4f}   Regularization_Error:  {regularization:.4f}"
          + f"   ELBO:  {elbo:.4f}", flush=True)


def _progress_bar(n_steps: int) -> tf.keras.utils.Progbar:
    """Steps done and time left of the whole run; silent unless the output is a terminal."""
    return tf.keras.utils.Progbar(n_steps, verbose=1 if sys.stdout.isatty() else 0, interval=0.2)
