"""The explorer: one HTML file to explore latent spaces in, without server or network.

The page has the network's forward pass and a reader of checkpoints in JavaScript. This module inserts the scripts and
the numbers into `explorer.html`.
"""

import base64
import contextlib
import gzip
from collections.abc import Mapping, Sequence

import numpy as np

from vae_graph import checkpoints, pictures, plot
from vae_graph.pages.template import fill, float16

SCRIPTS = ("dom.js", "numbers.js", "checkpoint.js", "network.js", "models.js", "files.js", "background.js", "map.js",
           "sliders.js", "film.js", "loss.js", "sketch.js", "explorer.js")
MAX_MODELS = 2
MAX_FRAMES = 11                  # of the film; each adds some 50 kB for 10,000 test images


def page(prefixes: Sequence[str], images: np.ndarray, digits: np.ndarray, data_name: str,
         palette: str = "accessible", training: Mapping[int, str] | None = None) -> bytes:
    """The page of one checkpoint or two: the map of some images in the first one's latent space, and the networks.

    Weights and latent means are float16, which changes a decoded pixel by less than 2e-3 and halves the page's size.

    Args:
        prefixes: the checkpoints, at most two.
        images: those on the map, float32 [n, 784] in [0, 1], each at the mean of its q(z|X).
        digits: int [n], their labels.
        data_name: the data set's name.
        palette: one of `plot.PALETTES`, the colours of the digits.
        training: checkpoints of the training that led to the first one, by their epochs. The map shows the means at
            some of them, too. Those that are invalid or have another n_z are left out.

    Raises:
        CheckpointError: a checkpoint is invalid, not of this network, has NaN or infinity in it, weights that float16
            cannot represent, or is for images of another size.
    """
    means = [pictures.means(prefix, images) for prefix in prefixes]      # which checks the images
    models = [_model(prefix, own) for prefix, own in zip(prefixes, means, strict=True)]
    models[0]["film"] = _film(training or {}, prefixes[0], means[0], images)
    pixels = np.rint(255 * images).astype(np.uint8)
    return _page({"data": data_name, "colours": plot.colours(palette), "models": models,
                  "digits": _base64(digits.astype(np.uint8).tobytes()),
                  "images": _base64(gzip.compress(pixels.tobytes(), mtime=0))})


def blank_page(palette: str = "accessible") -> bytes:
    """The page without a checkpoint: one that is dropped on it is shown, without test images."""
    return _page({"colours": plot.colours(palette), "models": []})


def _page(data: Mapping[str, object]) -> bytes:
    return fill("explorer.html", SCRIPTS, data)


def _model(prefix: str, means: np.ndarray) -> dict[str, object]:
    """A checkpoint's network, as the page has it."""
    sizes, network = checkpoints.read_network(prefix)
    return {"name": checkpoints.label(prefix),
            "sizes": {"input": sizes.n_input, "encoder": sizes.n_hidden_encoder, "z": sizes.n_z,
                      "decoder": sizes.n_hidden_decoder},
            "weights": {name: _float16(prefix, values) for name, values in network.items()},
            "means": _float16(prefix, means)}


def _film(training: Mapping[int, str], last: str, means: np.ndarray, images: np.ndarray) -> dict[str, object] | None:
    """Where the means were on the map at earlier checkpoints of a training, in 16 bits; None if there is none."""
    epochs, prefixes = [*training.keys()], [*training.values()]
    if last not in prefixes:
        return None
    n_z = means.shape[1]
    # The plane that `latentPlane` of network.js shows.
    origin, axes = pictures.latent_plane(means) if n_z > 2 else (np.zeros(n_z), np.eye(2, n_z))
    frames = {}
    n_earlier = prefixes.index(last)
    for i in np.linspace(0, n_earlier, min(n_earlier + 1, MAX_FRAMES)).astype(int)[:-1]:
        with contextlib.suppress(checkpoints.CheckpointError):
            found = pictures.means(prefixes[i], images)
            if found.shape == means.shape:
                frames[epochs[i]] = (found - origin) @ axes.T
    if not frames:
        return None
    places = np.stack([*frames.values()])
    unit = float(np.abs(places).max() / np.iinfo(np.int16).max) or 1
    return {"epochs": [*frames, epochs[n_earlier]], "unit": unit,
            "places": _base64(np.rint(places / unit).astype("<i2").tobytes())}


def _float16(prefix: str, values: np.ndarray) -> str:
    return _base64(float16(prefix, values).tobytes())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
