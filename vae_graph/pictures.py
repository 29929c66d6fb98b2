"""The pictures of checkpoints: what a trained model decodes, as arrays and as image files.

The first half computes the arrays that the pictures show, the second half draws them with `plot` and returns the
files' contents by their names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from vae_graph import plot
from vae_graph.checkpoints import CheckpointError, label
from vae_graph.data import DataSet
from vae_graph.evaluation import Model, batch_slices, check_images, restored

N_PIXELS = 28 * 28
N_SHOWN = 5                      # test images shown beside their reconstructions
N_PER_ROW = 10                   # digits in the rows of the other pictures
N_CELLS = 20                     # of the manifold, along each of its sides
PROBABILITIES = (np.arange(N_CELLS) + 0.5) / N_CELLS
LIMITS = -2.0, 2.0
GRIDS = {                        # the manifold's values of z1, and of z2
    "linear": np.linspace(*LIMITS, N_CELLS),
    # Equal probability of N(0, 1) between neighbours (Kingma & Welling, figure 4).
    "gaussian": np.array([NormalDist().inv_cdf(probability) for probability in PROBABILITIES]),
}
LARGEST = 1e18                   # whose square is finite in float32
SHARE_SHOWN = 0.99               # of the coordinates in a plane: between the limits of the manifold


@dataclass(frozen=True)
class Results:
    """The arrays of the pictures that the original draws after its training."""

    reconstructions: np.ndarray      # float32 [5, n_input]
    codes: np.ndarray                # float32 [n, 2]: a sample of z for each test image, not its mean
    manifolds: dict[str, np.ndarray]     # by its grid's name, float32 [20, 20, n_input]: rows from z2's largest down
    limits: tuple[float, float]      # the ends of the linear grid: the original's if n_z is 2, else the codes'
    axis_names: tuple[str, str]
    plane: str                       # which plane of latent space is shown, and how much; empty if it is all of it


def training_results(prefix: str, images: np.ndarray, seed: int, grids: Sequence[str] = ("linear",),
                     noisy: bool = False) -> Results:
    """The arrays of what the original draws after its training, from a checkpoint and the test images.

    Args:
        prefix: the checkpoint.
        images: float32 [n, n_input] in [0, 1].
        seed: the one source of the noise.
        grids: the names of the grids on which the manifold is decoded, from `GRIDS`.
        noisy: feed noisy images to the encoder.

    Raises:
        CheckpointError: see `evaluation.restored`; or the network is for images of another size.
        UserError: see `evaluation.check_images`.
    """
    with restored(prefix, seed, noisy) as model:
        check_images(prefix, images, model.sizes)
        shown = model.X_out[:N_SHOWN]
        runs = [model.session.run([model.z, shown], {model.X: images[batch]}) for batch in batch_slices(len(images))]
        codes = _check_drawable(prefix, np.concatenate([z for z, _ in runs]))
        origin, axes = latent_plane(codes)
        in_plane, n_z = (codes - origin) @ axes.T, model.sizes.n_z
        limits = LIMITS if n_z == 2 else _limits(in_plane)
        values = GRIDS | {"linear": np.linspace(*limits, N_CELLS)}
        manifolds = {name: _check_drawable(prefix, _decode_grid(model, values[name], origin, axes)) for name in grids}

    share = in_plane.var(0).sum() / max(codes.var(0).sum(), np.finfo(float).tiny)      # no variance: a single image
    return Results(
        reconstructions=_check_drawable(prefix, runs[0][1]),
        codes=in_plane,
        manifolds=manifolds,
        limits=limits,
        axis_names=("z1", "z2") if n_z == 2 else ("principal component 1", "principal component 2"),
        plane="" if n_z == 2 else ("the plane of the first two principal components of z, n_z = "
                                   f"{n_z}: {share:.0%} of the variance"))


def _limits(codes: np.ndarray) -> tuple[float, float]:
    """The same limits for both axes of a plane, between which are `SHARE_SHOWN` of the coordinates of its codes."""
    largest = float(np.quantile(np.abs(codes), SHARE_SHOWN))
    return (-largest, largest) if largest else LIMITS            # zero for a single image


def _check_drawable(prefix: str, values: np.ndarray) -> np.ndarray:
    """Return latent codes or pixels; raise CheckpointError if one is not finite, or too large to be squared."""
    largest = float(np.abs(values).max(initial=0))
    if not largest < LARGEST:
        raise CheckpointError(f"{prefix}: expected latent codes and pixels below {LARGEST:g}, found {largest:g}: its "
                              "weights, though finite, do not fit these images")
    return values


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
    # With fewer codes than dimensions, rows of zeros complete the components.
    missing = np.zeros((max(0, n_z - len(codes)), n_z), codes.dtype)
    _, _, components = np.linalg.svd(np.concatenate([codes - origin, missing]), full_matrices=False)
    axes = np.zeros((2, n_z))
    axes[:min(2, n_z)] = components[:2]
    # A component's sign is arbitrary; the largest coefficient is made positive so that pictures do not flip.
    largest = axes[np.arange(2), np.abs(axes).argmax(1)]
    return origin, axes * np.where(largest < 0, -1, 1)[:, None]


def _decode_grid(model: Model, grid: np.ndarray, origin: np.ndarray, axes: np.ndarray) -> np.ndarray:
    z1, z2 = np.meshgrid(grid, grid[::-1])
    z = origin + np.stack([z1.ravel(), z2.ravel()], 1) @ axes
    # Any tensor can be fed: with z given, the decoder runs alone, on all 400 codes at once.
    return model.session.run(model.X_out, {model.z: z}).reshape(len(grid), len(grid), -1)


def reconstructions(prefix: str, images: np.ndarray, seed: int, noisy: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The encoder's input for some images, and the decoder's output for one sample of z for each.

    Args:
        prefix, images, seed, noisy: as for `training_results`.

    Returns:
        float32 [n, n_input] in [0, 1] each; the first are the images themselves without noise.

    Raises:
        CheckpointError: see `training_results`.
    """
    with restored(prefix, seed, noisy) as model:
        check_images(prefix, images, model.sizes)
        seen, decoded = model.session.run([model.X_noisy, model.X_out], {model.X: images})
        return seen, _check_drawable(prefix, decoded)


