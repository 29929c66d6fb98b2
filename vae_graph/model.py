"""The variational autoencoder as a TensorFlow 1 graph: encoder, decoder and the two-term loss.

Each builder adds its layers to the default graph. The weights live in named scopes with
`reuse=tf.AUTO_REUSE`, so building a network a second time adds new operations on the *same*
weights. Scopes and variable names are those of the original of 2018: a checkpoint is read by them.

Notation follows Kingma & Welling, "Auto-Encoding Variational Bayes", arXiv 1312.6114.
"""

import numpy as np
import tensorflow.compat.v1 as tf

# float32 rounds 1 - 1e-8, the original's upper bound, to 1.0, which lets log(1 - X_out) become log(0).
LARGEST_FLOAT32_BELOW_1 = np.nextafter(np.float32(1), np.float32(0))


def gaussian_encoder(X: tf.Tensor, n_hidden: int, n_z: int, keep_prob: tf.Tensor | float
                     ) -> tuple[tf.Tensor, tf.Tensor]:
    """q(z|X) = N(mean, std^2), a diagonal Gaussian (Kingma & Welling, appendix C.2).

    Args:
        X: images, float32 [batch, n_input], pixels in [0, 1]; n_input must be known.
        n_hidden: units in each of the two hidden layers.
        n_z: latent dimensions.
        keep_prob: probability of KEEPING a hidden unit, tensor or number in (0, 1]; 1 turns dropout off.

    Returns:
        mean, std: float32 [batch, n_z] each; std > 0.

    Raises:
        ValueError: the scopes already hold variables of other shapes in this graph; or see `width`.
    """
    with tf.variable_scope("encoder_hidden_1", reuse=tf.AUTO_REUSE):
        h1 = tf.nn.elu(affine(X, "w1", "b1", n_hidden))                 # [batch, n_hidden]
        h1 = tf.nn.dropout(h1, rate=1 - keep_prob)

    with tf.variable_scope("encoder_hidden_2", reuse=tf.AUTO_REUSE):
        h2 = tf.nn.elu(affine(h1, "w2", "b2", n_hidden))                # [batch, n_hidden]
        h2 = tf.nn.dropout(h2, rate=1 - keep_prob)

    with tf.variable_scope("encoder_z", reuse=tf.AUTO_REUSE):
        h3 = affine(h2, "w3", "b3", 2 * n_z)                            # [batch, 2 n_z]
        mean = h3[:, :n_z]
        std = tf.nn.softplus(h3[:, n_z:]) + 1e-6

    return mean, std


def Bernoulli_decoder(z: tf.Tensor, n_hidden: int, n_out: int, keep_prob: tf.Tensor | float) -> tf.Tensor:
    """p(X|z), one Bernoulli probability per pixel (Kingma & Welling, appendix C.1).

    Args:
        z: latent codes, float32 [batch, n_z]; n_z must be known.
        n_hidden: units in each of the two hidden layers.
        n_out: pixels of an image.
        keep_prob: probability of KEEPING a hidden unit, tensor or number in (0, 1]; 1 turns dropout off.

    Returns:
        X_out: float32 [batch, n_out] in [0, 1], not yet clipped.

    Raises:
        ValueError: the scopes already hold variables of other shapes in this graph; or see `width`.
    """
    with tf.variable_scope("decoder_hidden_1", reuse=tf.AUTO_REUSE):
        h4 = tf.nn.elu(affine(z, "w4", "b4", n_hidden))                 # [batch, n_hidden]
        h4 = tf.nn.dropout(h4, rate=1 - keep_prob)

    with tf.variable_scope("decoder_hidden_2", reuse=tf.AUTO_REUSE):
        h5 = tf.nn.elu(affine(h4, "w5", "b5", n_hidden))                # [batch, n_hidden]
        h5 = tf.nn.dropout(h5, rate=1 - keep_prob)

    with tf.variable_scope("decoder_output", reuse=tf.AUTO_REUSE):
        X_out = tf.nn.sigmoid(affine(h5, "w6", "b6", n_out))            # [batch, n_out]

    return X_out


