"""Train the variational autoencoder on MNIST, test it, and draw the three result pictures."""

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn


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
    from vae_graph import checkpoints, data, evaluation, plot, training
    from vae_graph.training import Settings

NO_MNIST = """\
{line}
  THIS IS NOT MNIST. It could not be had, so this run uses RENDERED DIGITS, drawn from fonts: its
  pictures and numbers are no results for MNIST, and go to folders named `rendered`.
  To get MNIST, put its four .gz files into the folder `{folder}`, or name theirs with --data_dir.
  Why not: {reason}
{line}"""


class OneLineParser(argparse.ArgumentParser):
    """A wrong flag gets one line, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see --help)\n")


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit status: 0; 2 after bad input; 130 after Ctrl-C."""
    flags = parse_flags(argv)
    try:
        run(flags)
        return 0
    except (data.DataError, checkpoints.CheckpointError, training.SettingsError) as error:
        message = str(error)
    except OSError as error:
        message = f"expected files that can be read and written, found: {error}"
    except KeyboardInterrupt:
        print("\nstopped; the same command, without --restart, goes on from the last checkpoint", file=sys.stderr)
        return 130
    print(f"run_mnist.py: error: {message}", file=sys.stderr)
    return 2


def parse_flags(argv: list[str] | None) -> argparse.Namespace:
    """The flags, each checked by itself; a wrong one ends the program with status 2."""
    parser = OneLineParser(
        prog="run_mnist.py", allow_abbrev=False, description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="Started again with the same flags, a stopped run goes on from its newest whole checkpoint.")

    network = parser.add_argument_group("the network")
    network.add_argument("--n_hidden_encoder", type=whole(1, 10_000), default=Settings.n_hidden_encoder, metavar="N",
                         help="units in each of the encoder's two hidden layers")
    network.add_argument("--n_z", type=whole(1, 1_000), default=Settings.n_z, metavar="N", help="latent dimensions")
    network.add_argument("--n_hidden_decoder", type=whole(1, 10_000), default=Settings.n_hidden_decoder, metavar="N",
                         help="units in each of the decoder's two hidden layers")

    learning = parser.add_argument_group("training")
    learning.add_argument("--num_epoch", type=whole(1, 1_000_000), default=Settings.num_epoch, metavar="N",
                          help="walks over the training images")
    learning.add_argument("--batch_size", type=whole(1, 1_000_000), default=Settings.batch_size, metavar="N",
                          help="images a step")
    learning.add_argument("--learning_rate", type=fraction, default=Settings.learning_rate, metavar="X",
                          help="Adam's, at the first step")
    learning.add_argument("--decay_rate", type=fraction, default=Settings.decay_rate, metavar="X",
                          help="the learning rate is multiplied by this ...")
    learning.add_argument("--decay_step", type=whole(1, 1_000_000_000), default=Settings.decay_step, metavar="N",
                          help="... over so many steps, continuously")
    learning.add_argument("--keep_prob", type=fraction, default=Settings.keep_prob, metavar="X",
                          help="probability of KEEPING a hidden unit; 1 turns dropout off")
    learning.add_argument("--seed", type=whole(0, 2**31 - 1), default=Settings.seed, metavar="N",
                          help="the one source of randomness: same seed and machine, same bytes")

    files = parser.add_argument_group("data and results")
    files.add_argument("--dataset", choices=("auto", "mnist", "rendered", "other"), default="auto",
                       help="auto: MNIST, or rendered digits where it cannot be had; mnist: MNIST or an error; "
                            "rendered: digits drawn from fonts; other: your own data in MNIST's format")
    files.add_argument("--data_dir", type=folder, metavar="DIR", default=argparse.SUPPRESS,
                       help="where the four .gz files are, or are downloaded to (default: $MNIST_DIR, else data)")
    files.add_argument("--checkpoint_dir", type=folder, default=Path("checkpoints"), metavar="DIR",
                       help="where the checkpoints parameter<epoch>.ckpt are")
    files.add_argument("--checkpoint_every", type=whole(1, 1_000_000), default=Settings.checkpoint_every, metavar="N",
                       help="epochs from a checkpoint to the next; the pictures are redrawn at each")
    files.add_argument("--figures_dir", type=folder, default=Path("figures"), metavar="DIR",
                       help="where the pictures and run.json go")
    files.add_argument("--restart", action="store_true", default=argparse.SUPPRESS,
                       help="begin anew; the earlier run's checkpoints are moved into a folder among the new ones")
    return parser.parse_args(argv, argparse.Namespace(data_dir=None, restart=False))


def whole(low: int, high: int) -> Callable[[str], int]:
    """An argument type: a whole number from `low` to `high`."""
    def convert(text: str) -> int:
        with contextlib.suppress(ValueError):
            if low <= int(text) <= high:
                return int(text)
        raise argparse.ArgumentTypeError(f"expected a whole number from {low} to {high}, found {text!r}")
    return convert


