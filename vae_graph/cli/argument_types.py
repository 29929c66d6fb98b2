"""Types of arguments for `argparse`: each converts a text, or says what was expected and what was found."""

import argparse
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from vae_graph.cluster.config import ROLES


def int_range(low: int, high: int) -> Callable[[str], int]:
    """An argument type: an integer from `low` to `high`."""
    def convert(text: str) -> int:
        with contextlib.suppress(ValueError):
            if low <= int(text) <= high:
                return int(text)
        raise argparse.ArgumentTypeError(f"expected an integer from {low} to {high}, found {text!r}")
    return convert


def fraction(text: str) -> float:
    """An argument type: a number greater than 0 and at most 1."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a number greater than 0 and at most 1, found {text!r}")


def role_counts(text: str) -> dict[str, int]:
    """An argument type: the number of tasks of each role."""
    with contextlib.suppress(ValueError):
        counts = {role: int(count) for role, count in (part.split("=") for part in text.split(","))}
        if (counts.keys() <= {*ROLES} and all(1 <= count <= 100 for count in counts.values())
                and counts.keys() > {"ps"} and counts.get("chief", 1) == 1 and len(counts) == len(text.split(","))):
            return counts
    raise argparse.ArgumentTypeError(f"expected roles and numbers such as ps=1,worker=2, found {text!r}")


def path_arg(what: str) -> Callable[[str], Path]:
    """An argument type: the name of a file or folder."""
    def convert(text: str) -> Path:
        if text and "://" not in text:
            return Path(os.path.expanduser(text))        # shells leave a quoted ~, and one after =, as it is
        raise argparse.ArgumentTypeError(f"expected the name of {what}, found {'the URL ' if text else ''}{text!r}")
    return convert