def samples(prefix: str, n: int, seed: int) -> np.ndarray:
    """The decoder's output for n draws from the prior, z ~ N(0, I): float32 [n, n_input] in [0, 1].

    Raises:
        CheckpointError: see `evaluation.restored`.
    """
    with restored(prefix, seed) as model:
        z = np.random.default_rng(seed).standard_normal((n, model.sizes.n_z))
        return _check_drawable(prefix, model.session.run(model.X_out, {model.z: z}))


def means(prefix: str, images: np.ndarray) -> np.ndarray:
    """The latent means of some images, those of q(z|X): float32 [n, n_z].

    Raises:
        CheckpointError: see `training_results`.
    """
    with restored(prefix, seed=0) as model:
        check_images(prefix, images, model.sizes)
        return _check_drawable(prefix, np.concatenate([model.session.run(model.mean, {model.X: images[batch]})
                                                      for batch in batch_slices(len(images))]))


def walk(prefix: str, pair: np.ndarray, n: int) -> np.ndarray:
    """Linear interpolation in latent space between the means of two images, decoded.

    Args:
        prefix: the checkpoint.
        pair: the two images, float32 [2, n_input] in [0, 1].
        n: number of equidistant points, both ends included.

    Returns:
        float32 [n, n_input] in [0, 1].

    Raises:
        CheckpointError: see `training_results`.
    """
    with restored(prefix, seed=0) as model:
        check_images(prefix, pair, model.sizes)
        start, end = _check_drawable(prefix, model.session.run(model.mean, {model.X: pair}))
        return _check_drawable(prefix, model.session.run(model.X_out, {model.z: np.linspace(start, end, n)}))