def fraction(text: str) -> float:
    """An argument type: a number over 0 and at most 1."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a number over 0 and at most 1, found {text!r}")


def folder(text: str) -> Path:
    """An argument type: a folder, there already or to be made."""
    if text:
        return Path(text)
    raise argparse.ArgumentTypeError(f"expected the name of a folder, found {text!r}")


def run(flags: argparse.Namespace) -> None:
    """The whole job, in its order: data, training, test, pictures."""
    data_set, subfolder = load_data(flags)
    title = f"{data_set.name} (not MNIST)" if subfolder else ""
    checkpoint_dir = writable_folder("--checkpoint_dir", flags.checkpoint_dir / subfolder)
    figures_dir = writable_folder("--figures_dir", flags.figures_dir / subfolder)
    if flags.restart and (earlier := checkpoints.set_aside(checkpoint_dir)):
        print(f"the earlier run is now in {earlier}")

    print(f"{title or 'MNIST'}: {len(data_set.train.images)} images to train on, "
          f"{len(data_set.test.images)} to test on")
    settings = Settings(**{field.name: getattr(flags, field.name) for field in dataclasses.fields(Settings)})
    prefix, history = training.train(
        data_set.train.images, data_set.sha256, settings, checkpoint_dir,
        at_checkpoint=lambda prefix: draw_results(prefix, data_set.test, flags.seed, figures_dir, title))

    errors = evaluation.measure_errors(prefix, data_set.test.images, flags.seed)
    checkpoints.write_whole(figures_dir / "training_curve.png", plot.png(plot.training_curve(history, title)))
    checkpoints.write_whole(figures_dir / "run.json", record(flags, data_set, history, errors))
    print(f"""\
Test set of {title or 'MNIST'}, mean of {errors.draws} noise draws, nats an image:
  Recon_error          {errors.Recon_error:10.4f}
  Regularization_error {errors.Regularization_error:10.4f}
  ELBO                 {errors.ELBO:10.4f}   (standard deviation {errors.ELBO_sd:.4f})
  true negative ELBO   {errors.true_negative_ELBO:10.4f}   (ELBO less n_z = {flags.n_z})
The checkpoint is {prefix}; the pictures and run.json are in {figures_dir}""")


def load_data(flags: argparse.Namespace) -> tuple[data.DataSet, str]:
    """The data set that the flags ask for, and the folder that keeps its results apart from MNIST's."""
    data_folder = data.data_folder(flags.data_dir)
    if flags.dataset == "rendered":
        return data.rendered_digits(), "rendered"
    if flags.dataset == "other":
        return data.other(data_folder), "other"
    try:
        return data.mnist(data_folder), ""
    except data.MnistUnavailable as reason:
        if flags.dataset == "mnist":
            raise
        print(NO_MNIST.format(line="*" * 100, folder=data_folder, reason=reason))
        return data.rendered_digits(), "rendered"


def writable_folder(flag: str, path: Path) -> Path:
    """Make the folder and try to write in it now, not after a quarter of an hour of training."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise training.SettingsError(
            f"{flag}: expected a folder that can be written, found {path}: {error.strerror}") from None


def draw_results(prefix: str, test: data.Split, seed: int, figures_dir: Path, title: str) -> None:
    """The three pictures of a checkpoint, as the original draws them after its training."""
    results = evaluation.results(prefix, test.images, seed)
    plane_title = "\n".join(filter(None, (title, results.plane)))
    figures = {
        "result1_reconstruction.png": plot.reconstruction(
            test.images[:len(results.reconstructions)], results.reconstructions, title),
        "result2_latent.png": plot.latent(results.codes, test.labels.argmax(1), results.axis_names, plane_title),
        "result3_manifold.png": plot.manifold(results.manifold, evaluation.GRID[-1], results.axis_names, plane_title),
    }
    for name, figure in figures.items():
        checkpoints.write_whole(figures_dir / name, plot.png(figure))


def record(flags: argparse.Namespace, data_set: data.DataSet, history: dict[str, list],
           errors: evaluation.Errors) -> bytes:
    """`run.json`: what the run was and what came of it."""
    return json.dumps({
        "flags": {name: value.as_posix() if isinstance(value, Path) else value for name, value in vars(flags).items()},
        "data": {"name": data_set.name, "sha256": data_set.sha256},
        "versions": {"vae_graph": vae_graph.__version__, "python": platform.python_version(),
                     "tensorflow": tf.__version__, "numpy": np.__version__, "matplotlib": matplotlib.__version__,
                     "pillow": PIL.__version__},
        "host": {"machine": platform.machine(), "threads": os.cpu_count()},
        "seed": flags.seed,
        "test": dataclasses.asdict(errors),
        "training": history,
    }, indent=1).encode()


if __name__ == "__main__":
    sys.exit(main())
