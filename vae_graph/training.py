"""The Session loop."""

from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph import checkpoints
from vae_graph.devices import announce, default_towers, session_config, steps_per_run
from vae_graph.runs import events
from vae_graph.runs.progress import check_pixels, load_run
from vae_graph.runs.record import RunRecord
from vae_graph.runs.recorder import OnCheckpoint, recording
from vae_graph.settings import Settings
from vae_graph.training_graph import training_graph


def train(pixels: np.ndarray, data_sha256: dict[str, str], settings: Settings, folder: str | Path,
          on_checkpoint: OnCheckpoint = lambda prefix: None, n_towers: int | None = None, histograms: bool = False
          ) -> tuple[str, RunRecord]:
    """Train for `num_epoch` epochs in total, resuming from the latest valid checkpoint in `folder` if there is one.

    A run that is stopped or killed, and then resumed, ends with the same bytes as an uninterrupted one: the order of
    the images depends on seed and epoch only, the noise on seed and step only, and a checkpoint within an epoch has
    the sums of the epoch's errors beside it.

    Args:
        pixels: uint8 [n, n_input], used in this order unless they are shuffled; the last partial batch is left out.
            They are converted to float32 in [0, 1] batch by batch: all at once they would take four times the memory.
        data_sha256: the digests that identify the data set; a run resumes on the same data only.
        settings: see `Settings`.
        folder: the folder of the checkpoints; it must exist.
        on_checkpoint: called with the prefix of the checkpoint resumed from and of each one written. It may return PNG
            files by their names, which become TensorBoard events.
        n_towers: data-parallel splits of each batch; by default the number of the run in `folder`, for a new run see
            `default_towers`.
        histograms: write histograms of all weights and biases as events, at each checkpoint.

    Returns:
        The last checkpoint's prefix, and the record of the run. Its `errors` are the mean errors of each epoch (nats
        per image, dropout on) as columns: `epoch`, `Recon_error`, `Regularization_error`, `ELBO`.

    Raises:
        SettingsError: the pixels are not bytes, a batch is larger than the training set, or `folder` holds a run with
            other settings or data.
        CheckpointError: a checkpoint cannot be written, or the record beside one is invalid.
        OSError: the record cannot be written.
        Diverged: an error became NaN or infinite.
        Stopped, OutputClosed: SIGINT, SIGTERM or SIGHUP was received; the output is closed. The steps are saved.
        FolderReplaced: `folder` was moved or replaced. The steps are saved in it, or beside it.
    """
    check_pixels(pixels)
    run = load_run(folder, settings, data_sha256, pixels.shape, n_towers, default_towers(settings.batch_size))
    n_towers = run.record.n_towers
    if run.step < run.last_step:
        announce(n_towers)
    with tf.Graph().as_default():
        tf.set_random_seed(settings.seed)                       # of the initial weights; noise is stateless
        graph = training_graph(pixels.shape[1], settings, steps_per_run(n_towers), n_towers)
        saver, initializer = tf.train.Saver(), tf.global_variables_initializer()
        histogram_op = events.histograms() if histograms else None
        tf.get_default_graph().finalize()

        with (tf.Session(config=session_config(n_towers)) as session,
              recording(run, session, saver, on_checkpoint, histogram_op) as recorder):
            if run.checkpoint:
                checkpoints.restore(session, run.checkpoint.prefix)
            else:
                session.run(initializer)

            for epoch in range(run.epoch, settings.num_epoch):
                batches = batch_indices(len(pixels), settings, epoch)
                for first in range(run.batch, run.n_batches, len(graph.steps)):
                    recorder.before_steps()
                    indices = batches[first:first + len(graph.steps)]  # fewer at the end of an epoch
                    steps = graph.steps[:len(indices)]
                    _, errors = session.run(                            # the last train_op runs those before it
                        [steps[-1].train_op, [step.errors for step in steps]],
                        feed_dict={graph.input_data: np.divide(pixels[indices.ravel()], 255, dtype=np.float32),
                                   graph.dropout_rate: settings.keep_prob})     # README, quirk 4: it takes keep_prob
                    recorder.after_steps(errors)
                    run.step += len(steps)
                recorder.end_epoch(epoch)

    return recorder.prefix, run.record


def batch_indices(n_images: int, settings: Settings, epoch: int) -> np.ndarray:
    """Indices of the images in each batch of an epoch, int [n_batches, batch_size]: in order, or shuffled."""
    order = (np.random.default_rng([settings.seed, epoch]).permutation(n_images) if settings.shuffle
             else np.arange(n_images))
    n_batches = n_images // settings.batch_size
    return order[:n_batches * settings.batch_size].reshape(n_batches, settings.batch_size)
