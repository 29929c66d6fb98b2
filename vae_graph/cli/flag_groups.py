"""The flags of the commands, in groups. Each group is a function that adds its flags to a parser."""

import argparse
from collections.abc import Callable
from pathlib import Path

from vae_graph.cli.argument_types import fraction, int_range, path_arg, role_counts
from vae_graph.settings import Settings

Group = argparse._ActionsContainer      # the common interface of a parser and a group of flags
A_CHECKPOINT = "a prefix such as parameter199.ckpt, one of its files, or a folder: its latest valid checkpoint"


def network(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the network")
    group.add_argument("--n_z", type=int_range(1, 1_000), default=Settings.n_z, metavar="N", help="latent dimensions")
    _hidden_layers(group)


def networks(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the networks")
    group.add_argument("--n_z", type=int_range(1, 1_000), nargs="+", default=[2, 5, 10, 20], metavar="N",
                       help="latent dimensions, one number for each network")
    _hidden_layers(group)


def _hidden_layers(group: Group) -> None:
    group.add_argument("--n_hidden_encoder", type=int_range(1, 10_000), default=Settings.n_hidden_encoder, metavar="N",
                       help="units in each of the encoder's two hidden layers")
    group.add_argument("--n_hidden_decoder", type=int_range(1, 10_000), default=Settings.n_hidden_decoder, metavar="N",
                       help="units in each of the decoder's two hidden layers")


def learning(parser: argparse.ArgumentParser) -> None:
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
    noise(group)
    seed(group)


def data_and_results(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data and results")
    data(group)
    group.add_argument("--checkpoint_dir", type=path_arg("a folder"), default=Path("checkpoints"), metavar="DIR",
                       help="folder of the checkpoints parameter<epoch>.ckpt and of the TensorBoard events")
    group.add_argument("--checkpoint_every", type=int_range(1, 1_000_000), default=Settings.checkpoint_every,
                       metavar="N", help="epochs between checkpoints; the pictures are redrawn at each")
    group.add_argument("--figures_dir", type=path_arg("a folder"), default=Path("figures"), metavar="DIR",
                       help="folder for the pictures and run.json")
    manifold(group)
    palette("jet")(group)
    group.add_argument("--histograms", action="store_true",
                       help="write histograms of all weights and biases as TensorBoard events, at each checkpoint")
    group.add_argument("--restart", action="store_true",
                       help="start a new run; the earlier run's files are moved into a subfolder of --checkpoint_dir")


def towers(parser: Group) -> None:
    parser.add_argument("--towers", type=int_range(1, 1_000), metavar="N",
                        help="data-parallel splits of each batch (default: those of the run to resume, else one per "
                             "GPU, or without GPUs one per processor, at most 16 and one per 8 images; a cluster "
                             "has one per replica)")


def machines(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("parallel and distributed training",
                                      "with TF_CONFIG set, this process is the task of a cluster that it specifies")
    towers(group)
    group.add_argument("--local_cluster", type=role_counts, metavar="ROLES",
                       help="run a cluster on this machine, such as ps=1,worker=2")
    group.add_argument("--cluster_timeout", type=int_range(1, 1_000_000), default=60, metavar="S",
                       help="seconds after which a cluster stops if one of its tasks does not answer; more than "
                            "the start of a task and the pictures of a checkpoint take")


def seed(parser: Group) -> None:
    parser.add_argument("--seed", type=int_range(0, 2**31 - 1), default=Settings.seed, metavar="N",
                        help="the only source of randomness: same seed, machine and --towers, same bytes")


def noise(parser: Group) -> None:
    parser.add_argument("--add_noise", action="store_true",
                        help="feed the encoder images with pixels set to 0 and 1 at random; the loss is still "
                             "computed against the clean images")


def manifold(parser: Group) -> None:
    parser.add_argument("--manifold_grid", choices=("linear", "gaussian"), default="linear",
                        help="gaussian: also draw the manifold at equally spaced quantiles of the prior")


def palette(default: str) -> Callable[[Group], None]:
    def add(parser: Group) -> None:
        parser.add_argument("--palette", choices=("jet", "accessible"), default=default,
                            help="colours of the digits in latent space: jet, the original's; or accessible, distinct "
                                 "for the colour-blind too, with each cluster labelled")
    return add


def data(parser: Group) -> None:
    parser.add_argument("--dataset", choices=("auto", "mnist", "rendered", "other"), default="auto",
                        help="auto: MNIST, or rendered digits if it is unavailable; mnist: MNIST or an error; "
                             "rendered: digits drawn from fonts; other: your own data in MNIST's format")
    parser.add_argument("--data_dir", type=path_arg("a folder"), metavar="DIR",
                        help="folder of the four .gz files, downloaded if missing (default: $MNIST_DIR, else data)")


def checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=path_arg("a checkpoint"), metavar="CHECKPOINT", help=A_CHECKPOINT)


def checkpoints_to_explore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoints", type=path_arg("a checkpoint"), nargs="*", metavar="CHECKPOINT",
                        help=f"none, one or two; each {A_CHECKPOINT}. The page of a folder with several epochs has a "
                             "slider for them")


def two_checkpoints(parser: argparse.ArgumentParser) -> None:
    for name in ("a", "b"):
        parser.add_argument(name, type=path_arg("a checkpoint"), metavar=name.upper(), help=A_CHECKPOINT)


def two_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=int_range(0, 1_000_000), nargs=2, default=[0, 1], metavar=("FROM", "TO"),
                        help="the two test images, numbered from 0")
    parser.add_argument("--n", type=int_range(2, 1_000), default=16, metavar="N",
                        help="number of points, both ends included")


def samples(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--n", type=int_range(1, 10_000), default=100, metavar="N", help="number of samples")


def images(parser: argparse.ArgumentParser) -> None:
    data(parser)
    seed(parser)


def measuring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--draws", type=int_range(1, 1_000_000), default=10, metavar="N",
                        help="number of noise draws to average over")
    parser.add_argument("--iwae_samples", type=int_range(0, 1_000_000), default=0, metavar="K",
                        help="samples per image for the importance-weighted bound; 0 omits it")
    parser.add_argument("--n_images", type=int_range(1, 1_000_000), metavar="N",
                        help="only the first N test images (default: all)")


def json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--figures_dir", type=path_arg("a folder"), metavar="DIR",
                        help="folder for the results, and a record of how they were made (default: one for each "
                             "checkpoint in figures, such as figures/checkpoints-parameter199)")


def export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("saved_model", type=path_arg("a folder"), nargs="?", metavar="DIR",
                        help="folder for a SavedModel with the signatures encode, decode and reconstruct")
    parser.add_argument("--npz", type=path_arg("a file"), metavar="FILE",
                        help="file for the twelve weights and biases as NumPy arrays, or for all arrays of another "
                             "program's checkpoint")
    parser.add_argument("--safetensors", type=path_arg("a file"), metavar="FILE",
                        help="file for the same arrays in the safetensors format; needs the package safetensors")
    parser.add_argument("--onnx", type=path_arg("a folder"), metavar="DIR",
                        help="folder for encode.onnx, decode.onnx and reconstruct.onnx; needs the package onnx")
