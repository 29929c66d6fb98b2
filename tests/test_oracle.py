"""The same 20 training steps as real TensorFlow 1.4.0 took, with its noise fed: see tests/README.md."""


import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.small import ORACLE_DIR
from vae_graph import checkpoints
from vae_graph.settings import Settings
from vae_graph.training_graph import training_graph

pytestmark = pytest.mark.quick

# The oracle's noise in the order in which the builders draw it.
NOISE = ("u_encoder_hidden_1", "u_encoder_hidden_2", "eps", "u_decoder_hidden_1", "u_decoder_hidden_2")


@pytest.fixture(scope="module")
def oracle():
    with np.load(ORACLE_DIR / "oracle.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module", params=[(1, 1), (8, 2)],
                ids=lambda shape: "{} steps a run in {} towers".format(*shape))
def repeated(oracle, request):
    """The losses of the 20 steps, all variables after them, and the evaluation, computed here."""
    n_steps, n_towers = request.param
    settings = Settings(
        n_hidden_encoder=16, n_z=2, n_hidden_decoder=12, batch_size=8,
        learning_rate=float(oracle["learning_rate"]), decay_rate=float(oracle["decay_rate"]),
        decay_step=int(oracle["decay_step"]))
    shares = np.cumsum([0, *(len(part) for part in np.array_split(np.arange(8), n_towers))])
    losses = []
    with tf.Graph().as_default() as tf_graph, tf.Session() as session:
        graph = training_graph(784, settings, n_steps, n_towers)
        tf.train.Saver().restore(session, str(ORACLE_DIR / "parameter0.ckpt"))

        def feed(first, steps, keep_prob):
            """The inputs and the noise of some steps; each tower has tensors of its own for its share of the noise."""
            feeds = {graph.input_data: np.concatenate(oracle["x"][first:first + steps]) / np.float32(255),
                     graph.dropout_rate: keep_prob}
            for step, tower in np.ndindex(steps, n_towers):
                share = slice(*shares[tower:tower + 2])
                for name, tensor in zip(NOISE, graph.steps[step].noise[tower], strict=True):
                    feeds[tensor] = oracle[name][first + step, share]
            return feeds

        for first in range(0, 20, n_steps):
            steps = graph.steps[:20 - first]
            _, errors = session.run([steps[-1].train_op, [step.errors for step in steps]],
                                    feed(first, len(steps), float(oracle["keep_prob"])))
            losses += errors
        variables = {v.op.name: value for v, value in zip(
            tf.global_variables(), session.run(tf.global_variables()), strict=True)}
        towers = []
        for tower in range(1, n_towers + 1):
            scope = f"step_1/tower_{tower}"
            towers.append([
                tf_graph.get_tensor_by_name(f"{scope}/encoder_z/strided_slice:0"),
                tf_graph.get_tensor_by_name(f"{scope}/encoder_z/add_1:0"),
                tf_graph.get_operation_by_name(f"{scope}/decoder_hidden_1/MatMul").inputs[0],
                tf_graph.get_tensor_by_name(f"{scope}/clip_by_value:0")])
        ends = [tf.concat(parts, axis=0) for parts in zip(*towers, strict=True)]
        evaluation = session.run([*ends, graph.steps[0].errors], feed(0, 1, 1.0))
    return np.array(losses), variables, dict(zip(("mean", "std", "z", "x_out", "losses"), evaluation, strict=True))


def test_every_loss_equals_that_of_tensorflow_1_4(oracle, repeated):
    losses, _, _ = repeated
    np.testing.assert_allclose(losses, oracle["losses"], rtol=2e-6)


def test_every_variable_equals_that_of_tensorflow_1_4(repeated):
    _, variables, _ = repeated
    expected = checkpoints.read_variables(str(ORACLE_DIR / "parameter20.ckpt"))
    assert len(expected) == 39
    assert variables.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(variables[name], value, rtol=0, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("output", ["mean", "std", "z", "x_out", "losses"])
def test_evaluation_equals_that_of_tensorflow_1_4(oracle, repeated, output):
    _, _, evaluation = repeated
    np.testing.assert_allclose(evaluation[output], oracle[f"eval_{output}"], rtol=1e-5, atol=1e-5)
