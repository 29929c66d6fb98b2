"""The pictures that checkpoints give, as files: their names and their contents."""

from collections.abc import Mapping, Sequence

import numpy as np

from vae_graph import plot, results
from vae_graph.data import DataSet

N_IN_A_ROW = 10      # digits in the rows of a sheet
LINEAR = results.GRIDS["linear"]


def of_training(prefix: str, data_set: DataSet, seed: int, gaussian_grid: bool = False, noisy: bool = False
                ) -> dict[str, bytes]:
    """The three that the original draws after its training, and those that were asked for.

    Args:
        prefix: the checkpoint.
        data_set: whose test images are shown.
        seed: the one source of the noise.
        gaussian_grid: draw the manifold through the Gaussian's inverse distribution function too.
        noisy: let the encoder see noisy images, and draw them beside what is made of them.

    Raises:
        CheckpointError: see `results.of_training`.
    """
    test = data_set.test
    grids = ["linear", "gaussian"] if gaussian_grid else ["linear"]
    found = results.of_training(prefix, test.images, seed, grids, noisy)
    plane_title = "\n".join(filter(None, (data_set.title, found.plane)))
    figures = {
        "result1_reconstruction.png": plot.reconstruction(
            test.first(len(found.reconstructions)).images, found.reconstructions, data_set.title),
        "result2_latent.png": plot.latent(found.codes, test.digits, found.axis_names, plane_title),
        "result3_manifold.png": plot.manifold(
            found.manifolds["linear"], (LINEAR[0], LINEAR[-1]), found.axis_names, plane_title),
    }
    if gaussian_grid:
        first, second = (f"probability of a smaller {name} under N(0, 1)" for name in found.axis_names)
        figures["manifold_gaussian.png"] = plot.manifold(
            found.manifolds["gaussian"], (results.PROBABILITIES[0], results.PROBABILITIES[-1]), (first, second),
            plane_title)
    if noisy:
        images = test.first(N_IN_A_ROW).images
        seen, restored = results.reconstructions(prefix, images, seed, noisy)
        figures["denoising.png"] = plot.strips(
            {"original": [images], "noisy": [seen], "restored": [restored]}, title=data_set.title)
    return {name: plot.png(figure) for name, figure in figures.items()}


def of_prior(prefix: str, n: int, seed: int, title: str = "") -> dict[str, bytes]:
    """Decoded draws from the prior.

    Raises:
        CheckpointError: see `results.samples`.
    """
    return {"samples.png": plot.png(plot.canvas(results.samples(prefix, n, seed), title))}


def of_walk(prefix: str, data_set: DataSet, pair: Sequence[int], n: int) -> dict[str, bytes]:
    """The way from one test image to another in latent space, as a strip between the two and as an animation.

    Raises:
        CheckpointError: see `results.walk`.
    """
    images = data_set.test.images[[*pair]]
    decoded = results.walk(prefix, images, n)
    heads = (f"test\nimage\n{pair[0]}", "decoded on the way", f"test\nimage\n{pair[1]}")
    strip = plot.strips({"": [images[:1], decoded, images[1:]]}, heads, data_set.title)
    return {"walk.png": plot.png(strip), "walk.gif": plot.gif(decoded)}


def of_sweep(prefixes: Mapping[str, str], data_set: DataSet, seed: int, noisy: bool = False) -> dict[str, bytes]:
    """Test images, what several networks make of them, and what each draws from the prior, a row for each.

    Args:
        prefixes: the checkpoints, by what stands to the left of their rows.
        data_set, seed, noisy: as those of `of_training`.

    Raises:
        CheckpointError: see `results.reconstructions`.
    """
    images = data_set.test.first(N_IN_A_ROW).images
    rows = {"test images": [images, images[:0]]} | {
        name: [results.reconstructions(prefix, images, seed, noisy)[1], results.samples(prefix, N_IN_A_ROW, seed)]
        for name, prefix in prefixes.items()}
    return {"sweep.png": plot.png(plot.strips(rows, ("reconstructions", "samples from the prior"), data_set.title))}


def of_comparison(prefixes: Mapping[str, str], images: np.ndarray, digits: np.ndarray, seed: int, title: str = ""
                  ) -> dict[str, bytes]:
    """Several checkpoints side by side.

    Args:
        prefixes: the checkpoints, by their names.
        images, digits: the test images to show and their labels, float32 [n, n_input] and int [n].
        seed: the one source of the noise.
        title: above the picture; said where the data are not MNIST.

    Raises:
        CheckpointError: see `results.of_training`.
    """
    sides = []
    for name, prefix in prefixes.items():
        shown = results.of_training(prefix, images, seed)
        sides.append(plot.Side(f"{name}: {prefix}", shown.reconstructions, shown.codes, shown.manifolds["linear"],
                               shown.axis_names))
    picture = plot.comparison(sides, images, digits, (LINEAR[0], LINEAR[-1]), title)
    return {"comparison.png": plot.png(picture)}
