"""Each row of PORTING.md: what the call of 2018 does today, and that what is written instead gives what 1.15.5 gave."""

import base64
import importlib.util
import inspect
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow
import tensorflow.compat.v1 as tf

from tests.legacy import porting
from tests.small import ROOT
from tests.test_porting import PAGE, RECORDED, layers

[LEGACY_KERAS] = re.findall(r"```python legacy Keras\n(.*?)```", PAGE, re.DOTALL)


def rows(heading):
    """The cells of a table's rows."""
    table = PAGE.split(heading + "\n")[1].split("\n\n")[0]
    return [re.split(r"\s*\|\s*", line)[1:-1] for line in table.splitlines()[1:]]


FIRST = rows("| of 20 | 2018 | now | write instead | in PyTorch |")
SECOND = rows("| 2018 | in TensorFlow 2 | write there | in PyTorch |")


# What is written instead, by the name of the row's function in tests/legacy/porting.py.

def xavier(tf):
    return porting.value(tf, tf.get_variable("w", [4, 3], initializer=tf.glorot_uniform_initializer(seed=1)))


def he(tf, n_in=4):
    initializer = tf.truncated_normal_initializer(stddev=(2.6 / n_in) ** 0.5, seed=1)
    return porting.value(tf, tf.get_variable("w", [n_in, 3], initializer=initializer))


def l2(tf):
    return porting.value(tf, 0.1 * tf.nn.l2_loss(tf.constant(porting.X)))


def fully_connected(tf):
    y = layers["dense"](tf.constant(porting.X - 0.5), 2, tf.nn.relu, "fully_connected", "weights", "biases")
    return with_ones(tf, y)


def with_ones(tf, y):
    """The names of the variables, and y after all but the biases are 1."""
    ones = [v.assign(tf.ones_like(v)) for v in tf.global_variables() if "bias" not in v.op.name]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(ones)
        return porting.names(tf), session.run(y)


def batch_norm(tf):
    y = layers["batch_norm"](tf.constant(porting.X), training=True)
    return porting.three_updates(tf, y)


def dense(tf):
    return with_ones(tf, layers["dense"](tf.constant(porting.X), 2, tf.nn.relu))


def dimension_value(tf):
    x = tf.placeholder(tf.float32, [None, 3])
    return x.shape.as_list()[1]


def new_shape(tf):
    w = tf.get_variable("v", [2], use_resource=False)
    return porting.value(tf, tf.assign(w, [1.0, 2.0, 3.0], validate_shape=False))


def by_name(tf):
    w = porting.variable(tf, 3.0)
    return porting.value(tf, w.read_value())


def read_then_assign(tf):
    with tf.variable_scope("", use_resource=False):
        return porting.read_then_assign(tf)


INSTEAD = [xavier, he, l2, fully_connected, batch_norm, dense, dimension_value, new_shape, by_name, read_then_assign]


def gradient(function, x):
    with tensorflow.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x)


def three_steps(optimizer, initial):
    v = tensorflow.Variable(initial)
    found = []
    for _ in range(3):
        optimizer.apply_gradients([(gradient(lambda v: v * v, v), v)])
        found.append(float(v))
    return found


# What a row of the second table gives in TensorFlow 2, and what is to be written there.
TWO_PIXELS = np.array([0, 1], np.float32).reshape(1, 1, 2, 1)
IN_TENSORFLOW_2 = {
    "dropout": (lambda: kept(tensorflow.nn.dropout(tensorflow.ones([1000]), 0.9)),
                lambda: kept(tensorflow.nn.dropout(tensorflow.ones([1000]), rate=0.1))),
    "adam": (lambda: three_steps(tensorflow.keras.optimizers.Adam(0.1), 1e-8),
             lambda: three_steps(tensorflow.keras.optimizers.Adam(0.1, epsilon=1e-8), 1e-8)),
    "rms_prop": (lambda: three_steps(tensorflow.keras.optimizers.RMSprop(0.1), 1.0),
                 lambda: three_steps(tensorflow.compat.v1.train.RMSPropOptimizer(0.1), 1.0)),
    "where": (lambda: tensorflow.where([True, False], [[1, 2], [3, 4]], [[5, 6], [7, 8]]),
              lambda: tensorflow.where(np.array([True, False])[:, None], [[1, 2], [3, 4]], [[5, 6], [7, 8]])),
    "resize": (lambda: tensorflow.image.resize(TWO_PIXELS, [1, 4]),
               lambda: tensorflow.compat.v1.image.resize_images(TWO_PIXELS, [1, 4])),
    "cross_entropy": (lambda: gradient_at_labels(cross_entropy) is None,
                      lambda: gradient_at_labels(lambda x: cross_entropy(tensorflow.stop_gradient(x))) is None),
}


def cross_entropy(labels):
    return tensorflow.nn.softmax_cross_entropy_with_logits(labels=labels, logits=[[1.0, 2.0]])


def gradient_at_labels(function):
    return gradient(function, tensorflow.constant([[0.3, 0.7]]))


def kept(x):
    """The values that dropout leaves: 1 over the probability of keeping."""
    return sorted({round(float(value), 5) for value in x})


def assert_same(found, expected):
    """Equal but for rounding; the content of files is not compared."""
    if isinstance(expected, dict | list):
        assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected.keys() - {"file"}:
            assert_same(found[name], expected[name])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert found == (pytest.approx(expected, rel=1e-4, abs=1e-6) if isinstance(expected, float) else expected)


def assert_different(found, expected):
    with pytest.raises((AssertionError, AttributeError, TypeError)):
        assert_same(found, expected)


