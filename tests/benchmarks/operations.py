"""The operations of a training step, by the time that they take on the cores.

    python -m tests.benchmarks.operations [--json FILE]

TensorFlow records the times (`RunMetadata`), which slows the steps down somewhat. Operations overlap, so that their sum
is more than the time of a step: with two cores always busy, it is twice that.
"""

import argparse
import os
from collections import Counter
from pathlib import Path

import numpy as np

from tests.benchmarks.contestants import TENSORFLOW_ENVIRONMENT
from tests.benchmarks.machine import write_results

N_WARM_UP, N_RUNS, N_SHOWN = 10, 20, 12


def operations() -> dict[str, dict[str, float]]:
    """For each type of operation, its executions in a step and the sum of their times in ms, longest first."""
    import tensorflow.compat.v1 as tf

    from vae_graph import devices
    from vae_graph.settings import Settings
    from vae_graph.training_graph import training_graph

    settings = Settings()
    n_towers = devices.default_towers(settings.batch_size)
    n_steps = devices.steps_per_run(n_towers)
    images = np.random.default_rng(0).random((n_steps * settings.batch_size, 784), dtype=np.float32) ** 6
    counts: Counter[str] = Counter()
    microseconds: Counter[str] = Counter()
    with tf.Graph().as_default(), tf.Session(config=devices.session_config(n_towers)) as session:
        graph = training_graph(784, settings, n_steps, n_towers)
        session.run(tf.global_variables_initializer())
        options = tf.RunOptions(trace_level=tf.RunOptions.SOFTWARE_TRACE)
        for number in range(N_WARM_UP + N_RUNS):
            metadata = tf.RunMetadata()
            session.run([graph.steps[-1].train_op, [step.errors for step in graph.steps]],
                        {graph.input_data: images, graph.dropout_rate: settings.keep_prob},
                        options=options, run_metadata=metadata)
            if number >= N_WARM_UP:
                for node in metadata.step_stats.dev_stats[0].node_stats:
                    op = node.timeline_label.split(" = ")[-1].split("(")[0]
                    counts[op] += 1
                    microseconds[op] += node.op_end_rel_micros - node.op_start_rel_micros
    total = N_RUNS * n_steps
    return {op: {"per step": counts[op] / total, "core-ms": time / total / 1000}
            for op, time in microseconds.most_common()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results to this file")
    flags = parser.parse_args()
    os.environ |= TENSORFLOW_ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    found = operations()
    print("| operation | per step | core-ms per step |\n|---|---|---|")
    for op, row in list(found.items())[:N_SHOWN]:
        print(f"| {op} | {row['per step']:.0f} | {row['core-ms']:.2f} |")
    print(f"| all | | {sum(row['core-ms'] for row in found.values()):.2f} |")
    write_results(flags.json, {"operations of a step": found})


if __name__ == "__main__":
    main()
