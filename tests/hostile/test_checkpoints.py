"""Checkpoints that are damaged, or are not of this network: one line, and nothing is written."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import run_mnist
from tests.helpers import flip_a_byte, write_checkpoint
from tests.hostile.commands import READING, arguments, assert_refused, first_by_default
from tests.small import ORACLE_DIR
from vae_graph import checkpoints

ORACLE = checkpoints.read_variables(str(ORACLE_DIR / "parameter20.ckpt"))
NOT_WHOLE = "parameter20.ckpt: expected a valid checkpoint, found: "
FIGURES = Path("figures")
every_command_that_reads = pytest.mark.parametrize("command", READING)
# What those do that measure or draw what depends on the images.
WITH_IMAGES = sorted({*READING} - {"inspect", "export", "sample"})


# Damage to parameter20.ckpt's two files, and the resulting error.
UNREADABLE = {
    "no data": (lambda index, values: values.unlink(), NOT_WHOLE),
    "truncated data": (lambda index, values: values.write_bytes(values.read_bytes()[:-1000]), NOT_WHOLE),
    "flipped byte": (lambda index, values: flip_a_byte(values), NOT_WHOLE),
    "truncated index": (lambda index, values: index.write_bytes(index.read_bytes()[:500]), NOT_WHOLE),
    "no index": (lambda index, values: index.unlink(), "parameter20.ckpt: expected a checkpoint's prefix, one of its "
                 "files, or a folder of checkpoints, found no .index file beside it"),
    "nothing": (lambda index, values: (index.unlink(), values.unlink()), "parameter20.ckpt: expected a checkpoint's "
                "prefix, one of its files, or a folder of checkpoints, found nothing of that name"),
    "another file": (lambda index, values: (index.unlink(), Path("old/parameter20.ckpt").write_text("no checkpoint")),
                     NOT_WHOLE),
    "no checkpoint in a folder": (lambda index, values: (index.unlink(), Path("old/parameter20.ckpt").mkdir()),
                                  "parameter20.ckpt: expected a folder with a valid checkpoint in it, found: "
                                  "no checkpoint"),
}


def zeros(*shape):
    return np.zeros(shape, np.float32)


# Variables that are not those of this network, and the resulting error.
UNFIT = {
    "another network": ({"gaussian_MLP_encoder/w0": zeros(784, 500)}, "the variable encoder_hidden_1/w1, found none of "
                        "that name; the most similar is gaussian_MLP_encoder/w0"),
    "decoder only": ({name: value for name, value in ORACLE.items() if name.startswith("decoder")}, "the variable "
                     "encoder_hidden_1/w1, found none of that name; the most similar is decoder_hidden_1/w4"),
    "sizes that do not fit": (ORACLE | {"decoder_hidden_2/w5": zeros(12, 13)},
                              "decoder_hidden_2/w5 of shape (12, 12), found (12, 13)"),
    "nan": (ORACLE | {"encoder_z/b3": zeros(4) * np.nan}, "finite numbers, found NaN or infinity in encoder_z/b3"),
}
OF_100_PIXELS = ORACLE | {"encoder_hidden_1/w1": zeros(100, 16), "decoder_output/b6": zeros(100),
                          "decoder_output/w6": zeros(12, 100)}


def refused(capsys, command, prefix):
    return assert_refused(capsys, command, Path(), FIGURES, prefix)


@every_command_that_reads
@first_by_default(("damage", "message"), UNREADABLE)
def test_damaged(in_tmp, capsys, damage, message, command):
    old = shutil.copytree(ORACLE_DIR, "old")
    damage(Path(old, "parameter20.ckpt.index"), Path(old, "parameter20.ckpt.data-00000-of-00001"))
    if (command, damage) == ("inspect", UNREADABLE["no data"][0]):           # it lists what the index says
        assert run_mnist.main(arguments(command, Path(), FIGURES, Path(old, "parameter20.ckpt"))) == 0
        return
    assert refused(capsys, command, Path(old, "parameter20.ckpt")).startswith(f"old/{message}")


@every_command_that_reads
@first_by_default(("variables", "message"), UNFIT)
def test_of_another_network(in_tmp, capsys, command, variables, message):
    prefix = write_checkpoint("x.ckpt", variables)
    if command == "inspect":
        assert run_mnist.main(arguments(command, Path(), FIGURES, prefix)) == 0
    else:
        assert refused(capsys, command, prefix) == f"x.ckpt: expected {message}"


@every_command_that_reads
def test_of_images_of_another_size(in_tmp, capsys, command):
    prefix = write_checkpoint("x.ckpt", OF_100_PIXELS)
    if command in WITH_IMAGES:
        assert refused(capsys, command, prefix) == (
            "x.ckpt: expected a network for the data's 784 pixels per image, found one for 100")
    elif command == "sample":
        assert refused(capsys, command, prefix) == (
            "x.ckpt: expected a network for images of 784 pixels, found one for 100")
    else:
        assert run_mnist.main(arguments(command, Path(), FIGURES, prefix)) == 0


@pytest.mark.filterwarnings("error")
@first_by_default("n_z", {"two dimensions": 2, "ten dimensions": 10})
@every_command_that_reads
def test_of_finite_but_huge_weights(in_tmp, capsys, command, n_z):
    shapes = checkpoints.model_shapes(checkpoints.LayerSizes(784, 3, n_z, 3))
    prefix = write_checkpoint("x.ckpt", {name: np.full(shape, 3e38, np.float32) for name, shape in shapes.items()})
    if command in ("inspect", "export"):
        assert run_mnist.main(arguments(command, Path(), FIGURES, prefix)) == 0
    elif command == "sample":
        # Infinities give NaN in some versions of TensorFlow; in others pixels of 0 and 1, which are drawn.
        assert run_mnist.main(arguments(command, Path(), FIGURES, prefix)) in (0, 2)
    else:
        assert refused(capsys, command, prefix).startswith("x.ckpt: expected ")
