"""Is the program faithful and fast on a GPU? Every check that needs one, in about five minutes.

    pip install '.[cuda,test,bench]'            without '.[bench]' PyTorch and JAX are left out of the race
    python -m tests.benchmarks.gpu [--json FILE]

The oracle's 20 steps of TensorFlow 1.4.0, the quick tests, the bytes of two runs and of a resumed one, the memory that
a run takes, and the speed of a step. All multiply in float32: TF32, which the other frameworks may use by default, is
off for all. `--experiment` adds the step as one function that XLA compiles (jitted.py).
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.benchmarks.contestants import environment
from tests.benchmarks.machine import write_results
from tests.benchmarks.training import race

CONTESTANT_NAMES = ("port", "ours", "pytorch", "jax")
N_EPOCHS, N_EPOCHS_BEFORE_STOP = 3, 1


def refuse_without_gpu() -> None:
    """End with one line if TensorFlow finds no GPU."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        sys.exit("expected a GPU that TensorFlow can use, found none")


def run_tests(*arguments: str) -> str:
    """Run some tests; return pytest's summary, or raise RuntimeError if one fails."""
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", *arguments], env=environment("ours"),
                          capture_output=True, text=True)
    summary = (done.stdout or done.stderr).strip().splitlines()[-1]
    if done.returncode:
        raise RuntimeError(summary)
    return summary.strip("= ")


def train(folder: Path, n_epochs: int) -> dict[str, object]:
    """In the child process: train to an epoch; the SHA-256 of all variables, and the peak of the GPU's memory in MB."""
    import tensorflow as tf

    from vae_graph import checkpoints, training
    from vae_graph.settings import Settings

    pixels = np.random.default_rng(0).integers(0, 256, (100 * 128, 784), dtype=np.uint8)
    folder.mkdir(exist_ok=True)
    prefix, _ = training.train(pixels, {}, Settings(num_epoch=n_epochs), folder)
    digest = hashlib.sha256()
    for name, values in sorted(checkpoints.read_variables(prefix).items()):
        digest.update(name.encode() + values.tobytes())
    peak = [tf.config.experimental.get_memory_info(gpu.name.removeprefix("/physical_device:"))["peak"] / 2**20
            for gpu in tf.config.list_physical_devices("GPU")]
    return {"sha256": digest.hexdigest(), "peak memory, MB": peak}


def train_in_child(folder: Path, n_epochs: int) -> dict[str, object]:
    """`train` in a process of its own, since a process keeps the memory of its GPU."""
    done = subprocess.run([sys.executable, "-m", "tests.benchmarks.gpu", "--train", str(folder), str(n_epochs)],
                          env=environment("ours"), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])


def compare_runs() -> str:
    """Two runs, and one that is stopped after an epoch and resumed; RuntimeError unless all have the same variables."""
    with tempfile.TemporaryDirectory() as place:
        a, b = (train_in_child(Path(place, name), N_EPOCHS) for name in "ab")
        train_in_child(Path(place, "c"), N_EPOCHS_BEFORE_STOP)
        resumed = train_in_child(Path(place, "c"), N_EPOCHS)
    if a["sha256"] != b["sha256"]:
        raise RuntimeError("two runs with the same seed differ")
    if resumed["sha256"] != a["sha256"]:
        raise RuntimeError("a resumed run differs from an uninterrupted one")
    return f"same bytes; peak memory, MB: {a['peak memory, MB']}"


def check(name: str, function: Callable[..., str], *arguments: str) -> dict[str, object]:
    """A row of the table: what a check found, or why it failed."""
    try:
        row = {"check": name, "passed": True, "found": function(*arguments)}
    except RuntimeError as error:
        row = {"check": name, "passed": False, "found": str(error)}
    print(f"| {name} | {'passed' if row['passed'] else 'FAILED'} | {row['found']} |", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="of the race; default: 2")
    parser.add_argument("--experiment", action="store_true", help="race the step as one compiled function too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results to this file")
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.train:
        print(json.dumps(train(Path(flags.train[0]), int(flags.train[1]))))
        return
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    refuse_without_gpu()
    print("| check | | found |\n|---|---|---|")
    checks = [check("20 steps of TensorFlow 1.4.0", run_tests, "tests/test_oracle.py"),
              check("quick tests", run_tests, "-m", "quick"),
              check("two runs, and a resumed one", compare_runs)]
    print()
    names = [*CONTESTANT_NAMES, *(["ours, jitted"] if flags.experiment else [])]
    times = race(names, len(os.sched_getaffinity(0)), flags.rounds)
    write_results(flags.json, {"checks": checks, "ms per step, round by round": times})
    sys.exit(0 if all(row["passed"] for row in checks) else 1)


if __name__ == "__main__":
    main()
