"""Train the variational autoencoder on MNIST, test it, and draw the three result pictures.

With a command and the name of a checkpoint: look into it, measure it, draw from it, compare it, carry it over.
"""

import argparse
import contextlib
import dataclasses
import io
import json
import os
import platform
import signal
import sys
import tempfile
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
    import matplotlib
    import numpy as np
    import PIL
    import tensorflow as tf

    import vae_graph
    from vae_graph import (
        checkpoints,
        cluster,
        comparison,
        data,
        evaluation,
        export,
        files,
        inspection,
        local_cluster,
        plot,
        report,
        resume,
        saving,
        training,
    )
    from vae_graph.flags import TRAIN, parse_flags, without
    from vae_graph.training import Settings

if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "3":
    tf.get_logger().setLevel("ERROR")        # else it warns of every TensorFlow 1 way that has a newer one

NO_MNIST = """\
{line}
  THIS IS NOT MNIST. It could not be had, so this run uses RENDERED DIGITS, drawn from fonts: its
  pictures and numbers are no results for MNIST, and go to folders named `rendered`.
  To get MNIST, put its four .gz files into the folder `{folder}`, or name theirs with --data_dir.
  Why not: {reason}
{line}"""


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit status: 0; 2 after bad input; 128 and its number after a signal."""
    flags = parse_flags(argv)
    if vars(flags).get("local_cluster"):
        return local_cluster.run(flags.local_cluster, [sys.executable, *without("--local_cluster", argv)])
    way_on = "; the same command, without --restart, goes on from the last checkpoint" if flags.command == TRAIN else ""
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
    n_towers = flags.towers or len(tf.config.list_physical_devices("GPU")) or (1 if here else training.N_TOWERS)
    if here and here.task in here.parameter_servers:
        print(f"{here.task} of a cluster, at {here.addresses[here.task]}", flush=True)
        if received := cluster.serve(here, training.session_config(n_towers)):
            raise training.Stopped(received[0])
        return f"{here.task}: the replicas have finished"

    data_set = load_data(flags)
    settings = Settings(**{field.name: getattr(flags, field.name) for field in dataclasses.fields(Settings)})
    if here:
        print(report.place(here, settings.batch_size))
        if not here.is_chief:
            training.train(data_set.train.pixels, data_set.sha256, settings, flags.checkpoint_dir,
                           n_towers=n_towers, here=here)
            return f"{here.task}: finished"
    name = data_set.title or data_set.name
    checkpoint_dir = writable_folder("--checkpoint_dir", flags.checkpoint_dir / data_set.stand_in)
    figures_dir = writable_folder("--figures_dir", flags.figures_dir / data_set.stand_in)
    with files.sole_writer(checkpoint_dir):
        files.tidy(checkpoint_dir)
        if flags.restart and (earlier := saving.set_aside(checkpoint_dir)):
            print(f"the earlier run is now in {earlier}")
        print(f"{name}: {len(data_set.train.digits)} images to train on, {len(data_set.test.digits)} to test on")
        prefix, history = training.train(
            data_set.train.pixels, data_set.sha256, settings, checkpoint_dir,
            at_checkpoint=lambda prefix: draw_results(prefix, data_set, flags.seed, figures_dir),
            n_towers=n_towers, here=here)

    errors = evaluation.evaluate(prefix, data_set.test.images, data_set.test.digits, flags.seed)
    files.write_whole(figures_dir / "training_curve.png", plot.png(plot.training_curve(history, data_set.title)))
    record = as_json(flags, data_set, test=dataclasses.asdict(errors), training=history)
    files.write_whole(figures_dir / "run.json", record.encode())
    return (f"{report.errors(f'Test set of {name}', errors)}\n"
            f"The checkpoint is {prefix}; the pictures and run.json are in {figures_dir}")


def inspect(flags: argparse.Namespace) -> str:
    """What is in a checkpoint."""
    found = inspection.inspect(find(flags.checkpoint))
    return as_json(flags, inspection=dataclasses.asdict(found)) if flags.json else report.inspection(found)


def evaluate(flags: argparse.Namespace) -> str:
    """What a checkpoint is worth on the test images."""
    prefix = find(flags.checkpoint)
    data_set = load_data(flags)
    test = data_set.test.first(flags.n_images)
    found = evaluation.evaluate(prefix, test.images, test.digits, flags.seed, flags.draws, flags.iwae_samples,
                                verbose=sys.stdout.isatty())
    if flags.json:
        return as_json(flags, data_set, checkpoint=prefix, evaluation=dataclasses.asdict(found))
    return f"{prefix}\n{report.evaluation(named_images(data_set, test), found)}"


def figures(flags: argparse.Namespace) -> str:
    """The three pictures of a checkpoint, and a record of how they came about."""
    prefix = find(flags.checkpoint)
    data_set = load_data(flags)
    figures_dir = writable_folder("--figures_dir", flags.figures_dir / data_set.stand_in)
    draw_results(prefix, data_set, flags.seed, figures_dir)
    files.write_whole(figures_dir / "figures.json", as_json(flags, data_set, checkpoint=prefix).encode())
    return f"The pictures of {prefix} are in {figures_dir}"


def compare(flags: argparse.Namespace) -> str:
    """Two checkpoints side by side, in numbers and in a picture."""
    prefixes = find(flags.a), find(flags.b)
    data_set = load_data(flags)
    figures_dir = writable_folder("--figures_dir", flags.figures_dir / data_set.stand_in)
    test = data_set.test.first(flags.n_images)
    images = test.images
    found = comparison.compare(*prefixes, images, test.digits, flags.seed, flags.draws, flags.iwae_samples,
                               verbose=sys.stdout.isatty())
    sides = []
    for name, prefix in zip("AB", prefixes, strict=True):
        shown = evaluation.results(prefix, images, flags.seed)
        sides.append(plot.Side(f"{name}: {prefix}", shown.reconstructions, shown.codes, shown.manifold,
                               shown.axis_names))
    picture = plot.comparison(sides, images, test.digits, evaluation.GRID[-1], data_set.title)
    record = as_json(flags, data_set, comparison=dataclasses.asdict(found))
    files.write_whole(figures_dir / "comparison.png", plot.png(picture))
    files.write_whole(figures_dir / "comparison.json", record.encode())
    text = report.comparison(named_images(data_set, test), found)
    return record if flags.json else f"{text}\nThe picture, and all this as JSON, are in {figures_dir}"


def carry_over(flags: argparse.Namespace) -> str:
    """A checkpoint's network for those who have not this program, or no TensorFlow."""
    if not flags.saved_model and not flags.npz:
        raise export.ExportError("DIR: expected a folder to export to, or --npz FILE, found neither")
    prefix = find(flags.checkpoint)
    if flags.saved_model:
        export.saved_model(prefix, flags.saved_model)
    if flags.npz:
        export.npz(prefix, flags.npz)
    return f"{prefix} is exported to {' and '.join(str(place) for place in (flags.saved_model, flags.npz) if place)}"


