"""The cost of whole processes: time to the first step, time and peak memory of three epochs, time of the manifold.

    python -m tests.benchmarks.program [--rounds N] [--json FILE]
    python -m tests.benchmarks.program --default_run FOLDER [--json FILE]

MNIST must be in $MNIST_DIR or `data`. `run_mnist.py`, its loop alone and the original's loop alone (see contestants.py)
take turns, and so do the manifold and the original's of 400 decoders. The results are medians over the rounds.

The second command runs `run_mnist.py` without flags in FOLDER: 200 epochs with evaluation and pictures.
"""

import argparse
import os
import pty
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.contestants import CONTESTANTS, ROOT, environment
from tests.benchmarks.machine import write_results
from vae_graph import checkpoints, data, evaluation
from vae_graph.pictures import GRIDS

N_EPOCHS = 3


def program(folder: str) -> list[str]:
    """The command of a run of this program that writes everything to `folder`."""
    return [sys.executable, str(ROOT / "run_mnist.py"), "--dataset", "mnist", "--num_epoch", str(N_EPOCHS),
            "--checkpoint_dir", folder, "--figures_dir", folder]


def start_to_first_step() -> float:
    """Seconds until the progress bar shows the first steps."""
    with tempfile.TemporaryDirectory() as folder:
        terminal, program_end = pty.openpty()
        start, output = time.perf_counter(), b""
        with subprocess.Popen(program(folder), stdout=program_end) as process:
            while not re.search(rb"[1-9]\d*.{0,12}/.{0,12}\d", output):
                output += os.read(terminal, 4096)
            seconds = time.perf_counter() - start
            process.kill()
    os.close(program_end)
    os.close(terminal)
    return seconds


def seconds_and_memory(command: list[str], **options: Any) -> tuple[float, float]:
    """A process's wall time in seconds and its peak memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def default_run(folder: Path) -> dict[str, float]:
    """The time and memory of the program without flags."""
    folder.mkdir(parents=True)
    seconds, memory = seconds_and_memory([sys.executable, str(ROOT / "run_mnist.py")], cwd=folder)
    variables = checkpoints.read_variables(checkpoints.find(folder / "checkpoints").prefix)
    return {"seconds": seconds, "steps": int(variables["Variable"]), "peak memory, MB": memory}


def train_alone(contestant: str) -> None:
    """In the child process: the data and the epochs, without evaluation and pictures."""
    pixels = data.mnist(data.data_folder()).train.pixels
    CONTESTANTS[contestant](pixels[:len(pixels) // 128 * 128], 128, 500, N_EPOCHS, lambda: None)


def seconds_of_manifolds(prefix: str) -> tuple[float, float]:
    """The times of the manifold's 400 digits from a checkpoint: with one decoder, whose z is fed, and with 400."""
    import tensorflow.compat.v1 as tf

    from vae_graph import Bernoulli_decoder

    grid = GRIDS["linear"]
    z1, z2 = np.meshgrid(grid, grid[::-1])
    codes = np.stack([z1.ravel(), z2.ravel()], 1).astype(np.float32)
    start = time.perf_counter()
    with evaluation.restored(prefix, seed=0) as model:
        ours = model.session.run(model.X_out, {model.z: codes})
    between = time.perf_counter()
    with tf.Graph().as_default(), tf.Session() as session:
        decoders = [Bernoulli_decoder(tf.constant(code[None]), 500, 784, 1.0) for code in codes]
        tf.train.Saver().restore(session, prefix)
        original = [session.run(decoder)[0] for decoder in decoders]
    end = time.perf_counter()
    np.testing.assert_allclose(ours, original, atol=1e-5)
    return between - start, end - between


def rounds(n_rounds: int) -> dict[str, list[float]]:
    """Everything else that is measured, once in each round."""
    found: dict[str, list[float]] = {}
    for _ in range(n_rounds):
        with tempfile.TemporaryDirectory() as folder:
            whole = seconds_and_memory(program(folder))
            ours, theirs = (seconds_and_memory([sys.executable, __file__, "--alone", contestant],
                                               env=environment(contestant))
                            for contestant in ("ours", "port"))
            prefix = checkpoints.find(Path(folder)).prefix
            manifolds = seconds_of_manifolds(prefix)
        for name, value in {
                "start to first step, s": start_to_first_step(),
                f"{N_EPOCHS} epochs with evaluation and plots, s": whole[0], "its peak memory, MB": whole[1],
                f"{N_EPOCHS} epochs alone, s": ours[0], "their peak memory, MB": ours[1],
                f"port: {N_EPOCHS} epochs alone, s": theirs[0], "port: their peak memory, MB": theirs[1],
                "manifold, s": manifolds[0], "original's manifold of 400 decoders, s": manifolds[1]}.items():
            found.setdefault(name, []).append(value)
    print("| | median |\n|---|---|")
    for name, values in found.items():
        print(f"| {name} | {statistics.median(values):.2f} |")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results to this file")
    parser.add_argument("--default_run", type=Path, metavar="FOLDER", help="run the program without flags there")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.alone:
        train_alone(flags.alone)
        return

    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    found: dict[str, object]
    if flags.default_run:
        found = {"default run": default_run(flags.default_run)}
        print(found)
    else:
        found = {"rounds": rounds(flags.rounds)}
    write_results(flags.json, found)


if __name__ == "__main__":
    main()
