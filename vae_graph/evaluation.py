"""The metrics of a trained model, from its checkpoint."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph import checkpoints
from vae_graph.errors import UserError
from vae_graph.model import Variational_autoencoder, add_noise, gaussian_encoder, log_likelihood, regularization

BATCH_SIZE = 1_000               # images per run; bounds the memory
ACTIVE_VARIANCE = 0.01           # a unit is active if its mean has a larger variance over the images (Burda et al.)


@dataclass(frozen=True)
class Measurements:
    """A model's errors on each of n images, in nats, dropout off."""

    mean: np.ndarray                     # float64 [n, n_z], of q(z|X)
    Recon_error: np.ndarray              # float64 [draws, n]
    Regularization_error: np.ndarray     # float64 [n]; the same in every draw
    negative_IWAE_bound: np.ndarray | None      # float64 [n]; None without samples
    iwae_samples: int

    def numbers(self) -> dict[str, np.ndarray]:
        """The metrics of each image, float64 [n], means over the draws: the original's three, then the true ones."""
        n_z = self.mean.shape[1]
        recon, regularization = self.Recon_error.mean(0), self.Regularization_error
        numbers = {
            "Recon_error": recon, "Regularization_error": regularization, "ELBO": recon + regularization,
            # Without the n_z that the +1 in the original's KL term adds.
            "true_negative_ELBO": recon + regularization - n_z, "KL": regularization - n_z}
        if self.negative_IWAE_bound is not None:
            numbers["negative_IWAE_bound"] = self.negative_IWAE_bound
        return numbers


@dataclass(frozen=True)
class Evaluation:
    """A model's metrics on a set of images: means over images and noise draws, in nats per image, dropout off."""

    Recon_error: float
    Regularization_error: float
    ELBO: float                          # the original's name for the negative evidence lower bound, plus n_z
    ELBO_sd: float                       # standard deviation of ELBO, and of Recon_error, from draw to draw
    true_negative_ELBO: float            # ELBO - n_z
    KL: float                            # KL(q(z|X) || N(0, I)): Regularization_error - n_z
    active_units: int                    # latent dimensions that depend on the image: see `ACTIVE_VARIANCE`
    per_digit: dict[int, dict[str, float]]      # for each digit present: the number of images, and the means
    n_z: int
    n_images: int
    draws: int
    iwae_samples: int
    negative_IWAE_bound: float | None = None    # None without samples


class Model(NamedTuple):
    """A restored network, in its own graph and session."""

    session: tf.Session
    X: tf.Tensor                     # float32 [batch, n_input]
    X_noisy: tf.Tensor               # the encoder's input; X itself without noise
    mean: tf.Tensor                  # float32 [batch, n_z]
    std: tf.Tensor                   # float32 [batch, n_z]
    z: tf.Tensor                     # float32 [batch, n_z]; may be fed
    X_out: tf.Tensor                 # float32 [batch, n_input]
    log_likelihood: tf.Tensor        # float32 [batch], log p(X|z)
    regularization: tf.Tensor        # float32 [batch]
    sizes: checkpoints.LayerSizes


@contextlib.contextmanager
def restored(prefix: str, seed: int, noisy: bool = False) -> Iterator[Model]:
    """The network of a checkpoint, dropout off, noise drawn from `seed`; its encoder sees noisy or clean images.

    Raises:
        CheckpointError: the checkpoint is invalid, not of this network, or has NaN or infinity in it.
    """
    sizes, network = checkpoints.read_network(prefix)
    with tf.Graph().as_default():
        tf.set_random_seed(seed)
        X = tf.placeholder(tf.float32, [None, sizes.n_input], name="input_data")
        X_noisy = add_noise(X) if noisy else X
        z, X_out, *_ = Variational_autoencoder(
            X, sizes.n_hidden_encoder, sizes.n_z, sizes.n_hidden_decoder, keep_prob=1.0, X_noisy=X_noisy)
        # Built again, the encoder has the same weights: its scopes are reused.
        mean, std = gaussian_encoder(X_noisy, sizes.n_hidden_encoder, sizes.n_z, keep_prob=1.0)
        with tf.Session() as session:
            checkpoints.assign(session, network)
            yield Model(session, X, X_noisy, mean, std, z, X_out, log_likelihood(X, X_out), regularization(mean, std),
                        sizes)


def evaluate(prefix: str, images: np.ndarray, digits: np.ndarray, seed: int = 0, draws: int = 10,
             iwae_samples: int = 0, noisy: bool = False, verbose: bool = False) -> Evaluation:
    """The metrics of a checkpoint on a set of images.

    Args:
        prefix: the checkpoint, which determines the layer sizes.
        images: float32 [n, n_input] in [0, 1].
        digits: int [n], their labels.
        seed: the one source of the noise.
        draws: number of noise draws to average over.
        iwae_samples: samples per image for the importance-weighted bound; 0 omits it.
        noisy: feed noisy images to the encoder; the errors are still measured on the clean ones.
        verbose: show a progress bar.

    Raises:
        CheckpointError, UserError: see `measure`.
    """
    return summarize(measure(prefix, images, seed, draws, iwae_samples, noisy, verbose), digits)


