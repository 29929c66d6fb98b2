"""The flags of the program and of its commands, each validated by itself. Needs no TensorFlow."""

import argparse
import difflib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from vae_graph.cli.argument_types import fraction, int_range, path_arg, role_counts
from vae_graph.errors import printable
from vae_graph.settings import Settings

Group = argparse._ActionsContainer      # the common interface of a parser and a group of flags
TRAIN = "train"      # the command's name where none is given
SWEEP = "sweep"
TRAIN_IN_CLUSTER = "run_mnist:train_in_cluster"      # in place of the function of `TRAIN`
CONSOLE_SCRIPT = "vae-graph"


class Command(NamedTuple):
    """A command, its flags, and the function that runs it."""

    purpose: str
    groups: tuple[Callable[[argparse.ArgumentParser], None], ...]      # each adds flags
    function: str                    # module:name, imported only when the command runs
    needs_tensorflow: bool = True


class OneLineParser(argparse.ArgumentParser):
    """A wrong flag gets one line, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {printable(message)} (see --help)\n")

    def option_strings(self) -> list[str]:
        """The names of all flags."""
        return list(self._option_string_actions)


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows each flag's default, if it has one to show, and keeps the description's line breaks."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        if isinstance(action.default, list):         # as it is typed
            return f"{action.help} (default: {' '.join(map(str, action.default))})"
        return super()._get_help_string(action)


def program_name() -> str:
    """The name under which the program was started."""
    return CONSOLE_SCRIPT if Path(sys.argv[0]).stem == CONSOLE_SCRIPT else "run_mnist.py"


def parse_flags(argv: Sequence[str]) -> argparse.Namespace:
    """The flags, and the command's name in `command`; a wrong flag exits with status 2."""
    name = TRAIN
    if argv and argv[0] in COMMANDS:
        name, *argv = argv
    command = COMMANDS[name]
    if name != TRAIN:
        parser = OneLineParser(prog=f"{program_name()} {name}", allow_abbrev=False, formatter_class=HelpFormatter,
                               description=f"{command.purpose[0].upper()}{command.purpose[1:]}.")
    else:
        purposes = "\n".join(f"  {other:9} {COMMANDS[other].purpose}" for other in COMMANDS if other != TRAIN)
        parser = OneLineParser(
            prog=program_name(), allow_abbrev=False, formatter_class=HelpFormatter,
            usage="%(prog)s [flags]\n       %(prog)s COMMAND [flags]",
            description=f"{command.purpose[0].upper()}{command.purpose[1:]}.\n"
                        "To resume a stopped run, rerun the same command.",
            epilog=f"commands, each with its own --help:\n{purposes}")
    for add_group in command.groups:
        add_group(parser)
    if name == TRAIN and argv and not argv[0].startswith("-"):
        parser.error(f"expected a command or a flag, found {argv[0]!r}{_did_you_mean(argv[0], COMMANDS)}")
    flags, unknown = parser.parse_known_args(argv, argparse.Namespace(command=name))
    if unknown:
        word = unknown[0].partition("=")[0]
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{_did_you_mean(word, parser.option_strings())}")
    return flags


def _did_you_mean(word: str, expected: Iterable[str]) -> str:
    """A hint at the command or flag that a word was probably meant to be."""
    similar = difflib.get_close_matches(word, expected, n=1)
    return f"; did you mean {similar[0]!r}?" if similar else ""


def drop_flag(flag: str, argv: Sequence[str]) -> list[str]:
    """The arguments without a flag and its value, however often it is given."""
    kept, words = [], iter(argv)
    for word in words:
        if word == flag:
            next(words)              # its value
        elif word.partition("=")[0] != flag:
            kept.append(word)
    return kept


