"""The speed of a training step, compared with the original's loop, PyTorch, JAX and the matrix products alone.

    pip install -e ".[bench]"                              PyTorch and JAX; what is not installed is skipped
    python -m tests.benchmarks.training                 the table, on all processors
    python -m tests.benchmarks.training --threads 4     on four of them

Each contestant runs whole epochs in its own process on the same processors, without GPUs; they take turns in each
round, so that a drift of the machine's speed affects all of them. The results are medians over the rounds, and ratios
of those. tests/benchmarks/gpu.py does the same on a GPU.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib import util
from pathlib import Path

import numpy as np

from tests.benchmarks import contestants
from tests.benchmarks.machine import write_results

N_STEPS, BATCH_SIZE = 429, 128       # of an epoch of MNIST's training images
CHECKPOINT_EVERY = 20   # epochs, the program's default


def run_contestant(name: str, threads: int, batch_size: int, n_hidden: int, n_steps: int) -> None:
    """In the child process: print the milliseconds per step of each epoch except the first, a warm-up."""
    laps = _laps(contestants.CONTESTANTS[name], threads, batch_size, n_hidden, n_steps, n_epochs=4)
    print(json.dumps([1000 * (end - start) / n_steps for start, end in itertools.pairwise(laps)]))


def run_checkpoints(threads: int) -> None:
    """In the child process: print the milliseconds of each checkpoint except the first."""
    laps = _laps(contestants.checkpoints, threads, BATCH_SIZE, 500, 1, n_epochs=12)
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


def measure(name: str, threads: int, batch_size: int = BATCH_SIZE, n_hidden: int = 500, n_steps: int = N_STEPS
            ) -> float:
    """The median of a contestant's epochs in a process of its own, in milliseconds per step."""
    return _median_of_child(name, threads, "--contestant", name, threads, batch_size, n_hidden, n_steps)


def _median_of_child(name: str, threads: int, *arguments: object) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.training", *map(str, arguments)]
    done = subprocess.run(command, env=contestants.environment(name, threads), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name}: expected milliseconds, found: {done.stderr[-2000:]}")
    return statistics.median(json.loads(done.stdout))


def race(names: Iterable[str], threads: int, rounds: int) -> dict[str, list[float]]:
    """The milliseconds per step of those contestants that are installed and do not fail, in turn in each round."""
    times: dict[str, list[float]] = {name: [] for name in names if all(
        util.find_spec(package) for package in contestants.NEEDS.get(name, ()))}
    for number in range(rounds):
        for name in [*times]:
            try:
                times[name].append(measure(name, threads))
            except RuntimeError as error:
                print(error, file=sys.stderr)
                del times[name]
                continue
            print(f"round {number + 1} of {rounds}: {name:22} {times[name][-1]:6.2f} ms", file=sys.stderr)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print("| | ms per step | time relative to ours |\n|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {median:.2f} | {median / medians.get('ours', math.nan):.2f} |")
    return times


def measure_checkpoints(threads: int, rounds: int) -> list[float]:
    """The milliseconds per checkpoint in each round."""
    times = [_median_of_child("checkpoints", threads, "--checkpoints", threads) for _ in range(rounds)]
    checkpoint = statistics.median(times)
    per_step = checkpoint / N_STEPS / CHECKPOINT_EVERY
    print(f"A checkpoint takes {checkpoint:.0f} ms: {per_step:.3f} ms per step at one in {CHECKPOINT_EVERY} epochs.")
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="default: 7")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results to this file")
    parser.add_argument("--threads", type=int, metavar="N", help="default: one per processor")
    parser.add_argument("--contestant", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--checkpoints", type=int, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.contestant:
        name, *numbers = flags.contestant
        run_contestant(name, *map(int, numbers))
        return
    if flags.checkpoints:
        run_checkpoints(flags.checkpoints)
        return
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:flags.threads])
    from vae_graph import devices

    threads, n_towers = devices.n_processors(), devices.default_towers(BATCH_SIZE)
    names = [name for name in contestants.CONTESTANTS
             if contestants.TOWERS.get(name, 0) < n_towers and name != "ours, jitted"]
    times = race(names, threads, flags.rounds)
    of_checkpoints = measure_checkpoints(threads, flags.rounds)
    print(f"on {devices.describe(n_towers)}, in {n_towers} towers")
    write_results(flags.json, {"ms per step, round by round": times,
                               "ms per checkpoint, round by round": of_checkpoints})


if __name__ == "__main__":
    main()
