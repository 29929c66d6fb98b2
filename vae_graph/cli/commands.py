"""The commands that take a checkpoint: flags in, printed text out.

Modules that import TensorFlow are reached as attributes of `vae_graph`, which imports them on first use.
"""

import argparse
import sys
from pathlib import Path

import vae_graph
from vae_graph.cli import flag_groups as group
from vae_graph.cli import report
from vae_graph.cli.inputs import describe_images, find_checkpoint, load_data
from vae_graph.cli.outputs import draw_results, results_folder, writable_folder, write_files
from vae_graph.cli.parser import Command
from vae_graph.settings import SettingsError


def inspect(flags: argparse.Namespace) -> str:
    """What is in a checkpoint."""
    from vae_graph.checkpoints import inspection

    found = inspection.inspect(find_checkpoint(flags.checkpoint, any_program=True))
    return report.as_json(flags, inspection=found) if flags.json else report.inspection(found)


def evaluate(flags: argparse.Namespace) -> str:
    """The metrics of a checkpoint on the test images."""
    prefix = find_checkpoint(flags.checkpoint)
    data_set = load_data(flags)
    test = data_set.test.first(flags.n_images)
    found = vae_graph.evaluation.evaluate(prefix, test.images, test.digits, flags.seed, flags.draws, flags.iwae_samples,
                                          flags.add_noise, verbose=sys.stdout.isatty())
    if flags.json:
        return report.as_json(flags, data_set, checkpoint=prefix, evaluation=found)
    return f"{prefix}\n{report.evaluation(describe_images(data_set, test, flags.add_noise), found)}"


def figures(flags: argparse.Namespace) -> str:
    """The pictures of a checkpoint, and a record of how they were made."""
    prefix = find_checkpoint(flags.checkpoint)
    data_set = load_data(flags)
    figures_dir = results_folder(flags, [prefix], data_set)
    pictures = draw_results(prefix, data_set, flags, note=vae_graph.checkpoints.label(prefix))
    write_files(figures_dir, pictures | {"figures.json": report.as_json(flags, data_set, checkpoint=prefix).encode()})
    return f"The pictures of {prefix} are in {figures_dir}"


def sample(flags: argparse.Namespace) -> str:
    """Samples from the prior."""
    from vae_graph.runs.record import trained_on

    prefix = find_checkpoint(flags.checkpoint)
    figures_dir = results_folder(flags, [prefix])
    title = "from a network not trained on MNIST" if trained_on(prefix, vae_graph.data.MNIST_SHA256) is False else ""
    write_files(figures_dir, vae_graph.pictures.of_prior(prefix, flags.n, flags.seed, title)
                | {"samples.json": report.as_json(flags, checkpoint=prefix).encode()})
    return f"{flags.n} samples of {prefix} are in {figures_dir / 'samples.png'}"


def walk(flags: argparse.Namespace) -> str:
    """The interpolation between two test images."""
    prefix = find_checkpoint(flags.checkpoint)
    data_set = load_data(flags)
    n_images = len(data_set.test.digits)
    if max(flags.images) >= n_images:
        raise SettingsError(f"--images: expected numbers below {n_images}, the number of test images, found "
                            f"{max(flags.images)}")
    figures_dir = results_folder(flags, [prefix], data_set)
    write_files(figures_dir, vae_graph.pictures.of_walk(prefix, data_set, flags.images, flags.n)
                | {"walk.json": report.as_json(flags, data_set, checkpoint=prefix).encode()})
    return f"The walk is in {figures_dir / 'walk.png'} and walk.gif"


def compare(flags: argparse.Namespace) -> str:
    """Two checkpoints compared, in metrics and in a picture."""
    prefixes = find_checkpoint(flags.a), find_checkpoint(flags.b)
    data_set = load_data(flags)
    figures_dir = results_folder(flags, prefixes, data_set)
    test = data_set.test.first(flags.n_images)
    images = test.images
    found = vae_graph.comparison.compare(*prefixes, images, test.digits, flags.seed, flags.draws, flags.iwae_samples,
                                         verbose=sys.stdout.isatty())
    record = report.as_json(flags, data_set, checkpoints=prefixes, comparison=found)
    named = dict(zip("AB", prefixes, strict=True))
    drawn = vae_graph.pictures.of_comparison(named, images, test.digits, flags.seed, data_set.title, flags.palette)
    write_files(figures_dir, drawn | {"comparison.json": record.encode()})
    on_mnist = data_set.sha256 == vae_graph.data.MNIST_SHA256 and test.digits.size == data_set.test.digits.size
    text = report.comparison(describe_images(data_set, test), found, on_mnist)
    return record if flags.json else f"{text}\nThe picture and comparison.json are in {figures_dir}"


