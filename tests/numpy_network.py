"""The network in NumPy, to check TensorFlow's against; the checkpoint of TensorFlow 1.4.0 that it is checked on."""

import numpy as np

from tests.small import ORACLE_DIR
from vae_graph import checkpoints

PREFIX = str(ORACLE_DIR / "parameter20.ckpt")


def weights_of(prefix=PREFIX):
    """The variables by the last part of their names."""
    return {name.split("/")[-1]: value for name, value in checkpoints.read_variables(prefix).items()}


def elu(x):
    return np.where(x > 0, x, np.expm1(x))


def encode(w, X):
    h = elu(elu(X @ w["w1"] + w["b1"]) @ w["w2"] + w["b2"]) @ w["w3"] + w["b3"]
    return h[:, :2], np.log1p(np.exp(h[:, 2:])) + 1e-6


def decode(w, z):
    return 1 / (1 + np.exp(-(elu(elu(z @ w["w4"] + w["b4"]) @ w["w5"] + w["b5"]) @ w["w6"] + w["b6"])))
