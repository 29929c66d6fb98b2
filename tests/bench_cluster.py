"""What a cluster's step costs: its time and traffic with 1, 2 and 4 workers on this machine, and what a link allows.

    python -m tests.bench_cluster [--steps N] [--json FILE]

The batch of 128 is shared by the workers, synchronously; one parameter server. Traffic is what the loopback device
counts, so nothing else should be using it. Then a model: in a step every worker fetches the parameters and sends
gradients over the parameter server's link, one after the other, and works between the two.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

from tests.bench_training import machine
from vae_graph import checkpoints, cluster, training
from vae_graph.cluster import Cluster, Task
from vae_graph.local_cluster import free_ports
from vae_graph.replica import replica_graph, replica_session
from vae_graph.training_graph import Settings

WORKERS = (1, 2, 4)
LINKS = (10, 100)            # Gbit/s
MODELLED_WORKERS = (1, 2, 4, 8, 16, 32)
SIZES = checkpoints.LayerSizes(784, Settings.n_hidden_encoder, Settings.n_z, Settings.n_hidden_decoder)
BYTES = 4 * sum(math.prod(shape) for shape in checkpoints.model_shapes(SIZES).values())


def loopback_bytes() -> int:
    """Bytes that this machine has sent to itself."""
    line = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    return int(line.split(":")[1].split()[8])


def work(here: Cluster, n_steps: int, results: Connection) -> None:
    """In a process of its own: one task; the chief sends ms and bytes of each step."""
    config = training.session_config(1)
    if here.task.role == "ps":
        cluster.serve(here, config)
        return
    settings = Settings()
    images = np.random.default_rng(0).random((len(here.part(settings.batch_size)), 784), np.float32)
    server = here.server(config)
    with tf.Graph().as_default(), tf.device(here.device):
        graph, ends = replica_graph(784, settings, here)
        initializer = tf.global_variables_initializer()
        step = graph.steps[0]
        with replica_session(here, server, ends, lambda session: session.run(initializer)) as session:
            marks = []
            for _ in range(n_steps):
                session.run([step.train_op, step.errors], {graph.input_data: images, graph.dropout_rate: 0.6})
                marks.append((time.perf_counter(), loopback_bytes()))
    if here.is_chief:
        results.send([(1000 * (b[0] - a[0]), b[1] - a[1]) for a, b in itertools.pairwise(marks)])


def measured(n_workers: int, n_steps: int) -> dict[str, float]:
    """Medians over the second half of the steps."""
    tasks = [Task("ps", 0), *(Task("worker", index) for index in range(n_workers))]
    ports = free_ports(len(tasks))
    places = {task: f"127.0.0.1:{port}" for task, port in zip(tasks, ports, strict=True)}
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    processes = [context.Process(target=work, args=(Cluster(places, task), n_steps, theirs)) for task in tasks]
    for process in processes:
        process.start()
    times, traffic = zip(*mine.recv()[n_steps // 2:], strict=True)
    for process in processes:
        process.join()
    return {"workers": n_workers, "ms a step": round(statistics.median(times), 2),
            "MB a step and worker": round(statistics.mean(traffic) / 1e6 / n_workers, 2)}


def modelled(ms_of_work: float, gigabits: float, n_workers: int) -> float:
    """Milliseconds a step when each worker works so long: the parameters come, are worked with, and gradients go."""
    one_way = 1000 * n_workers * BYTES * 8 / (gigabits * 1e9)
    return 2 * one_way + ms_of_work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200, help="of each size; default: 200")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the raw figures")
    flags = parser.parse_args()
    rows = [measured(n_workers, flags.steps) for n_workers in WORKERS]
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")

    work_ms = 10.0
    print(f"\nparameters and gradients, {BYTES / 1e6:.2f} MB each; {work_ms:g} ms of work a step on each worker:\n")
    titles = ["workers", *(f"{link} Gbit/s: {what}" for link in LINKS for what in ("ms a step", "images, times one's"))]
    print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles))
    for n_workers in MODELLED_WORKERS:
        cells = [n_workers]
        for link in LINKS:
            ms = modelled(work_ms, link, n_workers)
            cells += [f"{ms:.1f}", f"{n_workers * modelled(work_ms, link, 1) / ms:.1f}"]
        print("| " + " | ".join(map(str, cells)) + " |")
    if flags.json:
        flags.json.write_text(json.dumps(machine() | {"measured": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
