"""The original's training: one Session, one visible loop, and a way on after a stop."""

import contextlib
import dataclasses
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph import checkpoints, events, files, saving, signals
from vae_graph.cluster import LOST, Cluster
from vae_graph.replica import replica_graph, replica_session
from vae_graph.resume import ERROR_NAMES, Run, SettingsError, resumed
from vae_graph.training_graph import Settings, training_graph

# Measured on two cores: see tests/README.md.
N_TOWERS = 2
STEPS_A_RUN = 4


AtCheckpoint = Callable[[str], Mapping[str, bytes] | None]


class Diverged(ValueError):
    """An error became NaN or infinite. The message names the step, the term and the way out."""


class Stopped(Exception):
    """A signal stopped the run; a whole checkpoint of its last finished step is kept."""

    def __init__(self, number: signal.Signals, prefix: str = "") -> None:
        super().__init__(f"stopped by {number.name}" + (f"; {prefix} has all the work so far" if prefix else ""))
        self.number = number


def train(pixels: np.ndarray, data_sha256: dict[str, str], settings: Settings, folder: Path,
          at_checkpoint: AtCheckpoint = lambda prefix: None, n_towers: int = N_TOWERS, here: Cluster | None = None,
          histograms: bool = False) -> tuple[str, dict[str, list]]:
    """Train up to epoch `num_epoch`, from the newest whole checkpoint in `folder` where there is one.

    A run that was stopped, or killed, and went on ends with the same bytes as one that was not: the order of the
    images is determined by seed and epoch, each step's noise by seed and step, and the sums of an epoch's errors are
    kept.

    Args:
        pixels: uint8 [n, n_input], walked in this order unless they are shuffled, the last partial batch left out.
            Batch by batch they become float32 in [0, 1]; all at once they would take four times the memory.
        data_sha256: what the data set is known by; a run goes on only with the same data.
        settings: see `Settings`.
        folder: where the checkpoints are; it must exist. Only a cluster's chief looks into it.
        at_checkpoint: called with the prefix of each checkpoint, the one gone on from and those written; what it
            returns, if anything, are PNG files by their names, to be among TensorBoard's events.
        n_towers: parts of a batch that are worked on side by side.
        here: the cluster that this process is a replica in; None where it trains alone.
        histograms: have those of all weights and biases among the events, at each checkpoint.

    Returns:
        The last checkpoint's prefix, and the mean errors of each epoch (nats an image, dropout on) as
        columns: `epoch`, `Recon_error`, `Regularization_error`, `ELBO`. A cluster's chief means its own images; of
        the other replicas both are empty.

    Raises:
        SettingsError: a batch is larger than the training set, or `folder` holds a run with other settings or data.
        CheckpointError: a checkpoint cannot be written, or the record beside one is spoiled.
        OSError: the record cannot be written.
        Diverged: an error became NaN or infinite.
        Stopped: SIGINT, SIGTERM or SIGHUP came.
        ClusterError: a task of the cluster is missing for too long.
    """
    if settings.batch_size > len(pixels):
        raise SettingsError(f"--batch_size: expected at most {len(pixels)}, the number of training images, "
                            f"found {settings.batch_size}")
    if here is None:
        return _train(pixels, data_sha256, settings, folder, at_checkpoint, n_towers, histograms)
    if settings.batch_size < len(here.replicas):
        raise SettingsError(f"--batch_size: expected at least {len(here.replicas)}, an image for each replica, "
                            f"found {settings.batch_size}")
    server = here.server(session_config(n_towers))
    while True:
        try:
            return _train(pixels, data_sha256, settings, folder, at_checkpoint, n_towers, histograms, here, server)
        except LOST as error:
            print(f"{here.task}: lost touch with the cluster ({type(error).__name__}); joining it again")
            here.wait_for(here.parameter_servers)
        except tf.errors.DeadlineExceededError:
            raise here.given_up(here.missing([*here.addresses])) from None