@np.errstate(all="ignore")       # non-finite errors are refused, without NumPy's warnings
def measure(prefix: str, images: np.ndarray, seed: int = 0, draws: int = 10, iwae_samples: int = 0,
            noisy: bool = False, verbose: bool = False) -> Measurements:
    """The errors that `evaluate` averages, image by image; the arguments are those of `evaluate`.

    The importance-weighted bound of K samples is E[log 1/K sum_k p(X, z_k) / q(z_k|X)] (Burda, Grosse and
    Salakhutdinov, "Importance Weighted Autoencoders", arXiv 1509.00519, section 3). Its sum is accumulated as a
    logarithm in float64, sample by sample: memory does not grow with K.

    Two models of the same n_z are given the same noise if images, seed, draws and samples are the same.

    Raises:
        CheckpointError: the checkpoint is invalid, not of this network, made for images of another size, or
            gives no finite errors.
        UserError: see `check_images`.
    """
    # The bound's noise has its own stream: the errors do not depend on whether it is computed.
    noise, bound_noise = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    n_images = len(images)
    with restored(prefix, seed, noisy) as model:
        check_images(prefix, images, model.sizes)
        mean = np.empty((n_images, model.sizes.n_z))
        Recon_error = np.empty((draws, n_images))
        Regularization_error = np.empty(n_images)
        log_sum = np.full(n_images, -np.inf)
        parts = batch_slices(n_images)
        progress = tf.keras.utils.Progbar(len(parts) * (draws + iwae_samples), verbose=int(verbose), interval=0.2)
        for part in parts:
            X = images[part]
            mean[part], std, Regularization_error[part] = model.session.run(
                [model.mean, model.std, model.regularization], {model.X: X})
            for draw in range(draws):
                Recon_error[draw, part] = -_sample(model, X, mean[part], std, noise)[0]
                progress.add(1)
            for _ in range(iwae_samples):
                log_sum[part] = np.logaddexp(log_sum[part], sum(_sample(model, X, mean[part], std, bound_noise)))
                progress.add(1)

    bound = np.log(iwae_samples) - log_sum if iwae_samples else None
    measurements = Measurements(mean, Recon_error, Regularization_error, bound, iwae_samples)
    if not all(np.isfinite(values).all() for values in measurements.numbers().values()):
        raise checkpoints.CheckpointError(f"{prefix}: expected finite errors, found NaN or infinity: its "
                                          "weights, though finite, do not fit these images")
    return measurements


def summarize(measurements: Measurements, digits: np.ndarray) -> Evaluation:
    """The means of measurements, over all images and for each digit; `digits` are the labels, int [n]."""
    numbers = measurements.numbers()
    draws, n_images = measurements.Recon_error.shape
    return Evaluation(
        **{name: float(values.mean()) for name, values in numbers.items()},
        ELBO_sd=float(measurements.Recon_error.mean(1).std(ddof=1)) if draws > 1 else 0.0,
        active_units=int((measurements.mean.var(0) > ACTIVE_VARIANCE).sum()),
        per_digit={int(digit): {"images": int((digits == digit).sum())}
                   | {name: float(values[digits == digit].mean()) for name, values in numbers.items()}
                   for digit in np.unique(digits)},
        n_z=measurements.mean.shape[1], n_images=n_images, draws=draws, iwae_samples=measurements.iwae_samples)


def _sample(model: Model, X: np.ndarray, mean: np.ndarray, std: np.ndarray, noise: np.random.Generator
            ) -> tuple[np.ndarray, np.ndarray]:
    """log p(X|z) and log p(z) - log q(z|X), float64 [n] each, for one z ~ q(z|X) of each of n images."""
    eps = noise.standard_normal(mean.shape)
    z = mean + std * eps
    # Any tensor can be fed: with z given, the decoder runs alone.
    log_p_X = model.session.run(model.log_likelihood, {model.X: X, model.z: z})
    return log_p_X.astype(np.float64), ((eps**2 - z**2) / 2 + np.log(std)).sum(1)


def batch_slices(n_images: int) -> list[slice]:
    """The images in batches of `BATCH_SIZE`."""
    return [slice(start, start + BATCH_SIZE) for start in range(0, n_images, BATCH_SIZE)]


def check_images(prefix: str, images: np.ndarray, sizes: checkpoints.LayerSizes) -> None:
    """Check the images that a network is given.

    Raises:
        UserError: they are not [n, n_input] in [0, 1].
        CheckpointError: the network is for images of another size.
    """
    if images.ndim != 2:
        raise UserError(f"images: expected an array of shape [n, {sizes.n_input}], found {images.shape}")
    if images.shape[1] != sizes.n_input:
        raise checkpoints.CheckpointError(f"{prefix}: expected a network for the data's {images.shape[1]} pixels "
                                          f"per image, found one for {sizes.n_input}")
    # The errors of others are numbers too, and may look better than any model's.
    if images.size and not (images.min() >= 0 and images.max() <= 1):
        raise UserError(f"images: expected pixels in [0, 1], found {images.min():g} to {images.max():g}")
