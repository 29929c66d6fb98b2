"""A variational autoencoder for MNIST in the TensorFlow 1 graph style, on current TensorFlow.

    from vae_graph import Bernoulli_decoder, Variational_autoencoder, gaussian_encoder

These three functions build the network. The modules, in reading order:

    model             the three builders and the loss
    training_graph    the prototype of a training step, its copies, their noise
    training          the Session loop
    numpy_session     what `Session.run` does, in NumPy, on the same graph
    devices           the processors and GPUs that it runs on
    settings, errors  what determines a run: the original's flags, and others; errors that a user can correct
    evaluation        the metrics of a trained model
    comparison        two trained models compared
    pictures, plot    the pictures of a trained model; arrays to figures
    export            a trained model as SavedModel, ONNX or arrays
    graph_parts       the graph for display: which node belongs to which part of the network
    files, locks      atomic writes; locks on folders

and the packages, which most readers need not open:

    data              MNIST, its download, and its offline substitute
    checkpoints       the file format: reading, validating, finding, inspecting, writing
    runs              what a run keeps besides its variables, and how it is resumed
    cluster           the same training on TensorFlow's distributed runtime
    pages             HTML pages made from a checkpoint
    cli               flags, commands, printed text

README.md beside this file is the guide. What begins with an underscore is not for other programs. Importing this
package changes no global state of TensorFlow: on an NVIDIA GPU, set the environment variable `NVIDIA_TF32_OVERRIDE=0`
before TensorFlow is imported, as `run_mnist.py` does; otherwise matrix products have relative errors of 3e-4.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vae_graph import checkpoints as checkpoints
    from vae_graph import comparison as comparison
    from vae_graph import data as data
    from vae_graph import devices as devices
    from vae_graph import evaluation as evaluation
    from vae_graph import export as export
    from vae_graph import numpy_session as numpy_session
    from vae_graph import pictures as pictures
    from vae_graph import plot as plot
    from vae_graph import training as training
    from vae_graph.model import Bernoulli_decoder, Variational_autoencoder, gaussian_encoder

__all__ = ["Bernoulli_decoder", "Variational_autoencoder", "gaussian_encoder"]
__version__ = "0.1.0"

MODULES = {module.name for module in pkgutil.iter_modules(__path__)}


def __getattr__(name: str) -> object:
    """Import the builders, a module or a package, and TensorFlow with it, on first use: `--help` needs none."""
    if name in __all__:
        from vae_graph import model

        return getattr(model, name)
    if name in MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *MODULES})
