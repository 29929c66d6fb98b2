"""What a run tells TensorBoard: graph, errors, pictures, in TensorFlow 1's event files beside the checkpoints.

An event file is a log: it grows while the run goes on, and TensorBoard reads it up to its last whole record. A run that
goes on after a stop writes a new one, and says after which step the older ones no longer hold.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow.compat.v1 as tf

from vae_graph.checkpoints import first_line
from vae_graph.model import Variational_autoencoder, add_noise
from vae_graph.resume import ERROR_NAMES
from vae_graph.training_graph import Settings, adam


@dataclass
class Log:
    """A run's event file. Training does not end because it cannot be written: after a line it goes on without."""

    writer: tf.summary.FileWriter | None         # None: nothing is written, by a replica that is not the chief, say
    settings: Settings
    clock: float = 0                 # when the timing of steps began, seconds
    first_step: int = 0              # and the step that it began with

    def begin(self, n_input: int, step: int) -> None:
        """Tell which network is trained, and after which step."""
        if self.writer:
            graph = tf.Event(wall_time=time.time(), graph_def=schematic(n_input, self.settings).SerializeToString())
            # TensorBoard forgets what an earlier file has of this step and of later ones.
            self._write(lambda writer: writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START), step + 1))
            self._write(lambda writer: writer.add_event(graph))
        self.time_from(step)

    def time_from(self, step: int) -> None:
        """Begin to count the images per second."""
        self.clock, self.first_step = time.perf_counter(), step

    def add_epoch(self, step: int, errors: Sequence[float]) -> None:
        """Tell an epoch's mean errors (nats an image, dropout on), the learning rate, and the speed."""
        settings = self.settings
        n_images = (step - self.first_step) * settings.batch_size
        scalars = {
            **dict(zip(ERROR_NAMES, errors, strict=True)), "KL": errors[1] - settings.n_z,
            "learning_rate": settings.learning_rate * settings.decay_rate ** (step / settings.decay_step),
            "images_per_second": n_images / (time.perf_counter() - self.clock)}
        summary = tf.Summary(value=[tf.Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()])
        self._write(lambda writer: writer.add_summary(summary, step))

    def add_checkpoint(self, step: int, pictures: Mapping[str, bytes], histograms: bytes | None) -> None:
        """Show a checkpoint's pictures, PNG files by their names, and its weights; put them on the disk."""
        summary = tf.Summary(value=[
            tf.Summary.Value(tag=Path(name).stem, image=tf.Summary.Image(encoded_image_string=content))
            for name, content in pictures.items()])
        self._write(lambda writer: writer.add_summary(summary, step))
        if histograms:
            self._write(lambda writer: writer.add_summary(histograms, step))
        self._write(lambda writer: writer.flush())

    def close(self) -> None:
        """Write what is still to be written."""
        self._write(lambda writer: writer.close())

    def _write(self, write: Callable[[tf.summary.FileWriter], None]) -> None:
        if not self.writer:
            return
        try:
            write(self.writer)
        except Exception as error:       # whatever the writer's thread ended with; the writer is closed then
            print(f"TensorBoard's events end here: {first_line(error)}")


@contextlib.contextmanager
def opened(folder: Path | None, settings: Settings) -> Iterator[Log]:
    """The log of a run in its folder; of None one that writes nothing. The file is made with the first event."""
    if not folder:
        yield Log(None, settings)
        return
    with _silent_thread():
        log = Log(tf.summary.FileWriter(str(folder)), settings)
        try:
            yield log
        finally:
            log.close()


@contextlib.contextmanager
def _silent_thread() -> Iterator[None]:
    """Keep what the writer's thread says at its end from the terminal: it is raised once more by the next call."""
    def is_anothers(record: logging.LogRecord) -> bool:
        return "EventFileWriter" not in record.getMessage()

    def hook(args: threading.ExceptHookArgs) -> None:
        if args.thread is None or args.thread.name != "EventLoggerThread":
            before(args)

    before, threading.excepthook = threading.excepthook, hook
    tf.get_logger().addFilter(is_anothers)
    try:
        yield
    finally:
        threading.excepthook = before
        tf.get_logger().removeFilter(is_anothers)


def histograms() -> tf.Tensor:
    """Add a node to the default graph that gives histograms of all weights and biases, for `Log.add_checkpoint`."""
    return tf.summary.merge([tf.summary.histogram(f"weights/{variable.op.name}", variable.read_value())
                             for variable in tf.trainable_variables()])


def schematic(n_input: int, settings: Settings) -> tf.GraphDef:
    """The graph of one step, its nodes in boxes: input, encoder, sampling, decoder, loss, optimizer.

    It is for TensorBoard's eyes only. What is run has other copies and towers, and no boxes, for the names of
    variables are a file format: `encoder/encoder_hidden_1/w1` is `encoder_hidden_1/w1` there.
    """
    with tf.Graph().as_default() as graph:
        X = tf.placeholder(tf.float32, [None, n_input], name="input_data")
        keep_prob = tf.placeholder(tf.float32, [], name="dropout_rate")
        *_, ELBO = Variational_autoencoder(
            X, settings.n_hidden_encoder, settings.n_z, settings.n_hidden_decoder, keep_prob,
            add_noise(X) if settings.add_noise else None)
        adam(settings, tf.train.get_or_create_global_step()).minimize(ELBO)
        graph_def = graph.as_graph_def(add_shapes=True)

    boxes = _boxes(graph_def, ELBO.op.name)
    for node in graph_def.node:
        node.name = f"{boxes[node.name]}/{node.name}"
        for number, name in enumerate(node.input):
            control = "^" * name.startswith("^")
            name = name.removeprefix("^")
            node.input[number] = f"{control}{boxes[name.partition(':')[0]]}/{name}"
        node.attr.pop("_class", None)        # it names other nodes too, and is for placing them on devices
    return graph_def


def _boxes(graph_def: tf.GraphDef, loss: str) -> dict[str, str]:
    """The box of each node. The builders add the network's parts in their order; what comes after is the optimizer."""
    boxes: dict[str, str] = {}
    box = "input"
    for node in graph_def.node:
        if loss in boxes:
            box = "optimizer"
        elif node.name.startswith("encoder_"):
            box = "encoder"
        elif node.name.startswith("decoder_"):
            box = "decoder"
        else:
            box = {"encoder": "sampling", "decoder": "loss"}.get(box, box)
        boxes[node.name] = box
    return boxes
