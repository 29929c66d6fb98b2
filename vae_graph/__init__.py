"""A variational autoencoder for MNIST in the TensorFlow 1 graph style, on today's TensorFlow."""

from vae_graph.model import Bernoulli_decoder, Variational_autoencoder, gaussian_encoder

__all__ = ["Bernoulli_decoder", "Variational_autoencoder", "gaussian_encoder"]
__version__ = "0.1.0"
