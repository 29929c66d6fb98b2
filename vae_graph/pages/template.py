"""Templates of pages, and what is inserted into them."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vae_graph.checkpoints import CheckpointError

FOLDER = Path(__file__).parent


def fill(template: str, scripts: Sequence[str], data: Mapping[str, object]) -> bytes:
    """A page: the file `template`, with the content of its scripts and its data as JSON in place of their marks."""
    # Only `<` could end the script element.
    parts = {"data": json.dumps(data).replace("<", "\\u003c")} | {
        name: (FOLDER / name).read_text(encoding="utf-8") for name in scripts}
    text = (FOLDER / template).read_text(encoding="utf-8")
    # In one pass: the data may have such marks in it.
    return re.sub(r"\{\{([\w.]+)\}\}", lambda mark: parts[mark[1]], text).encode()


def float16(prefix: str, values: np.ndarray) -> np.ndarray:
    """A checkpoint's numbers as little-endian float16; CheckpointError if one is out of its range."""
    largest = float(np.abs(values).max())
    if largest > float(np.finfo(np.float16).max):
        raise CheckpointError(f"{prefix}: expected numbers in the range of float16, found {largest:.4g}")
    return values.astype("<f2")
