"""The original's training: one Session, one visible loop, and a way on after a stop."""

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph import checkpoints
from vae_graph.training_graph import Settings, training_graph

ERROR_NAMES = ("Recon_error", "Regularization_error", "ELBO")
# Measured on two cores: see tests/README.md.
N_TOWERS = 2
STEPS_A_RUN = 4
FREE_TO_CHANGE = {"num_epoch", "checkpoint_every"}


class SettingsError(ValueError):
    """Settings do not fit the data or the run that is to go on. The message names the flag and both values."""


def train(pixels: np.ndarray, data_sha256: dict[str, str], settings: Settings, folder: Path,
          at_checkpoint: Callable[[str], None] = lambda prefix: None) -> tuple[str, dict[str, list]]:
    """Train up to epoch `num_epoch`, from the newest whole checkpoint in `folder` where there is one.

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
        CheckpointError: a checkpoint cannot be written.
    """
    if settings.batch_size > len(pixels):
        raise SettingsError(f"--batch_size: expected at most {len(pixels)}, the number of training images, "
                            f"found {settings.batch_size}")
    history: dict[str, list] = {name: [] for name in ("epoch", *ERROR_NAMES)}
    run = {"settings": dataclasses.asdict(settings), "data": data_sha256, "errors": history}
    newest = _point_to_resume(folder, run)
    first_epoch = newest.epoch + 1 if newest else 0
    prefix = newest.prefix if newest else ""
    n_batches = len(pixels) // settings.batch_size

    with tf.Graph().as_default():
        tf.set_random_seed(settings.seed)
        graph = training_graph(pixels.shape[1], settings, STEPS_A_RUN, N_TOWERS)
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
                    images = np.divide(pixels[start:end], 255, dtype=np.float32)
                    _, batch_errors = session.run(
                        [steps[-1].train_op, [step.errors for step in steps]],
                        feed_dict={graph.input_data: images, graph.dropout_rate: settings.keep_prob})
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
