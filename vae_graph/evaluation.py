"""Numbers and arrays of a trained model, from its checkpoint."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph import checkpoints
from vae_graph.model import Variational_autoencoder

BATCH_SIZE = 10_000              # images a run; bounds the memory, MNIST's test set is one batch
N_SHOWN = 5                      # test images shown beside their reconstructions
GRID = np.linspace(-2, 2, 20)    # the manifold's values of z1, and of z2


@dataclass(frozen=True)
class Errors:
    """Errors under the original's names, in nats an image, dropout off: means over `draws` draws of the noise."""

    Recon_error: float
    Regularization_error: float
    ELBO: float
    ELBO_sd: float                   # standard deviation of ELBO from draw to draw
    true_negative_ELBO: float        # ELBO less n_z: what the +1 in the original's KL term adds is taken off
    draws: int


@dataclass(frozen=True)
class Results:
    """What the three pictures show."""

    reconstructions: np.ndarray      # float32 [5, n_input]
    codes: np.ndarray                # float32 [n, 2]: a sample of z for each test image, not its mean
    manifold: np.ndarray             # float32 [20, 20, n_input]: rows from z2 = 2 down, columns from z1 = -2 up
    axis_names: tuple[str, str]
    plane: str                       # which plane of latent space is shown; empty if it is all of it


class Model(NamedTuple):
    """A restored network, in its own graph and session."""

    session: tf.Session
    X: tf.Tensor                     # float32 [batch, n_input]
    z: tf.Tensor                     # float32 [batch, n_z]; may be fed
    X_out: tf.Tensor                 # float32 [batch, n_input]
    errors: tuple[tf.Tensor, tf.Tensor, tf.Tensor]
    sizes: checkpoints.LayerSizes


@contextlib.contextmanager
def restored(prefix: str, seed: int) -> Iterator[Model]:
    """The network of a checkpoint, dropout off, its noise drawn from `seed`.

    Raises:
        CheckpointError: the checkpoint is not whole or not of this network.
    """
    sizes = checkpoints.layer_sizes(prefix, checkpoints.read_variables(prefix))
    with tf.Graph().as_default():
        tf.set_random_seed(seed)
        X = tf.placeholder(tf.float32, [None, sizes.n_input], name="input_data")
        z, X_out, *errors = Variational_autoencoder(
            X, sizes.n_hidden_encoder, sizes.n_z, sizes.n_hidden_decoder, keep_prob=1.0)
        with tf.Session() as session:
            tf.train.Saver().restore(session, prefix)
            yield Model(session, X, z, X_out, tuple(errors), sizes)


def measure_errors(prefix: str, images: np.ndarray, seed: int, draws: int = 10) -> Errors:
    """The errors of a checkpoint on `images`, float32 [n, n_input] in [0, 1].

    Raises:
        CheckpointError: see `restored`.
    """
    errors = np.zeros((draws, 3))
    with restored(prefix, seed) as model:
        for draw in errors:
            for batch in _batches(images):
                draw += np.array(model.session.run(model.errors, {model.X: batch})) * len(batch) / len(images)
    recon, regularization, elbo = errors.mean(0).tolist()
    spread = float(errors[:, 2].std(ddof=1)) if draws > 1 else 0.0
    return Errors(recon, regularization, elbo, spread, elbo - model.sizes.n_z, draws)


def results(prefix: str, images: np.ndarray, seed: int) -> Results:
    """What the original draws after its training, from a checkpoint and the test images.

    Raises:
        CheckpointError: see `restored`.
    """
    with restored(prefix, seed) as model:
        runs = [model.session.run([model.z, model.X_out], {model.X: batch}) for batch in _batches(images)]
        codes = np.concatenate([z for z, _ in runs])
        origin, axes = latent_plane(codes)

        z1, z2 = np.meshgrid(GRID, GRID[::-1])
        grid = origin + np.stack([z1.ravel(), z2.ravel()], 1) @ axes
        # Any tensor can be fed: with z given, the decoder runs alone, on all 400 codes at once.
        manifold = model.session.run(model.X_out, {model.z: grid})

    n_z = model.sizes.n_z
    return Results(
        reconstructions=runs[0][1][:N_SHOWN],
        codes=(codes - origin) @ axes.T,
        manifold=manifold.reshape(len(GRID), len(GRID), -1),
        axis_names=("z1", "z2") if n_z == 2 else ("principal component 1", "principal component 2"),
        plane="" if n_z == 2 else f"the plane of the first two principal components of z, n_z = {n_z}")


def latent_plane(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The plane in which a latent space is shown: all of it if n_z is 2, else that of the codes' principal components.

    Args:
        codes: float [n, n_z].

    Returns:
        origin: [n_z], a point of the plane: zero, or the codes' mean.
        axes: [2, n_z], orthonormal; for n_z = 1, which has no second direction, the second is zero.
    """
    n_z = codes.shape[1]
    if n_z == 2:
        return np.zeros(2), np.eye(2)
    origin = codes.mean(0)
    _, _, components = np.linalg.svd(codes - origin, full_matrices=False)
    axes = np.zeros((2, n_z))
    axes[:min(2, n_z)] = components[:2]
    # A component's sign is arbitrary; the largest coefficient is made positive so that pictures do not flip.
    largest = axes[np.arange(2), np.abs(axes).argmax(1)]
    return origin, axes * np.where(largest < 0, -1, 1)[:, None]


def _batches(images: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(images), BATCH_SIZE):
        yield images[start:start + BATCH_SIZE]
