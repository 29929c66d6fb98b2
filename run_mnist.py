"""Train the variational autoencoder on MNIST, evaluate it on the test set, draw the three result pictures.

With a command and a checkpoint, the program inspects, evaluates, draws, compares or exports it: see --help.
"""

import sys

from vae_graph.cli.main import main

if __name__ == "__main__":
    # It parses the flags before TensorFlow is imported, then imports this file and calls one of the functions below.
    sys.exit(main())

import argparse
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from vae_graph import evaluation, pictures, plot, training
from vae_graph.checkpoints.files import lock_dir, remove_stale
from vae_graph.cli import report
from vae_graph.cli.inputs import describe_images, load_data
from vae_graph.cli.outputs import draw_results, figures_folder, writable_folder, write_files
from vae_graph.cluster import replica, server
from vae_graph.cluster.config import Cluster
from vae_graph.data import DataSet
from vae_graph.errors import printable
from vae_graph.evaluation import Evaluation
from vae_graph.runs.folder import archive_run
from vae_graph.runs.signals import Stopped
from vae_graph.settings import Settings


def train(flags: argparse.Namespace) -> str:
    """The original's program: data, training, evaluation, pictures."""
    data_set = load_data(flags)
    prefix, errors, figures_dir = train_evaluate_draw(flags, data_set, training.train)
    return summary(flags, data_set, prefix, errors, figures_dir)


def train_evaluate_draw(flags: argparse.Namespace, data_set: DataSet,
                        train_network: Callable[..., tuple[str, dict[str, list]]],
                        default_towers: int = training.N_TOWERS) -> tuple[str, Evaluation, Path]:
    """Train by `training.train` or `replica.train`, evaluate on the test set, write pictures and run.json.

    Returns:
        The last checkpoint's prefix, its errors on the test set, and the folder of the pictures.
    """
    settings = settings_from(flags)
    checkpoint_dir = writable_folder("--checkpoint_dir", flags.checkpoint_dir / data_set.results_subdir)
    figures_dir = figures_folder(flags, data_set)
    with lock_dir(checkpoint_dir):
        remove_stale(checkpoint_dir)
        if flags.restart and (earlier := archive_run(checkpoint_dir)):
            print(f"the earlier run is now in {printable(earlier)}")
        print(f"{printable(data_set.title or data_set.name)}: {len(data_set.train.digits)} training images, "
              f"{len(data_set.test.digits)} test images")
        prefix, history = train_network(
            data_set.train.pixels, data_set.sha256, settings, checkpoint_dir,
            on_checkpoint=lambda prefix: draw_results(prefix, data_set, flags, figures_dir),
            n_towers=n_towers(flags, default_towers), histograms=flags.histograms)

    errors = evaluation.evaluate(prefix, data_set.test.images, data_set.test.digits, flags.seed, noisy=flags.add_noise)
    write_files(figures_dir, {
        "model.png": plot.png(plot.schematic(data_set.train.pixels.shape[1], settings.n_hidden_encoder, settings.n_z,
                                             settings.n_hidden_decoder, settings.keep_prob, data_set.title)),
        "training_curve.png": plot.png(plot.training_curve(history, data_set.title)),
        "run.json": report.as_json(flags, data_set, test=report.fields(errors), training=history).encode()})
    return prefix, errors, figures_dir


def summary(flags: argparse.Namespace, data_set: DataSet, prefix: str, errors: Evaluation, figures_dir: Path) -> str:
    """What a training prints at its end."""
    return (f"{report.errors(describe_images(data_set, data_set.test, flags.add_noise), errors)}\n"
            f"The checkpoint is {prefix}; the pictures and run.json are in {figures_dir}")


def sweep(flags: argparse.Namespace) -> str:
    """Train networks that differ in n_z, one after the other; their errors in a table, their results in a picture."""
    data_set = load_data(flags)
    figures_dir = writable_folder("--figures_dir", flags.figures_dir / "sweep" / data_set.results_subdir)
    prefixes, errors = {}, {}
    for n_z in flags.n_z:
        print(f"n_z = {n_z}", flush=True)
        run_flags = vars(flags) | {"n_z": n_z, "checkpoint_dir": flags.checkpoint_dir / "sweep" / f"n_z-{n_z}",
                                   "figures_dir": flags.figures_dir / "sweep" / f"n_z-{n_z}"}
        prefixes[n_z], errors[n_z], _ = train_evaluate_draw(argparse.Namespace(**run_flags), data_set, training.train)
    named = {f"n_z = {n_z}": prefix for n_z, prefix in prefixes.items()}
    record = report.as_json(flags, data_set, sweep={n_z: report.fields(found) for n_z, found in errors.items()})
    write_files(figures_dir, pictures.of_sweep(named, data_set, flags.seed, flags.add_noise)
                | {"sweep.json": record.encode()})
    return (f"{report.sweep(describe_images(data_set, data_set.test, flags.add_noise), errors)}\n"
            f"The picture and sweep.json are in {figures_dir}")


def train_in_cluster(flags: argparse.Namespace, cluster: Cluster) -> str:
    """This process's part of a cluster's training. The chief evaluates and draws too."""
    if cluster.task in cluster.parameter_servers:
        print(f"{cluster.task} of a cluster, at {cluster.addresses[cluster.task]}", flush=True)
        if pending := server.serve(cluster, training.session_config(n_towers(flags, 1))):
            raise Stopped(pending[0])
        return f"{cluster.task}: all replicas have finished"

    data_set = load_data(flags)
    print(report.describe_replica(cluster, flags.batch_size))
    train_replica = functools.partial(replica.train, cluster=cluster)
    if cluster.is_chief:
        prefix, errors, figures_dir = train_evaluate_draw(flags, data_set, train_replica, default_towers=1)
        return summary(flags, data_set, prefix, errors, figures_dir)
    train_replica(data_set.train.pixels, data_set.sha256, settings_from(flags), flags.checkpoint_dir,
                  n_towers=n_towers(flags, 1))
    return f"{cluster.task}: finished"


def settings_from(flags: argparse.Namespace) -> Settings:
    """The flags that determine the run."""
    return Settings(**{field.name: getattr(flags, field.name) for field in dataclasses.fields(Settings)})


def n_towers(flags: argparse.Namespace, default: int) -> int:
    """The number of data-parallel splits of each batch."""
    return flags.towers or len(tf.config.list_physical_devices("GPU")) or default
