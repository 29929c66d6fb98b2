"""The page's session computes what TensorFlow's does, with the same weights and the same noise."""

import base64
import re
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.helpers import UPDATES, after_updates, is_of_variables, without_optimizations
from tests.numpy_network import PREFIX
from tests.pages.helpers import wait
from vae_graph import checkpoints
from vae_graph.pages import graph, program

N_IMAGES, TOLERANCE = 4, 1e-4
RANDOM = ("RandomUniform", "RandomStandardNormal")


class Reference(NamedTuple):
    """TensorFlow's session on the page's graph, and the values of a training step, to be fed."""

    session: tf.Session
    names: dict
    assign: list                 # gives every variable the value that it has on the page
    values: dict                 # tensors' values by their names


@pytest.fixture(scope="module")
def reference(digits):
    sizes, network = checkpoints.read_network(PREFIX)
    with tf.Graph().as_default() as built, tf.Session(config=without_optimizations()) as session:
        tf.set_random_seed(0)
        names = program.build(784, sizes.n_hidden_encoder, sizes.n_z, sizes.n_hidden_decoder)
        session.run(names["initializer"])
        for variable in tf.trainable_variables():
            session.run(variable.initializer, {
                variable.initializer.inputs[1]: network[variable.op.name].astype(np.float16).astype(np.float32)})
        variables = tf.global_variables()
        assign = [(variable.initializer, {variable.initializer.inputs[1]: value})
                  for variable, value in zip(variables, session.run(variables), strict=True)]
        feeds = {names["X"]: digits.test.images[:N_IMAGES], names["keep_prob"]: 0.6,
                 names["any_z"]: np.eye(N_IMAGES, 2)}
        tensors = [tensor for op in built.get_operations() if not is_of_variables(op) for tensor in op.outputs
                   if tensor.dtype.base_dtype in (tf.float32, tf.int32, tf.bool)]
        # Without what an update may change in the same run.
        after = after_updates(built)
        values = session.run({tensor.name: tensor for tensor in tensors if tensor.op not in after}, feeds)
        yield Reference(session, names, assign, values)


@pytest.fixture(scope="module")
def opened(browser, digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "graph.html"
    path.write_bytes(graph.page(PREFIX, digits.test.images))
    browser.get("about:blank")
    browser.get(path.as_uri())
    wait(browser, "session !== null")
    browser.execute_script("""
        window.toTensor = ({ shape, type, numbers }) => ({ shape, data: new ARRAYS[type](
            Uint8Array.from(atob(numbers), character => character.charCodeAt(0)).buffer) });
        window.toText = ({ shape, data }) => {
          const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
          let text = "";
          for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
          return { shape, type: data.constructor.name, numbers: btoa(text) };
        };
        window.pool = null;
        window.setPool = values => {
          pool = new Map(Object.entries(values).map(([name, value]) => [name, toTensor(value)]));
        };
        window.runAll = cases => cases.map(([fetches, feeds]) => {
          const saved = session.variables;
          session.variables = new Map(saved);
          try {
            const { order, values } = session.run(fetches, new Map(feeds.map(name => [name, pool.get(name)])));
            const changed = order.some(({ type }) => updates.includes(type));
            const tensors = changed ? [] : fetches.filter(name => name.includes(":"));
            return { order: order.map(({ name }) => name), values: tensors.map(name => toText(values.get(name))) };
          } catch (error) {
            return { error: `${error.operation?.name}: ${error.message}` };
          } finally {
            session.variables = saved;
          }
        });
        window.updates = arguments[0];
    """, UPDATES)
    return browser


def reset(reference):
    for initializer, value in reference.assign:
        reference.session.run(initializer, value)


def as_text(value):
    value = np.asarray(value)
    return {"shape": value.shape, "type": value.dtype.name, "numbers": base64.b64encode(value.tobytes()).decode()}


def from_text(text):
    types = {"Float32Array": np.float32, "Int32Array": np.int32, "Uint8Array": np.bool_}
    return np.frombuffer(base64.b64decode(text["numbers"]), types[text["type"]]).reshape(text["shape"])


def assert_close(found, expected, message):
    assert found.shape == expected.shape, message
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * scale, err_msg=str(message))


