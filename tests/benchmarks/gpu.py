"""Every check that needs a GPU, in about five minutes.

    pip install -e ".[cuda,test]"                  to race them too: PyTorch, JAX with its CUDA plugin, and optax
    python -m tests.benchmarks.gpu [--experiment] [--json FILE]

The 20 steps of TensorFlow 1.4.0, the quick tests, the precision of a matrix product, the bytes of two runs and of a
resumed one, the memory that TensorFlow's allocator took, and the speed of a step, on the first visible GPU. All
multiply in float32: TF32, which TensorFlow and JAX use by default, is off. `--experiment` adds the step as one function
that XLA compiles (jitted.py).

PyTorch and TensorFlow bring CUDA libraries of different versions: install PyTorch in an environment of its own if one
of them fails. A check that fails does not keep the others from running; their results are written after each.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tests.benchmarks.contestants import environment
from tests.benchmarks.machine import write_results
from tests.benchmarks.training import BATCH_SIZE, race
from vae_graph.cli.execution import import_tensorflow

CONTESTANT_NAMES = ("port", "ours", "pytorch", "jax")
N_EPOCHS, N_STEPS, STOP_AT = 3, 100, 20         # of the runs that are compared; before which `Session.run` one stops
MAX_ERROR = 1e-5                                # of a product in float32, relative; TF32's is 3e-4
TIMEOUT = 150                                   # seconds, of each check
FLOAT32 = {"NVIDIA_TF32_OVERRIDE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "highest"}


def run_child(*arguments: str) -> str:
    """The output of a process of this Python. Raises RuntimeError with its last lines if it fails."""
    done = subprocess.run([sys.executable, "-m", *arguments], env=environment("ours") | FLOAT32, capture_output=True,
                          text=True, timeout=TIMEOUT)
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr)[-5000:])
    return done.stdout.strip()


def run_tests(*arguments: str) -> str:
    """Run some tests; return pytest's summary."""
    return run_child("pytest", "-q", "--tb=short", "-p", "no:cacheprovider", *arguments).splitlines()[-1]


def train(folder: Path, stops: bool) -> dict[str, object]:
    """In the child process: a run, and the SHA-256 of its variables; or a run that is stopped within an epoch."""
    tf = import_tensorflow()
    from vae_graph import checkpoints, training
    from vae_graph.runs.recorder import Recorder
    from vae_graph.runs.signals import Stopped
    from vae_graph.settings import Settings

    n_runs, before_steps = [0], Recorder.before_steps

    def before_steps_or_stop(recorder: Recorder) -> None:
        n_runs[0] += 1
        if stops and n_runs[0] == STOP_AT:
            signal.raise_signal(signal.SIGTERM)
        before_steps(recorder)

    Recorder.before_steps = before_steps_or_stop
    pixels = np.random.default_rng(0).integers(0, 256, (N_STEPS * BATCH_SIZE, 784), dtype=np.uint8)
    folder.mkdir(exist_ok=True)
    try:
        prefix, _ = training.train(pixels, {}, Settings(num_epoch=N_EPOCHS), folder)
    except Stopped as stop:
        return {"stopped": str(stop)}
    digest = hashlib.sha256()
    for name, values in sorted(checkpoints.read_variables(prefix).items()):
        digest.update(name.encode() + values.tobytes())
    return {"sha256": digest.hexdigest(),
            "peak memory, MB": tf.config.experimental.get_memory_info("GPU:0")["peak"] / 10**6}


def compare_runs() -> str:
    """Two runs, and one that is stopped and resumed. Raises RuntimeError unless all have the same variables."""
    with tempfile.TemporaryDirectory() as place:
        def run(name: str, stops: str = "") -> Mapping[str, object]:
            return json.loads(run_child("tests.benchmarks.gpu", "--train", str(Path(place, name)), stops
                                        ).splitlines()[-1])

        a, b, stopped, resumed = run("a"), run("b"), run("c", "stops"), run("c")
    if "stopped" not in stopped or not a["sha256"] == b["sha256"] == resumed["sha256"]:
        raise RuntimeError(f"expected equal bytes, found {a}, {b}, {stopped}, {resumed}")
    return f"same bytes; peak of TensorFlow's allocator: {a['peak memory, MB']:.0f} MB"


def multiply() -> str:
    """The largest relative error of a product of this network's sizes. Raises RuntimeError if it is not float32's."""
    error = float(run_child("tests.benchmarks.gpu", "--multiply").splitlines()[-1])
    if error > MAX_ERROR:
        raise RuntimeError(f"expected a relative error of at most {MAX_ERROR}, found {error:.1e}")
    return f"relative error {error:.1e}"


def multiply_in_child() -> float:
    """In the child process: the error of `multiply`."""
    tf = import_tensorflow()
    random = np.random.default_rng(0)
    x, w = (random.standard_normal(shape).astype(np.float32) for shape in ((BATCH_SIZE, 784), (784, 500)))
    exact = x.astype(float) @ w.astype(float)
    return float(np.max(np.abs((tf.constant(x) @ tf.constant(w)).numpy() - exact)) / np.max(np.abs(exact)))


def check(name: str, function: Callable[..., str], *arguments: str) -> dict[str, object]:
    """A row of the table: what a check found, or why it failed, which is also printed to standard error."""
    try:
        row = {"check": name, "passed": True, "found": function(*arguments)}
    except Exception as error:           # the others are still to run
        row = {"check": name, "passed": False, "found": f"{type(error).__name__}: {error}"}
        print(row["found"], file=sys.stderr)
    print(f"| {name} | {'passed' if row['passed'] else 'FAILED'} | {str(row['found']).splitlines()[-1]} |", flush=True)
    return row


def require_gpu() -> None:
    """End with one line if TensorFlow finds no GPU."""
    if not import_tensorflow().config.list_physical_devices("GPU"):
        sys.exit("expected a GPU that TensorFlow can use, found none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="of the race; default: 2")
    parser.add_argument("--experiment", action="store_true", help="race the step as one compiled function too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results to this file")
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--multiply", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.train:
        print(json.dumps(train(Path(flags.train[0]), bool(flags.train[1]))))
        return
    if flags.multiply:
        print(multiply_in_child())
        return
    os.environ |= FLOAT32 | {"JAX_PLATFORMS": "cuda"}
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    require_gpu()
    from vae_graph import devices

    print("| check | | found |\n|---|---|---|")
    checks = []
    for name, function, *arguments in (
            ("20 steps of TensorFlow 1.4.0", run_tests, "tests/test_oracle.py"),
            ("quick tests", run_tests, "-m", "quick", "--ignore", "tests/test_oracle.py"),
            ("product in float32", multiply),
            ("two runs, and a resumed one", compare_runs)):
        checks.append(check(name, function, *arguments))
        write_results(flags.json, {"checks": checks})
    print()
    names = [*CONTESTANT_NAMES, *(["ours, jitted"] if flags.experiment else [])]
    times = race(names, devices.n_processors(), flags.rounds)
    write_results(flags.json, {"checks": checks, "ms per step, round by round": times})
    sys.exit(0 if all(row["passed"] for row in checks) else 1)


if __name__ == "__main__":
    main()
