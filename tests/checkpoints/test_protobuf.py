"""Messages, against the protobuf package."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import tensor_bundle_pb2

from tests.helpers import many
from vae_graph.checkpoints.protobuf import InvalidMessage, Message

pytestmark = pytest.mark.quick

int64 = st.integers(-2**63, 2**63 - 1)


@many
@given(int64, int64, st.integers(0, 2**32 - 1), st.integers(-2**31, 2**31 - 1))
def test_integers_of_each_kind(offset, size, checksum, shard):
    content = tensor_bundle_pb2.BundleEntryProto(offset=offset, size=size, crc32c=checksum, shard_id=shard)
    message = Message(content.SerializeToString())
    assert [message.integer(field) for field in (4, 5, 6, 3)] == [offset, size, checksum, shard]


@many
@given(st.lists(int64, max_size=20))
def test_packed_integers(values):
    found = Message(tensor_pb2.TensorProto(int64_val=values).SerializeToString()).integers(10)
    np.testing.assert_array_equal(found.astype(np.int64), values)


def test_absent_fields_are_empty():
    message = Message(b"")
    assert (message.integer(1), message.bytes(1), message.messages(1), 1 in message) == (0, b"", [], False)
    assert message.message(1).integer(1) == 0
    assert message.integers(1).size == 0


@pytest.mark.parametrize("content", [
    b"\x08", b"\x08" + b"\xff" * 10 + b"\1", b"\x0a\5abc", b"\x0b", b"\x0d\1\2\3", b"\x09\1"])
def test_incomplete_messages(content):
    with pytest.raises(InvalidMessage):
        Message(content)


@pytest.mark.parametrize("packed", [b"\x80", b"\1\xff", b"\x80" * 10 + b"\1"])
def test_incomplete_packed_integers(packed):
    with pytest.raises(InvalidMessage):
        Message(b"\x0a" + bytes([len(packed)]) + packed).integers(1)


def test_an_integer_in_place_of_a_message():
    with pytest.raises(InvalidMessage):
        Message(b"\x08\1").message(1)
    assert Message(b"\x08\1").messages(1) == []
