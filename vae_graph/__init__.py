"""A variational autoencoder for MNIST in the TensorFlow 1 graph style, on today's TensorFlow.

    from vae_graph import Bernoulli_decoder, Variational_autoencoder, gaussian_encoder

These three functions build the network; `model` is where they are. Everything else, in the order in which to read it:

    model             the three builders and the loss                                the graph
    training_graph    towers, optimizer, steps per Session.run, stateless noise      the graph, made to train fast
    training          the Session loop                                               the loop
    settings          what determines a run: the original's flags and defaults
    evaluation        the metrics of a trained model                                 the results
    pictures, plot    the pictures of a trained model; arrays to figures
    data, download, rendered    MNIST, its download, the digits rendered in its place     the data

    checkpoints       the file format: reading, validating, writing, inspecting, comparing, exporting
    runs              what a run keeps besides its variables: record, signals, events, pictures
    cluster           the same training on many machines
    pages             HTML pages made from a checkpoint
    cli               flags, commands, printed text

README.md beside this file is the guide. Importing this package changes no global state of TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vae_graph.model import Bernoulli_decoder, Variational_autoencoder, gaussian_encoder

__all__ = ["Bernoulli_decoder", "Variational_autoencoder", "gaussian_encoder"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import the builders on first use: what needs no TensorFlow, as `--help`, does not wait for it."""
    if name in __all__:
        return getattr(importlib.import_module("vae_graph.model"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
