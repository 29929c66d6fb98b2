"""The explorer: one HTML file to explore a two-dimensional latent space in, without server or network.

The page, `explorer.html`, has the decoder's forward pass in JavaScript. This module inserts the numbers.
"""

import base64
import json
from pathlib import Path

import numpy as np

from vae_graph import checkpoints, pictures, plot

TEMPLATE = Path(__file__).with_name("explorer.html")
DATA_MARK = "{{data}}"
LAYERS = (("decoder_hidden_1/w4", "decoder_hidden_1/b4"), ("decoder_hidden_2/w5", "decoder_hidden_2/b5"),
          ("decoder_output/w6", "decoder_output/b6"))


def page(prefix: str, images: np.ndarray, digits: np.ndarray, data_name: str,
         palette: str = "accessible") -> bytes:
    """The page of a checkpoint: the map of some images in its latent space, and its decoder.

    Weights and latent means are float16, which changes a decoded pixel by less than 2e-3 and halves the page's size.

    Args:
        prefix: the checkpoint, of a network with n_z = 2.
        images: those on the map, float32 [n, 784] in [0, 1], each at the mean of its q(z|X).
        digits: int [n], their labels.
        data_name: the data set's name.
        palette: one of `plot.PALETTES`, the colours of the digits.

    Raises:
        CheckpointError: the checkpoint is invalid, not of this network, has NaN or infinity in it, another n_z than 2,
            weights that float16 cannot represent, or is for images of another size.
    """
    sizes, network = checkpoints.read_network(prefix)
    if sizes.n_z != 2:
        raise checkpoints.CheckpointError(f"{prefix}: expected a network with n_z = 2, since a map has two dimensions, "
                                          f"found n_z = {sizes.n_z}")
    data = json.dumps({
        "data": data_name,
        "colours": plot.colours(palette),
        "layers": [{"units": network[biases].size, "weights": _float16(prefix, network[weights]),
                    "biases": _float16(prefix, network[biases])} for weights, biases in LAYERS],
        "means": _float16(prefix, pictures.means(prefix, images)),
        "digits": base64.b64encode(digits.astype(np.uint8).tobytes()).decode()})
    # Only `<` could end the script element.
    return TEMPLATE.read_text(encoding="utf-8").replace(DATA_MARK, data.replace("<", "\\u003c")).encode()


def _float16(prefix: str, values: np.ndarray) -> str:
    """Numbers as base64 of little-endian float16, row by row."""
    largest = float(np.abs(values).max())
    if largest > float(np.finfo(np.float16).max):
        raise checkpoints.CheckpointError(f"{prefix}: expected numbers in the range of float16, found {largest:.4g}")
    return base64.b64encode(values.astype("<f2").tobytes()).decode()