def random_runs(reference, n_runs):
    """Random fetches and feeds; what a session then executed and computed, or the first line of its error."""
    random = np.random.default_rng(0)
    built = reference.session.graph
    names = [*reference.values]
    feedable = [name for name in names if built.is_feedable(built.get_tensor_by_name(name))]
    updates = [op.name for op in after_updates(built)
               if not op.outputs and not is_of_variables(op) and op.name != "init"]
    noise = [tensor for tensor in feedable if built.get_tensor_by_name(tensor).op.type in RANDOM]
    placeholders = [reference.names[name].name for name in ("X", "keep_prob", "any_z")]
    existing = {op.name for op in built.get_operations()}
    for _ in range(n_runs):
        fetches = [*random.choice(names, random.integers(1, 4), replace=False)]
        if random.random() < 0.2:
            fetches.append(updates[random.integers(len(updates))])
        feeds = {*random.choice(feedable, random.integers(0, 4), replace=False)}
        feeds |= {*noise} if random.random() < 0.8 else set()
        feeds |= {*placeholders} if random.random() < 0.8 else set()
        metadata = tf.RunMetadata()
        try:
            values = reference.session.run(fetches, {name: reference.values[name] for name in feeds},
                                           tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE), metadata)
            outcome = {stats.node_name for device in metadata.step_stats.dev_stats
                       for stats in device.node_stats} & existing
        except tf.errors.InvalidArgumentError as error:
            outcome = re.search(r"^(?:You must feed|Incompatible|Input to).*$", str(error), re.MULTILINE)[0]
            values = None
        if fetches[-1] in updates:
            reset(reference)
        yield [str(name) for name in fetches], sorted(map(str, feeds)), outcome, values


@pytest.mark.parametrize("n_runs", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_random_runs_execute_and_compute_what_a_session_does(opened, reference, n_runs):
    opened.execute_script("setPool(arguments[0])", {name: as_text(value) for name, value in reference.values.items()})
    runs = list(random_runs(reference, n_runs))
    found = opened.execute_script("return runAll(arguments[0])", [run[:2] for run in runs])
    errors = compared = 0
    types = {op.name: op.type for op in reference.session.graph.get_operations()}
    for (fetches, feeds, outcome, values), result in zip(runs, found, strict=True):
        case = fetches, feeds
        if values is None:
            errors += 1
            # A session may meet any of several errors first.
            assert result["error"].partition(": ")[2].split("'")[0] == outcome.split("'")[0], case
            continue
        assert "error" not in result, (case, result)
        assert {*result["order"]} == outcome, case
        if result["values"] and not {types[name] for name in outcome} & {*RANDOM}:
            compared += 1
            tensors = [value for name, value in zip(fetches, values, strict=True) if ":" in name]
            for text, expected, name in zip(result["values"], tensors, fetches, strict=False):
                assert_close(from_text(text), np.asarray(expected), (name, case))
    assert 0 < errors < n_runs / 2
    assert compared > n_runs / 3


def test_training_steps_change_the_39_variables_as_a_session_does(opened, reference):
    """Twice: the second step reads the slots that the first one filled."""
    fed = {reference.names[name].name for name in ("X", "keep_prob")} | {
        op.outputs[0].name for op in reference.session.graph.get_operations()
        if op.type in RANDOM and "/Initializer/" not in op.name}
    opened.execute_script("setPool(arguments[0])", {name: as_text(reference.values[name]) for name in fed})
    for _ in range(2):
        reference.session.run(reference.names["train_op"], {name: reference.values[name] for name in fed})
    with reference.session.graph.as_default():
        expected = reference.session.run({variable.op.name: variable for variable in tf.global_variables()})
    reset(reference)
    found = opened.execute_script("""
        const saved = session.variables;
        session.variables = new Map(saved);
        for (const _ of [1, 2]) session.run(["Adam"], pool);
        const result = Object.fromEntries([...session.variables].map(([name, value]) => [name, toText(value)]));
        session.variables = saved;
        return result;""")
    assert len(found) == 39
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(from_text(found[name]), value, name)
