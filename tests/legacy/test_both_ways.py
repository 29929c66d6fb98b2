"""Checkpoints are exchanged with real TensorFlow 1.x: `pytest -m legacy -n 0`, a few minutes the first time."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from vae_graph import checkpoints, training
from vae_graph.settings import Settings
from vae_graph.training_graph import training_graph

HERE = Path(__file__).parent
SETTINGS = Settings(n_hidden_encoder=32, n_z=2, n_hidden_decoder=24, num_epoch=1, batch_size=20)

pytestmark = pytest.mark.legacy


@pytest.fixture(scope="module")
def ours(digits, tmp_path_factory):
    """A checkpoint of this program."""
    folder = tmp_path_factory.mktemp("ours")
    return training.train(digits.train.pixels, digits.sha256, SETTINGS, folder)[0]


@pytest.fixture(scope="module")
def inputs(digits):
    noise = np.random.default_rng(0).standard_normal((6, 20, SETTINGS.n_z)).astype(np.float32)
    return {"x": digits.train.images[:120].reshape(6, 20, 784), "eps": noise}


@pytest.fixture(scope="module")
def theirs(old_python, run_there, ours, inputs, tmp_path_factory):
    """What the old TensorFlow computed, and the prefix of the checkpoint that it wrote."""
    tensorflow, _ = old_python
    folder = tmp_path_factory.mktemp("theirs")
    np.savez(folder / "inputs.npz", sizes=[784, 32, 2, 24], **inputs)
    run_there(HERE / "original.py", folder / "inputs.npz", ours, folder)
    with np.load(folder / "outputs.npz") as outputs:
        outputs = dict(outputs)
    assert outputs["tensorflow"] == tensorflow
    return outputs, str(folder / "parameter1.ckpt")


def run_here(prefix, inputs, n_steps):
    """X_out and errors for the first input, after restoring and `n_steps` steps, and all variables then."""
    with tf.Graph().as_default() as tf_graph, tf.Session() as session:
        graph = training_graph(784, SETTINGS)
        [step] = graph.steps
        tf.train.Saver().restore(session, prefix)

        def run(what, index):
            _, _, eps, _, _ = step.noise[0]          # the others are of dropout, which is off
            return session.run(what, {graph.input_data: inputs["x"][index], eps: inputs["eps"][index],
                                      graph.dropout_rate: 1.0})

        for index in range(1, n_steps + 1):
            run(step.train_op, index)
        X_out, errors = run([tf_graph.get_tensor_by_name("step_1/tower_1/clip_by_value:0"), step.errors], 0)
        variables = {v.op.name: value for v, value in zip(
            tf.global_variables(), session.run(tf.global_variables()), strict=True)}
    return X_out, errors, variables


def test_our_checkpoint_gives_the_same_outputs_there(ours, theirs, inputs):
    outputs, _ = theirs
    assert outputs["n_variables"] == 39
    X_out, errors, _ = run_here(ours, inputs, 0)
    np.testing.assert_allclose(outputs["X_out_before"], X_out, rtol=0, atol=1e-5)
    np.testing.assert_allclose(outputs["errors_before"], errors, rtol=1e-5)


def test_adam_continues_there_as_here(ours, theirs, inputs):
    _, prefix = theirs
    _, _, variables = run_here(ours, inputs, 5)
    saved_there = checkpoints.read_variables(prefix)
    assert saved_there.keys() == variables.keys()
    assert saved_there["Variable"] == checkpoints.read_variables(ours)["Variable"] + 5
    for name, value in saved_there.items():
        np.testing.assert_allclose(variables[name], value, rtol=1e-5, atol=1e-5, err_msg=name)


def test_their_checkpoint_gives_the_same_outputs_here(ours, theirs, inputs):
    outputs, prefix = theirs
    assert not np.allclose(outputs["X_out_before"], outputs["X_out_after"], rtol=0, atol=1e-4)
    X_out, errors, _ = run_here(prefix, inputs, 0)
    np.testing.assert_allclose(X_out, outputs["X_out_after"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(errors, outputs["errors_after"], rtol=1e-5)
