"""The loops that the benchmarks compare. Each calls a function after each epoch."""

import contextlib
import functools
import io
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vae_graph.cli.execution import TENSORFLOW_ENVIRONMENT

ROOT = Path(__file__).parent.parent.parent
SIZES = ((784, 500), (500, 500), (500, 4), (2, 500), (500, 500), (500, 784))      # the six weight matrices
KEEP_PROB, LEARNING_RATE, DECAY_RATE, DECAY_STEP = 0.6, 1e-4, 0.96, 2000
Lap = Callable[[], None]


def port(pixels: np.ndarray, batch_size: int, n_hidden: int, n_epochs: int, lap: Lap) -> None:
    """The original's loop line by line on this TensorFlow: feed_dict, five fetches, default threads."""
    import tensorflow.compat.v1 as tf

    from vae_graph import Variational_autoencoder

    images = pixels / np.float32(255)
    with tf.Graph().as_default():
        input_data = tf.placeholder(tf.float32, [None, 784])
        dropout_rate = tf.placeholder(tf.float32)
        z, _, Recon_error, Regularization_error, ELBO = Variational_autoencoder(
            input_data, n_hidden, 2, n_hidden, dropout_rate)
        global_step = tf.Variable(0, trainable=False)
        learning_rate = tf.train.exponential_decay(LEARNING_RATE, global_step, DECAY_STEP, DECAY_RATE)
        train_op = tf.train.AdamOptimizer(learning_rate).minimize(ELBO, global_step=global_step)
        with tf.Session() as sess:
            sess.run(tf.global_variables_initializer())
            for _ in range(n_epochs):
                for start in range(0, len(images), batch_size):
                    sess.run([train_op, z, Recon_error, Regularization_error, ELBO],
                             feed_dict={input_data: images[start:start + batch_size], dropout_rate: KEEP_PROB})
                lap()


def ours(pixels: np.ndarray, batch_size: int, n_hidden: int, n_epochs: int, lap: Lap, n_towers: int | None = None
         ) -> None:
    """The loop that `run_mnist.py` runs, with everything in it except checkpoints."""
    # A checkpoint falls within the first timed epoch, which the median of three leaves out, and one after the last.
    _train_ours(pixels, batch_size, n_hidden, n_epochs, lap, checkpoint_every=n_epochs + 1, n_towers=n_towers)


def checkpoints(pixels: np.ndarray, batch_size: int, n_hidden: int, n_epochs: int, lap: Lap) -> None:
    """A lap before and after each checkpoint, which writes, validates and removes files."""
    _train_ours(pixels, batch_size, n_hidden, n_epochs, lap, checkpoint_every=1, on_checkpoint=lambda prefix: lap())


def _train_ours(pixels: np.ndarray, batch_size: int, n_hidden: int, n_epochs: int, lap: Lap, checkpoint_every: int,
                **arguments: Any) -> None:
    from vae_graph import training
    from vae_graph.settings import Settings

    settings = Settings(n_hidden_encoder=n_hidden, n_hidden_decoder=n_hidden, batch_size=batch_size,
                        num_epoch=n_epochs, checkpoint_every=checkpoint_every)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(EpochLines(lap)):
        training.train(pixels, {}, settings, Path(folder), **arguments)


class EpochLines(io.StringIO):
    """An output that calls a function at the line of each epoch, which the loop prints at its end."""

    def __init__(self, lap: Lap) -> None:
        super().__init__()
        self._lap = lap

    def write(self, text: str) -> int:
        if text.startswith("Epoch:"):
            self._lap()
        return len(text)


def one_step_per_run(pixels: np.ndarray, batch_size: int, n_hidden: int, n_epochs: int, lap: Lap) -> None:
    """Ours with one step per `Session.run`."""
    from vae_graph import training

    training.steps_per_run = lambda n_towers: 1
    ours(pixels, batch_size, n_hidden, n_epochs, lap)


def ours_jitted(pixels: np.ndarray, batch_size: int, n_hidden: int, n_epochs: int, lap: Lap) -> None:
    """Ours with the experiment of `jitted.py`."""
    import tensorflow as tf

    from tests.benchmarks.jitted import jitted_training_graph
    from vae_graph import training

    tf.config.experimental.enable_tensor_float_32_execution(False)      # XLA's products heed no environment variable
    training.training_graph = jitted_training_graph
    ours(pixels, batch_size, n_hidden, n_epochs, lap)


