"""What a checkpoint says is in it, read without TensorFlow's reader.

That reader trusts what it is told once the checksums fit: of a negative size it aborts the process, and for a
thousand million strings it takes the memory. So it is asked only once the claims are seen to be possible.

Both formats are tables of keys and values in the manner of LevelDB: blocks of entries whose keys share prefixes, an
index of the blocks, and a footer of 48 bytes that says where the index is (tensorflow/core/lib/io/format.h).
"""

import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf import tensor_bundle_pb2
from tensorflow.core.util import saved_tensor_slice_pb2

FOOTER_SIZE, MAGIC = 48, 0xDB4775248B80FB57
# Keys share prefixes, and so a small file can claim a great deal.
MAX_KEY_SIZE, MAX_KEYS_SIZE = 1_000, 10_000_000
MAX_DIMENSIONS, MAX_ELEMENTS = 254, 2**62        # TensorFlow's


class Impossible(ValueError):
    """No file can hold what is claimed, or the table is damaged. The message says what was found."""


def refuse_impossible(prefix: str) -> None:
    """Look at what a checkpoint, of format V2 or V1, claims to hold.

    Raises:
        Impossible: a shape or a type cannot be, or the files are too small for it.
        OSError: a file cannot be read.
    """
    claimed = 0
    if os.path.exists(f"{prefix}.index"):
        files = [path for path in Path(prefix).parent.iterdir() if path.name.startswith(f"{Path(prefix).name}.data-")]
        for number, (_, value) in enumerate(_table(Path(f"{prefix}.index").read_bytes())):
            if number > 0:               # the first is the header
                entry = _parse(tensor_bundle_pb2.BundleEntryProto, value)
                claimed += _size(entry.dtype, entry.shape)
    else:
        files = [Path(prefix)]
        for key, value in _table(Path(prefix).read_bytes()):
            if not key:
                for entry in _parse(saved_tensor_slice_pb2.SavedTensorSlices, value).meta.tensor:
                    claimed += _size(entry.type, entry.shape)

    # Whatever its type, an element takes a byte at least.
    there = sum(path.stat().st_size for path in files)
    if claimed > there:
        raise Impossible(f"{claimed} numbers claimed in {there} bytes")


def _size(dtype: int, shape: Any) -> int:
    """The elements of a variable, once its type and shape are seen to be some."""
    sizes = [dim.size for dim in shape.dim]
    try:
        known = tf.as_dtype(dtype)
    except TypeError:
        known = None
    if known is None or known != known.base_dtype:       # references are types of a graph's, not of a file's
        raise Impossible(f"a variable of the unknown type {dtype}")
    if (shape.unknown_rank or len(sizes) > MAX_DIMENSIONS or min(sizes, default=0) < 0
            or math.prod(size or 1 for size in sizes) > MAX_ELEMENTS):
        raise Impossible(f"a variable of shape {sizes[:8]}")
    return math.prod(sizes)


def _parse(kind: Any, value: bytes) -> Any:
    try:
        return kind.FromString(value)
    except Exception:                    # the class differs between versions of protobuf
        raise Impossible("an entry that is none") from None


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a table; its checksums are left to TensorFlow."""
    footer = content[-FOOTER_SIZE:]
    if len(footer) < FOOTER_SIZE or struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise Impossible("no table of TensorFlow's")
    try:
        _, at = _handle(footer, 0)           # of a block that TensorFlow leaves empty
        index, _ = _handle(footer, at)
        end, room = 0, MAX_KEYS_SIZE
        for _, value in _block(content, index):
            place, _ = _handle(value, 0)
            if place.start < end:            # blocks lie one after the other
                raise IndexError
            end = place.stop
            for key, value in _block(content, place):
                room -= len(key)
                if room < 0:
                    raise Impossible("names without end")
                yield key, value
    except (IndexError, struct.error):
        raise Impossible("a damaged table") from None


def _block(content: bytes, place: slice) -> Iterator[tuple[bytes, bytes]]:
    """The entries of a block."""
    if content[place.stop]:
        raise Impossible("a compressed table, which TensorFlow never wrote")
    block = content[place]
    n_restarts = struct.unpack("<I", block[-4:])[0]
    entries = block[:-4 * (n_restarts + 1)]
    key, at = b"", 0
    while at < len(entries):
        shared, at = _varint(entries, at)
        unshared, at = _varint(entries, at)
        size, at = _varint(entries, at)
        if shared > len(key) or shared + unshared > MAX_KEY_SIZE or at + unshared + size > len(entries):
            raise IndexError
        key = key[:shared] + entries[at:at + unshared]
        at += unshared + size
        yield key, entries[at - size:at]


def _handle(content: bytes, at: int) -> tuple[slice, int]:
    """Where a block is, and where what follows its handle is."""
    start, at = _varint(content, at)
    size, at = _varint(content, at)
    return slice(start, start + size), at


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where what follows it is."""
    value = 0
    for shift in range(0, 64, 7):
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise IndexError
