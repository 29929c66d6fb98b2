"""The tables of a checkpoint, parsed and validated without TensorFlow's reader.

That reader trusts an entry whose checksums fit: a negative size aborts the process, and a claim of a billion strings
allocates the memory for them. So it reads a file only after the entries have been validated here.

Both formats are tables of keys and values in the manner of LevelDB: blocks of entries whose keys share prefixes, an
index of the blocks, and a footer of 48 bytes with the position of the index (tensorflow/core/lib/io/format.h).
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
# Since keys share prefixes, a small file can have very long ones.
MAX_KEY_SIZE, MAX_KEYS_SIZE = 1_000, 10_000_000
MAX_FILE_SIZE = 2**31            # of an index, or of a single file of TensorFlow 0.x
MAX_DIMENSIONS, MAX_ELEMENTS = 254, 2**62        # TensorFlow's


class InvalidTable(ValueError):
    """An entry has impossible values, or the table is damaged. The message says what was found."""


def validate(prefix: str) -> None:
    """Validate the entries of a checkpoint in format V2 or V1.

    Raises:
        InvalidTable: a shape or type is impossible, or the files are too small for the variables.
        OSError: a file cannot be read.
    """
    n_elements = 0
    if os.path.exists(f"{prefix}.index"):
        files = [path for path in Path(prefix).parent.iterdir() if path.name.startswith(f"{Path(prefix).name}.data-")]
        for number, (_, value) in enumerate(_entries(_read(Path(f"{prefix}.index")))):
            if number > 0:               # the first is the header
                entry = _parse(tensor_bundle_pb2.BundleEntryProto, value)
                n_elements += _size(entry.dtype, entry.shape)
                _check_slices(entry.slices, entry.shape)
    else:
        files = [Path(prefix)]
        for key, value in _entries(_read(Path(prefix))):
            if not key:
                for entry in _parse(saved_tensor_slice_pb2.SavedTensorSlices, value).meta.tensor:
                    n_elements += _size(entry.type, entry.shape)
                    _check_slices(entry.slice, entry.shape)

    if special := [path for path in files if not path.is_file()]:
        raise InvalidTable(f"{special[0].name}, which is no regular file")
    # An element of any type takes at least one byte.
    n_bytes = sum(path.stat().st_size for path in files)
    if n_elements > n_bytes:
        raise InvalidTable(f"{n_elements} elements in {n_bytes} bytes")


def _read(path: Path) -> bytes:
    """The content of a regular file: a pipe or a device would block, or never end."""
    if not path.is_file():
        raise InvalidTable(f"{path.name}, which is no regular file" if path.exists() else f"no file {path.name}")
    if path.stat().st_size > MAX_FILE_SIZE:
        raise InvalidTable(f"{path.name} of {path.stat().st_size} bytes")
    return path.read_bytes()


def _size(dtype: int, shape: Any) -> int:
    """The number of elements of a variable, whose type and shape are validated."""
    sizes = [dim.size for dim in shape.dim]
    try:
        known = tf.as_dtype(dtype)
    except TypeError:
        known = None
    if known is None or known != known.base_dtype:       # reference types exist in graphs, not in files
        raise InvalidTable(f"a variable of the unknown type {dtype}")
    if (shape.unknown_rank or len(sizes) > MAX_DIMENSIONS or min(sizes, default=0) < 0
            or math.prod(size or 1 for size in sizes) > MAX_ELEMENTS):
        raise InvalidTable(f"a variable of shape {sizes[:8]}")
    return math.prod(sizes)


def _check_slices(slices: Any, shape: Any) -> None:
    """Raise InvalidTable unless the slices of a partitioned variable are within its shape."""
    sizes = [dim.size for dim in shape.dim]
    for part in slices:
        # Without a length an extent is that of the whole dimension.
        extents = [(extent.start, extent.length if extent.HasField("length") else size - extent.start)
                   for extent, size in zip(part.extent, sizes, strict=False)]
        if len(part.extent) != len(sizes) or not all(
                start >= 0 and length > 0 and start + length <= size
                for (start, length), size in zip(extents, sizes, strict=True)):
            raise InvalidTable(f"a slice {extents[:8]} of a variable of shape {sizes[:8]}")


def _parse(kind: Any, value: bytes) -> Any:
    try:
        return kind.FromString(value)
    except Exception:                    # the class differs between versions of protobuf
        raise InvalidTable("an entry that cannot be parsed") from None


def _entries(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a table; its checksums are verified by TensorFlow."""
    footer = content[-FOOTER_SIZE:]
    if len(footer) < FOOTER_SIZE or struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise InvalidTable("no checkpoint table")
    try:
        _, at = _handle(footer, 0)           # the metaindex block, which TensorFlow leaves empty
        index, _ = _handle(footer, at)
        end, budget = 0, MAX_KEYS_SIZE
        for _, value in _block(content, index):
            handle, _ = _handle(value, 0)
            if handle.start < end:           # blocks are consecutive
                raise IndexError
            end = handle.stop
            for key, value in _block(content, handle):
                budget -= len(key)
                if budget < 0:
                    raise InvalidTable("names that are too long")
                yield key, value
    except (IndexError, struct.error):
        raise InvalidTable("a damaged table") from None


def _block(content: bytes, handle: slice) -> Iterator[tuple[bytes, bytes]]:
    """The entries of a block."""
    if content[handle.stop]:
        raise InvalidTable("a compressed table, which TensorFlow does not write")
    block = content[handle]
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
    """The position of a block, and the offset after its handle."""
    start, at = _varint(content, at)
    size, at = _varint(content, at)
    return slice(start, start + size), at


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, lowest first, and the offset after it."""
    value = 0
    for shift in range(0, 64, 7):
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise IndexError
