"""The memory that a network needs while it trains, by its size: `vae_graph/cli/memory.py` relies on these figures.

    python -m tests.benchmarks.memory [--json FILE]

One epoch on a few rendered digits, with evaluation and pictures, in a process of its own.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.machine import write_results
from tests.small import ROOT, write_small_idx
from vae_graph.checkpoints import LayerSizes
from vae_graph.cli.memory import network_size

SIZES = ((500, 2), (3000, 2), (6000, 2), (10_000, 1000))         # hidden units in each layer, latent dimensions
# At its end the process prints its peaks of address space and of memory in use.
PROGRAM = """
import atexit, pathlib, sys
atexit.register(lambda: print(pathlib.Path("/proc/self/status").read_text()))
import run_mnist
sys.exit(run_mnist.main(sys.argv[1:]))
"""


def peaks(data: Path, n_hidden: int, n_z: int) -> dict[str, float]:
    """The peaks of a training, in MB."""
    flags = ("--dataset", "other", "--data_dir", data, "--num_epoch", 1, "--batch_size", 50, "--n_z", n_z,
             "--n_hidden_encoder", n_hidden, "--n_hidden_decoder", n_hidden)
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, "-c", PROGRAM, *map(str, flags)], capture_output=True, text=True,
                              check=True, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)})
    return {name: int(re.search(rf"{key}:\s+(\d+)", done.stdout)[1]) * 1024 / 1e6
            for name, key in (("address space", "VmPeak"), ("memory", "VmHWM"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results to this file")
    flags = parser.parse_args()
    rows = []
    print("| hidden units | n_z | network, MB | peak memory, MB | peak address space, MB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        data = write_small_idx(Path(place, "small digits"))
        for n_hidden, n_z in SIZES:
            size = network_size(LayerSizes(784, n_hidden, n_z, n_hidden)) / 1e6
            found = peaks(data, n_hidden, n_z)
            rows.append({"n_hidden": n_hidden, "n_z": n_z, "network": size} | found)
            print(f"| {n_hidden} | {n_z} | {size:.0f} | {found['memory']:.0f} | {found['address space']:.0f} |",
                  flush=True)
    write_results(flags.json, {"MB": rows})


if __name__ == "__main__":
    main()
