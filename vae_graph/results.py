"""What a trained model shows: arrays for the pictures, from its checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from vae_graph.evaluation import Model, parts_of, refuse_other_size, restored

N_SHOWN = 5                      # test images shown beside their reconstructions
N_CELLS = 20                     # of the manifold, along each of its sides
PROBABILITIES = (np.arange(N_CELLS) + 0.5) / N_CELLS
GRIDS = {                        # the manifold's values of z1, and of z2
    "linear": np.linspace(-2, 2, N_CELLS),
    # Between two of them there is as much of N(0, 1) as between any other two (Kingma & Welling, figure 4).
    "gaussian": np.array([NormalDist().inv_cdf(probability) for probability in PROBABILITIES]),
}


@dataclass(frozen=True)
class Results:
    """What the pictures of a training show."""

    reconstructions: np.ndarray      # float32 [5, n_input]
    codes: np.ndarray                # float32 [n, 2]: a sample of z for each test image, not its mean
    manifolds: dict[str, np.ndarray]     # by its grid's name, float32 [20, 20, n_input]: rows from z2's largest down
    axis_names: tuple[str, str]
    plane: str                       # which plane of latent space is shown; empty if it is all of it


def of_training(prefix: str, images: np.ndarray, seed: int, grids: Sequence[str] = ("linear",), noisy: bool = False
            ) -> Results:
    """What the original draws after its training, from a checkpoint and the test images.

    Args:
        prefix: the checkpoint.
        images: float32 [n, n_input] in [0, 1].
        seed: the one source of the noise.
        grids: the names of the grids that the manifold is decoded on, out of `GRIDS`.
        noisy: let the encoder see noisy images.

    Raises:
        CheckpointError: see `restored`; or the network is made for images of another size.
    """
    with restored(prefix, seed, noisy) as model:
        refuse_other_size(prefix, images, model.sizes)
        shown = model.X_out[:N_SHOWN]
        runs = [model.session.run([model.z, shown], {model.X: images[part]}) for part in parts_of(len(images))]
        codes = np.concatenate([z for z, _ in runs])
        origin, axes = latent_plane(codes)
        manifolds = {name: _manifold(model, GRIDS[name], origin, axes) for name in grids}

    n_z = model.sizes.n_z
    return Results(
        reconstructions=runs[0][1],
        codes=(codes - origin) @ axes.T,
        manifolds=manifolds,
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


def _manifold(model: Model, grid: np.ndarray, origin: np.ndarray, axes: np.ndarray) -> np.ndarray:
    z1, z2 = np.meshgrid(grid, grid[::-1])
    z = origin + np.stack([z1.ravel(), z2.ravel()], 1) @ axes
    # Any tensor can be fed: with z given, the decoder runs alone, on all 400 codes at once.
    return model.session.run(model.X_out, {model.z: z}).reshape(len(grid), len(grid), -1)


def reconstructions(prefix: str, images: np.ndarray, seed: int, noisy: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """What the encoder sees of some images, and what the decoder makes of one sample of z for each.

    Args:
        prefix, images, seed, noisy: as those of `of_training`.

    Returns:
        float32 [n, n_input] in [0, 1] each; the first are the images themselves where there is no noise.

    Raises:
        CheckpointError: see `of_training`.
    """
    with restored(prefix, seed, noisy) as model:
        refuse_other_size(prefix, images, model.sizes)
        return tuple(model.session.run([model.X_noisy, model.X_out], {model.X: images}))


def samples(prefix: str, n: int, seed: int) -> np.ndarray:
    """What the decoder makes of n draws from the prior, z ~ N(0, I): float32 [n, n_input] in [0, 1].

    Raises:
        CheckpointError: see `restored`.
    """
    with restored(prefix, seed) as model:
        z = np.random.default_rng(seed).standard_normal((n, model.sizes.n_z))
        return model.session.run(model.X_out, {model.z: z})


def means(prefix: str, images: np.ndarray) -> np.ndarray:
    """Where the encoder places some images: the means of q(z|X), float32 [n, n_z].

    Raises:
        CheckpointError: see `of_training`.
    """
    with restored(prefix, seed=0) as model:
        refuse_other_size(prefix, images, model.sizes)
        return np.concatenate([model.session.run(model.mean, {model.X: images[part]})
                               for part in parts_of(len(images))])


def walk(prefix: str, pair: np.ndarray, n: int) -> np.ndarray:
    """The straight way in latent space from the mean of one image to that of another, decoded.

    Args:
        prefix: the checkpoint.
        pair: the two images, float32 [2, n_input] in [0, 1].
        n: steps of equal length, both ends among them.

    Returns:
        float32 [n, n_input] in [0, 1].

    Raises:
        CheckpointError: see `of_training`.
    """
    with restored(prefix, seed=0) as model:
        refuse_other_size(prefix, pair, model.sizes)
        start, end = model.session.run(model.mean, {model.X: pair})
        return model.session.run(model.X_out, {model.z: np.linspace(start, end, n)})
