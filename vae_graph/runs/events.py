"""A run's TensorBoard events: graph, errors, pictures, in TensorFlow 1's event files beside the checkpoints.

An event file is a log: it grows during the run, and TensorBoard reads it up to its last complete record. A resumed run
writes a new one, which says from which step on it supersedes the older ones.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow.compat.v1 as tf

from vae_graph.checkpoints.safe_names import safe_dir
from vae_graph.errors import first_line, printable
from vae_graph.graph_parts import schematic
from vae_graph.settings import Settings
from vae_graph.training_graph import ERROR_NAMES

EVENT_FILES = "events.out.tfevents.*"


@dataclass
class Log:
    """A run's event file. If it cannot be written, training prints one line and continues without it."""

    folder: Path
    settings: Settings
    writer: tf.summary.FileWriter | None = None
    has_failed: bool = False
    start_time: float = 0            # when the timer was reset, seconds
    start_step: int = 0              # and the step then

    def start(self, n_input: int, step: int) -> None:
        """Write after which step this file supersedes earlier ones; if there are none, the graph. Reset the timer."""
        is_resumed = any(self.folder.glob(EVENT_FILES))          # TensorBoard warns of a second graph
        # TensorBoard discards earlier files' events of this step and later ones.
        self._write(lambda writer: writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START), step + 1))
        if not is_resumed:
            graph = tf.Event(wall_time=time.time(), graph_def=schematic(n_input, self.settings).SerializeToString())
            self._write(lambda writer: writer.add_event(graph))
        self.reset_timer(step)

    def reset_timer(self, step: int) -> None:
        """Start measuring the images per second."""
        self.start_time, self.start_step = time.perf_counter(), step

    def add_epoch(self, step: int, errors: Sequence[float]) -> None:
        """Write an epoch's mean errors (nats per image, dropout on), the learning rate, and the images per second."""
        settings = self.settings
        n_images = (step - self.start_step) * settings.batch_size
        scalars = {
            **dict(zip(ERROR_NAMES, errors, strict=True)), "KL": errors[1] - settings.n_z,
            "learning_rate": settings.learning_rate * settings.decay_rate ** (step / settings.decay_step),
            "images_per_second": n_images / (time.perf_counter() - self.start_time)}
        summary = tf.Summary(value=[tf.Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()])
        self._write(lambda writer: writer.add_summary(summary, step))

    def add_checkpoint(self, step: int, pictures: Mapping[str, bytes], histograms: bytes | None) -> None:
        """Write a checkpoint's pictures, PNG files by their names, and the histograms of its weights; flush."""
        summary = tf.Summary(value=[
            tf.Summary.Value(tag=Path(name).stem, image=tf.Summary.Image(encoded_image_string=content))
            for name, content in pictures.items()])
        self._write(lambda writer: writer.add_summary(summary, step))
        if histograms:
            self._write(lambda writer: writer.add_summary(histograms, step))
        self._write(lambda writer: writer.flush())

    def close(self) -> None:
        """Flush and close the file, if there is one."""
        if self.writer:
            self._write(lambda writer: writer.close())

    def _write(self, write: Callable[[tf.summary.FileWriter], None]) -> None:
        if self.has_failed:
            return
        try:
            if not self.writer:
                # TensorFlow names the file by host and second: two runs within one second would write the same file.
                self.writer = tf.summary.FileWriter(
                    str(self.folder), filename_suffix=f".{time.time_ns()}-{os.getpid()}")
            write(self.writer)
        except Exception as error:       # whatever the writer's thread ended with; the writer is closed then
            self.has_failed = True
            print(f"TensorBoard events end here: {printable(first_line(error))}", file=sys.stderr)


@contextlib.contextmanager
def open_log(folder: Path, settings: Settings) -> Iterator[Log]:
    """The log of the run in a folder. The first event creates the file."""
    with _quiet_writer_thread(), safe_dir(folder) as folder_for_tensorflow:
        log = Log(folder_for_tensorflow, settings)
        try:
            yield log
        finally:
            log.close()


@contextlib.contextmanager
def _quiet_writer_thread() -> Iterator[None]:
    """Suppress the output of a failing writer thread: the writer's next call raises its exception again."""
    def is_unrelated(record: logging.LogRecord) -> bool:
        return "EventFileWriter" not in record.getMessage()

    def hook(args: threading.ExceptHookArgs) -> None:
        if args.thread is None or args.thread.name != "EventLoggerThread":
            before(args)

    before, threading.excepthook = threading.excepthook, hook
    tf.get_logger().addFilter(is_unrelated)
    try:
        yield
    finally:
        threading.excepthook = before
        tf.get_logger().removeFilter(is_unrelated)


def histograms() -> tf.Tensor:
    """Add an op to the default graph that computes histograms of all weights and biases, for `Log.add_checkpoint`."""
    return tf.summary.merge([tf.summary.histogram(f"weights/{variable.op.name}", variable.read_value())
                             for variable in tf.trainable_variables()])
