"""Everything that a training run does besides computing: record, signals, progress, checkpoints, events."""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph.checkpoints import files, writing
from vae_graph.errors import UserError, printable
from vae_graph.runs import events, signals
from vae_graph.runs import folder as run_folder
from vae_graph.runs.record import RECORD_FILE, RunRecord
from vae_graph.runs.resume import load_run
from vae_graph.runs.signals import Stopped
from vae_graph.settings import Settings, SettingsError
from vae_graph.training_graph import ERROR_NAMES

# Called with a checkpoint's prefix; returns PNG files by their names, or None.
OnCheckpoint = Callable[[str], Mapping[str, bytes] | None]


class Diverged(UserError):
    """An error became NaN or infinite. The message names the step, the error and what to change."""


class TrainingRun:
    """A training run as its loop sees it. The methods are named for when the loop calls them.

    Attributes:
        checkpoint: the one to restore; None for a new run.
        prefix: that of the latest checkpoint; empty before the first.
        step: gradient steps taken so far.
        n_batches: batches per epoch.
    """

    def __init__(self, folder: Path | None, settings: Settings, data_sha256: dict[str, str], shape: tuple[int, ...],
                 on_checkpoint: OnCheckpoint = lambda prefix: None, histograms: bool = False) -> None:
        """Load the run in `folder`, or begin a new one.

        Args:
            folder: the folder of the checkpoints. A run without one counts steps and handles signals, but writes
                nothing.
            settings: see `Settings`.
            data_sha256: the digests that identify the data set.
            shape: that of the training images, (n, n_input).
            on_checkpoint, histograms: see `training.train`.

        Raises:
            SettingsError: a batch is larger than the training set, or `folder` holds a run with other settings or data.
            CheckpointError: the record is invalid, or the folder cannot be written to and read back.
            OSError: a file cannot be read.
        """
        n_images, self._n_input = shape
        if settings.batch_size > n_images:
            raise SettingsError(f"--batch_size: expected at most {n_images}, the number of training images, "
                                f"found {settings.batch_size}")
        self._folder, self._settings, self._on_checkpoint = folder, settings, on_checkpoint
        self._with_histograms = histograms
        self._histograms: tf.Tensor | tf.Operation
        self._session: tf.Session        # this and the following are set by `recording`
        self._saver: tf.train.Saver
        self._pending: list[signal.Signals]
        self._log: events.Log
        self._progress: tf.keras.utils.Progbar
        self._n_ended: int               # epochs
        self.n_batches = n_images // settings.batch_size
        if folder:
            writing.check_folder(folder)
        self._record, self.checkpoint = (load_run(folder, settings, data_sha256, self.n_batches) if folder
                                         else (RunRecord(vars(settings).copy(), data_sha256), None))
        self.prefix, self.step = (self.checkpoint.prefix, self.checkpoint.step) if self.checkpoint else ("", 0)

    @property
    def epoch(self) -> int:
        """The epoch of the next step."""
        return self.position(self.step)[0]

    @property
    def batch(self) -> int:
        """The next step's batch within its epoch: 0 except when resuming within an epoch."""
        return self.position(self.step)[1]

    @property
    def last_step(self) -> int:
        """The step counter at the end of the run."""
        record = self._record
        return record.first_step + (self._settings.num_epoch - record.first_epoch) * self.n_batches

    @property
    def errors(self) -> dict[str, list]:
        """The mean errors of each epoch, as columns."""
        return self._record.errors

    def position(self, step: int) -> tuple[int, int]:
        """The epoch, and the batch within it, of the step that follows `step` steps."""
        return self._record.position(step, self.n_batches)

    def before_finalize(self) -> None:
        """Before the graph is finalized: add the op of the histograms, if they are wanted."""
        self._histograms = events.histograms() if self._with_histograms else tf.no_op()      # which gives None

    @contextlib.contextmanager
    def recording(self, session: tf.Session, saver: tf.train.Saver) -> Iterator[None]:
        """Around the loop: defer signals, write events, show progress; complete what a killed run left unfinished.

        Raises:
            Stopped: a signal was received after the last step.
        """
        self._session, self._saver = session, saver
        with signals.deferred() as self._pending, events.open_log(self._folder, self._settings) as self._log:
            if self.checkpoint and self._folder:
                print(printable(resume_message(self.prefix, self.epoch, self._settings.num_epoch)))
                # A run may have been killed after saving the checkpoint and before the end of this.
                run_folder.prune(self._folder, self.errors["epoch"], self.step)
                self._on_checkpoint(self.prefix)
            self._progress = progress_bar(max(0, self.last_step - self.step) if self._folder else 0)
            if self.step < self.last_step:
                self._log.write_graph(self._n_input, self.step)
            self._n_ended = self.epoch
            yield
            if self._pending:
                raise Stopped(self._pending[0], self.prefix)

    def before_steps(self) -> None:
        """Before each `Session.run`, when the sums of the epoch agree with the variables: stop if a signal is pending.

        Raises:
            Stopped: a signal was received; the steps so far are saved.
            CheckpointError: they cannot be saved.
        """
        if not self._pending:
            return
        if self._folder:
            self.prefix = run_folder.save_stopped(
                self._session, self._saver, self._folder, self.epoch, self.step, self._record.as_json())
        raise Stopped(self._pending[0], self.prefix)

    def after_steps(self, errors: Sequence[Sequence[float]], step: int | None = None) -> None:
        """After each `Session.run`: count its steps and add their errors.

        Args:
            errors: the three errors of each step.
            step: the step counter after them, if others advance it too.

        Raises:
            Diverged: an error is not finite.
        """
        before, self.step = self.step, self.step + len(errors) if step is None else step
        if self._folder:
            self._check_finite(errors, before)
            self._record.add(errors)
            self._progress.add(min(self.step, self.last_step) - before)

    def end_epoch(self, epoch: int) -> None:
        """After an epoch: print and log its mean errors; write a checkpoint if one is due.

        Raises:
            CheckpointError: it cannot be written, or has NaN or infinity in it.
            OSError: the record cannot be written.
        """
        if not self._folder:
            return
        means = self._record.end_epoch(epoch)
        print_epoch(epoch, means)
        self._log.add_epoch(self.step, means)
        # Asynchronous steps of others may end several epochs at once.
        ended, self._n_ended = range(self._n_ended, epoch + 1), epoch + 1
        if self._n_ended == self._settings.num_epoch or any(
                number % self._settings.checkpoint_every == 0 for number in ended):
            self._save(self._folder, epoch)
        self._log.reset_timer(self.step)

    def _save(self, folder: Path, epoch: int) -> None:
        files.write_atomic(folder / RECORD_FILE, self._record.as_json())
        self.prefix = writing.save(self._session, self._saver, folder, epoch)
        run_folder.prune(folder, self.errors["epoch"], self.step)
        pictures = self._on_checkpoint(self.prefix) or {}
        self._log.add_checkpoint(self.step, pictures, self._session.run(self._histograms))

    def _check_finite(self, errors: Sequence[Sequence[float]], first_step: int) -> None:
        """Stop at the first step whose errors are not finite: later steps only propagate them."""
        if np.isfinite(errors).all():
            return
        number, term = np.argwhere(~np.isfinite(errors))[0]
        latest = f"the latest valid checkpoint is {self.prefix}" if self.prefix else "there is no checkpoint yet"
        raise Diverged(
            f"step {first_step + number} in epoch {self.position(first_step)[0]}: expected finite errors, found "
            f"{ERROR_NAMES[term]} {errors[number][term]}; {latest}; restart with --restart and a smaller "
            "--learning_rate, a larger --batch_size or another --seed")


def resume_message(prefix: str, epoch: int, num_epoch: int) -> str:
    """Where a run resumes, or that it is finished."""
    if epoch < num_epoch:
        return f"resuming from {prefix}, epoch {epoch} of {num_epoch}"
    return f"{prefix} has {epoch} epochs: nothing left to train for --num_epoch {num_epoch}"


def print_epoch(epoch: int, errors: Sequence[float]) -> None:
    """Print the original's line; on a terminal it replaces the progress bar."""
    recon, regularization, elbo = errors
    print(("\r\x1b[K" if sys.stdout.isatty() else "")
          + f"Epoch:  {epoch}   Reconstruction_Error:  {recon:.4f}   Regularization_Error:  {regularization:.4f}"
          + f"   ELBO:  {elbo:.4f}", flush=True)


def progress_bar(n_steps: int) -> tf.keras.utils.Progbar:
    """Steps done and time left of the whole run; silent unless the output is a terminal."""
    return tf.keras.utils.Progbar(n_steps, verbose=1 if sys.stdout.isatty() else 0, interval=0.2)
