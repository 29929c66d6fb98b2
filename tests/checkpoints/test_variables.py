"""Our reader against TensorFlow's: the same names, types, shapes and bytes."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf2
import tensorflow.compat.v1 as tf

from tests import crafted
from tests.helpers import write_checkpoint
from tests.small import ORACLE_DIR
from vae_graph import checkpoints
from vae_graph.checkpoints import variables

QUANTIZED = {"qint8", "quint8", "qint16", "quint16", "qint32"}       # they are read as integers
V1 = {"write_version": tf.train.SaverDef.V1}


def assert_same_as_tensorflows(prefix):
    reader = tf.train.load_checkpoint(prefix)
    found = checkpoints.read_variables(prefix)
    assert found.keys() == reader.get_variable_to_shape_map().keys()
    for name, value in found.items():
        expected = np.asarray(reader.get_tensor(name))
        assert (value.dtype, value.shape, value.tobytes()) == (expected.dtype, expected.shape, expected.tobytes()), name


def values_of(name, rng):
    """Some values of a type, the extreme ones of integers among them."""
    dtype = np.dtype(tf.as_dtype(name).as_numpy_dtype)
    if name in ("bool", "int4", "uint4", "int2", "uint2", "float4_e2m1fn"):
        return rng.integers(0, 2, (3, 4)).astype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.array([[limits.min, limits.max, 0, 1]], dtype)
    return rng.normal(size=(3, 4)).astype(dtype)


def types_of_tensorflow():
    """The names of the types that the installed TensorFlow has, by their numbers in files."""
    found = {}
    for number in range(1, 100):
        with contextlib.suppress(TypeError):
            found[number] = tf.as_dtype(number).base_dtype.name
    return found


def test_every_type_of_tensorflow_is_known():
    """Those that an older TensorFlow lacks are read from files of a newer one."""
    assert types_of_tensorflow().items() <= variables.TYPES.items()


@pytest.mark.parametrize("name", sorted({*types_of_tensorflow().values()} - variables.UNREAD - QUANTIZED))
def test_every_type_is_read(tmp_path, name):
    value = values_of(name, np.random.default_rng(0))
    assert_same_as_tensorflows(write_checkpoint(tmp_path / "x", {
        "w": value, "empty": value[:0], "scalar": value[0, 0]}))


@pytest.mark.parametrize("name", sorted(QUANTIZED))
def test_quantized_types_are_read_as_integers(tmp_path, name):
    [number] = (number for number, other in variables.TYPES.items() if other == name)
    content = bytes(range(16)) * 4
    prefix = crafted.write(tmp_path, crafted.table([(b"", crafted.header()), (b"w", crafted.entry(
        [64 // np.dtype(name.replace("q", "")).itemsize], number, content))]), content)
    found = checkpoints.read_variables(prefix)["w"]
    assert (found.dtype, found.tobytes()) == (name.replace("q", ""), content)


@pytest.mark.parametrize("name", [*variables.FIXED_SIZE_FIELDS, *variables.INTEGER_FIELDS])
def test_every_type_is_read_in_the_format_of_tensorflow_0(tmp_path, name):
    values = values_of(name, np.random.default_rng(0))
    assert_same_as_tensorflows(write_checkpoint(tmp_path / "x", {"w": values, "scalar": values[0, 0]}, **V1))


@pytest.mark.parametrize("version", [{}, V1])
def test_strings_are_not_read(tmp_path, version):
    prefix = write_checkpoint(tmp_path / "x", {"names": np.array([b"a", b"bc"]), "w": np.float32(1)}, **version)
    found = checkpoints.read_variables(prefix)
    assert found["names"].shape == (2,)
    assert found["names"].dtype.names == ("string",)
    assert found["w"] == 1


def test_a_checkpoint_of_tensorflow_1():
    assert_same_as_tensorflows(str(ORACLE_DIR / "parameter20.ckpt"))


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_partitioned_variable_is_read(tmp_path, axis, sharded):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("w", [300, 70_000 // 300][::1 - 2 * axis], partitioner=tf.fixed_size_partitioner(3, axis))
        tf.get_variable("b", [5])
        session.run(tf.global_variables_initializer())
        prefix = tf.train.Saver(sharded=sharded).save(session, str(tmp_path / "x.ckpt"), write_meta_graph=False)
    assert_same_as_tensorflows(prefix)


def test_the_keys_of_parts_have_the_order_of_their_positions():
    """As those that TensorFlow writes: one byte or more for each number, highest first, a negative one inverted."""
    assert variables.part_key(b"w\0", ((0, -1), (64, -64))) == b"\0w\0\xff\0\1\1\2" b"\x80\x7f" b"\xc0\x40\x40"
    numbers = sorted(sign * 2**power + step for sign in (-1, 1) for power in range(2, 63) for step in (-1, 0, 1))
    keys = [variables.part_key(b"w", ((number, -1),)) for number in numbers]
    assert keys == sorted(set(keys))


def test_a_partitioned_variable_in_the_format_of_tensorflow_0(tmp_path):
    """TensorFlow's reader of the two refuses it."""
    with tf.Graph().as_default(), tf.Session() as session:
        variable = tf.get_variable("w", [5, 4], partitioner=tf.fixed_size_partitioner(2), use_resource=False)
        session.run(tf.global_variables_initializer())
        expected = session.run(tf.convert_to_tensor(variable))
        prefix = tf.train.Saver(**V1).save(session, str(tmp_path / "x.ckpt"), write_meta_graph=False)
    np.testing.assert_array_equal(checkpoints.read_variables(prefix)["w"], expected)


def test_a_checkpoint_of_objects(tmp_path):
    """As TensorFlow 2 writes them, with a string that describes the objects."""
    prefix = tf2.train.Checkpoint(v=tf2.Variable(np.arange(3.0))).write(str(tmp_path / "x"))
    found = checkpoints.read_variables(prefix)
    np.testing.assert_array_equal(found["v/.ATTRIBUTES/VARIABLE_VALUE"], np.arange(3.0))
    assert found["_CHECKPOINTABLE_OBJECT_GRAPH"].dtype.names == ("string",)