def of_training(prefix: str, data_set: DataSet, seed: int, gaussian_grid: bool = False, noisy: bool = False,
                palette: str = "jet", note: str = "") -> dict[str, bytes]:
    """The three pictures that the original draws after its training, and optional ones.

    Args:
        prefix: the checkpoint.
        data_set: its test images are shown.
        seed: the one source of the noise.
        gaussian_grid: draw the manifold on the Gaussian grid too.
        noisy: feed noisy images to the encoder, and draw them beside their reconstructions.
        palette: one of `plot.PALETTES`, for the latent map.
        note: in small type below each picture.

    Raises:
        CheckpointError: see `training_results`.
    """
    test = data_set.test
    grids = ["linear", "gaussian"] if gaussian_grid else ["linear"]
    found = training_results(prefix, test.images, seed, grids, noisy)
    plane_title = "\n".join(filter(None, (data_set.title, found.plane)))
    figures = {
        "result1_reconstruction.png": plot.reconstruction(
            test.first(len(found.reconstructions)).images, found.reconstructions,
            "\n".join(filter(None, (data_set.title, "the encoder sees noisy images" if noisy else "")))),
        "result2_latent.png": plot.latent(found.codes, test.digits, found.axis_names, plane_title, palette),
        "result3_manifold.png": plot.manifold(found.manifolds["linear"], found.limits, found.axis_names, plane_title),
    }
    if gaussian_grid:
        first, second = (f"quantile of {name}" for name in found.axis_names)
        figures["manifold_gaussian.png"] = plot.manifold(
            found.manifolds["gaussian"], (PROBABILITIES[0], PROBABILITIES[-1]), (first, second), plane_title)
    if noisy:
        images = test.first(N_PER_ROW).images
        seen, decoded = reconstructions(prefix, images, seed, noisy)
        figures["denoising.png"] = plot.image_rows(
            {"original": [images], "noisy": [seen], "restored": [decoded]}, title=data_set.title)
    return {name: plot.png(figure, note) for name, figure in figures.items()}


def of_prior(prefix: str, n: int, seed: int, title: str = "") -> dict[str, bytes]:
    """Decoded draws from the prior; below them the checkpoint's name.

    Raises:
        CheckpointError: see `samples`; or the network is not for images of 28 x 28.
    """
    digits = samples(prefix, n, seed)
    if digits.shape[1] != N_PIXELS:
        raise CheckpointError(f"{prefix}: expected a network for images of {N_PIXELS} pixels, found one for "
                              f"{digits.shape[1]}")
    return {"samples.png": plot.png(plot.canvas(digits, title), label(prefix))}


def of_walk(prefix: str, data_set: DataSet, pair: Sequence[int], n: int) -> dict[str, bytes]:
    """The interpolation between two test images, as a row with the images at its ends and as an animation.

    Below the row is the checkpoint's name.

    Raises:
        CheckpointError: see `walk`.
    """
    images = data_set.test.images[[*pair]]
    decoded = walk(prefix, images, n)
    start, end = (f"test image\nno. {number}, {'an' if digit == 8 else 'a'} {digit}"
                  for number, digit in zip(pair, data_set.test.digits[[*pair]], strict=True))
    titles = (start, "decoded on the way", end)
    row = plot.image_rows({"": [images[:1], decoded, images[1:]]}, titles, data_set.title)
    return {"walk.png": plot.png(row, label(prefix)), "walk.gif": plot.gif(decoded)}


def of_sweep(prefixes: Mapping[str, str], data_set: DataSet, seed: int, noisy: bool = False) -> dict[str, bytes]:
    """Test images, and a row for each of several networks: its reconstructions and its samples from the prior.

    Args:
        prefixes: the checkpoints, by the labels of their rows.
        data_set, seed, noisy: as for `of_training`.

    Raises:
        CheckpointError: see `reconstructions`.
    """
    images = data_set.test.first(N_PER_ROW).images
    rows = {"test images": [images, images[:0]]} | {
        name: [reconstructions(prefix, images, seed, noisy)[1], samples(prefix, N_PER_ROW, seed)]
        for name, prefix in prefixes.items()}
    titles = ("reconstructions", "samples from the prior")
    return {"sweep.png": plot.png(plot.image_rows(rows, titles, data_set.title))}


def of_comparison(prefixes: Mapping[str, str], images: np.ndarray, digits: np.ndarray, seed: int, title: str = "",
                  palette: str = "accessible") -> dict[str, bytes]:
    """Several checkpoints side by side.

    Args:
        prefixes: the checkpoints, by their names.
        images, digits: the test images to show and their labels, float32 [n, n_input] and int [n].
        seed: the one source of the noise.
        title: above the picture; names the data set if it is not MNIST.
        palette: one of `plot.PALETTES`, for the latent maps.

    Raises:
        CheckpointError: see `training_results`.
    """
    panels = []
    for name, prefix in prefixes.items():
        shown = training_results(prefix, images, seed)
        panels.append(plot.ModelPanel("; ".join(filter(None, (f"{name}: {label(prefix)}", shown.plane))),
                                      shown.reconstructions, shown.codes, shown.manifolds["linear"], shown.limits,
                                      shown.axis_names))
    return {"comparison.png": plot.png(plot.comparison(panels, images, digits, title, palette))}