def _train(pixels: np.ndarray, data_sha256: dict[str, str], settings: Settings, folder: Path,
           at_checkpoint: AtCheckpoint, n_towers: int, histograms: bool, here: Cluster | None = None,
           server: tf.train.Server | None = None) -> tuple[str, dict[str, list]]:
    n_batches = len(pixels) // settings.batch_size
    is_chief = here is None or here.is_chief
    run, newest = (resumed(folder, settings, data_sha256, n_batches) if is_chief
                   else (Run(dataclasses.asdict(settings), data_sha256), None))
    prefix = newest.prefix if newest else ""
    if newest:
        if here and run.position(newest.step, n_batches) != divmod(newest.step, n_batches):
            # The other replicas see the step only.
            raise SettingsError(f"--batch_size: expected that of the run that {prefix} is from, for its {newest.step} "
                                f"steps to be whole epochs, found {settings.batch_size}; go on from it in one process")
        print(_way_on(newest.prefix, run.position(newest.step, n_batches)[0], settings.num_epoch))

    with tf.Graph().as_default(), tf.device(here.device if here else None):
        tf.set_random_seed(settings.seed)
        if here:
            graph, ends = replica_graph(pixels.shape[1], settings, here, n_towers)
        else:
            graph = training_graph(pixels.shape[1], settings, STEPS_A_RUN, n_towers)
        saver = tf.train.Saver()
        initializer = tf.global_variables_initializer()
        weights = events.histograms() if histograms else tf.no_op()
        tf.get_default_graph().finalize()

        def begin(session: tf.Session) -> None:
            if newest:
                saver.restore(session, newest.prefix)
            else:
                session.run(initializer)

        opened = replica_session(here, server, ends, begin) if here else _session(n_towers, begin)
        watched = here.watched() if here else contextlib.nullcontext(lambda: None)
        logged = events.opened(folder if is_chief else None, settings)
        with opened as session, signals.noted() as received, watched as refuse_missing, logged as log:
            if newest:
                # A killed run may not have come to this.
                saving.keep_newest(folder, run.errors["epoch"], newest.step)
                at_checkpoint(newest.prefix)
            step = int(session.run(graph.global_step))
            last_step = run.first_step + (settings.num_epoch - run.first_epoch) * n_batches
            progress = _progress_bar(max(0, last_step - step))

            if step < last_step:
                log.begin(pixels.shape[1], step)
            first_step, turn = step, 0
            while step < last_step:
                epoch, batch = run.position(step, n_batches)
                if received:
                    if is_chief:
                        prefix = saving.save_stopped(session, saver, folder, epoch, step, run.as_json())
                    raise Stopped(received[0], prefix)
                refuse_missing()
                fed_epoch, batch = (run.position(here.own_step(first_step, turn, step), n_batches) if here
                                    else (epoch, batch))
                steps = graph.steps[:n_batches - batch]              # the last run may be a shorter one
                rows = slice(batch * settings.batch_size, (batch + len(steps)) * settings.batch_size)
                batches = pixels[_order(len(pixels), settings.seed, fed_epoch)[rows] if settings.shuffle else rows]
                if here:
                    batches = batches[here.part(settings.batch_size)]
                _, errors, after = session.run(
                    [steps[-1].train_op, [step.errors for step in steps], steps[-1].global_step],
                    feed_dict={graph.input_data: np.divide(batches, 255, dtype=np.float32),
                               graph.dropout_rate: settings.keep_prob})
                turn += 1
                if is_chief:
                    _refuse_divergence(errors, epoch, step, prefix)
                    run.add(errors)
                    progress.add(min(after, last_step) - step)
                step = int(after)
                n_done = min(run.position(step, n_batches)[0], settings.num_epoch)     # epochs
                if not is_chief or n_done == epoch:
                    continue

                means = run.end_epoch(n_done - 1)
                _print_epoch(n_done - 1, means)
                log.add_epoch(step, means)
                if n_done == settings.num_epoch or any(
                        done % settings.checkpoint_every == 0 for done in range(epoch, n_done)):
                    files.write_whole(folder / checkpoints.RECORD_FILE, run.as_json())
                    prefix = saving.save(session, saver, folder, n_done - 1)
                    saving.keep_newest(folder, run.errors["epoch"], step)
                    log.add_checkpoint(step, at_checkpoint(prefix) or {}, session.run(weights))
                log.time_from(step)
            if received:
                raise Stopped(received[0], prefix)

    return prefix, run.errors


@contextlib.contextmanager
def _session(n_towers: int, begin: Callable[[tf.Session], None]) -> Iterator[tf.Session]:
    """The session of a process that trains alone."""
    with tf.Session(config=session_config(n_towers)) as session:
        begin(session)
        yield session


@functools.lru_cache(maxsize=1)
def _order(n_images: int, seed: int, epoch: int) -> np.ndarray:
    """An epoch's own order of the images."""
    return np.random.default_rng([seed, epoch]).permutation(n_images)


def session_config(n_towers: int) -> tf.ConfigProto:
    """A thread for each tower, and the cores shared out among them: a small matrix product is best left to one core."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return tf.ConfigProto(inter_op_parallelism_threads=n_towers,
                          intra_op_parallelism_threads=max(1, n_cores // n_towers), allow_soft_placement=True)


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
