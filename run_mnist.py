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
from typing import TYPE_CHECKING, NamedTuple

import vae_graph  # its modules, and TensorFlow with them, are imported on first use
from vae_graph.cli import commands, local_cluster, outputs, report
from vae_graph.cli import flag_groups as group
from vae_graph.cli.execution import execute, prepare_standard_streams, show
from vae_graph.cli.inputs import describe_images, load_data
from vae_graph.cli.parser import TRAIN, Command, parse_flags
from vae_graph.errors import printable
from vae_graph.files import remove_stale
from vae_graph.locks import lock_dir, without_links
from vae_graph.settings import Settings

if TYPE_CHECKING:
    from vae_graph.cluster.config import Cluster
    from vae_graph.data import DataSet
    from vae_graph.evaluation import Evaluation
    from vae_graph.runs.record import RunRecord

TrainNetwork = Callable[..., tuple[str, "RunRecord"]]


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


class Trained(NamedTuple):
    """A network that was trained, and its results."""

    prefix: str                  # of the last checkpoint
    errors: "Evaluation"         # on the test set
    figures_dir: Path
    missing: set[str]            # the results that could not be written


def train(flags: argparse.Namespace) -> str:
    """The original's program: data, training, evaluation, pictures. With `TF_CONFIG`, this process's part of it."""
    from vae_graph.cluster import config

    if cluster := config.from_environment(flags.cluster_timeout):
        return train_in_cluster(flags, cluster)
    train_network = functools.partial(vae_graph.training.train, n_towers=flags.towers)
    return train_and_report(flags, load_data(flags), train_network)


def train_in_cluster(flags: argparse.Namespace, cluster: "Cluster") -> str:
    """The part of one task: a parameter server, a worker, or the chief, which evaluates and draws too."""
    from vae_graph.cluster import distributed

    if cluster.task in cluster.parameter_servers:
        distributed.serve(cluster)
        return f"{cluster.task}: finished"
    data_set = load_data(flags)
    train_network = functools.partial(distributed.train, cluster=cluster)
    if cluster.task == cluster.replicas[0]:
        return train_and_report(flags, data_set, train_network)
    train_network(data_set.train.pixels, data_set.sha256, settings_from(flags), flags.checkpoint_dir)
    return f"{cluster.task}: finished"


def train_and_report(flags: argparse.Namespace, data_set: "DataSet", train_network: TrainNetwork) -> str:
    """Train and evaluate; print the errors on the test set."""
    trained = train_evaluate_draw(flags, data_set, train_network)
    show(report.errors(describe_images(data_set, data_set.test, flags.add_noise), trained.errors))
    outputs.check_complete(trained.missing)
    return f"The checkpoint is {trained.prefix}; the pictures and run.json are in {trained.figures_dir}"


def train_evaluate_draw(flags: argparse.Namespace, data_set: "DataSet", train_network: TrainNetwork) -> Trained:
    """Train, evaluate on the test set, write pictures and run.json.

    Args:
        flags: of the command.
        data_set: see `load_data`.
        train_network: `training.train`, or another function with its first arguments.
    """
    from vae_graph.runs.folder import archive_run

    settings, missing = settings_from(flags), set[str]()
    checkpoint_dir = without_links(
        outputs.writable_folder("--checkpoint_dir", flags.checkpoint_dir / data_set.results_subdir))
    figures_dir = outputs.figures_folder(flags, data_set)

    def draw(prefix: str) -> dict[str, bytes]:
        drawn: dict[str, bytes] = {}
        with outputs.optional(f"pictures in {figures_dir}", missing):
            drawn = outputs.draw_results(prefix, data_set, flags)
        outputs.write_optional(figures_dir, drawn, missing)
        return drawn

    with lock_dir(checkpoint_dir):
        remove_stale(checkpoint_dir)
        if flags.restart and (earlier := archive_run(checkpoint_dir)):
            print(f"the earlier run is now in {printable(earlier)}")
        print(f"{printable(data_set.title or data_set.name)}: {len(data_set.train.digits)} training images, "
              f"{len(data_set.test.digits)} test images")
        prefix, record = train_network(data_set.train.pixels, data_set.sha256, settings, checkpoint_dir, draw,
                                       histograms=flags.histograms)
        test, plot = data_set.test, vae_graph.plot
        errors = vae_graph.evaluation.evaluate(prefix, test.images, test.digits, flags.seed, noisy=flags.add_noise)
        schematic = plot.schematic(data_set.train.pixels.shape[1], settings.n_hidden_encoder, settings.n_z,
                                   settings.n_hidden_decoder, settings.keep_prob, data_set.title)
        results = {"model.png": plot.png(schematic),
                   "run.json": report.as_json(flags, data_set, **_facts(prefix, record, data_set), test=errors,
                                              training=record.errors).encode()}
        if record.errors["epoch"]:       # none if resumed, without a record, from the last epoch
            results["training_curve.png"] = plot.png(plot.training_curve(record.errors, data_set.title))
        outputs.write_optional(figures_dir, results, missing)
    return Trained(prefix, errors, figures_dir, missing)


def _facts(prefix: str, record: "RunRecord", data_set: "DataSet") -> dict[str, object]:
    """What a run was: the flags of a finished one may ask for fewer epochs than it has."""
    checkpoints, devices = vae_graph.checkpoints, vae_graph.devices
    step = int(checkpoints.read_variables(prefix)[checkpoints.STEP])
    n_epochs, _ = record.position(step, len(data_set.train.digits) // record.settings.batch_size)
    return {"checkpoint": prefix, "step": step,
            "settings": dataclasses.asdict(record.settings) | {"num_epoch": n_epochs}, "towers": record.n_towers,
            "processors": devices.n_processors(), "devices": devices.describe(record.n_towers)}


def sweep(flags: argparse.Namespace) -> str:
    """Train networks that differ in n_z, one after the other; their errors in a table, their results in a picture."""
    data_set = load_data(flags)
    figures_dir = outputs.writable_folder("--figures_dir", flags.figures_dir / "sweep" / data_set.results_subdir)
    train_network = functools.partial(vae_graph.training.train, n_towers=flags.towers)
    trained: dict[int, Trained] = {}
    for n_z in flags.n_z:
        print(f"n_z = {n_z}", flush=True)
        trained[n_z] = train_evaluate_draw(argparse.Namespace(**vars(flags) | {
            "n_z": n_z, "checkpoint_dir": flags.checkpoint_dir / "sweep" / f"n_z-{n_z}",
            "figures_dir": flags.figures_dir / "sweep" / f"n_z-{n_z}"}), data_set, train_network)
    errors = {n_z: one.errors for n_z, one in trained.items()}
    missing = set().union(*(one.missing for one in trained.values()))
    results = {"sweep.json": report.as_json(flags, data_set, sweep=errors).encode()}
    with outputs.optional(f"pictures in {figures_dir}", missing):
        prefixes = {f"n_z = {n_z}": one.prefix for n_z, one in trained.items()}
        results |= vae_graph.pictures.of_sweep(prefixes, data_set, flags.seed, flags.add_noise)
    outputs.write_optional(figures_dir, results, missing)
    show(report.sweep(describe_images(data_set, data_set.test, flags.add_noise), errors))
    outputs.check_complete(missing)
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
