"""The speed of a training step, compared with the original's loop, PyTorch, JAX and the matrix products alone.

    pip install '.[bench]'                              PyTorch and JAX; what is not installed is skipped
    python -m tests.benchmarks.training                 the table
    ... --gpu                                           the same on a GPU; without it none is used

Each contestant runs whole epochs in its own process on the same processors; they take turns in each round, so that a
drift of the machine's speed affects all of them. The results are medians over the rounds, and ratios of those.
"""

import argparse
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import util
from pathlib import Path

import numpy as np

from tests.benchmarks import contestants
from tests.benchmarks.machine import write_results

N_STEPS = 429           # of an epoch of MNIST's training images
CHECKPOINT_EVERY = 20   # epochs, the program's default


def run_contestant(name: str, threads: int, batch_size: int, n_hidden: int, n_steps: int) -> None:
    """In the child process: print the milliseconds per step of each epoch except the first, a warm-up."""
    laps = _laps(contestants.CONTESTANTS[name], threads, batch_size, n_hidden, n_steps, n_epochs=4)
    print(json.dumps([1000 * (end - start) / n_steps for start, end in itertools.pairwise(laps)]))


def run_checkpoints() -> None:
    """In the child process: print the milliseconds of each checkpoint except the first."""
    laps = _laps(contestants.checkpoints, 2, 128, 500, 1, n_epochs=12)
    print(json.dumps([1000 * (end - start) for start, end in zip(laps[2::2], laps[3::2], strict=True)]))


def _laps(contestant: Callable[..., None], threads: int, batch_size: int, n_hidden: int, n_steps: int, n_epochs: int
          ) -> list[float]:
    """The times at which a contestant calls its `lap`, in seconds."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    random = np.random.default_rng(0).random((n_steps * batch_size, 784), dtype=np.float32)
    pixels = (256 * random ** 6).astype(np.uint8)        # mostly dark, as digits are
    laps: list[float] = []
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
        contestant(pixels, batch_size, n_hidden, n_epochs, lambda: laps.append(time.perf_counter()))
    return laps


def measure(name: str, threads: int = 2, batch_size: int = 128, n_hidden: int = 500, n_steps: int = N_STEPS) -> float:
    """The median of a contestant's epochs in a process of its own, in milliseconds per step."""
    return _median_of_child(name, threads, "--contestant", name, threads, batch_size, n_hidden, n_steps)


def _median_of_child(name: str, threads: int, *arguments: object) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.training", *map(str, arguments)]
    done = subprocess.run(command, env=contestants.environment(name, threads), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name}: expected milliseconds, found: {done.stderr.strip().splitlines()[-1]}")
    return statistics.median(json.loads(done.stdout))


def race(rounds: int) -> dict[str, object]:
    """All installed contestants, in turn in each round, and the checkpoints."""
    names = [name for name in contestants.CONTESTANTS
             if all(util.find_spec(package) for package in contestants.NEEDS.get(name, ()))]
    times: dict[str, list[float]] = {name: [] for name in names}
    checkpoints = []
    for number in range(rounds):
        for name in names:
            times[name].append(measure(name))
            print(f"round {number + 1} of {rounds}: {name:22} {times[name][-1]:6.2f} ms", file=sys.stderr)
        checkpoints.append(_median_of_child("checkpoints", 2, "--checkpoints"))
    medians = {name: statistics.median(values) for name, values in times.items()}
    print("| | ms per step | time relative to ours |\n|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {median:.2f} | {median / medians['ours']:.2f} |")
    checkpoint = statistics.median(checkpoints)
    per_step = checkpoint / N_STEPS / CHECKPOINT_EVERY
    print(f"A checkpoint takes {checkpoint:.0f} ms: {per_step:.3f} ms per step at one in {CHECKPOINT_EVERY} epochs.")
    return {"ms per step, round by round": times, "ms per checkpoint, round by round": checkpoints}


def refuse_without_gpu() -> None:
    """End with one line unless TensorFlow finds a GPU."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        sys.exit("--gpu: expected a GPU that TensorFlow can use, found none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="default: 7")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results to this file")
    parser.add_argument("--gpu", action="store_true", help="let the contestants use a GPU")
    parser.add_argument("--contestant", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--checkpoints", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.contestant:
        name, *numbers = flags.contestant
        run_contestant(name, *map(int, numbers))
        return
    if flags.checkpoints:
        run_checkpoints()
        return
    if flags.gpu:
        refuse_without_gpu()
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    write_results(flags.json, race(flags.rounds))


if __name__ == "__main__":
    main()