def pytorch(pixels: np.ndarray, batch_size: int, n_hidden: int, n_epochs: int, lap: Lap) -> None:
    """The same model as a user of PyTorch would write it, with fused Adam."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            def hidden(n_in: int) -> list[nn.Module]:
                return [nn.Linear(n_in, n_hidden), nn.ELU(), nn.Dropout(1 - KEEP_PROB)]
            self.encoder = nn.Sequential(*hidden(784), *hidden(n_hidden), nn.Linear(n_hidden, 4))
            self.decoder = nn.Sequential(*hidden(2), *hidden(n_hidden), nn.Linear(n_hidden, 784), nn.Sigmoid())
            for layer in self.modules():
                if isinstance(layer, nn.Linear):
                    nn.init.xavier_uniform_(layer.weight)
                    nn.init.zeros_(layer.bias)

        def forward(self, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            mean, rest = self.encoder(X).chunk(2, dim=1)
            std = F.softplus(rest) + 1e-6
            X_out = self.decoder(mean + std * torch.randn_like(std)).clamp(1e-8, 1 - 6e-8)
            recon = -(X * X_out.log() + (1 - X) * (1 - X_out).log()).sum(1).mean()
            regularization = (0.5 * (1 - (std**2 + 1e-8).log() + mean**2 + std**2).sum(1)).mean()
            return recon, regularization, recon + regularization

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    device = "cuda" if os.environ.get("CUDA_VISIBLE_DEVICES") else "cpu"
    model, data = Autoencoder().to(device), torch.from_numpy(pixels / np.float32(255)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: DECAY_RATE ** (step / DECAY_STEP))
    for _ in range(n_epochs):
        total = torch.zeros(3, device=device)
        for batch in data.split(batch_size):
            optimizer.zero_grad()
            errors = model(batch)
            errors[-1].backward()
            optimizer.step()
            scheduler.step()
            total += torch.stack(errors).detach()
        total.tolist()
        lap()


def jax(pixels: np.ndarray, batch_size: int, n_hidden: int, n_epochs: int, lap: Lap) -> None:
    """The same model as a user of JAX would write it: one jitted step, optax' Adam, donated buffers."""
    from functools import partial

    import jax
    import optax
    from jax import nn, random
    from jax import numpy as jnp

    def affine(x, layer):
        return x @ layer["w"] + layer["b"]

    def hidden(x, layer, key):
        h = nn.elu(affine(x, layer))
        return jnp.where(random.bernoulli(key, KEEP_PROB, h.shape), h / KEEP_PROB, 0)

    def loss(layers, X, key):
        keys = random.split(key, 5)
        h = hidden(hidden(X, layers[0], keys[0]), layers[1], keys[1])
        mean, rest = jnp.split(affine(h, layers[2]), 2, axis=1)
        std = nn.softplus(rest) + 1e-6
        z = mean + std * random.normal(keys[2], mean.shape)
        h = hidden(hidden(z, layers[3], keys[3]), layers[4], keys[4])
        X_out = jnp.clip(nn.sigmoid(affine(h, layers[5])), 1e-8, 1 - 6e-8)
        recon = -(X * jnp.log(X_out) + (1 - X) * jnp.log(1 - X_out)).sum(1).mean()
        regularization = (0.5 * (1 - jnp.log(std**2 + 1e-8) + mean**2 + std**2).sum(1)).mean()
        return recon + regularization, jnp.stack([recon, regularization, recon + regularization])

    optimizer = optax.adam(optax.exponential_decay(LEARNING_RATE, DECAY_STEP, DECAY_RATE))

    @partial(jax.jit, donate_argnums=(0, 1, 2, 3))
    def update(layers, state, key, total, X):
        key, noise = random.split(key)
        gradients, errors = jax.grad(loss, has_aux=True)(layers, X, noise)
        changes, state = optimizer.update(gradients, state)
        return optax.apply_updates(layers, changes), state, key, total + errors

    key = random.PRNGKey(0)
    xavier = nn.initializers.glorot_uniform()
    layers = [{"w": xavier(random.fold_in(key, i), shape), "b": jnp.zeros(shape[1])}
              for i, shape in enumerate(_sizes(n_hidden))]
    state = optimizer.init(layers)
    images = pixels / np.float32(255)
    for _ in range(n_epochs):
        total = jnp.zeros(3)
        for start in range(0, len(images), batch_size):
            layers, state, key, total = update(layers, state, key, total, images[start:start + batch_size])
        total.tolist()
        lap()


