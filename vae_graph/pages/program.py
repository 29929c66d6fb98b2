"""The TensorFlow 1 program whose graph the page shows: its lines, and those of `model.py`, are the page's map."""

from typing import Any

import tensorflow.compat.v1 as tf

from vae_graph.model import Bernoulli_decoder, Variational_autoencoder
from vae_graph.settings import Settings


def build(n_input: int, n_hidden_encoder: int, n_z: int, n_hidden_decoder: int) -> dict[str, Any]:
    """Add the program's operations to the default graph; return what its names stand for."""
    X = tf.placeholder(tf.float32, [None, n_input], name="input_data")
    keep_prob = tf.placeholder(tf.float32, [], name="dropout_rate")
    z, X_out, Recon_error, Regularization_error, ELBO = Variational_autoencoder(
        X, n_hidden_encoder, n_z, n_hidden_decoder, keep_prob)

    any_z = tf.placeholder(tf.float32, [None, n_z], name="any_z")
    decoded = Bernoulli_decoder(any_z, n_hidden_decoder, n_input, keep_prob=1.0)

    global_step = tf.Variable(0, trainable=False, use_resource=True)
    learning_rate = tf.train.exponential_decay(
        Settings.learning_rate, global_step, Settings.decay_step, Settings.decay_rate)
    train_op = tf.train.AdamOptimizer(learning_rate).minimize(ELBO, global_step=global_step)

    initializer = tf.global_variables_initializer()
    saver = tf.train.Saver()
    return locals()
