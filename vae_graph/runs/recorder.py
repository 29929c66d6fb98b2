"""Everything that a training run does besides computing: record, signals, progress bar, checkpoints, events."""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph import files, locks
from vae_graph.checkpoints import CheckpointError, writing
from vae_graph.errors import UserError, printable
from vae_graph.runs import events, folder, signals, streams
from vae_graph.runs.progress import Progress
from vae_graph.runs.record import RECORD_FILE
from vae_graph.runs.signals import Stopped
from vae_graph.runs.streams import OutputClosed
from vae_graph.training_graph import ERROR_NAMES

# Called with a checkpoint's prefix; returns PNG files by their names, or None.
OnCheckpoint = Callable[[str], Mapping[str, bytes] | None]


class Diverged(UserError):
    """An error became NaN or infinite. The message names the step, the error and what to change."""


class FolderReplaced(UserError):
    """The run's folder was moved or replaced while it trained. The message says where the run is saved."""


class Recorder:
    """Records a run while its session is open. The methods are named for when the loop calls them.

    Attributes:
        prefix: that of the latest checkpoint; empty before the first.
    """

    def __init__(self, progress: Progress, session: tf.Session, saver: tf.train.Saver, on_checkpoint: OnCheckpoint,
                 histogram_op: tf.Tensor | None, pending: Sequence[signal.Signals], closed: Sequence[OSError],
                 held: locks.HeldFolder, log: events.Log) -> None:
        """Args: see `recording`; signals and errors of the output so far, which stop the run, and its folder."""
        self._progress, self._session, self._saver = progress, session, saver
        self._on_checkpoint, self._histogram_op = on_checkpoint, histogram_op
        self._pending, self._closed, self._held, self._log = pending, closed, held, log
        self._bar = _progress_bar(max(0, progress.last_step - progress.step))
        self.prefix = progress.checkpoint.prefix if progress.checkpoint else ""

    def before_steps(self) -> None:
        """Before each `Session.run`, where record and variables are at the same step: stop if there is a reason to.

        Raises:
            Stopped: a signal was received; the steps so far are saved.
            OutputClosed: the output cannot be written to any more; the steps so far are saved.
            FolderReplaced: the run's folder was moved or replaced; the steps so far are saved.
            CheckpointError: they cannot be saved.
        """
        if self._pending or self._closed:
            with self._in_its_folder():
                self._save_steps(self._progress.folder)
            self._stop()

    def _stop(self) -> None:
        """Raise the reason to stop, if there is one. A terminal that closes gives two."""
        if self._pending:
            raise Stopped(self._pending[0], self.prefix)
        if self._closed:
            raise OutputClosed(self._closed[0], self.prefix)

    def after_steps(self, errors: Sequence[Sequence[float]]) -> None:
        """After each `Session.run`, before the loop counts its steps: record the three errors of each.

        Raises:
            Diverged: an error is not finite.
        """
        self._check_finite(errors)
        self._progress.record.add(errors)
        self._bar.add(len(errors))

    def end_epoch(self, epoch: int) -> None:
        """After an epoch: print and log its mean errors; write a checkpoint if one is due.

        Raises:
            FolderReplaced: the run's folder was moved or replaced; the steps so far are saved.
            CheckpointError: it cannot be written, or has NaN or infinity in it.
            OSError: the record cannot be written.
        """
        settings, step = self._progress.record.settings, self._progress.step
        means = self._progress.record.end_epoch(epoch)
        _print_epoch(epoch, means)
        self._log.add_epoch(step, means)
        if epoch % settings.checkpoint_every == 0 or epoch + 1 == settings.num_epoch:
            with self._in_its_folder():
                self._save(epoch)
        self._log.reset_timer(step)

    def _save_steps(self, place: Path) -> None:
        progress = self._progress
        self.prefix = folder.save_stopped(self._session, self._saver, place, progress.epoch, progress.step,
                                          progress.record.as_json())

    @contextlib.contextmanager
    def _in_its_folder(self) -> Iterator[None]:
        """Around each save: check the run's folder before it, and if it fails."""
        self._check_folder()
        try:
            yield
        except (OSError, CheckpointError):
            self._check_folder()
            raise

    def _check_folder(self) -> None:
        """If the run's folder is gone or another one, save where it is now, or beside it, and end the run."""
        if self._held.is_there():
            return
        found = "another one" if self._held.path.exists() else "nothing of that name"
        self._save_steps(self._held.moved_to() or folder.folder_beside(self._held.path))
        raise FolderReplaced(f"{self._held.path}: expected the folder in which this run began, found {found}; all "
                             f"steps so far are saved in {self.prefix}")

    def _save(self, epoch: int) -> None:
        progress = self._progress
        # The record first: resuming drops the epochs of a record that have no checkpoint.
        files.write_atomic(progress.folder / RECORD_FILE, progress.record.as_json())
        self.prefix = writing.save(self._session, self._saver, progress.folder, epoch)
        folder.prune(progress.folder, progress.record.errors["epoch"], progress.step)
        pictures = self._on_checkpoint(self.prefix) or {}
        histograms = None if self._histogram_op is None else self._session.run(self._histogram_op)
        self._log.add_checkpoint(progress.step, pictures, histograms)

    def _check_finite(self, errors: Sequence[Sequence[float]]) -> None:
        """Stop at the first step whose errors are not finite: later steps only propagate them."""
        if np.isfinite(errors).all():
            return
        number, term = np.argwhere(~np.isfinite(errors))[0]
        latest = f"the latest valid checkpoint is {self.prefix}" if self.prefix else "there is no checkpoint yet"
        raise Diverged(
            f"step {self._progress.step + number} in epoch {self._progress.epoch}: expected finite errors, found "
            f"{ERROR_NAMES[term]} {errors[number][term]}; {latest}; restart with --restart and a smaller "
            "--learning_rate, a larger --batch_size or --keep_prob, or another --seed")