def Variational_autoencoder(X: tf.Tensor, n_hidden_encoder: int, n_z: int, n_hidden_decoder: int,
                            keep_prob: tf.Tensor | float, X_noisy: tf.Tensor | None = None
                            ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Encoder, one sample of z, decoder, and the loss (Kingma & Welling, equations 7 and 10).

    The errors are means over the batch, in nats per image. Two of them keep the original's names, which
    are inexact: `Regularization_error` is KL(q(z|X) || N(0, I)) + n_z, because it has +1 where the KL
    divergence has -1; and `ELBO` is the NEGATIVE evidence lower bound, to be minimised, plus the same
    n_z. A constant changes no gradient.

    Args:
        X: images, float32 [batch, n_input], pixels in [0, 1]; n_input must be known.
        n_hidden_encoder: units in each of the encoder's two hidden layers.
        n_z: latent dimensions.
        n_hidden_decoder: units in each of the decoder's two hidden layers.
        keep_prob: probability of KEEPING a hidden unit, tensor or number in (0, 1]; 1 turns dropout off.
        X_noisy: the encoder's input in place of X, of the same shape; the errors are still those of X.

    Returns:
        z: the sampled codes, float32 [batch, n_z].
        X_out: the reconstructions, float32 [batch, n_input], strictly between 0 and 1.
        Recon_error, Regularization_error, ELBO: float32 scalars.

    Raises:
        ValueError: the scopes already hold variables of other shapes in this graph; or see `width`.
    """
    n_output = width(X)

    mean, std = gaussian_encoder(X if X_noisy is None else X_noisy, n_hidden_encoder, n_z, keep_prob)

    # The reparametrisation trick: z ~ N(mean, std^2), yet differentiable in mean and std.
    z = mean + std * tf.random_normal(tf.shape(mean), 0, 1, dtype=tf.float32)

    X_out = Bernoulli_decoder(z, n_hidden_decoder, n_output, keep_prob)
    X_out = tf.clip_by_value(X_out, 1e-8, LARGEST_FLOAT32_BELOW_1)

    likelihood = tf.reduce_mean(log_likelihood(X, X_out))
    KL_Divergence = tf.reduce_mean(regularization(mean, std))

    Recon_error = -1 * likelihood
    Regularization_error = KL_Divergence
    ELBO = Recon_error + Regularization_error

    return z, X_out, Recon_error, Regularization_error, ELBO


def add_noise(X: tf.Tensor) -> tf.Tensor:
    """Set half of the pixels to 0, then half of them to 1, at random.

    This is the noise of hwalsuklee/tensorflow-mnist-VAE, except that sums over 1 are clipped.

    Args:
        X: images, float32 [batch, n_input], pixels in [0, 1].

    Returns:
        float32 [batch, n_input] in [0, 1].
    """
    kept, set_to_1 = (tf.cast(tf.random_uniform(tf.shape(X)) < 0.5, tf.float32) for _ in range(2))
    return tf.minimum(X * kept + set_to_1, 1)


def log_likelihood(X: tf.Tensor, X_out: tf.Tensor) -> tf.Tensor:
    """log p(X|z) in nats, float32 [batch]: each pixel a Bernoulli variable (Kingma & Welling, equation 11).

    Args:
        X: images, float32 [batch, n_input], pixels in [0, 1].
        X_out: the pixels' probabilities, float32 [batch, n_input], strictly between 0 and 1.
    """
    return tf.reduce_sum(X * tf.log(X_out) + (1 - X) * tf.log(1 - X_out), 1)


def regularization(mean: tf.Tensor, std: tf.Tensor) -> tf.Tensor:
    """KL(q(z|X) || N(0, I)) + n_z in nats, float32 [batch] (Kingma & Welling, appendix B, with +1 for its -1).

    Args:
        mean, std: of q(z|X), float32 [batch, n_z] each.
    """
    return 0.5 * tf.reduce_sum(1 - tf.log(tf.square(std) + 1e-8) + tf.square(mean) + tf.square(std), 1)


def affine(x: tf.Tensor, weights: str, biases: str, n_out: int) -> tf.Tensor:
    """x W + b with Xavier (Glorot uniform) weights and zero biases, in the current variable scope."""
    n_in = width(x)
    # Resource variables, whatever the caller's default: the other kind is deprecated.
    w = tf.get_variable(weights, [n_in, n_out], initializer=tf.glorot_uniform_initializer(), use_resource=True)
    b = tf.get_variable(biases, [n_out], initializer=tf.zeros_initializer(), use_resource=True)
    return tf.matmul(x, w) + b


def width(x: tf.Tensor) -> int:
    """The known width of [batch, width]; ValueError in eager mode, where each call would make new weights."""
    if tf.executing_eagerly():
        raise ValueError("expected a graph, found eager mode; build the network in `with tf.Graph().as_default():`")
    shape = tf.TensorShape(x.shape)
    if shape.rank != 2 or shape[1] is None:
        raise ValueError(f"expected a tensor [batch, width] of known width, found the shape {shape}; see tf.reshape")
    return shape[1]
