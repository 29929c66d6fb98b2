"""The inputs of the commands: checkpoints and data sets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import vae_graph
from vae_graph.errors import printable

if TYPE_CHECKING:
    from vae_graph.data import DataSet, Split

NO_MNIST = """\
{line}
  THIS IS NOT MNIST. MNIST is unavailable, so this run uses RENDERED DIGITS, drawn from fonts. Its
  pictures and metrics are not results for MNIST, and go to folders named `rendered`.
  To use MNIST, put its four .gz files into the folder `{folder}`, or pass their folder with --data_dir.
  The reason: {reason}
{line}"""


def find_checkpoint(path: Path, any_program: bool = False) -> str:
    """The prefix of the checkpoint that a path refers to; prints which ones of a folder are not taken."""
    found = vae_graph.checkpoints.find(path, any_program)
    for problem in found.problems.values():
        print(f"skipped: {problem}")
    if found.others:
        print(f"using {found.prefix}; also found: {', '.join(Path(other).name for other in found.others)}")
    return found.prefix


def load_data(flags: argparse.Namespace) -> DataSet:
    """The data set that the flags ask for."""
    data = vae_graph.data
    data_folder = data.data_folder(flags.data_dir)
    if data_folder.is_file():
        raise data.DataError(f"{data_folder}: expected the folder of MNIST's files, found a file; its folder is "
                             f"{data_folder.parent}")
    if flags.dataset == "rendered":
        return data.rendered_digits()
    if flags.dataset == "other":
        return data.other(data_folder)
    try:
        return data.mnist(data_folder)
    except data.MnistUnavailable as reason:
        if flags.dataset == "mnist":
            raise
        if data.like_mnist(data_folder):         # rendered digits are not what its owner wants
            raise data.DataError(f"{reason}; --dataset rendered runs without MNIST") from None
        print(NO_MNIST.format(line="*" * 100, folder=printable(data_folder), reason=reason))
        return data.rendered_digits()


def describe_images(data_set: DataSet, test: Split, noisy: bool = False) -> str:
    """A description of the test images, all or the first of them, for a heading."""
    is_all = len(test.digits) == len(data_set.test.digits)
    return (f"{'Test set' if is_all else f'First {len(test.digits)} test images'} of {data_set.title or data_set.name}"
            f"{', seen with noise' if noisy else ''}")