def assert_names(function, *cells):
    """The calls of a table's cells are made by the function that is tested in their place, or by what it calls."""
    source = inspect.getsource(function)
    module = vars(sys.modules[function.__module__])
    source += "".join(inspect.getsource(module[name]) for name in re.findall(r"\b(\w+)\(", source)
                      if inspect.isfunction(module.get(name)))
    for name in re.findall(r"\btf\.\w[\w.]*", " ".join(re.findall(r"`([^`]+)`", " ".join(cells)))):
        assert name in source, name


@pytest.mark.parametrize(("cells", "row"), [*zip(FIRST, porting.WITH_COMPAT_V1, strict=True)],
                         ids=[row.__name__ for row in porting.WITH_COMPAT_V1])
def test_a_row_works_is_removed_or_differs_as_the_table_says(cells, row):
    _, in_2018, now, *_ = cells
    assert_names(row, in_2018)
    found, expected = porting.run(tf, row), RECORDED[row.__name__]
    assert "raises" not in str(expected)
    if now.startswith("works"):
        assert_same(found, expected)
    elif now == "removed":
        assert "raises" in found
    else:
        assert now.startswith("silently different")
        assert "raises" not in str(found)
        assert_different(found, expected)


@pytest.mark.parametrize("instead", INSTEAD, ids=lambda instead: instead.__name__)
def test_what_is_written_instead_gives_what_2018_gave(instead):
    [cells] = [cells for cells, row in zip(FIRST, porting.WITH_COMPAT_V1, strict=True)
               if row.__name__ == instead.__name__]
    assert_names(instead, cells[3])
    with tf.Graph().as_default():
        assert_same(porting.plain(instead(tf)), RECORDED[instead.__name__])


def test_every_other_row_is_tested_elsewhere():
    """By the two tests of seeds and legacy Keras; an estimator has no replacement."""
    changed = {row.__name__ for cells, row in zip(FIRST, porting.WITH_COMPAT_V1, strict=True)
               if not cells[2].startswith("works")}
    assert changed - {instead.__name__ for instead in INSTEAD} == {"slim", "lstm", "estimator", "graph_seed"}


def test_the_value_of_a_variable_has_no_name():
    assert RECORDED["by_other_name"] == 3.0
    assert porting.run(tf, porting.by_other_name) == {"raises": "ValueError"}


def test_seeds_of_operations_draw_the_same_numbers():
    assert_same(porting.run(tf, porting.op_seeds), RECORDED["op_seeds"])


@pytest.mark.parametrize(("cells", "row"), [*zip(SECOND, porting.IN_TENSORFLOW_2, strict=True)],
                         ids=[row.__name__ for row in porting.IN_TENSORFLOW_2])
def test_a_row_of_the_second_table_differs_in_tensorflow_2_only(cells, row):
    assert_names(row, cells[0])
    expected = RECORDED[row.__name__]
    assert_same(porting.run(tf, row), expected)
    if row is porting.dropout:
        expected = kept(expected)
    differs, written = IN_TENSORFLOW_2[row.__name__]
    assert_different(result(differs), expected)
    assert_same(result(written), expected)
    for name in re.findall(r"\btf((?:\.\w+)+)", " ".join(cells[1:3])):
        place = tensorflow
        for part in name.split(".")[1:]:
            place = getattr(place, part)


def result(function):
    found = function()
    return porting.plain(found.numpy() if hasattr(found, "numpy") else found)


def test_files_of_2018_are_read():
    """A .pb and a .meta that TensorFlow 1.15.5 wrote."""
    for name, message, run in (("frozen", tf.GraphDef(), porting.run_frozen),
                               ("meta_graph", tf.MetaGraphDef(), porting.run_meta_graph)):
        message.ParseFromString(base64.b64decode(RECORDED[name]["file"]))
        with tf.Graph().as_default():
            assert run(tf, message) == RECORDED[name]["y"]


@pytest.mark.slow
def test_disable_v2_behavior_gives_back_variables_control_flow_and_shapes(tmp_path):
    subprocess.run([sys.executable, porting.__file__, tmp_path / "found.json"], check=True, capture_output=True)
    found = json.loads((tmp_path / "found.json").read_text())
    given_back = {row.__name__ for cells, row in zip(FIRST, porting.WITH_COMPAT_V1, strict=True)
                  if not cells[2].startswith("works") and found[row.__name__] == RECORDED[row.__name__]}
    assert given_back == {"dimension_value", "new_shape", "by_name", "read_then_assign"}
    assert found["second_derivative"] == RECORDED["second_derivative"] == {"raises": "TypeError"}
    assert porting.run(tf, porting.second_derivative) == [12.0]


WITH_LEGACY_KERAS = f"""
{LEGACY_KERAS}
import json
import types
from tests.legacy import porting

tf.contrib = types.SimpleNamespace(layers=slim, slim=slim)
rows = (porting.batch_norm, porting.dense, porting.lstm, porting.fully_connected, porting.slim, porting.xavier)
print(json.dumps({{row.__name__: porting.run(tf, row) for row in rows}}))
"""


@pytest.mark.skipif(not (importlib.util.find_spec("tf_keras") and importlib.util.find_spec("tf_slim")),
                    reason="needs tf_keras and tf_slim, which no extra installs")
def test_legacy_keras_gives_back_the_layers():
    done = subprocess.run([sys.executable, "-c", WITH_LEGACY_KERAS], cwd=ROOT, check=True, capture_output=True,
                          text=True)
    for name, found in json.loads(done.stdout.splitlines()[-1]).items():
        assert_same(found, RECORDED[name])