@contextlib.contextmanager
def recording(progress: Progress, session: tf.Session, saver: tf.train.Saver, on_checkpoint: OnCheckpoint,
              histogram_op: tf.Tensor | None) -> Iterator[Recorder]:
    """Around the loop: defer signals, open the event file. When resuming, prune and call `on_checkpoint` again.

    Args:
        progress: see `load_run`.
        session, saver: in which the run trains, and what saves its variables.
        on_checkpoint: see `training.train`.
        histogram_op: run at each checkpoint, see `events.histograms`.

    Raises:
        Stopped, OutputClosed: as for `Recorder.before_steps`, after the last step.
    """
    settings = progress.record.settings
    with (signals.deferred() as pending, streams.deferred() as closed, locks.hold(progress.folder) as held,
          events.open_log(progress.folder, settings) as log):
        recorder = Recorder(progress, session, saver, on_checkpoint, histogram_op, pending, closed, held, log)
        if progress.checkpoint:
            print(printable(_resume_message(recorder.prefix, progress.epoch, settings.num_epoch)))
            # A run may have been killed after saving the checkpoint and before the end of this.
            folder.prune(progress.folder, progress.record.errors["epoch"], progress.step)
            on_checkpoint(recorder.prefix)
        if progress.step < progress.last_step:
            log.start(progress.n_input, progress.step)
        yield recorder
    recorder._stop()                     # for a signal after the last step, or while the log was closed


def _resume_message(prefix: str, epoch: int, num_epoch: int) -> str:
    """Where a run resumes, or that it is finished."""
    if epoch < num_epoch:
        return f"resuming from {prefix}: {epoch} of {num_epoch} epochs done"
    return f"{prefix} has {epoch} epochs: nothing left to train for --num_epoch {num_epoch}"


def _print_epoch(epoch: int, errors: Sequence[float]) -> None:
    """Print the original's line; on a terminal it replaces the progress bar."""
    recon, regularization, elbo = errors
    print(("\r\x1b[K" if sys.stdout.isatty() else "")
          + f"Epoch:  {epoch}   Reconstruction_Error:  {recon:.4f}   Regularization_Error:  {regularization:.4f}"
          + f"   ELBO:  {elbo:.4f}", flush=True)


def _progress_bar(n_steps: int) -> tf.keras.utils.Progbar:
    """Steps done and time left, of those that remain; silent unless the output is a terminal."""
    return tf.keras.utils.Progbar(n_steps, verbose=1 if sys.stdout.isatty() else 0, interval=0.2)
