"""The cost of a cluster's step: time and traffic with 1, 2 and 4 workers on this machine, and a model of the link.

    python -m tests.benchmarks.cluster [--steps N] [--json FILE]

The workers share each batch of 128, synchronously; there is one parameter server. The traffic is that of the loopback
device, so nothing else should use it. The model: in a step each worker fetches the parameters and sends gradients over
the parameter server's link, one worker after the other, and computes between the two.
"""

import argparse
import itertools
import math
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

from tests.benchmarks.machine import write_results
from tests.helpers import addresses
from vae_graph import checkpoints, training
from vae_graph.cluster import server
from vae_graph.cluster.config import Cluster, Task
from vae_graph.cluster.replica import replica_session
from vae_graph.cluster.replica_graph import replica_graph
from vae_graph.settings import Settings

WORKERS = (1, 2, 4)
LINKS = (10, 100)            # Gbit/s
MODELLED_WORKERS = (1, 2, 4, 8, 16, 32)
SIZES = checkpoints.LayerSizes(784, Settings.n_hidden_encoder, Settings.n_z, Settings.n_hidden_decoder)
BYTES = 4 * sum(math.prod(shape) for shape in checkpoints.model_shapes(SIZES).values())


def loopback_bytes() -> int:
    """Bytes sent over the loopback device so far."""
    line = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    return int(line.split(":")[1].split()[8])


def run_task(cluster: Cluster, n_steps: int, results: Connection) -> None:
    """In a child process: one task; the chief sends ms and bytes of each step."""
    config = training.session_config(1)
    if cluster.task.role == "ps":
        server.serve(cluster, config)
        return
    settings = Settings()
    images = np.random.default_rng(0).random((len(cluster.shard(settings.batch_size)), 784), np.float32)
    own_server = server.start_server(cluster, config)
    with tf.Graph().as_default(), tf.device(server.device_function(cluster)):
        graph, ops = replica_graph(784, settings, cluster)
        initializer = tf.global_variables_initializer()
        step = graph.steps[0]
        with replica_session(cluster, own_server, ops, lambda session: session.run(initializer)) as session:
            marks = []
            for _ in range(n_steps):
                session.run([step.train_op, step.errors], {graph.input_data: images, graph.dropout_rate: 0.6})
                marks.append((time.perf_counter(), loopback_bytes()))
    if cluster.is_chief:
        results.send([(1000 * (b[0] - a[0]), b[1] - a[1]) for a, b in itertools.pairwise(marks)])


def measured(n_workers: int, n_steps: int) -> dict[str, float]:
    """Medians over the second half of the steps."""
    tasks = [Task("ps", 0), *(Task("worker", index) for index in range(n_workers))]
    cluster_addresses = addresses(*tasks)
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    processes = [context.Process(target=run_task, args=(Cluster(cluster_addresses, task), n_steps, theirs))
                 for task in tasks]
    for process in processes:
        process.start()
    times, traffic = zip(*mine.recv()[n_steps // 2:], strict=True)
    for process in processes:
        process.join()
    return {"workers": n_workers, "ms per step": round(statistics.median(times), 2),
            "MB per step and worker": round(statistics.mean(traffic) / 1e6 / n_workers, 2)}


def modelled(ms_of_work: float, gigabits: float, n_workers: int) -> float:
    """Milliseconds per step: transfer of the parameters, computation, transfer of the gradients."""
    one_way = 1000 * n_workers * BYTES * 8 / (gigabits * 1e9)
    return 2 * one_way + ms_of_work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200, help="of each size; default: 200")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results to this file")
    flags = parser.parse_args()
    rows = [measured(n_workers, flags.steps) for n_workers in WORKERS]
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")

    work_ms = 10.0
    print(f"\nparameters and gradients, {BYTES / 1e6:.2f} MB each; {work_ms:g} ms of work per step and worker:\n")
    columns = ("ms per step", "images per second, relative to one worker")
    titles = ["workers", *(f"{link} Gbit/s: {column}" for link in LINKS for column in columns)]
    print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles))
    for n_workers in MODELLED_WORKERS:
        cells = [n_workers]
        for link in LINKS:
            ms = modelled(work_ms, link, n_workers)
            cells += [f"{ms:.1f}", f"{n_workers * modelled(work_ms, link, 1) / ms:.1f}"]
        print("| " + " | ".join(map(str, cells)) + " |")
    write_results(flags.json, {"measured": rows})


if __name__ == "__main__":
    main()
