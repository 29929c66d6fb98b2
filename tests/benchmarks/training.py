"""The speed of a training step, compared with the original's loop, PyTorch, JAX and the matrix products alone.

    pip install '.[bench]'                              PyTorch and JAX; what is not installed is skipped
    python -m tests.benchmarks.training                 the table
    python -m tests.benchmarks.training --work FILE     ours by batch size, layer width and threads, and a plot
    ... --gpu                                           the same on a GPU; without it none is used

Each contestant runs in its own process on the same processors; they take turns in each round, so that a drift of the
machine's speed affects all of them. The results are medians over the rounds, and ratios of those.
"""

import argparse
import contextlib
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib import metadata, util
from pathlib import Path

import numpy as np

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


def ours(pixels: np.ndarray, batch_size: int, n_hidden: int, n_epochs: int, lap: Lap) -> None:
    """The loop that `run_mnist.py` runs, a checkpoint after each epoch."""
    from vae_graph import training

    _train_ours(pixels, batch_size, n_hidden, n_epochs, lap, training.N_TOWERS)


def _train_ours(pixels: np.ndarray, batch_size: int, n_hidden: int, n_epochs: int, lap: Lap, n_towers: int) -> None:
    from vae_graph import training
    from vae_graph.settings import Settings

    settings = Settings(n_hidden_encoder=n_hidden, n_hidden_decoder=n_hidden, batch_size=batch_size,
                                 num_epoch=n_epochs, checkpoint_every=1)
    with tempfile.TemporaryDirectory() as folder:
        training.train(pixels, {}, settings, Path(folder), on_checkpoint=lambda prefix: lap(), n_towers=n_towers)


def one_tower(pixels: np.ndarray, batch_size: int, n_hidden: int, n_epochs: int, lap: Lap) -> None:
    """Ours without towers."""
    _train_ours(pixels, batch_size, n_hidden, n_epochs, lap, n_towers=1)


def one_step_per_run(pixels: np.ndarray, batch_size: int, n_hidden: int, n_epochs: int, lap: Lap) -> None:
    """Ours with one step per `Session.run`."""
    from vae_graph import training

    training.STEPS_PER_RUN = 1
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
    device = "cuda" if torch.cuda.is_available() else "cpu"
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


