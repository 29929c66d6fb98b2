"""Reading checkpoints: found, validated, and refused with one line if invalid."""


import numpy as np
import pytest

from tests.helpers import write_checkpoint
from vae_graph import checkpoints

pytestmark = pytest.mark.quick


def test_layer_sizes_of_an_old_checkpoint(folder):
    newest, problems = checkpoints.latest_valid(folder)
    assert newest == checkpoints.Checkpoint(
        20, str(folder / "parameter20.ckpt"), checkpoints.LayerSizes(784, 16, 2, 12), step=0)
    assert problems == {}


def test_a_missing_variable_and_a_mismatch_are_named(folder):
    variables = checkpoints.read_variables(str(folder / "parameter20.ckpt"))
    with pytest.raises(checkpoints.CheckpointError, match="expected the variable encoder_z/b3/Adam_1, found none"):
        checkpoints.layer_sizes("p", {name: v for name, v in variables.items() if name != "encoder_z/b3/Adam_1"},
                                checkpoints.training_shapes)
    with pytest.raises(checkpoints.CheckpointError, match=r"decoder_output/b6 of shape \(784,\), found \(9,\)"):
        checkpoints.layer_sizes("p", variables | {"decoder_output/b6": np.zeros(9)})
    with pytest.raises(checkpoints.CheckpointError, match="encoder_hidden_1/w1"):
        checkpoints.layer_sizes("p", {"dense/kernel": np.zeros((2, 2))})


def test_the_most_similar_name_is_named(folder):
    variables = checkpoints.read_variables(str(folder / "parameter20.ckpt"))
    decoder = {name: value for name, value in variables.items() if name.startswith("decoder")}
    with pytest.raises(checkpoints.CheckpointError, match=r"variable encoder_hidden_1/w1, found none of that name; "
                                                          r"the most similar is decoder_hidden_1/w4$"):
        checkpoints.layer_sizes("p", decoder)
    with pytest.raises(checkpoints.CheckpointError, match=r"the most similar is encoder_hidden1/w1$"):
        checkpoints.layer_sizes("p", {"encoder_hidden1/w1": np.zeros(2), "dense/kernel": np.zeros(2)})
    with pytest.raises(checkpoints.CheckpointError, match=r"the most similar is none at all$"):
        checkpoints.layer_sizes("p", {})


@pytest.mark.parametrize(("name", "value", "message"), [
    ("encoder_hidden_1/w1", np.zeros(784, np.float32), "encoder_hidden_1/w1 and decoder_hidden_1/w4 to be matrices"),
    ("decoder_hidden_1/w4", np.zeros((3, 12), np.float32), r"encoder_z/w3 of shape \(16, 6\), found \(16, 4\)"),
    ("decoder_hidden_1/w4", np.zeros((0, 12), np.float32), "sizes of 1 or more, found n_input 784, .*, n_z 0"),
    ("decoder_output/b6", np.zeros(784), "decoder_output/b6 of type float32, found float64"),
    ("encoder_z/b3", np.array([0, np.nan, 0, 0], np.float32), "finite numbers, found NaN or infinity in encoder_z/b3"),
    ("encoder_z/b3", np.array([0, np.inf, 0, 0], np.float32), "finite numbers, found NaN or infinity in encoder_z/b3"),
])
def test_an_unusable_network_is_refused(folder, tmp_path, name, value, message):
    variables = checkpoints.read_variables(str(folder / "parameter20.ckpt"))
    prefix = write_checkpoint(tmp_path / "x", variables | {name: value})
    with pytest.raises(checkpoints.CheckpointError, match=f"^{prefix}: expected {message}"):
        checkpoints.read_network(prefix)