COMMANDS: dict[str, Callable[[argparse.Namespace], str]] = {
    TRAIN: train_test_draw, "inspect": inspect, "evaluate": evaluate, "figures": figures, "compare": compare,
    "export": carry_over}


def find(path: Path) -> str:
    """The prefix of the checkpoint that a path means; what is passed over on the way is said."""
    prefix, problems = checkpoints.find(path)
    for problem in problems.values():
        print(f"skipped: {problem}")
    return prefix


def load_data(flags: argparse.Namespace) -> data.DataSet:
    """The data set that the flags ask for."""
    data_folder = data.data_folder(flags.data_dir)
    if flags.dataset == "rendered":
        return data.rendered_digits()
    if flags.dataset == "other":
        return data.other(data_folder)
    try:
        return data.mnist(data_folder)
    except data.MnistUnavailable as reason:
        if flags.dataset == "mnist":
            raise
        print(NO_MNIST.format(line="*" * 100, folder=data_folder, reason=reason))
        return data.rendered_digits()


def named_images(data_set: data.DataSet, test: data.Split) -> str:
    """What to call the test images, all or the first of them."""
    whole = len(test.digits) == len(data_set.test.digits)
    return f"{'Test set' if whole else f'First {len(test.digits)} test images'} of {data_set.title or data_set.name}"


def writable_folder(flag: str, path: Path) -> Path:
    """Make the folder and try to write in it now, not after a quarter of an hour of training."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise resume.SettingsError(
            f"{flag}: expected a folder that can be written, found {path}: {error.strerror}") from None


def draw_results(prefix: str, data_set: data.DataSet, seed: int, figures_dir: Path) -> None:
    """The three pictures of a checkpoint, as the original draws them after its training."""
    test = data_set.test
    results = evaluation.results(prefix, test.images, seed)
    plane_title = "\n".join(filter(None, (data_set.title, results.plane)))
    pictures = {
        "result1_reconstruction.png": plot.reconstruction(
            test.first(len(results.reconstructions)).images, results.reconstructions, data_set.title),
        "result2_latent.png": plot.latent(results.codes, test.digits, results.axis_names, plane_title),
        "result3_manifold.png": plot.manifold(results.manifold, evaluation.GRID[-1], results.axis_names, plane_title),
    }
    for name, picture in pictures.items():
        files.write_whole(figures_dir / name, plot.png(picture))


def as_json(flags: argparse.Namespace, data_set: data.DataSet | None = None, **found: object) -> str:
    """What was found, with what it was found from: the flags, the data, the versions, the machine."""
    return json.dumps({
        "flags": {name: value.as_posix() if isinstance(value, Path) else value for name, value in vars(flags).items()},
        "data": {"name": data_set.name, "sha256": data_set.sha256} if data_set else None,
        "versions": {"vae_graph": vae_graph.__version__, "python": platform.python_version(),
                     "tensorflow": tf.__version__, "numpy": np.__version__, "matplotlib": matplotlib.__version__,
                     "pillow": PIL.__version__},
        "host": {"machine": platform.machine(), "threads": os.cpu_count()},
        "seed": vars(flags).get("seed"),
        **found,
    }, indent=1, allow_nan=False)


if __name__ == "__main__":
    local_cluster.end_with_parent()
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")        # a name that cannot be shown must not end a run
    sys.exit(main())