def products(pixels: np.ndarray, batch_size: int, n_hidden: int, n_epochs: int, lap: Lap) -> None:
    """The matrix products of a step and nothing else, by NumPy's BLAS."""
    random = np.random.default_rng(0)
    layers = [[random.random(shape, dtype=np.float32) for shape in (size, (batch_size, size[0]), (batch_size, size[1]))]
              for size in _sizes(n_hidden)]
    for _ in range(n_epochs):
        for _ in range(len(pixels) // batch_size):
            for weights, inputs, _ in layers:
                inputs @ weights
            for number, (weights, inputs, gradient) in enumerate(layers):
                inputs.T @ gradient
                if number > 0:               # the gradient of the images is not needed
                    gradient @ weights.T
        lap()


CONTESTANTS = {"port": port, "ours": ours, "one tower": one_tower, "one step a run": one_step_per_run,
               "pytorch": pytorch, "jax": jax, "products": products}
NEEDS = {"pytorch": ("torch",), "jax": ("jax", "optax")}


def _sizes(n_hidden: int) -> list[tuple[int, ...]]:
    return [tuple(n_hidden if size == 500 else size for size in shape) for shape in SIZES]


def run_contestant(name: str, threads: int, batch_size: int, n_hidden: int, n_steps: int) -> None:
    """In the child process: print the milliseconds per step of each epoch except the first, a warm-up."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    random = np.random.default_rng(0).random((n_steps * batch_size, 784), dtype=np.float32)
    pixels = (256 * random ** 6).astype(np.uint8)        # mostly dark, as digits are
    laps: list[float] = []
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
        CONTESTANTS[name](pixels, batch_size, n_hidden, 4, lambda: laps.append(time.perf_counter()))
    print(json.dumps([1000 * (b - a) / n_steps for a, b in itertools.pairwise(laps)]))


def refuse_without_gpu() -> None:
    """End with one line unless TensorFlow finds a GPU."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        sys.exit("--gpu: expected a GPU that TensorFlow can use, found none")


def measure(name: str, threads: int = 2, batch_size: int = 128, n_hidden: int = 500, n_steps: int = 100) -> float:
    """The median of a contestant's epochs in a process of its own, in milliseconds per step."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)} | {
        f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL")}
    arguments = ["--contestant", name, *map(str, (threads, batch_size, n_hidden, n_steps))]
    done = subprocess.run([sys.executable, __file__, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name}: expected milliseconds per step, found: {done.stderr.strip().splitlines()[-1]}")
    return statistics.median(json.loads(done.stdout))


def machine() -> dict[str, object]:
    """The machine and the versions that the results depend on."""
    packages = ("tensorflow", "numpy", "torch", "jax", "optax")
    return {"date": date.today().isoformat(), "cores": os.cpu_count(), "machine": platform.machine(),
            "python": platform.python_version(),
            "versions": {name: metadata.version(name) for name in packages if util.find_spec(name)}}


def race(rounds: int) -> dict[str, object]:
    """All installed contestants, in turn in each round."""
    names = [name for name in CONTESTANTS if all(util.find_spec(package) for package in NEEDS.get(name, ()))]
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names:
            times[name].append(measure(name))
            print(f"round {number + 1} of {rounds}: {name:14} {times[name][-1]:6.2f} ms", file=sys.stderr)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print("| | ms per step | time relative to ours |\n|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {median:.2f} | {median / medians['ours']:.2f} |")
    return {"ms per step, round by round": times}


def work(picture: Path) -> dict[str, object]:
    """Our step by batch size and layer width, with one thread and with two."""
    costs: dict[str, list[dict[str, float]]] = {"batch_size": [], "n_hidden": []}
    print("| batch size | n_hidden | 1 thread, ms per step | 2 threads, ms per step |\n|---|---|---|---|")
    for name, sizes in (("batch_size", (32, 128, 512, 2048, 4096)), ("n_hidden", (100, 250, 500, 1000, 2000))):
        for size in sizes:
            shape = {"batch_size": 128, "n_hidden": 500} | {name: size}
            n_steps = max(12, 40 * 128 // shape["batch_size"])
            one, two = (measure("ours", threads, **shape, n_steps=n_steps) for threads in (1, 2))
            costs[name].append({"size": size, "1 thread": one, "2 threads": two})
            print(f"| {shape['batch_size']} | {shape['n_hidden']} | {one:.2f} | {two:.2f} |", flush=True)
    draw_work(costs, picture)
    return {"ms per step of ours": costs}


def draw_work(costs: dict[str, list[dict[str, float]]], picture: Path) -> None:
    """A panel for each of the two sizes, both axes logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="tight")
    for ax, (name, rows) in zip(figure.subplots(1, 2), costs.items(), strict=True):
        for threads in ("1 thread", "2 threads"):
            ax.loglog([row["size"] for row in rows], [row[threads] for row in rows], "o-", label=threads)
        ax.set(xlabel=name, ylabel="ms per step")
        ax.grid(which="both")
        ax.legend()
    figure.savefig(picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="default: 7")
    parser.add_argument("--work", type=Path, metavar="FILE", help="write a plot to this file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results to this file")
    parser.add_argument("--contestant", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--gpu", action="store_true", help="let the contestants use a GPU")
    flags = parser.parse_args()
    if flags.contestant:
        name, *numbers = flags.contestant
        run_contestant(name, *map(int, numbers))
        return
    if flags.gpu:
        refuse_without_gpu()
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    found = machine() | (work(flags.work) if flags.work else race(flags.rounds))
    if flags.json:
        flags.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
