"""What the training graph costs before the first step, by towers and steps per `Session.run`.

    python -m tests.benchmarks.start [TOWERSxSTEPS ...] [--rounds N] [--json FILE]

Seconds of processor time, which depends little on the number of processors: building is Python's, the first run is
TensorFlow's graph optimization and the steps. Each graph is built in a process of its own; medians over the rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.contestants import environment
from tests.benchmarks.machine import write_results


def measure(n_towers: int, n_steps: int) -> dict[str, float]:
    """In the child process: the operations of the graph, and the seconds of building it and of its first run."""
    import tensorflow.compat.v1 as tf

    from vae_graph import devices
    from vae_graph.settings import Settings
    from vae_graph.training_graph import training_graph

    settings = Settings()
    images = np.zeros([n_steps * settings.batch_size, 784], np.float32)
    with tf.Graph().as_default() as graph, tf.Session(config=devices.session_config(n_towers)) as session:
        start = time.process_time()
        built = training_graph(784, settings, n_steps, n_towers)
        building = time.process_time() - start
        session.run(tf.global_variables_initializer())
        start = time.process_time()
        session.run([built.steps[-1].train_op, [step.errors for step in built.steps]],
                    {built.input_data: images, built.dropout_rate: settings.keep_prob})
        return {"towers": n_towers, "steps": n_steps, "operations": len(graph.get_operations()),
                "building, s": building, "first run, s": time.process_time() - start}


def main() -> None:
    from vae_graph import devices

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", metavar="TOWERSxSTEPS", help="default: the program's")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results to this file")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    shapes = flags.shapes or [f"{n}x{devices.steps_per_run(n)}" for n in (1, 2, 4, 8, 16)]
    if flags.child:
        print(json.dumps(measure(*map(int, shapes[0].split("x")))))
        return
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    rounds = [[json.loads(subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.start", shape, "--child"], env=environment("ours"), check=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout) for shape in shapes] for _ in range(flags.rounds)]
    rows = [{name: statistics.median(one[name] for one in of_shape) for name in of_shape[0]}
            for of_shape in zip(*rounds, strict=True)]
    print("| towers | steps per run | operations | building, s | first run, s | sum, s |\n|---|---|---|---|---|---|")
    for n_towers, n_steps, operations, building, first_run in map(dict.values, rows):
        print(f"| {n_towers} | {n_steps} | {operations} | {building:.2f} | {first_run:.2f} | "
              f"{building + first_run:.2f} |")
    write_results(flags.json, {"graphs": rows, "rounds": flags.rounds})


if __name__ == "__main__":
    main()