def _network(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the network")
    group.add_argument("--n_z", type=int_range(1, 1_000), default=Settings.n_z, metavar="N", help="latent dimensions")
    _hidden_layers(group)


def _networks(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the networks")
    group.add_argument("--n_z", type=int_range(1, 1_000), nargs="+", default=[2, 5, 10, 20], metavar="N",
                       help="latent dimensions, one number for each network")
    _hidden_layers(group)


def _hidden_layers(group: Group) -> None:
    group.add_argument("--n_hidden_encoder", type=int_range(1, 10_000), default=Settings.n_hidden_encoder, metavar="N",
                       help="units in each of the encoder's two hidden layers")
    group.add_argument("--n_hidden_decoder", type=int_range(1, 10_000), default=Settings.n_hidden_decoder, metavar="N",
                       help="units in each of the decoder's two hidden layers")


def _learning(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument("--num_epoch", type=int_range(1, 1_000_000), default=Settings.num_epoch, metavar="N",
                       help="training epochs")
    group.add_argument("--batch_size", type=int_range(1, 1_000_000), default=Settings.batch_size, metavar="N",
                       help="images per step")
    group.add_argument("--learning_rate", type=fraction, default=Settings.learning_rate, metavar="X",
                       help="Adam's initial learning rate")
    group.add_argument("--decay_rate", type=fraction, default=Settings.decay_rate, metavar="X",
                       help="decay factor of the learning rate")
    group.add_argument("--decay_step", type=int_range(1, 1_000_000_000), default=Settings.decay_step, metavar="N",
                       help="steps in which the learning rate decays by --decay_rate, continuously")
    group.add_argument("--keep_prob", type=fraction, default=Settings.keep_prob, metavar="X",
                       help="probability of KEEPING a hidden unit; 1 turns dropout off")
    group.add_argument("--shuffle", action="store_true", help="shuffle the images in every epoch")
    _noise(group)
    _seed(group)


def _data_and_results(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data and results")
    _data(group)
    group.add_argument("--checkpoint_dir", type=path_arg("a folder"), default=Path("checkpoints"), metavar="DIR",
                       help="folder of the checkpoints parameter<epoch>.ckpt and of the TensorBoard events")
    group.add_argument("--checkpoint_every", type=int_range(1, 1_000_000), default=Settings.checkpoint_every,
                       metavar="N", help="epochs between checkpoints; the pictures are redrawn at each")
    group.add_argument("--figures_dir", type=path_arg("a folder"), default=Path("figures"), metavar="DIR",
                       help="folder for the pictures and run.json")
    _manifold(group)
    _palette("jet")(group)
    group.add_argument("--histograms", action="store_true",
                       help="write histograms of all weights and biases as TensorBoard events, at each checkpoint")
    group.add_argument("--restart", action="store_true",
                       help="start a new run; the earlier run's files are moved into a subfolder of --checkpoint_dir")


def _towers(parser: Group) -> None:
    parser.add_argument("--towers", type=int_range(1, 1_000), metavar="N",
                        help="data-parallel splits of each batch (default: one per GPU; without GPUs 2, "
                             "in a cluster 1)")


def _machines(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("parallel and distributed training",
                                      "with TF_CONFIG set, this process is the task of a cluster that it specifies")
    _towers(group)
    group.add_argument("--local_cluster", type=role_counts, metavar="ROLES",
                       help="run a cluster on this machine, such as ps=1,worker=2")
    group.add_argument("--sync_replicas", action=argparse.BooleanOptionalAction, default=True,
                       help="whether a cluster's replicas share each batch, or each takes batches of its own")
    group.add_argument("--cluster_timeout", type=int_range(1, 1_000_000), default=60, metavar="S",
                       help="seconds that a task of the cluster may be unreachable")


def _seed(parser: Group) -> None:
    parser.add_argument("--seed", type=int_range(0, 2**31 - 1), default=Settings.seed, metavar="N",
                        help="the only source of randomness: same seed and machine, same bytes")


def _noise(parser: Group) -> None:
    parser.add_argument("--add_noise", action="store_true",
                        help="feed the encoder images with pixels set to 0 and 1 at random; the loss is still "
                             "computed against the clean images")


def _manifold(parser: Group) -> None:
    parser.add_argument("--manifold_grid", choices=("linear", "gaussian"), default="linear",
                        help="gaussian: also draw the manifold at equally spaced quantiles of the prior")


def _palette(default: str) -> Callable[[Group], None]:
    def add(parser: Group) -> None:
        parser.add_argument("--palette", choices=("jet", "accessible"), default=default,
                            help="colours of the digits in latent space: jet, the original's; or accessible, distinct "
                                 "in lightness and for the colour-blind")
    return add


def _data(parser: Group) -> None:
    parser.add_argument("--dataset", choices=("auto", "mnist", "rendered", "other"), default="auto",
                        help="auto: MNIST, or rendered digits if it is unavailable; mnist: MNIST or an error; "
                             "rendered: digits drawn from fonts; other: your own data in MNIST's format")
    parser.add_argument("--data_dir", type=path_arg("a folder"), metavar="DIR",
                        help="folder of the four .gz files, downloaded if missing (default: $MNIST_DIR, else data)")


def _checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=path_arg("a checkpoint"), metavar="CHECKPOINT", help=A_CHECKPOINT)


def _checkpoints_to_explore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoints", type=path_arg("a checkpoint"), nargs="*", metavar="CHECKPOINT",
                        help=f"none, one or two; each {A_CHECKPOINT}")


def _two_checkpoints(parser: argparse.ArgumentParser) -> None:
    for name in ("a", "b"):
        parser.add_argument(name, type=path_arg("a checkpoint"), metavar=name.upper(), help=A_CHECKPOINT)


def _two_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=int_range(0, 1_000_000), nargs=2, default=[0, 1], metavar=("FROM", "TO"),
                        help="the two test images, numbered from 0")
    parser.add_argument("--n", type=int_range(2, 1_000), default=16, metavar="N",
                        help="number of points, both ends included")


def _samples(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--n", type=int_range(1, 10_000), default=100, metavar="N", help="number of samples")


def _images(parser: argparse.ArgumentParser) -> None:
    _data(parser)
    _seed(parser)


def _measuring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--draws", type=int_range(1, 1_000_000), default=10, metavar="N",
                        help="number of noise draws to average over")
    parser.add_argument("--iwae_samples", type=int_range(0, 1_000_000), default=0, metavar="K",
                        help="samples per image for the importance-weighted bound; 0 omits it")
    parser.add_argument("--n_images", type=int_range(1, 1_000_000), metavar="N",
                        help="only the first N test images (default: all)")


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _figures_in(default: Path) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--figures_dir", type=path_arg("a folder"), default=default, metavar="DIR",
                            help="folder for the pictures, and a record of how they were made")
    return add


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("saved_model", type=path_arg("a folder"), nargs="?", metavar="DIR",
                        help="folder for a SavedModel with the signatures encode, decode and reconstruct")
    parser.add_argument("--npz", type=path_arg("a file"), metavar="FILE",
                        help="file for the twelve weights and biases as NumPy arrays")
    parser.add_argument("--safetensors", type=path_arg("a file"), metavar="FILE",
                        help="file for the same arrays in the safetensors format; needs the package safetensors")
    parser.add_argument("--onnx", type=path_arg("a folder"), metavar="DIR",
                        help="folder for encode.onnx, decode.onnx and reconstruct.onnx; needs the package onnx")


A_CHECKPOINT = "a prefix such as parameter199.ckpt, one of its files, or a folder: its latest valid checkpoint"
CHECKPOINT_FIGURES = Path("figures", "checkpoint")

COMMANDS = {
    TRAIN: Command("train the variational autoencoder on MNIST, evaluate it, and draw the three result pictures",
                   (_network, _learning, _data_and_results, _machines), "run_mnist:train"),
    "inspect": Command("inspect a checkpoint: format, layer sizes, step, every variable",
                       (_checkpoint, _json), "vae_graph.cli.inspect:inspect", needs_tensorflow=False),
    "evaluate": Command("evaluate a checkpoint on the test images",
                        (_checkpoint, _measuring, _images, _noise, _json), "vae_graph.cli.commands:evaluate"),
    "figures": Command("draw the pictures of a checkpoint",
                       (_checkpoint, _images, _noise, _manifold, _palette("jet"), _figures_in(CHECKPOINT_FIGURES)),
                       "vae_graph.cli.commands:figures"),
    "sample": Command("draw samples from a checkpoint: z from the prior, decoded",
                      (_checkpoint, _samples, _seed, _figures_in(CHECKPOINT_FIGURES)),
                      "vae_graph.cli.commands:sample"),
    "walk": Command("interpolate between two test images in a checkpoint's latent space, as a picture and an animation",
                    (_checkpoint, _two_images, _data, _figures_in(CHECKPOINT_FIGURES)),
                    "vae_graph.cli.commands:walk"),
    "explore": Command("write a page to explore latent spaces in a browser, of one checkpoint, of two, or of none",
                       (_checkpoints_to_explore, _data, _palette("accessible"), _figures_in(CHECKPOINT_FIGURES)),
                       "vae_graph.cli.commands:explore"),
    "trace": Command("write a page to step through the graph of a checkpoint's network, operation by operation",
                     (_checkpoint, _data, _figures_in(CHECKPOINT_FIGURES)), "vae_graph.cli.commands:trace"),
    "compare": Command("compare two checkpoints, in metrics and in a picture",
                       (_two_checkpoints, _measuring, _images, _palette("accessible"),
                        _figures_in(Path("figures", "comparison")), _json),
                       "vae_graph.cli.commands:compare"),
    "export": Command("export a checkpoint's network as a SavedModel, as ONNX graphs or as arrays",
                      (_checkpoint, _export), "vae_graph.cli.commands:export"),
    SWEEP: Command("train a network for each of several n_z and compare them, in subfolders named sweep",
                   (_networks, _learning, _data_and_results, _towers), "run_mnist:sweep"),
}
