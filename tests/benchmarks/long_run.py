"""A long run, in which memory, number of files and time per epoch must not grow.

    python -m tests.benchmarks.long_run [--epochs N] [--json FILE]

A thousand epochs of the full-size network on a few rendered digits, a checkpoint and pictures every 20.
"""

import argparse
import contextlib
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

import run_mnist
from tests.benchmarks.machine import write_results
from tests.small import write_small_idx
from vae_graph.runs.recorder import Recorder


def resident() -> float:
    """This process's memory now, in MB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=1000, help="default: 1000")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results to this file")
    flags = parser.parse_args()

    tenth, rows, ends = flags.epochs // 10, [], []
    with tempfile.TemporaryDirectory() as place:
        data = write_small_idx(Path(place, "small digits"))
        end_epoch = Recorder.end_epoch

        def end_epoch_and_measure(run: Recorder, epoch: int) -> None:
            end_epoch(run, epoch)
            ends.append(time.perf_counter())
            if (epoch + 1) % tenth == 0:
                seconds = [b - a for a, b in zip(ends[-tenth:], ends[-tenth + 1:], strict=False)]
                rows.append({"epoch": epoch, "memory, MB": round(resident(), 1),
                             "files": sum(path.is_file() for path in Path(place, "run").rglob("*")),
                             "ms per epoch": round(1000 * statistics.median(seconds), 2)})
                print(rows[-1], file=sys.stderr)

        Recorder.end_epoch = end_epoch_and_measure
        with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
            status = run_mnist.main(["--dataset", "other", "--data_dir", str(data), "--num_epoch", str(flags.epochs),
                                     "--checkpoint_dir", f"{place}/run", "--figures_dir", f"{place}/run"])
        assert status == 0
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")
    write_results(flags.json, {"tenths": rows})


if __name__ == "__main__":
    main()
