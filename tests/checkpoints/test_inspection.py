"""The inspection of checkpoints of this program and of others."""


import numpy as np
import pytest
import tensorflow as tf2
import tensorflow.compat.v1 as tf

from tests.helpers import write_checkpoint
from tests.small import ORACLE_DIR
from vae_graph import checkpoints
from vae_graph.checkpoints import inspection

PREFIX = str(ORACLE_DIR / "parameter20.ckpt")


def test_an_old_checkpoint():
    found = inspection.inspect(PREFIX)
    assert (found.prefix, found.format, found.sizes, found.mismatch) == (
        PREFIX, "V2", checkpoints.LayerSizes(784, 16, 2, 12), None)
    assert found.origin.startswith("MINGUKKANG/VAE_tensorflow")
    assert (found.step, found.epochs, found.n_adam_slots) == (20, 20 / 429, 24)
    assert len(found.variables) == 39
    values = checkpoints.read_variables(PREFIX)
    for variable in found.variables:
        value = values[variable.name]
        assert (variable.shape, variable.dtype) == (value.shape, value.dtype.name)
        assert variable.norm == pytest.approx(np.sqrt((value.astype(float) ** 2).sum()))
        assert variable.n_nan == variable.n_inf == 0


def test_the_single_file_of_tensorflow_0(tmp_path):
    values = checkpoints.read_variables(PREFIX)
    prefix = write_checkpoint(tmp_path / "parameter20.ckpt", values, write_version=tf.train.SaverDef.V1)
    assert (tmp_path / "parameter20.ckpt").is_file()
    found, expected = inspection.inspect(prefix), inspection.inspect(PREFIX)
    assert found.format == "V1"
    assert (found.sizes, found.step, found.variables) == (expected.sizes, expected.step, expected.variables)


def test_a_checkpoint_of_weights_alone(tmp_path):
    values = checkpoints.read_variables(PREFIX)
    prefix = write_checkpoint(tmp_path / "w", {name: values[name] for name in checkpoints.model_shapes(
        checkpoints.LayerSizes(784, 16, 2, 12))})
    found = inspection.inspect(prefix)
    assert found.sizes == checkpoints.LayerSizes(784, 16, 2, 12)
    assert (found.step, found.epochs, found.n_adam_slots) == (None, None, 0)


@pytest.mark.parametrize(("name", "naming"), [
    ("gaussian_MLP_encoder/w0", "hwalsuklee/tensorflow-mnist-VAE"),
    ("enc_fc1/weights", "shaohua0116/VAE-Tensorflow"),
    ("decoder_hidden_1/w4", "MINGUKKANG/VAE_tensorflow, the original's and this program's"),
    ("dense/kernel", "unknown"),
])
def test_names_identify_the_program(tmp_path, name, naming):
    found = inspection.inspect(write_checkpoint(tmp_path / "x", {name: np.ones((2, 2), np.float32)}))
    assert found.origin == naming
    assert found.sizes is None
    assert found.mismatch.endswith(f"found none of that name; the most similar is {name}")


def test_a_checkpoint_of_tensorflow_2_and_types_of_all_kinds(tmp_path):
    module = tf2.Module()
    module.words = tf2.Variable(["one", "two"])
    module.word, module.flag, module.number = (tf2.Variable(value) for value in ("word", [True], 1 + 2j))
    module.half, module.brain = tf2.Variable([3, 4], dtype=tf2.float16), tf2.Variable([3, 4], dtype=tf2.bfloat16)
    found = inspection.inspect(tf2.train.Checkpoint(module=module).write(str(tmp_path / "module")))
    assert found.origin.startswith("TensorFlow 2's")
    facts = {variable.name.split("/")[1]: (variable.shape, variable.dtype, variable.norm)
             for variable in found.variables if variable.name.startswith("module/")}
    assert facts == {"word": ((), "string", None), "words": ((2,), "string", None), "flag": ((1,), "bool", 1),
                     "number": ((), "complex128", None),
                     "half": ((2,), "float16", 5), "brain": ((2,), "bfloat16", 5)}


def test_nan_and_infinity_are_counted(tmp_path):
    values = checkpoints.read_variables(PREFIX)
    values["encoder_z/b3"] = np.array([np.nan, np.inf, -np.inf, 1], np.float32)
    values["beta1_power"] = np.float32(np.inf)
    found = inspection.inspect(write_checkpoint(tmp_path / "x", values))
    non_finite = {variable.name: (variable.norm, variable.n_nan, variable.n_inf)
               for variable in found.variables if variable.norm is None}
    assert non_finite == {"beta1_power": (None, 0, 1), "encoder_z/b3": (None, 1, 2)}


@pytest.mark.parametrize("counter", [np.ones(3, np.int32), np.float32(1.5)])
def test_a_step_counter_that_is_not_an_integer(tmp_path, counter):
    values = checkpoints.read_variables(PREFIX)
    values["Variable"] = counter
    assert inspection.inspect(write_checkpoint(tmp_path / "x", values)).step is None


@pytest.mark.filterwarnings("error")
def test_a_norm_beyond_the_range_is_none(tmp_path):
    prefix = write_checkpoint(tmp_path / "x", {"w": np.full(2, 1e200)})
    [variable] = inspection.inspect(prefix).variables
    assert (variable.norm, variable.n_nan, variable.n_inf) == (None, 0, 0)