def explore(flags: argparse.Namespace) -> str:
    """A page to explore the latent spaces of one checkpoint, of two, or of those that are dropped on it."""
    from vae_graph.pages import explorer

    if len(flags.checkpoints) > explorer.MAX_MODELS:
        raise SettingsError(f"CHECKPOINT: expected at most {explorer.MAX_MODELS}, found {len(flags.checkpoints)}")
    prefixes = [find_checkpoint(path) for path in flags.checkpoints]
    if prefixes:
        data_set = load_data(flags)
        figures_dir = results_folder(flags, prefixes, data_set)
        # A folder stands for a training: its last checkpoint, and how the means came there.
        training = vae_graph.checkpoints.by_epoch(flags.checkpoints[0]) if flags.checkpoints[0].is_dir() else {}
        page = explorer.page(prefixes, data_set.test.images, data_set.test.digits, data_set.title or data_set.name,
                             flags.palette, training)
    else:
        data_set = None
        figures_dir = writable_folder("--figures_dir", flags.figures_dir or Path("figures"))
        page = explorer.blank_page(flags.palette)
    record = report.as_json(flags, data_set, checkpoints=prefixes)
    write_files(figures_dir, {"explorer.html": page, "explorer.json": record.encode()})
    return f"Open {figures_dir / 'explorer.html'} in a browser: it needs no server and no network"


def trace(flags: argparse.Namespace) -> str:
    """A page that runs the graph of a checkpoint's network in a browser."""
    from vae_graph.pages import graph

    prefix = find_checkpoint(flags.checkpoint)
    data_set = load_data(flags)
    figures_dir = results_folder(flags, [prefix], data_set)
    page = graph.page(prefix, data_set.test.images)
    record = report.as_json(flags, data_set, checkpoint=prefix)
    write_files(figures_dir, {"graph.html": page, "trace.json": record.encode()})
    return f"Open {figures_dir / 'graph.html'} in a browser: it needs no server and no network"


def export(flags: argparse.Namespace) -> str:
    """A checkpoint's network for use without this program, or without TensorFlow."""
    exports = vae_graph.export
    every = ((flags.saved_model, exports.saved_model, 'tf.saved_model.load("{}").signatures'),
             (flags.onnx, exports.onnx, 'onnxruntime.InferenceSession("{}/decode.onnx")'),
             (flags.npz, exports.npz, 'numpy.load("{}")'),
             (flags.safetensors, exports.safetensors, 'safetensors.numpy.load_file("{}")'))
    wanted = [(place, write, load) for place, write, load in every if place]
    if not wanted:
        raise exports.ExportError("DIR: expected a folder to export to, --onnx DIR, --npz FILE or --safetensors FILE, "
                                  "found none of them")
    prefix = find_checkpoint(flags.checkpoint, any_program=all(write is exports.npz for _, write, _ in wanted))
    for place, write, _ in wanted:
        write(prefix, place)
    lines = [f"{prefix} is exported; to load it:", *(f"  {load.format(place.as_posix())}" for place, _, load in wanted)]
    if flags.saved_model or flags.onnx:
        lines.append("float32, images [n, pixels] in [0, 1], z [n, n_z]: encode(images) gives mean and std, decode(z) "
                     "gives images, reconstruct(images) gives reconstructions")
    return "\n".join(lines)


COMMANDS = {
    "inspect": Command("inspect a checkpoint: format, layer sizes, step, every variable",
                       (group.checkpoint, group.json), inspect, needs_tensorflow=False),
    "evaluate": Command("evaluate a checkpoint on the test images",
                        (group.checkpoint, group.measuring, group.images, group.noise, group.json), evaluate),
    "figures": Command("draw the pictures of a checkpoint",
                       (group.checkpoint, group.images, group.noise, group.manifold, group.palette("jet"),
                        group.results), figures),
    "sample": Command("draw samples from a checkpoint: z from the prior, decoded",
                      (group.checkpoint, group.samples, group.seed, group.results), sample),
    "walk": Command("interpolate between two test images in a checkpoint's latent space, as a picture and an animation",
                    (group.checkpoint, group.two_images, group.data, group.results), walk),
    "explore": Command("write a page to explore latent spaces in a browser, of one checkpoint, of two, or of none",
                       (group.checkpoints_to_explore, group.data, group.palette("accessible"), group.results), explore),
    "trace": Command("write a page with a training program and a session that runs it on a checkpoint's weights",
                     (group.checkpoint, group.data, group.results), trace),
    "compare": Command("compare two checkpoints, in metrics and in a picture",
                       (group.two_checkpoints, group.measuring, group.images, group.palette("accessible"),
                        group.results, group.json), compare),
    "export": Command("export a checkpoint's network as a SavedModel, as ONNX graphs or as arrays",
                      (group.checkpoint, group.export), export),
}
