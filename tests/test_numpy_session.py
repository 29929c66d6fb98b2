"""The session in NumPy runs TensorFlow's graphs: the same operations, the same values, TensorFlow 1.4.0's steps."""

import itertools
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.helpers import after_updates, is_of_variables, without_optimizations, write_checkpoint
from tests.small import ORACLE_DIR, ROOT
from vae_graph import checkpoints
from vae_graph.model import Variational_autoencoder
from vae_graph.numpy_session import OPERATIONS, Session
from vae_graph.pages.program import build
from vae_graph.settings import Settings
from vae_graph.training_graph import inputs, learning_rate

pytestmark = pytest.mark.quick

# The oracle's noise, and the tensors in whose place it is fed.
NOISE = {"eps": "random_normal:0", **{f"u_{scope}": f"{scope}/dropout/random_uniform/RandomUniform:0" for scope in (
    "encoder_hidden_1", "encoder_hidden_2", "decoder_hidden_1", "decoder_hidden_2")}}


@pytest.fixture(scope="module")
def oracle():
    with np.load(ORACLE_DIR / "oracle.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def program(oracle):
    """The original's graph, without a Saver: its GraphDef, and its errors and training operation by name."""
    settings = Settings(**{key: oracle[key].item() for key in ("learning_rate", "decay_rate", "decay_step")})
    with tf.Graph().as_default() as tf_graph:
        tf.set_random_seed(0)
        X, keep_prob, step = inputs(784)
        errors = Variational_autoencoder(X, 16, 2, 12, keep_prob)[2:]
        train_op = tf.train.AdamOptimizer(learning_rate(settings, step)).minimize(errors[-1], global_step=step)
        tf.global_variables_initializer()
    return tf_graph.as_graph_def(), [error.name for error in errors], train_op.name


@pytest.fixture(scope="module")
def trained(program, oracle):
    """A session after the oracle's 20 steps, and their errors."""
    graph_def, errors, train_op = program
    session = Session(graph_def)
    session.restore(str(ORACLE_DIR / "parameter0.ckpt"))
    return session, [session.run([*errors, train_op], feeds(oracle, step, oracle["keep_prob"]))[:-1]
                     for step in range(20)]


def feeds(oracle, step, keep_prob):
    return {"input_data:0": oracle["x"][step] / np.float32(255), "dropout_rate:0": keep_prob,
            **{tensor: oracle[name][step] for name, tensor in NOISE.items()}}


def test_every_loss_equals_that_of_tensorflow_1_4(trained, oracle):
    np.testing.assert_allclose(trained[1], oracle["losses"], rtol=2e-6)           # the bounds of test_oracle.py


def test_every_variable_equals_that_of_tensorflow_1_4(trained):
    expected = checkpoints.read_variables(str(ORACLE_DIR / "parameter20.ckpt"))
    assert trained[0].variables.keys() == expected.keys()
    for name, value in expected.items():
        assert trained[0].variables[name].dtype == value.dtype
        np.testing.assert_allclose(trained[0].variables[name], value, rtol=0, atol=2e-5, err_msg=name)


def test_evaluation_equals_that_of_tensorflow_1_4(trained, program, oracle):
    outputs = {"mean": "encoder_z/strided_slice:0", "std": "encoder_z/add_1:0", "z": "add:0",
               "x_out": "clip_by_value:0"}
    *found, losses = trained[0].run([*outputs.values(), program[1][-1]], feeds(oracle, 0, 1))
    for name, value in zip(outputs, found, strict=True):
        np.testing.assert_allclose(value, oracle[f"eval_{name}"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(losses, oracle["eval_losses"][-1], rtol=1e-5)


def test_it_has_the_operation_types_of_the_program_and_no_others(program):
    graph_def, _, train_op = program
    session = Session(graph_def)
    types = {session.operations[name].type for name in session.prune(["init", train_op])}
    assert types == OPERATIONS.keys()
    assert len(session.prune(program[1][-1], ["input_data:0", "dropout_rate:0"])) == 136      # as the docstring says


@pytest.fixture(scope="module")
def built():
    """The graph of the graph page, which has two decoders and a Saver, and what its names stand for."""
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(0)
        return graph, build(784, 16, 2, 12)


def values_before_updates(built, weights, images):
    """The values of a training step's tensors, by their names; without what an update may change in the same run."""
    graph, names = built
    after = after_updates(graph)
    tensors = [tensor for op in graph.get_operations() if op not in after and not is_of_variables(op)
               for tensor in op.outputs if tensor.dtype.base_dtype not in (tf.resource, tf.string, tf.variant)]
    with graph.as_default(), tf.Session(config=without_optimizations()) as session:
        checkpoints.assign(session, weights)
        values = session.run(tensors, {names["X"]: images, names["keep_prob"]: 0.6, names["any_z"]: np.zeros([4, 2])})
    return {tensor.name: value for tensor, value in zip(tensors, values, strict=True)}


@pytest.mark.parametrize("n_runs", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_random_runs_are_those_of_a_session_without_grappler(built, digits, n_runs):
    """The same operations, and with the noise fed the same values, of what is fetched and of the variables after it."""
    random = np.random.default_rng(1)
    weights = checkpoints.read_variables(str(ORACLE_DIR / "parameter20.ckpt"))
    recorded, (graph, names) = values_before_updates(built, weights, digits.test.images[:4]), built
    tensors = [*recorded]
    feedable = [name for name in tensors if graph.is_feedable(graph.get_tensor_by_name(name))]
    noise = [name for name in tensors if re.search(r"Random(Uniform|StandardNormal):0$", name)]
    ours = Session(graph.as_graph_def())
    outcomes = []
    with graph.as_default(), tf.Session(config=without_optimizations()) as session:
        for _ in range(n_runs):
            checkpoints.assign(session, weights)
            ours.variables.update(weights)
            fetches = [*random.choice(tensors, random.integers(1, 4), replace=False)]
            fed = [*noise, *random.choice(feedable, random.integers(0, 4), replace=False)]
            if random.random() < 0.8:
                fed += ["input_data:0", "dropout_rate:0", "any_z:0"]
            if random.random() < 0.2:
                fetches.append(names["train_op"].name)
            outcomes.append(_compare(session, ours, fetches, {name: recorded[name] for name in fed}))
    assert {*outcomes} <= {"equal", "not fed", "in any order"}
    assert outcomes.count("equal") > n_runs / 2
    assert "not fed" in outcomes


def _compare(session, ours, fetches, feeds):
    order = ours.prune(fetches, feeds)
    metadata = tf.RunMetadata()
    try:
        expected = session.run([session.graph.as_graph_element(name) for name in fetches], feeds,
                               tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE), metadata)
    except tf.errors.InvalidArgumentError as error:
        missing = re.search(r"You must feed a value for placeholder tensor '(.*?)'", str(error))[1]
        with pytest.raises(ValueError, match="you must feed"):
            ours.run(fetches, feeds)
        return "not fed" if missing in order else "run by mistake"
    executed = {stats.node_name for device in metadata.step_stats.dev_stats for stats in device.node_stats}
    assert {*order} == executed & ours.operations.keys(), (fetches, [*feeds])
    values = ours.run(fetches, feeds)
    if _is_in_any_order(ours, order, feeds):
        return "in any order"
    variables = tf.global_variables()
    expected += session.run(variables)
    for name, value, other in zip([*fetches, *variables], values + ours.run(variables), expected, strict=True):
        assert getattr(value, "dtype", None) == getattr(other, "dtype", None), name
        if other is not None:
            np.testing.assert_allclose(value, other, rtol=1e-5, atol=1e-5, err_msg=name)
    return "equal"


def _is_in_any_order(session, order, feeds):
    """Whether the graph does not say if a variable is read before or after it is written."""
    before, users = {}, {}
    for name in order:
        operation = session.operations[name]
        inputs = [tensor.partition(":")[0] for tensor in operation.inputs if tensor not in feeds]
        before[name] = {*inputs, *operation.control_inputs}.union(
            *(before.get(other, ()) for other in inputs + operation.control_inputs))
        for other in inputs:
            if session.operations[other].type == "VarHandleOp":
                users.setdefault(other, []).append(operation)
    return any(first.name not in before[second.name] and {first.type, second.type} != {"ReadVariableOp"}
               for of_one in users.values() for first, second in itertools.combinations(of_one, 2))


def test_initial_values(program):
    """Xavier weights, biases and moments 0, Adam's powers, step 0; with a graph seed the same in each session."""
    first, second = Session(program[0]), Session(program[0])
    for session in (first, second):
        assert session.run("init") is None
    assert len(first.variables) == 39
    for name, value in first.variables.items():
        assert value.dtype == (np.int32 if name == "Variable" else np.float32)
        np.testing.assert_array_equal(value, second.variables[name])
    weights, limit = first.variables["encoder_hidden_1/w1"], np.sqrt(6 / (784 + 16))
    assert weights.shape == (784, 16)
    assert 0.99 * limit < np.abs(weights).max() <= limit
    assert abs(weights.mean()) < limit / 50
    assert not first.variables["encoder_hidden_1/b1"].any()
    assert first.run("beta2_power/Read/ReadVariableOp:0") == np.float32(0.999)
    first.run("init")
    assert not np.array_equal(first.variables["encoder_hidden_1/w1"], weights)


def test_without_a_seed_each_session_draws_other_numbers():
    with tf.Graph().as_default() as tf_graph:
        noise = tf.random_normal([1000])
    first, second = (Session(tf_graph.as_graph_def()).run(noise) for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_allclose([first.mean(), first.std()], [0, 1], atol=0.2)


X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.filterwarnings("error:divide by zero")
@pytest.mark.parametrize("build", [
    tf.log, lambda x: x[0], lambda x: x[..., tf.newaxis, 1:3], lambda x: x[:, ::-2, -1], lambda x: x[-1, 1:],
    lambda x: tf.reduce_sum(x, [0, -1]), lambda x: tf.reduce_mean(x, 1, keepdims=True), tf.reduce_sum,
    lambda x: tf.matmul(x[0], x[1], transpose_b=True), lambda x: tf.matmul(x[0], x[1], transpose_a=True),
    lambda x: x + tf.constant(2.0, shape=[4]), lambda x: tf.reduce_prod(tf.shape(x)), lambda x: tf.range(3),
    lambda x: tf.gradients(x[:, ::-2, -1] ** 2, x)[0], lambda x: tf.gradients(tf.reduce_sum(x * x[0], 1), x)[0],
    lambda x: tf.gradients(tf.reduce_mean(x * x[:1, :1], [0, 2]), x)[0],
    lambda x: tf.gradients(tf.clip_by_value(x, 3, 7), x)[0],
    lambda x: tf.raw_ops.BroadcastGradientArgs(s0=[1, 3], s1=[1, 3]).r0,
    lambda x: tf.raw_ops.BroadcastGradientArgs(s0=[1, 3], s1=[1, 1, 3]).r1])
def test_the_value_is_tensorflows(build):
    with tf.Graph().as_default() as tf_graph, tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 3, 4])
        y = build(x)
        expected = session.run(y, {x: X})
    value = Session(tf_graph.as_graph_def()).run(y, {x: X})
    assert value.dtype == expected.dtype
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_what_is_fed_is_not_computed(program):
    session = Session(program[0])
    session.run("init")
    assert "encoder_hidden_1/MatMul" not in session.prune("clip_by_value:0", ["add:0", "dropout_rate:0"])
    from_z = session.run("clip_by_value:0", {"add:0": [[0, 1]], "dropout_rate:0": 1})
    assert from_z.shape == (1, 784)
    assert from_z.dtype == np.float32
    np.testing.assert_array_equal(session.run("add:0", {"add:0": [[0, 1]]}), [[0, 1]])
    kept = "decoder_hidden_1/dropout/GreaterEqual:0"
    assert session.run(kept, {kept: [1, 0]}).tolist() == [True, False]


def test_an_operation_runs_for_those_of_its_outputs_that_are_not_fed():
    with tf.Graph().as_default() as tf_graph, tf.Session(config=without_optimizations()) as session:
        r0, r1 = tf.raw_ops.BroadcastGradientArgs(s0=[1, 3], s1=[4, 1])
        fetches = [r0 + 1, r1 + 1]
        expected = session.run(fetches, {r0: [7]})
    values = Session(tf_graph.as_graph_def()).run(fetches, {r0: [7]})
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(values, [[8], [2]])


def test_a_placeholder_that_is_fed_is_no_control_input():
    with tf.Graph().as_default() as tf_graph:
        x = tf.placeholder(tf.float32, name="x")
        with tf.control_dependencies([x]):
            tf.constant(1, name="one")
    session = Session(tf_graph.as_graph_def())
    assert session.prune("one:0", {x: 1}) == ["one"]
    assert session.prune("one:0") == ["x", "one"]
    assert session.run("one:0", {x: [1, 2]}) == 1                  # x is of any shape


def test_a_caller_cannot_change_the_variables_by_accident(program):
    session = Session(program[0])
    zeros = np.zeros(2 * 2, np.float32)
    session.run("encoder_z/b3/Assign", {"encoder_z/b3/Initializer/zeros:0": zeros})
    zeros += 1
    fetched = session.run("encoder_z/b3/Read/ReadVariableOp:0")
    fetched += 1
    assert not session.variables["encoder_z/b3"].any()


FED = {"input_data:0": np.zeros((4, 784)), "dropout_rate:0": 1}


@pytest.mark.parametrize(("fetches", "fed", "error", "message"), [
    ("add_5:0", {"input_data:0": FED["input_data:0"]}, ValueError,
     "dropout_rate = Placeholder(): you must feed dropout_rate:0, float32 of shape []"),
    ("add_5:0", {**FED, "input_data:0": np.zeros((4, 3))}, ValueError,
     "input_data: expected a value of shape [None, 784], found [4, 3]"),
    ("add_5:0", {**FED, "dropout_rate:0": [1]}, ValueError, "dropout_rate: expected a value of shape [], found [1]"),
    ("clip_by_value:0", {**FED, "add:0": np.zeros((4, 3))}, ValueError,
     "decoder_hidden_1/MatMul = MatMul((4, 3), (2, 12)):"),
    (["add_5:0", "ELBO:0"], FED, ValueError, "ELBO:0: expected a tensor or an operation of the graph"),
    ("add_5:0", {**FED, "X:0": 0}, ValueError, "X:0: expected a tensor or an operation of the graph"),
    ("Variable/IsInitialized/VarIsInitializedOp:0", {}, NotImplementedError,
     "Variable/IsInitialized/VarIsInitializedOp: the operation type VarIsInitializedOp is not implemented")])
def test_errors_name_the_operation(program, fetches, fed, error, message):
    session = Session(program[0])
    session.run("init")
    with pytest.raises(error, match="^" + re.escape(message)):
        session.run(fetches, fed)


def test_a_variable_without_a_value_is_an_error(program):
    with pytest.raises(ValueError, match=re.escape(
            "encoder_hidden_1/MatMul/ReadVariableOp = ReadVariableOp(()): the variable encoder_hidden_1/w1 is not")):
        Session(program[0]).run("add_5:0", FED)


@pytest.mark.parametrize(("value", "found"), [
    (None, "no such variable"), (np.zeros([12, 2], np.float32), "float32 [12, 2]"),
    (np.zeros([2, 12]), "float64 [2, 12]")])
def test_restore_checks_every_variable_first(program, tmp_path, value, found):
    variables = checkpoints.read_variables(str(ORACLE_DIR / "parameter0.ckpt"))
    variables["decoder_hidden_1/w4"] = value
    prefix = write_checkpoint(tmp_path / "model", {name: v for name, v in variables.items() if v is not None})
    session = Session(program[0])
    with pytest.raises(checkpoints.CheckpointError, match=re.escape(
            f"{prefix}: expected decoder_hidden_1/w4, float32 [2, 12], found {found}")):
        session.restore(prefix)
    assert not session.variables


def test_a_stored_graph_runs_without_tensorflow(program, tmp_path):
    """Its protobuf classes are imported; the package `tensorflow` itself is not, which takes seconds."""
    (tmp_path / "graph.pb").write_bytes(program[0].SerializeToString())
    code = """
import importlib.util, sys, types
tensorflow = types.ModuleType("tensorflow")
tensorflow.__path__ = importlib.util.find_spec("tensorflow").submodule_search_locations
sys.modules["tensorflow"] = tensorflow
from tensorflow.core.framework.graph_pb2 import GraphDef
from vae_graph.numpy_session import Session

path, prefix, loss, train_op = sys.argv[1:]
with open(path, "rb") as file:
    session = Session(GraphDef.FromString(file.read()))
session.restore(prefix)
feeds = {"input_data:0": [[0.5] * 784], "dropout_rate:0": 1.0, "random_normal:0": [[0.0, 0.0]]}
losses = [session.run([loss, train_op], feeds)[0] for _ in range(5)]
assert losses[-1] < losses[0], losses
assert not [name for name in sys.modules if name.startswith("tensorflow.python")]
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "graph.pb"), str(ORACLE_DIR / "parameter0.ckpt"),
                    program[1][-1], program[2]], cwd=ROOT, check=True, timeout=60)
