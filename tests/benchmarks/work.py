"""The speed of a training step by batch size, layer width and threads.

    python -m tests.benchmarks.work PICTURE [--threads N] [--json FILE]
"""

import argparse
import os
from pathlib import Path

from matplotlib.figure import Figure

from tests.benchmarks.machine import write_results
from tests.benchmarks.training import measure
from vae_graph import devices


def work(threads: int) -> dict[str, list[dict[str, float]]]:
    """Our step by batch size and layer width, with one thread and with several."""
    costs: dict[str, list[dict[str, float]]] = {"batch_size": [], "n_hidden": []}
    print(f"| batch size | n_hidden | 1 thread, ms per step | {threads} threads, ms per step |\n|---|---|---|---|")
    for name, sizes in (("batch_size", (32, 128, 512, 2048, 4096)), ("n_hidden", (100, 250, 500, 1000, 2000))):
        for size in sizes:
            shape = {"batch_size": 128, "n_hidden": 500} | {name: size}
            # Whole runs, and enough of them: TensorFlow schedules operations better once it has seen their times.
            n_steps = 8 * max(3, 30 * 128 * 500 // (shape["batch_size"] * shape["n_hidden"]))
            one, all_threads = (measure("ours", n, **shape, n_steps=n_steps) for n in (1, threads))
            costs[name].append({"size": size, "1 thread": one, f"{threads} threads": all_threads})
            print(f"| {shape['batch_size']} | {shape['n_hidden']} | {one:.2f} | {all_threads:.2f} |", flush=True)
    return costs


def draw_work(costs: dict[str, list[dict[str, float]]], picture: Path) -> None:
    """A panel for each of the two sizes, both axes logarithmic, with ticks at the sizes that were measured."""
    figure = Figure(figsize=(10, 4), layout="tight")
    left, right = figure.subplots(1, 2, sharey=True)
    others = {"batch_size": "n_hidden 500", "n_hidden": "batch_size 128"}
    for ax, (name, rows) in zip((left, right), costs.items(), strict=True):
        sizes = [row["size"] for row in rows]
        for threads in [name for name in rows[0] if name != "size"]:
            ax.loglog(sizes, [row[threads] for row in rows], "o-", label=threads)
        ax.set_xticks(sizes, map(str, sizes))
        ax.set_xticks([], minor=True)
        ax.yaxis.set_major_formatter("{x:g}")
        ax.set(xlabel=f"{name} ({others[name]})")
        ax.grid(alpha=0.4)
    left.set(ylabel="ms per step")
    left.legend()
    figure.savefig(picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, metavar="PICTURE", help="write a plot to this file")
    parser.add_argument("--threads", type=int, default=devices.n_processors(), metavar="N",
                        help="default: one per processor")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results to this file")
    flags = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    costs = work(flags.threads)
    draw_work(costs, flags.picture)
    write_results(flags.json, {"ms per step of ours": costs})


if __name__ == "__main__":
    main()
