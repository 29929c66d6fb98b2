"""The same 20 training steps as real TensorFlow 1.4.0 took, with its noise fed: see tests/README.md."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from vae_graph import checkpoints, training

ORACLE_DIR = Path(__file__).parent / "legacy-oracle" / "tf-1.4.0"
HIDDEN_LAYERS = ("encoder_hidden_1", "encoder_hidden_2", "decoder_hidden_1", "decoder_hidden_2")


@pytest.fixture(scope="module")
def oracle():
    with np.load(ORACLE_DIR / "oracle.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def repeated(oracle):
    """The losses of the 20 steps, all variables after them, and the evaluation, computed here."""
    settings = training.Settings(
        n_hidden_encoder=16, n_z=2, n_hidden_decoder=12, batch_size=8,
        learning_rate=float(oracle["learning_rate"]), decay_rate=float(oracle["decay_rate"]),
        decay_step=int(oracle["decay_step"]))
    losses = []
    with tf.Graph().as_default() as tf_graph, tf.Session() as session:
        graph = training.training_graph(784, settings)
        tf.train.Saver().restore(session, str(ORACLE_DIR / "parameter0.ckpt"))

        def feed(step, keep_prob):
            return {graph.input_data: oracle["x"][step] / np.float32(255), graph.dropout_rate: keep_prob,
                    "random_normal:0": oracle["eps"][step]}

        for step in range(20):
            noise = {f"{layer}/dropout/random_uniform/RandomUniform:0": oracle[f"u_{layer}"][step]
                     for layer in HIDDEN_LAYERS}
            _, *errors = session.run([graph.train_op, *graph.errors],
                                     feed(step, float(oracle["keep_prob"])) | noise)
            losses.append(errors)
        variables = {v.op.name: value for v, value in zip(
            tf.global_variables(), session.run(tf.global_variables()), strict=True)}
        ends = [tf_graph.get_tensor_by_name(name) for name in (
            "encoder_z/strided_slice:0", "encoder_z/add_1:0", "add:0", "clip_by_value:0")]
        evaluation = session.run([*ends, graph.errors], feed(0, 1.0))
    return np.array(losses), variables, dict(zip(("mean", "std", "z", "x_out", "losses"), evaluation, strict=True))


def test_every_loss_is_what_tensorflow_1_4_computed(oracle, repeated):
    losses, _, _ = repeated
    np.testing.assert_allclose(losses, oracle["losses"], rtol=2e-6)


def test_every_variable_ends_where_tensorflow_1_4_left_it(repeated):
    _, variables, _ = repeated
    expected = checkpoints.read_variables(str(ORACLE_DIR / "parameter20.ckpt"))
    assert len(expected) == 39
    assert variables.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(variables[name], value, rtol=0, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("output", ["mean", "std", "z", "x_out", "losses"])
def test_evaluation_is_what_tensorflow_1_4_computed(oracle, repeated, output):
    _, _, evaluation = repeated
    np.testing.assert_allclose(evaluation[output], oracle[f"eval_{output}"], rtol=1e-5, atol=1e-5)
