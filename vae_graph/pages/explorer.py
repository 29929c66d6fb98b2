"""The explorer: one HTML file to explore latent spaces in, without server or network.

The page has the network's forward pass and a reader of checkpoints in JavaScript. This module inserts the scripts and
the numbers into `explorer.html`.
"""

import base64
import gzip
from collections.abc import Mapping, Sequence

import numpy as np

from vae_graph import checkpoints, pictures, plot
from vae_graph.pages.template import fill

SCRIPTS = ("dom.js", "checkpoint.js", "network.js", "models.js", "files.js", "background.js", "map.js", "sliders.js",
           "loss.js", "sketch.js", "explorer.js")
MAX_MODELS = 2


def page(prefixes: Sequence[str], images: np.ndarray, digits: np.ndarray, data_name: str,
         palette: str = "accessible") -> bytes:
    """The page of one checkpoint or two: the map of some images in the first one's latent space, and the networks.

    Weights and latent means are float16, which changes a decoded pixel by less than 2e-3 and halves the page's size.

    Args:
        prefixes: the checkpoints, at most two.
        images: those on the map, float32 [n, 784] in [0, 1], each at the mean of its q(z|X).
        digits: int [n], their labels.
        data_name: the data set's name.
        palette: one of `plot.PALETTES`, the colours of the digits.

    Raises:
        CheckpointError: a checkpoint is invalid, not of this network, has NaN or infinity in it, weights that float16
            cannot represent, or is for images of another size.
    """
    models = [_model(prefix, images) for prefix in prefixes]             # which checks the images
    pixels = np.rint(255 * images).astype(np.uint8)
    return _page({"data": data_name, "colours": plot.colours(palette), "models": models,
                  "digits": _base64(digits.astype(np.uint8).tobytes()),
                  "images": _base64(gzip.compress(pixels.tobytes(), mtime=0))})


def blank_page(palette: str = "accessible") -> bytes:
    """The page without a checkpoint: one that is dropped on it is shown, without test images."""
    return _page({"colours": plot.colours(palette), "models": []})


def _page(data: Mapping[str, object]) -> bytes:
    return fill("explorer.html", SCRIPTS, data)


def _model(prefix: str, images: np.ndarray) -> dict[str, object]:
    """A checkpoint's network, as the page has it."""
    sizes, network = checkpoints.read_network(prefix)
    return {"name": checkpoints.label(prefix),
            "sizes": {"input": sizes.n_input, "encoder": sizes.n_hidden_encoder, "z": sizes.n_z,
                      "decoder": sizes.n_hidden_decoder},
            "weights": {name: _float16(prefix, values) for name, values in network.items()},
            "means": _float16(prefix, pictures.means(prefix, images))}


def _float16(prefix: str, values: np.ndarray) -> str:
    """Numbers as base64 of little-endian float16, row by row."""
    largest = float(np.abs(values).max())
    if largest > float(np.finfo(np.float16).max):
        raise checkpoints.CheckpointError(f"{prefix}: expected numbers in the range of float16, found {largest:.4g}")
    return _base64(values.astype("<f2").tobytes())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
