"""The flags of `run_mnist.py` and of its commands, each checked by itself."""

import argparse
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from vae_graph.cluster import ROLES
from vae_graph.training_graph import Settings

Group = argparse._ActionsContainer      # what a parser and a group of its flags have in common
TRAIN = "train"      # what the program does without a command
SWEEP = "sweep"


class OneLineParser(argparse.ArgumentParser):
    """A wrong flag gets one line, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see --help)\n")


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """A flag's default after it, where it has one to be told; the description's lines as they are."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None or action.default is False else super()._get_help_string(action)


def parse_flags(argv: list[str] | None) -> argparse.Namespace:
    """The flags, and in `command` what to do; a wrong one ends the program with status 2."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        command, *argv = argv
        purpose, groups = COMMANDS[command]
        parser = OneLineParser(prog=f"run_mnist.py {command}", allow_abbrev=False, formatter_class=HelpFormatter,
                               description=f"{purpose[0].upper()}{purpose[1:]}.")
    else:
        command, groups = TRAIN, (_network, _learning, _data_and_results, _machines)
        purposes = "\n".join(f"  {name:9} {purpose}" for name, (purpose, _) in COMMANDS.items())
        parser = OneLineParser(
            prog="run_mnist.py", allow_abbrev=False, formatter_class=HelpFormatter,
            usage="%(prog)s [flags]\n       %(prog)s COMMAND [flags]",
            description="Train the variational autoencoder on MNIST, test it, and draw the three result pictures.\n"
                        "Started again with the same flags, a stopped run goes on from its newest whole checkpoint.",
            epilog=f"commands, each with a --help of its own:\n{purposes}")
    for add_group in groups:
        add_group(parser)
    return parser.parse_args(argv, argparse.Namespace(command=command))


def without(flag: str, argv: list[str] | None) -> list[str]:
    """This program's command line, without one flag and its value."""
    command = [sys.argv[0], *(sys.argv[1:] if argv is None else argv)]
    place = next(number for number, word in enumerate(command) if word.partition("=")[0] == flag)
    return command[:place] + command[place + (1 if "=" in command[place] else 2):]


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


def counts(text: str) -> dict[str, int]:
    """An argument type: how many tasks of each role."""
    with contextlib.suppress(ValueError):
        found = {role: int(count) for role, count in (part.split("=") for part in text.split(","))}
        if (found.keys() <= {*ROLES} and all(1 <= count <= 100 for count in found.values()) and found.keys() > {"ps"}
                and found.get("chief", 1) == 1 and len(found) == len(text.split(","))):
            return found
    raise argparse.ArgumentTypeError(f"expected roles and numbers such as ps=1,worker=2, found {text!r}")


def named(what: str) -> Callable[[str], Path]:
    """An argument type: the name of a file or folder."""
    def convert(text: str) -> Path:
        if text:
            return Path(text)
        raise argparse.ArgumentTypeError(f"expected the name of {what}, found {text!r}")
    return convert


