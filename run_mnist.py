"""Train the variational autoencoder on MNIST, evaluate it on the test set, draw the three result pictures.

With a command and a checkpoint, the program inspects, evaluates, draws, compares or exports it: see --help.
"""

import argparse
import dataclasses
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import vae_graph  # its modules, and TensorFlow with them, are imported on first use
from vae_graph.cli import commands, local_cluster, outputs, report
from vae_graph.cli import flag_groups as group
from vae_graph.cli.execution import execute, prepare_standard_streams, show
from vae_graph.cli.inputs import describe_images, load_data
from vae_graph.cli.parser import TRAIN, Command, parse_flags
from vae_graph.errors import printable
from vae_graph.files import lock_dir, remove_stale
from vae_graph.settings import Settings

if TYPE_CHECKING:
    from vae_graph.data import DataSet
    from vae_graph.evaluation import Evaluation


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit status: 0; 2 after an error; 128 + its number after a signal.

    Args:
        argv: the arguments; those of the process by default.
    """
    argv = sys.argv[1:] if argv is None else argv
    prepare_standard_streams()
    flags = parse_flags(COMMANDS, argv)                          # --help and a wrong flag end here
    if vars(flags).get("local_cluster"):
        if local_cluster.CHILD_ENV not in os.environ:
            return local_cluster.run(flags.local_cluster, [sys.executable, __file__, *argv])
        local_cluster.exit_with_parent()
    return execute(COMMANDS[flags.command], flags)


def train(flags: argparse.Namespace) -> str:
    """The original's program: data, training, evaluation, pictures. In a cluster, this process's part of it."""
    from vae_graph.cluster import config, distributed

    cluster = config.from_environment(flags.cluster_timeout)
    if cluster and cluster.task in cluster.parameter_servers:
        distributed.serve(cluster)
        return f"{cluster.task}: finished"
    data_set, settings = load_data(flags), settings_from(flags)
    train_network = (functools.partial(distributed.train, cluster=cluster) if cluster else
                     functools.partial(vae_graph.training.train, n_towers=flags.towers))
    if cluster and cluster.task != cluster.replicas[0]:
        train_network(data_set.train.pixels, data_set.sha256, settings, flags.checkpoint_dir)
        return f"{cluster.task}: finished"
    missing: set[str] = set()
    prefix, errors, figures_dir = train_evaluate_draw(flags, data_set, settings, train_network, missing)
    show(report.errors(describe_images(data_set, data_set.test, flags.add_noise), errors))
    outputs.check_complete(prefix, missing)
    return f"The checkpoint is {prefix}; the pictures and run.json are in {figures_dir}"


def train_evaluate_draw(flags: argparse.Namespace, data_set: "DataSet", settings: Settings,
                        train_network: Callable[..., tuple[str, dict[str, list]]], missing: set[str]
                        ) -> "tuple[str, Evaluation, Path]":
    """Train, evaluate on the test set, write pictures and run.json.

    Args:
        flags: of the command.
        data_set: see `load_data`.
        settings: see `Settings`.
        train_network: `training.train`, or another function with its first arguments.
        missing: gets the names of results that cannot be written, see `outputs.optional`.

    Returns:
        The last checkpoint's prefix, its errors on the test set, and the folder of the pictures.
    """
    from vae_graph.runs.folder import archive_run

    checkpoint_dir = outputs.writable_folder("--checkpoint_dir", flags.checkpoint_dir / data_set.results_subdir)
    figures_dir = outputs.figures_folder(flags, data_set)

    def draw(prefix: str) -> dict[str, bytes]:
        drawn: dict[str, bytes] = {}
        with outputs.optional("pictures", missing):
            drawn = outputs.draw_results(prefix, data_set, flags)
            outputs.write_optional(figures_dir, drawn, missing)
        return drawn

    with lock_dir(checkpoint_dir):
        remove_stale(checkpoint_dir)
        if flags.restart and (earlier := archive_run(checkpoint_dir)):
            print(f"the earlier run is now in {printable(earlier)}")
        print(f"{printable(data_set.title or data_set.name)}: {len(data_set.train.digits)} training images, "
              f"{len(data_set.test.digits)} test images")
        prefix, history = train_network(data_set.train.pixels, data_set.sha256, settings, checkpoint_dir, draw,
                                        histograms=flags.histograms)
        test = data_set.test
        errors = vae_graph.evaluation.evaluate(prefix, test.images, test.digits, flags.seed, noisy=flags.add_noise)
        plot = vae_graph.plot
        schematic = plot.schematic(data_set.train.pixels.shape[1], settings.n_hidden_encoder, settings.n_z,
                                   settings.n_hidden_decoder, settings.keep_prob, data_set.title)
        results = {"model.png": plot.png(schematic),
                   "run.json": report.as_json(flags, data_set, test=errors, training=history).encode()}
        if history["epoch"]:             # else every epoch was trained elsewhere
            results["training_curve.png"] = plot.png(plot.training_curve(history, data_set.title))
        outputs.write_optional(figures_dir, results, missing)
    return prefix, errors, figures_dir


def sweep(flags: argparse.Namespace) -> str:
    """Train networks that differ in n_z, one after the other; their errors in a table, their results in a picture."""
    data_set = load_data(flags)
    figures_dir = outputs.writable_folder("--figures_dir", flags.figures_dir / "sweep" / data_set.results_subdir)
    train_network = functools.partial(vae_graph.training.train, n_towers=flags.towers)
    missing: set[str] = set()
    prefixes, errors = {}, {}
    for n_z in flags.n_z:
        print(f"n_z = {n_z}", flush=True)
        run_flags = argparse.Namespace(**vars(flags) | {
            "n_z": n_z, "checkpoint_dir": flags.checkpoint_dir / "sweep" / f"n_z-{n_z}",
            "figures_dir": flags.figures_dir / "sweep" / f"n_z-{n_z}"})
        prefixes[n_z], errors[n_z], _ = train_evaluate_draw(run_flags, data_set, settings_from(run_flags),
                                                            train_network, missing)
    drawn = vae_graph.pictures.of_sweep({f"n_z = {n_z}": prefix for n_z, prefix in prefixes.items()}, data_set,
                                        flags.seed, flags.add_noise)
    outputs.write_files(figures_dir, drawn | {"sweep.json": report.as_json(flags, data_set, sweep=errors).encode()})
    show(report.sweep(describe_images(data_set, data_set.test, flags.add_noise), errors))
    outputs.check_complete(prefixes[flags.n_z[-1]], missing)
    return f"The picture and sweep.json are in {figures_dir}"


def settings_from(flags: argparse.Namespace) -> Settings:
    """The flags that determine the run."""
    return Settings(**{field.name: getattr(flags, field.name) for field in dataclasses.fields(Settings)})


COMMANDS = {
    TRAIN: Command("train the variational autoencoder on MNIST, evaluate it, and draw the three result pictures",
                   (group.network, group.learning, group.data_and_results, group.machines), train, is_training=True),
    **commands.COMMANDS,
    "sweep": Command("train a network for each of several n_z and compare them, in subfolders named sweep",
                     (group.networks, group.learning, group.data_and_results, group.towers), sweep, is_training=True),
}

if __name__ == "__main__":
    sys.exit(main())