def products_by_tensorflow(pixels: np.ndarray, batch_size: int, n_hidden: int, n_epochs: int, lap: Lap) -> None:
    """The matrix products of a step and nothing else, by TensorFlow: a part of the batch in each of its threads."""
    import tensorflow.compat.v1 as tf

    n_threads, n_steps = len(os.sched_getaffinity(0)), 11           # 11 divides the 429 steps of an epoch
    with tf.Graph().as_default():
        layers = [[tf.Variable(values, use_resource=True) for values in layer]
                  for layer in _random_layers(n_hidden, math.ceil(batch_size / n_threads))]
        ends = []
        for _ in range(n_threads):
            end: list[tf.Operation] = []
            for _ in range(n_steps):
                values = [[variable.read_value() for variable in layer] for layer in layers]
                for x, y, transpose in _products(values):
                    with tf.control_dependencies(end):       # one after the other within a thread
                        end = [tf.matmul(x, y, **{f"transpose_{side}": True for side in transpose}).op]
            ends += end
        config = tf.ConfigProto(inter_op_parallelism_threads=n_threads, intra_op_parallelism_threads=1)
        # Graph optimization would replace equal products by one.
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        with tf.Session(config=config) as session:
            session.run(tf.global_variables_initializer())
            for _ in range(n_epochs):
                for _ in range(len(pixels) // batch_size // n_steps):
                    session.run(ends)
                lap()


def products_by_numpy(pixels: np.ndarray, batch_size: int, n_hidden: int, n_epochs: int, lap: Lap) -> None:
    """The matrix products of a step and nothing else, by NumPy's BLAS."""
    layers = _random_layers(n_hidden, batch_size)
    for _ in range(n_epochs):
        for _ in range(len(pixels) // batch_size):
            for x, y, transpose in _products(layers):
                np.matmul(x.T if transpose == "a" else x, y.T if transpose == "b" else y)
        lap()


def _random_layers(n_hidden: int, n_images: int) -> list[list[np.ndarray]]:
    """Weights, inputs and the gradient of the outputs of each layer."""
    random = np.random.default_rng(0)
    return [[random.random(shape, dtype=np.float32) for shape in ((n_in, n_out), (n_images, n_in), (n_images, n_out))]
            for n_in, n_out in _sizes(n_hidden)]


def _products(layers: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, Any, str]]:
    """The factors of a step's products, and which of them, "a" or "b", is transposed."""
    for weights, x, _ in layers:
        yield x, weights, ""
    for number, (weights, x, gradient) in enumerate(layers):
        yield x, gradient, "a"
        if number > 0:                   # the gradient of the images is not needed
            yield gradient, weights, "b"


def _sizes(n_hidden: int) -> list[tuple[int, ...]]:
    return [tuple(n_hidden if size == 500 else size for size in shape) for shape in SIZES]


TOWERS = {f"ours, {n} tower{'s' if n > 1 else ''}": n for n in (1, 2, 4, 8, 16)}
CONTESTANTS: dict[str, Callable[..., None]] = {
    "port": port, "port with oneDNN": port, "ours": ours,
    **{name: functools.partial(ours, n_towers=n) for name, n in TOWERS.items()},
    "ours, one step per run": one_step_per_run, "ours, jitted": ours_jitted, "pytorch": pytorch, "jax": jax,
    "products by NumPy": products_by_numpy, "products by TensorFlow": products_by_tensorflow}
NEEDS = {"pytorch": ("torch",), "jax": ("jax", "optax")}


def environment(name: str, threads: int = 2) -> dict[str, str]:
    """The environment variables of a contestant's process: `run_mnist.py` sets TensorFlow's, for example for oneDNN."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    variables |= {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL")}
    variables |= {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    return variables | TENSORFLOW_ENVIRONMENT if name not in ("port", "pytorch", "jax") else variables
