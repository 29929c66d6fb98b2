"""The inspection of checkpoints of this program and of others."""

from pathlib import Path

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


def test_a_prefix_as_a_path():
    assert inspection.inspect(Path(PREFIX)) == inspection.inspect(PREFIX)


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


def test_a_global_step_of_any_integer_type(tmp_path):
    values = checkpoints.read_variables(PREFIX)
    values["global_step"] = values.pop("Variable").astype(np.int64)
    found = inspection.inspect(write_checkpoint(tmp_path / "x", values))
    assert (found.step, found.epochs) == (20, 20 / 429)


def test_the_step_of_another_program(tmp_path):
    """Its `Variable` may be anything, and its epochs have other lengths."""
    for name, step in (("Variable", None), ("global_step", 7)):
        found = inspection.inspect(write_checkpoint(tmp_path / name, {"w": np.ones(2), name: np.int32(7)}))
        assert (found.step, found.epochs) == (step, None)


@pytest.mark.parametrize(("content", "missing"), [
    (None, "no file parameter20.ckpt.data-00000-of-00001"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
     "parameter20.ckpt.data-00000-of-00001, a Git LFS pointer: `git lfs pull` fetches the file itself")])
def test_an_index_without_values(folder, content, missing):
    data = folder / "parameter20.ckpt.data-00000-of-00001"
    data.unlink()
    if content:
        data.write_bytes(content)
    found, expected = inspection.inspect(str(folder / "parameter20.ckpt")), inspection.inspect(PREFIX)
    assert (found.missing, found.sizes, found.step, found.epochs) == (missing, expected.sizes, None, None)
    assert {(one.name, one.shape, one.dtype) for one in found.variables} == {
        (one.name, one.shape, one.dtype) for one in expected.variables}
    assert {(one.norm, one.n_nan, one.n_inf) for one in found.variables} == {(None, None, None)}


def test_the_index_of_a_partitioned_variable_lists_it_once(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("w", [7, 4], partitioner=tf.fixed_size_partitioner(3))
        session.run(tf.global_variables_initializer())
        prefix = tf.train.Saver().save(session, str(tmp_path / "x"))
    (tmp_path / "x.data-00000-of-00001").unlink()
    assert [(one.name, one.shape) for one in inspection.inspect(prefix).variables] == [("w", (7, 4))]


@pytest.mark.filterwarnings("error")
def test_a_norm_beyond_the_range_is_none(tmp_path):
    prefix = write_checkpoint(tmp_path / "x", {"w": np.full(2, 1e200)})
    [variable] = inspection.inspect(prefix).variables
    assert (variable.norm, variable.n_nan, variable.n_inf) == (None, 0, 0)
