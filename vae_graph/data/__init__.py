"""The data sets: MNIST as the original used it, other files of the same format, digits rendered from fonts.

`datasets` finds, validates and splits them, `download` downloads MNIST's files, `rendered` draws the substitute.
"""

from vae_graph.data.datasets import (
    FILES,
    MIRRORS,
    MNIST_SHA256,
    DataError,
    DataSet,
    IdxFile,
    MnistUnavailable,
    Split,
    data_folder,
    like_mnist,
    mnist,
    other,
    read_idx,
    rendered_digits,
)

__all__ = ["FILES", "MIRRORS", "MNIST_SHA256", "DataError", "DataSet", "IdxFile", "MnistUnavailable", "Split",
           "data_folder", "like_mnist", "mnist", "other", "read_idx", "rendered_digits"]