def _network(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the network")
    group.add_argument("--n_z", type=whole(1, 1_000), default=Settings.n_z, metavar="N", help="latent dimensions")
    _hidden_layers(group)


def _networks(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the networks")
    group.add_argument("--n_z", type=whole(1, 1_000), nargs="+", default=[2, 5, 10, 20], metavar="N",
                       help="latent dimensions, one number for each network")
    _hidden_layers(group)


def _hidden_layers(group: Group) -> None:
    group.add_argument("--n_hidden_encoder", type=whole(1, 10_000), default=Settings.n_hidden_encoder, metavar="N",
                       help="units in each of the encoder's two hidden layers")
    group.add_argument("--n_hidden_decoder", type=whole(1, 10_000), default=Settings.n_hidden_decoder, metavar="N",
                       help="units in each of the decoder's two hidden layers")


def _learning(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument("--num_epoch", type=whole(1, 1_000_000), default=Settings.num_epoch, metavar="N",
                       help="walks over the training images")
    group.add_argument("--batch_size", type=whole(1, 1_000_000), default=Settings.batch_size, metavar="N",
                       help="images a step")
    group.add_argument("--learning_rate", type=fraction, default=Settings.learning_rate, metavar="X",
                       help="Adam's, at the first step")
    group.add_argument("--decay_rate", type=fraction, default=Settings.decay_rate, metavar="X",
                       help="the learning rate is multiplied by this ...")
    group.add_argument("--decay_step", type=whole(1, 1_000_000_000), default=Settings.decay_step, metavar="N",
                       help="... over so many steps, continuously")
    group.add_argument("--keep_prob", type=fraction, default=Settings.keep_prob, metavar="X",
                       help="probability of KEEPING a hidden unit; 1 turns dropout off")
    group.add_argument("--shuffle", action="store_true", help="take the images in a new order every epoch")
    _noise(group)
    _seed(group)


def _data_and_results(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data and results")
    _data(group)
    group.add_argument("--checkpoint_dir", type=named("a folder"), default=Path("checkpoints"), metavar="DIR",
                       help="where the checkpoints parameter<epoch>.ckpt are, and the events for TensorBoard")
    group.add_argument("--checkpoint_every", type=whole(1, 1_000_000), default=Settings.checkpoint_every, metavar="N",
                       help="epochs from a checkpoint to the next; the pictures are redrawn at each")
    group.add_argument("--figures_dir", type=named("a folder"), default=Path("figures"), metavar="DIR",
                       help="where the pictures and run.json go")
    _manifold(group)
    group.add_argument("--histograms", action="store_true",
                       help="have those of all weights and biases among TensorBoard's events, at each checkpoint")
    group.add_argument("--restart", action="store_true",
                       help="begin anew; the earlier run's checkpoints are moved into a folder among the new ones")


def _towers(parser: Group) -> None:
    parser.add_argument("--towers", type=whole(1, 1_000), metavar="N",
                        help="parts of a batch that are worked on side by side (default: one a GPU; without GPUs 2, "
                             "in a cluster 1)")


def _machines(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("more than one machine", "TF_CONFIG makes this process one of many")
    _towers(group)
    group.add_argument("--local_cluster", type=counts, metavar="ROLES",
                       help="try a cluster on this machine: ps=1,worker=2, say")
    group.add_argument("--sync_replicas", action=argparse.BooleanOptionalAction, default=True,
                       help="whether a cluster's replicas share each batch, or each goes on with batches of its own")
    group.add_argument("--cluster_timeout", type=whole(1, 1_000_000), default=60, metavar="S",
                       help="seconds that a task of the cluster may be missing")


def _seed(parser: Group) -> None:
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=Settings.seed, metavar="N",
                        help="the one source of randomness: same seed and machine, same bytes")


def _noise(parser: Group) -> None:
    parser.add_argument("--add_noise", action="store_true",
                        help="show the encoder images with pixels put out and lit at random; the errors stay those of "
                             "the clean images")


def _manifold(parser: Group) -> None:
    parser.add_argument("--manifold_grid", choices=("linear", "gaussian"), default="linear",
                        help="gaussian: draw the manifold for equal steps of probability too")


def _data(parser: Group) -> None:
    parser.add_argument("--dataset", choices=("auto", "mnist", "rendered", "other"), default="auto",
                        help="auto: MNIST, or rendered digits where it cannot be had; mnist: MNIST or an error; "
                             "rendered: digits drawn from fonts; other: your own data in MNIST's format")
    parser.add_argument("--data_dir", type=named("a folder"), metavar="DIR",
                        help="where the four .gz files are, or are downloaded to (default: $MNIST_DIR, else data)")


def _checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=named("a checkpoint"), metavar="CHECKPOINT", help=A_CHECKPOINT)


def _two_checkpoints(parser: argparse.ArgumentParser) -> None:
    for name in ("a", "b"):
        parser.add_argument(name, type=named("a checkpoint"), metavar=name.upper(), help=A_CHECKPOINT)


def _two_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=whole(0, 1_000_000), nargs=2, default=[0, 1], metavar=("FROM", "TO"),
                        help="the two test images, by their numbers from 0 on")
    parser.add_argument("--n", type=whole(2, 1_000), default=16, metavar="N", help="digits on the way, both ends too")


def _samples(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--n", type=whole(1, 10_000), default=100, metavar="N", help="digits to draw")


def _images(parser: argparse.ArgumentParser) -> None:
    _data(parser)
    _seed(parser)


def _measuring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--draws", type=whole(1, 1_000_000), default=10, metavar="N",
                        help="draws of the noise that the errors are means over")
    parser.add_argument("--iwae_samples", type=whole(0, 1_000_000), default=0, metavar="K",
                        help="samples an image for the importance-weighted bound; 0 leaves it out")
    parser.add_argument("--n_images", type=whole(1, 1_000_000), metavar="N",
                        help="only the first N test images (default: all)")


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def _figures_in(default: Path) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--figures_dir", type=named("a folder"), default=default, metavar="DIR",
                            help="where the pictures, and a record of how they came about, go")
    return add


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("saved_model", type=named("a folder"), nargs="?", metavar="DIR",
                        help="folder for a SavedModel with the signatures encode, decode and reconstruct")
    parser.add_argument("--npz", type=named("a file"), metavar="FILE",
                        help="file for the twelve weights and biases as NumPy arrays")


A_CHECKPOINT = "a prefix such as parameter199.ckpt, one of its files, or a folder: the newest whole one in it"
CHECKPOINT_FIGURES = Path("figures", "checkpoint")

COMMANDS: dict[str, tuple[str, tuple[Callable[[argparse.ArgumentParser], None], ...]]] = {
    "inspect": ("look into a checkpoint: format, sizes, step, every variable", (_checkpoint, _json)),
    "evaluate": ("measure a checkpoint on the test images", (_checkpoint, _measuring, _images, _noise, _json)),
    "figures": ("draw the pictures of a checkpoint",
                (_checkpoint, _images, _noise, _manifold, _figures_in(CHECKPOINT_FIGURES))),
    "sample": ("draw digits from a checkpoint: z from the prior, decoded",
               (_checkpoint, _samples, _seed, _figures_in(CHECKPOINT_FIGURES))),
    "walk": ("walk between two test images in a checkpoint's latent space, as a strip and an animation",
             (_checkpoint, _two_images, _data, _figures_in(CHECKPOINT_FIGURES))),
    "explore": ("write a page to explore a checkpoint's latent space in, for a browser",
                (_checkpoint, _data, _figures_in(CHECKPOINT_FIGURES))),
    "compare": ("put two checkpoints side by side, in numbers and in a picture",
                (_two_checkpoints, _measuring, _images, _figures_in(Path("figures", "comparison")), _json)),
    "export": ("write a checkpoint's network as a SavedModel or as NumPy arrays", (_checkpoint, _export)),
    SWEEP: ("train a network for each of several n_z and put them side by side",
            (_networks, _learning, _data_and_results, _towers)),
}
