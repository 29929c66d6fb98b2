"""The original's checkpoint format: file names, variable names and shapes.

A checkpoint of epoch 20 is `parameter20.ckpt.index` and `parameter20.ckpt.data-00000-of-00001`;
`parameter20.ckpt` is its prefix, by which TensorFlow refers to it. It holds the original's 39 variables
under the original's names, so that TensorFlow 1.x restores ours and we restore its. TensorFlow 0.x
wrote a single file, named as the prefix; its format is still read. No `.meta` graph is written: restoring
needs none, and no TensorFlow 1.x could read one of today's. None is ever loaded.
"""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from vae_graph.errors import UserError

FILE_NAME = "parameter{epoch}.ckpt"
PART = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")      # what a checkpoint's files add to its prefix
STEP = "Variable"                # the original's step counter has no name of its own


class CheckpointError(UserError):
    """A checkpoint cannot be used. The message names it, what was expected and what was found."""


class ValuesMissing(CheckpointError):
    """A checkpoint's index is there, and the file with the values is not."""


@dataclass(frozen=True)
class LayerSizes:
    """The four numbers that determine the network."""

    n_input: int
    n_hidden_encoder: int
    n_z: int
    n_hidden_decoder: int

    def __str__(self) -> str:
        return ", ".join(f"{name} {size}" for name, size in asdict(self).items())


@dataclass(frozen=True)
class Checkpoint:
    """A valid checkpoint."""

    epoch: int                       # the one in its file name
    prefix: str
    sizes: LayerSizes
    step: int                        # its step counter; 0 if only the network was read


ShapesOf = Callable[[LayerSizes], dict[str, tuple[int, ...]]]


def model_shapes(sizes: LayerSizes) -> dict[str, tuple[int, ...]]:
    """The network's twelve variables and their shapes."""
    n_encoder, n_decoder = sizes.n_hidden_encoder, sizes.n_hidden_decoder
    return {
        "encoder_hidden_1/w1": (sizes.n_input, n_encoder), "encoder_hidden_1/b1": (n_encoder,),
        "encoder_hidden_2/w2": (n_encoder, n_encoder), "encoder_hidden_2/b2": (n_encoder,),
        "encoder_z/w3": (n_encoder, 2 * sizes.n_z), "encoder_z/b3": (2 * sizes.n_z,),
        "decoder_hidden_1/w4": (sizes.n_z, n_decoder), "decoder_hidden_1/b4": (n_decoder,),
        "decoder_hidden_2/w5": (n_decoder, n_decoder), "decoder_hidden_2/b5": (n_decoder,),
        "decoder_output/w6": (n_decoder, sizes.n_input), "decoder_output/b6": (sizes.n_input,),
    }


def training_shapes(sizes: LayerSizes) -> dict[str, tuple[int, ...]]:
    """All 39 variables of a checkpoint: the network's, Adam's two slots for each, Adam's powers, the step counter."""
    shapes = model_shapes(sizes)
    slots = {f"{name}/{slot}": shape for name, shape in shapes.items() for slot in ("Adam", "Adam_1")}
    return {**shapes, **slots, "beta1_power": (), "beta2_power": (), STEP: ()}


def label(prefix: str) -> str:
    """A checkpoint's name for people: that of its folder, and its own."""
    return Path(*Path(prefix).parts[-2:]).as_posix()


def files_of(prefix: str) -> list[Path]:
    """The files of a checkpoint, the index last: without it there is no checkpoint."""
    name = Path(prefix).name
    paths = [path for path in Path(prefix).parent.iterdir() if name in (path.name, PART.sub("", path.name))]
    return sorted(paths, key=lambda path: path.suffix == ".index")
