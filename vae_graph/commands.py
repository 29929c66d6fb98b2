"""What `run_mnist.py` does with a checkpoint that is there: a command's flags in, its text out."""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from vae_graph import (
    checkpoints,
    comparison,
    data,
    evaluation,
    explorer,
    export,
    files,
    inspection,
    pictures,
    report,
    resume,
)

NO_MNIST = """\
{line}
  THIS IS NOT MNIST. It could not be had, so this run uses RENDERED DIGITS, drawn from fonts: its
  pictures and numbers are no results for MNIST, and go to folders named `rendered`.
  To get MNIST, put its four .gz files into the folder `{folder}`, or name theirs with --data_dir.
  Why not: {reason}
{line}"""


def inspect(flags: argparse.Namespace) -> str:
    """What is in a checkpoint."""
    found = inspection.inspect(find(flags.checkpoint))
    return report.as_json(flags, inspection=dataclasses.asdict(found)) if flags.json else report.inspection(found)


def evaluate(flags: argparse.Namespace) -> str:
    """What a checkpoint is worth on the test images."""
    prefix = find(flags.checkpoint)
    data_set = load_data(flags)
    test = data_set.test.first(flags.n_images)
    found = evaluation.evaluate(prefix, test.images, test.digits, flags.seed, flags.draws, flags.iwae_samples,
                                flags.add_noise, verbose=sys.stdout.isatty())
    if flags.json:
        return report.as_json(flags, data_set, checkpoint=prefix, evaluation=dataclasses.asdict(found))
    return f"{prefix}\n{report.evaluation(named_images(data_set, test, flags.add_noise), found)}"


def figures(flags: argparse.Namespace) -> str:
    """The pictures of a checkpoint, and a record of how they came about."""
    prefix = find(flags.checkpoint)
    data_set = load_data(flags)
    figures_dir = figures_folder(flags, data_set)
    draw_results(prefix, data_set, flags, figures_dir)
    write(figures_dir, {"figures.json": report.as_json(flags, data_set, checkpoint=prefix).encode()})
    return f"The pictures of {prefix} are in {figures_dir}"


def sample(flags: argparse.Namespace) -> str:
    """Digits from the prior."""
    prefix = find(flags.checkpoint)
    figures_dir = writable_folder("--figures_dir", flags.figures_dir)
    title = "from a network not trained on MNIST" if resume.trained_on(prefix, data.MNIST_SHA256) is False else ""
    write(figures_dir, pictures.of_prior(prefix, flags.n, flags.seed, title)
          | {"samples.json": report.as_json(flags, checkpoint=prefix).encode()})
    return f"{flags.n} samples of {prefix} are in {figures_dir / 'samples.png'}"


def walk(flags: argparse.Namespace) -> str:
    """The way from one test image to another."""
    prefix = find(flags.checkpoint)
    data_set = load_data(flags)
    n_images = len(data_set.test.digits)
    if max(flags.images) >= n_images:
        raise resume.SettingsError(f"--images: expected numbers below {n_images}, the number of test images, "
                                   f"found {max(flags.images)}")
    figures_dir = figures_folder(flags, data_set)
    write(figures_dir, pictures.of_walk(prefix, data_set, flags.images, flags.n)
          | {"walk.json": report.as_json(flags, data_set, checkpoint=prefix).encode()})
    return f"The walk is in {figures_dir / 'walk.png'} and walk.gif"


def compare(flags: argparse.Namespace) -> str:
    """Two checkpoints side by side, in numbers and in a picture."""
    prefixes = find(flags.a), find(flags.b)
    data_set = load_data(flags)
    figures_dir = figures_folder(flags, data_set)
    test = data_set.test.first(flags.n_images)
    images = test.images
    found = comparison.compare(*prefixes, images, test.digits, flags.seed, flags.draws, flags.iwae_samples,
                               verbose=sys.stdout.isatty())
    record = report.as_json(flags, data_set, comparison=dataclasses.asdict(found))
    named = dict(zip("AB", prefixes, strict=True))
    write(figures_dir, pictures.of_comparison(named, images, test.digits, flags.seed, data_set.title)
          | {"comparison.json": record.encode()})
    text = report.comparison(named_images(data_set, test), found)
    return record if flags.json else f"{text}\nThe picture, and all this as JSON, are in {figures_dir}"


def explore(flags: argparse.Namespace) -> str:
    """A page to move about in the latent space."""
    prefix = find(flags.checkpoint)
    data_set = load_data(flags)
    figures_dir = figures_folder(flags, data_set)
    page = explorer.page(prefix, data_set.test.images, data_set.test.digits, data_set.title or data_set.name)
    write(figures_dir, {"explorer.html": page,
                        "explorer.json": report.as_json(flags, data_set, checkpoint=prefix).encode()})
    return f"Open {figures_dir / 'explorer.html'} in a browser: it needs no server and no network"


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


def named_images(data_set: data.DataSet, test: data.Split, noisy: bool = False) -> str:
    """What to call the test images, all or the first of them."""
    whole = len(test.digits) == len(data_set.test.digits)
    return (f"{'Test set' if whole else f'First {len(test.digits)} test images'} of {data_set.title or data_set.name}"
            f"{', seen with noise' if noisy else ''}")


def figures_folder(flags: argparse.Namespace, data_set: data.DataSet) -> Path:
    """Where the pictures go; those of a stand-in have a folder of their own."""
    return writable_folder("--figures_dir", flags.figures_dir / data_set.stand_in)


def writable_folder(flag: str, path: Path) -> Path:
    """Make the folder and try to write in it now, not after a quarter of an hour of training."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise resume.SettingsError(
            f"{flag}: expected a folder that can be written, found {path}: {error.strerror}") from None


def draw_results(prefix: str, data_set: data.DataSet, flags: argparse.Namespace, figures_dir: Path) -> dict[str, bytes]:
    """Write the pictures of a training, or of a checkpoint that is there, and return them by their names."""
    drawn = pictures.of_training(prefix, data_set, flags.seed, flags.manifold_grid == "gaussian", flags.add_noise)
    write(figures_dir, drawn)
    return drawn


def write(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write some files, each whole or not at all."""
    for name, content in contents.items():
        files.write_whole(folder / name, content)


COMMANDS: dict[str, Callable[[argparse.Namespace], str]] = {
    "inspect": inspect, "evaluate": evaluate, "figures": figures, "sample": sample, "walk": walk, "explore": explore,
    "compare": compare, "export": carry_over}
