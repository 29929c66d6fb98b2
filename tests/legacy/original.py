"""Run by an old Python under a real TensorFlow 1.x: restore a checkpoint, run it, train five steps, save.

    python original.py INPUTS.npz PREFIX OUT_FOLDER

INPUTS.npz has x [6, batch, n_input] and eps [6, batch, n_z]: the first of each for the outputs, the others for the
steps; and the four sizes. Into OUT_FOLDER go parameter1.ckpt and outputs.npz. Everything is in this one file, and in
the Python of its time, for nothing of this project runs there.
"""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf


def affine(x, number, n_out):
    w = tf.get_variable(f"w{number}", [x.get_shape()[1], n_out])
    b = tf.get_variable(f"b{number}", [n_out], initializer=tf.constant_initializer(0.0))
    return tf.matmul(x, w) + b


def hidden(x, scope, number, n_out, keep_prob):
    with tf.variable_scope(scope, reuse=tf.AUTO_REUSE):
        return tf.nn.dropout(tf.nn.elu(affine(x, number, n_out)), keep_prob)


def main(inputs_file, prefix, out_folder):
    inputs = np.load(inputs_file)
    n_input, n_hidden_encoder, n_z, n_hidden_decoder = [int(size) for size in inputs["sizes"]]

    X = tf.placeholder(tf.float32, [None, n_input])
    eps = tf.placeholder(tf.float32, [None, n_z])
    keep_prob = tf.placeholder(tf.float32)

    h = hidden(X, "encoder_hidden_1", 1, n_hidden_encoder, keep_prob)
    h = hidden(h, "encoder_hidden_2", 2, n_hidden_encoder, keep_prob)
    with tf.variable_scope("encoder_z", reuse=tf.AUTO_REUSE):
        h = affine(h, 3, 2 * n_z)
        mean, std = h[:, :n_z], tf.nn.softplus(h[:, n_z:]) + 1e-6
    z = mean + std * eps
    h = hidden(z, "decoder_hidden_1", 4, n_hidden_decoder, keep_prob)
    h = hidden(h, "decoder_hidden_2", 5, n_hidden_decoder, keep_prob)
    with tf.variable_scope("decoder_output", reuse=tf.AUTO_REUSE):
        X_out = tf.clip_by_value(tf.nn.sigmoid(affine(h, 6, n_input)), 1e-8, 1 - 1e-8)

    recon = -tf.reduce_mean(tf.reduce_sum(X * tf.log(X_out) + (1 - X) * tf.log(1 - X_out), 1))
    regularization = tf.reduce_mean(
        0.5 * tf.reduce_sum(1 - tf.log(tf.square(std) + 1e-8) + tf.square(mean) + tf.square(std), 1))
    errors = [recon, regularization, recon + regularization]

    step = tf.Variable(0, trainable=False)
    learning_rate = tf.train.exponential_decay(1e-4, step, 2000, 0.96)
    train_op = tf.train.AdamOptimizer(learning_rate).minimize(errors[2], global_step=step)

    saver = tf.train.Saver()
    with tf.Session() as session:
        def run(what, index):
            return session.run(what, {X: inputs["x"][index], eps: inputs["eps"][index], keep_prob: 1.0})

        saver.restore(session, prefix)
        before = run([X_out, *errors], 0)
        for index in range(1, 6):
            run(train_op, index)
        after = run([X_out, *errors], 0)
        saver.save(session, os.path.join(out_folder, "parameter1.ckpt"))
    np.savez(os.path.join(out_folder, "outputs.npz"), tensorflow=tf.__version__, n_variables=len(tf.global_variables()),
             X_out_before=before[0], errors_before=before[1:], X_out_after=after[0], errors_after=after[1:])


main(*sys.argv[1:])
