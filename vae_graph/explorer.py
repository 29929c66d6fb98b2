"""A page to explore a latent space of two dimensions in: one file for a browser, without server or network.

The page, `explorer.html`, has the decoder's forward pass in JavaScript. Here the numbers are put into it.
"""

import base64
import json
from pathlib import Path

import numpy as np

from vae_graph import checkpoints, results

TEMPLATE = Path(__file__).with_name("explorer.html")
DATA_MARK = "{{data}}"
LAYERS = (("decoder_hidden_1/w4", "decoder_hidden_1/b4"), ("decoder_hidden_2/w5", "decoder_hidden_2/b5"),
          ("decoder_output/w6", "decoder_output/b6"))


def page(prefix: str, images: np.ndarray, digits: np.ndarray, data_name: str) -> bytes:
    """The page of a checkpoint: the map of some images in its latent space, and its decoder.

    Weights and places are float16, which moves a decoded pixel by less than 2e-3 and halves the page.

    Args:
        prefix: the checkpoint, of a network with n_z = 2.
        images: those on the map, float32 [n, 784] in [0, 1]; each stands where the mean of its q(z|X) is.
        digits: int [n], their labels.
        data_name: what the images are called.

    Raises:
        CheckpointError: the checkpoint is not whole, not of this network, has NaN or infinity in it, another n_z
            than 2, weights that float16 cannot hold, or is made for images of another size.
    """
    sizes, network = checkpoints.read_network(prefix)
    if sizes.n_z != 2:
        raise checkpoints.CheckpointError(f"{prefix}: expected a network with n_z = 2, for a map has two directions, "
                                          f"found n_z = {sizes.n_z}")
    data = json.dumps({
        "data": data_name,
        "layers": [{"units": network[biases].size, "weights": _float16(prefix, network[weights]),
                    "biases": _float16(prefix, network[biases])} for weights, biases in LAYERS],
        "means": _float16(prefix, results.means(prefix, images)),
        "digits": base64.b64encode(digits.astype(np.uint8).tobytes()).decode()})
    # Within a script element only `<` could end it.
    return TEMPLATE.read_text(encoding="utf-8").replace(DATA_MARK, data.replace("<", "\\u003c")).encode()


def _float16(prefix: str, values: np.ndarray) -> str:
    """Numbers as base64 of little-endian float16, row by row."""
    largest = float(np.abs(values).max())
    if largest > float(np.finfo(np.float16).max):
        raise checkpoints.CheckpointError(f"{prefix}: expected numbers that float16 can hold, found {largest:.4g}")
    return base64.b64encode(values.astype("<f2").tobytes()).decode()
