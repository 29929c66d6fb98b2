"""Train the variational autoencoder on MNIST, test it, and draw the three result pictures.

With a command and the name of a checkpoint: look into it, measure it, draw from it, compare it, carry it over.
"""

import argparse
import contextlib
import dataclasses
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)     # while TensorFlow is imported, Ctrl-C ends without a traceback


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep TensorFlow's start-up chatter from the terminal, unless the user set a level for it.

    Some of it is written while TensorFlow is being imported, past its own level and past Python's
    streams: there the file descriptor itself is turned away.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    stderr = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


with silence():
    import tensorflow as tf

    from vae_graph import (
        checkpoints,
        cluster,
        commands,
        data,
        evaluation,
        export,
        files,
        local_cluster,
        pictures,
        plot,
        report,
        resume,
        saving,
        training,
    )
    from vae_graph.commands import draw_results, figures_folder, load_data, named_images, writable_folder, write
    from vae_graph.flags import SWEEP, TRAIN, parse_flags, without
    from vae_graph.training import Settings

if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "3":
    tf.get_logger().setLevel("ERROR")        # else it warns of every TensorFlow 1 way that has a newer one


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit status: 0; 2 after bad input; 128 and its number after a signal."""
    flags = parse_flags(argv)
    if vars(flags).get("local_cluster"):
        return local_cluster.run(flags.local_cluster, [sys.executable, *without("--local_cluster", argv)])
    way_on = ("; the same command, without --restart, goes on from the last checkpoint"
              if flags.command in (TRAIN, SWEEP) else "")
    try:
        # What comes on the way must not stand in the JSON's way.
        with contextlib.redirect_stdout(sys.stderr) if vars(flags).get("json") else contextlib.nullcontext():
            text = COMMANDS[flags.command](flags)
        print(text, flush=True)
        return 0
    except (data.DataError, checkpoints.CheckpointError, resume.SettingsError, export.ExportError, files.FolderInUse,
            cluster.ClusterError, training.Diverged) as error:
        message = str(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())      # for what is still to be flushed
        message = f"expected an output that stays open, found it closed{way_on}"
    except OSError as error:
        message = f"expected files that can be read and written, found: {error}"
    except training.Stopped as stop:
        print(f"\n{stop}{way_on}", file=sys.stderr)
        return 128 + stop.number
    except KeyboardInterrupt:
        print(f"\nstopped{way_on}", file=sys.stderr)
        return 128 + signal.SIGINT
    print(f"run_mnist.py: error: {message}", file=sys.stderr)
    return 2


def train_test_draw(flags: argparse.Namespace) -> str:
    """The whole job, in its order: data, training, test, pictures; in a cluster, this process's part of it."""
    here = cluster.from_environment(flags.cluster_timeout, flags.sync_replicas)
    if here and here.task in here.parameter_servers:
        print(f"{here.task} of a cluster, at {here.addresses[here.task]}", flush=True)
        if received := cluster.serve(here, training.session_config(n_towers(flags, here))):
            raise training.Stopped(received[0])
        return f"{here.task}: the replicas have finished"

    data_set = load_data(flags)
    if here:
        print(report.place(here, flags.batch_size))
        if not here.is_chief:
            training.train(data_set.train.pixels, data_set.sha256, settings_of(flags), flags.checkpoint_dir,
                           n_towers=n_towers(flags, here), here=here)
            return f"{here.task}: finished"
    prefix, errors, figures_dir = train_and_test(flags, data_set, here)
    return (f"{report.errors(named_images(data_set, data_set.test, flags.add_noise), errors)}\n"
            f"The checkpoint is {prefix}; the pictures and run.json are in {figures_dir}")


def train_and_test(flags: argparse.Namespace, data_set: data.DataSet, here: cluster.Cluster | None = None
                   ) -> tuple[str, evaluation.Evaluation, Path]:
    """A checkpoint trained, its errors on the test set, and the folder that they and the pictures are in."""
    settings = settings_of(flags)
    checkpoint_dir = writable_folder("--checkpoint_dir", flags.checkpoint_dir / data_set.stand_in)
    figures_dir = figures_folder(flags, data_set)
    with files.sole_writer(checkpoint_dir):
        files.tidy(checkpoint_dir)
        if flags.restart and (earlier := saving.set_aside(checkpoint_dir)):
            print(f"the earlier run is now in {earlier}")
        print(f"{data_set.title or data_set.name}: {len(data_set.train.digits)} images to train on, "
              f"{len(data_set.test.digits)} to test on")
        prefix, history = training.train(
            data_set.train.pixels, data_set.sha256, settings, checkpoint_dir,
            at_checkpoint=lambda prefix: draw_results(prefix, data_set, flags, figures_dir),
            n_towers=n_towers(flags, here), here=here, histograms=flags.histograms)

    errors = evaluation.evaluate(prefix, data_set.test.images, data_set.test.digits, flags.seed, noisy=flags.add_noise)
    write(figures_dir, {
        "model.png": plot.png(plot.schematic(data_set.train.pixels.shape[1], settings.n_hidden_encoder, settings.n_z,
                                             settings.n_hidden_decoder, settings.keep_prob, data_set.title)),
        "training_curve.png": plot.png(plot.training_curve(history, data_set.title)),
        "run.json": report.as_json(flags, data_set, test=dataclasses.asdict(errors), training=history).encode()})
    return prefix, errors, figures_dir


def sweep(flags: argparse.Namespace) -> str:
    """Networks that differ in n_z, trained one after the other; their errors in a table, their pictures on a sheet."""
    data_set = load_data(flags)
    place = writable_folder("--figures_dir", flags.figures_dir / "sweep" / data_set.stand_in)
    prefixes, errors = {}, {}
    for n_z in flags.n_z:
        print(f"n_z = {n_z}", flush=True)
        of_one = vars(flags) | {"n_z": n_z, "checkpoint_dir": flags.checkpoint_dir / "sweep" / f"n_z-{n_z}",
                                "figures_dir": flags.figures_dir / "sweep" / f"n_z-{n_z}"}
        prefixes[n_z], errors[n_z], _ = train_and_test(argparse.Namespace(**of_one), data_set)
    named = {f"n_z = {n_z}": prefix for n_z, prefix in prefixes.items()}
    record = report.as_json(flags, data_set, sweep={n_z: dataclasses.asdict(found) for n_z, found in errors.items()})
    write(place, pictures.of_sweep(named, data_set, flags.seed, flags.add_noise) | {"sweep.json": record.encode()})
    return (f"{report.sweep(named_images(data_set, data_set.test, flags.add_noise), errors)}\n"
            f"The sheet and sweep.json are in {place}")


def settings_of(flags: argparse.Namespace) -> Settings:
    """What determines the run."""
    return Settings(**{field.name: getattr(flags, field.name) for field in dataclasses.fields(Settings)})


def n_towers(flags: argparse.Namespace, here: cluster.Cluster | None) -> int:
    """How many parts of a batch are worked on side by side."""
    return flags.towers or len(tf.config.list_physical_devices("GPU")) or (1 if here else training.N_TOWERS)


COMMANDS: dict[str, Callable[[argparse.Namespace], str]] = {
    TRAIN: train_test_draw, SWEEP: sweep, **commands.COMMANDS}


if __name__ == "__main__":
    local_cluster.end_with_parent()
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")        # a name that cannot be shown must not end a run
    sys.exit(main())
