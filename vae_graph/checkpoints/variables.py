"""The variables in a checkpoint's files, read without TensorFlow: at once, and safely if the file is a stranger's.

TensorFlow's reader trusts an entry whose checksums fit: a negative size aborts the process, and a claim of a billion
strings allocates the memory for them.

Format V2 is an index, the table of the variables, and shards of data (tensorflow/core/protobuf/tensor_bundle.proto).
Format V1, of TensorFlow 0.x, is one table with everything in it (tensorflow/core/util/saved_tensor_slice.proto).
In both, a partitioned variable is stored in parts, each under a name that encodes its position.

Strings, resources and variants are not read: they become arrays of None, whose type has one field with the name of
TensorFlow's type. Types that NumPy lacks are those of ml_dtypes.

`read_v2` and `read_v1` give one variable at a time, since all of them may be large. They raise ValueError if a file is
damaged, `DataMissing` if only the index is there, and OSError if a file cannot be read.
"""

import functools
import importlib
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from vae_graph.checkpoints.crc32c import masked_crc32c
from vae_graph.checkpoints.protobuf import Message
from vae_graph.checkpoints.table import LFS_POINTER, OTHER_FORMATS, InvalidTable, check_regular, entries

# tensorflow/core/framework/types.proto
TYPES = dict(enumerate((
    "float32", "float64", "int32", "uint8", "int16", "int8", "string", "complex64", "int64", "bool", "qint8", "quint8",
    "qint32", "bfloat16", "qint16", "quint16", "uint16", "complex128", "float16", "resource", "variant", "uint32",
    "uint64", "float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz", "int4",
    "uint4", "int2", "uint2", "float4_e2m1fn"), start=1))
UNREAD = {"string", "resource", "variant"}
MAX_DIMENSIONS, MAX_ELEMENTS = 254, 2**62        # TensorFlow's
FORMAT_VERSION = 1
# In format V1, the field of TensorProto that holds the values: packed bytes, or packed integers of any length.
# TensorFlow reads no other types in it; they are not read here either.
FIXED_SIZE_FIELDS = {"float32": 5, "float64": 6}
INTEGER_FIELDS = {"int32": 7, "uint8": 7, "int16": 7, "int8": 7, "int64": 10, "bool": 11}

# The part of a variable that is stored by itself: start and length in each dimension; the length -1 is the whole.
Extents = tuple[tuple[int, int], ...]


class DataMissing(InvalidTable):
    """The index of a checkpoint in format V2 is there, and its data file is not."""


def read_v2(prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    """The names and values of the variables of a checkpoint in format V2."""
    header, table = _open_table(Path(f"{prefix}.index"))
    shards = _Shards(prefix, header)
    found = {key: Message(value) for key, value in table}
    partitions = _partitions(found)
    for key, shape, dtype in _variables(found, partitions):
        if key not in partitions:
            yield _text(key), shards.read(key, found[key], shape, dtype)
            continue
        regions = {name: _region(extents, shape) for name, extents in partitions[key].items()}
        if not regions.keys() <= found.keys():
            raise InvalidTable(f"a variable {_text(key)!r} without some of its parts")
        yield _text(key), _assemble(shape, dtype, [
            (region, functools.partial(shards.read, key, found[name], _size_of(region), dtype))
            for name, region in regions.items()])


def read_index(prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    """What `read_v2` gives, from the index alone: arrays of the right shape and type, without the values."""
    _, table = _open_table(Path(f"{prefix}.index"))
    found = {key: Message(value) for key, value in table}
    for key, shape, dtype in _variables(found, _partitions(found)):
        yield _text(key), np.broadcast_to(np.zeros((), dtype), shape)


def _partitions(found: dict[bytes, Message]) -> dict[bytes, dict[bytes, Extents]]:
    """Of each partitioned variable, the keys and the extents of its parts."""
    return {key: {part_key(key, extents): extents for extents in map(_extents, entry.messages(7))}
            for key, entry in found.items() if 7 in entry}


def _variables(found: dict[bytes, Message], partitions: dict[bytes, dict[bytes, Extents]]
               ) -> Iterator[tuple[bytes, tuple[int, ...], np.dtype]]:
    """The key, shape and type of each variable; parts are none."""
    parts = set().union(*partitions.values())
    for key, entry in found.items():
        if key not in parts:
            yield key, _shape(entry.message(2)), _dtype(entry.integer(1))


def read_v1(prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    """The names and values of the variables of a checkpoint in format V1."""
    header, table = _open_table(Path(prefix))
    stored: dict[bytes, list[Message]] = {}
    for _, value in table:
        part = Message(value).message(2)
        stored.setdefault(part.bytes(1), []).append(part)

    n_bytes, n_elements, names = Path(prefix).stat().st_size, 0, set()
    for variable in header.message(1).messages(1):
        name, shape, dtype = variable.bytes(1), _shape(variable.message(2)), _dtype_of_v1(variable.integer(3))
        if name in names:
            raise InvalidTable(f"the variable {_text(name)!r} twice")
        names.add(name)
        n_elements += math.prod(shape)
        if n_elements > n_bytes:             # an element of any type takes at least one byte
            raise InvalidTable(f"{n_elements} elements in {n_bytes} bytes")
        for part in variable.messages(4):            # TensorFlow's reader trusts them
            _region(_extents(part), shape)
        parts = []
        for part in stored.get(name, []):
            region = _region(_extents(part.message(2)), shape)
            parts.append((region, functools.partial(_values, part, _size_of(region), dtype)))
        yield _text(name), _assemble(shape, dtype, parts)


def _open_table(path: Path) -> tuple[Message, Iterator[tuple[bytes, bytes]]]:
    """The header of a table, which is its first entry and has no name, and the other entries."""
    table = entries(path)
    key, header = next(table, (b"no header", b""))
    if key:
        raise InvalidTable("a table without a header")
    return Message(header), table


class _Shards:
    """The data files of a checkpoint in format V2."""

    def __init__(self, prefix: str, header: Message) -> None:
        if header.message(3).integer(2) > FORMAT_VERSION:
            raise InvalidTable("a newer format")
        if header.integer(2) != (sys.byteorder == "big"):
            raise InvalidTable("numbers in the byte order of another machine")
        self._prefix, self._n_shards = prefix, header.integer(1)
        self._file_sizes: dict[Path, int] = {}
        self._n_read = 0

    def read(self, key: bytes, entry: Message, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """The values of a variable, or of a part of it, that its entry refers to."""
        path = Path(f"{self._prefix}.data-{entry.integer(3):05d}-of-{self._n_shards:05d}")
        offset, size, n_elements = entry.integer(4), entry.integer(5), math.prod(shape)
        is_read = not dtype.hasobject
        if (n_elements * dtype.itemsize != size) if is_read else n_elements > size:
            raise InvalidTable(f"{n_elements} elements of {_name(dtype)} in {size} bytes")
        if path not in self._file_sizes:
            if not path.exists():
                raise DataMissing(f"no file {path.name}")
            check_regular(path)
            with open(path, "rb") as file:
                if file.read(len(LFS_POINTER)) == LFS_POINTER:
                    raise DataMissing(f"{path.name}, {OTHER_FORMATS[LFS_POINTER]}")
            self._file_sizes[path] = path.stat().st_size
        self._n_read += size
        # Entries that share bytes could claim any amount of memory.
        if min(offset, size) < 0 or offset + size > self._file_sizes[path] or (
                self._n_read > sum(self._file_sizes.values())):
            raise InvalidTable(f"{size} bytes at {offset} of the {self._file_sizes[path]} bytes of {path.name}")
        if not is_read:
            return np.empty(shape, dtype)
        with open(path, "rb") as file:
            file.seek(offset)
            content = np.fromfile(file, np.uint8, size)
        if content.size != size or masked_crc32c(content) != entry.integer(6):
            raise InvalidTable(f"a variable {_text(key)!r} whose checksum does not match")
        return content.view(dtype).reshape(shape)


def _values(part: Message, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The values of a variable, or of a part of it, in a SavedSlice."""
    if dtype.hasobject:
        return np.empty(shape, dtype)
    name, tensor = _name(dtype), part.message(3)
    if name in FIXED_SIZE_FIELDS:
        content = tensor.bytes(FIXED_SIZE_FIELDS[name])
    else:
        content = tensor.integers(INTEGER_FIELDS[name]).astype(f"u{dtype.itemsize}").tobytes()
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise InvalidTable(f"{math.prod(shape)} elements of {name} in {len(content)} bytes")
    return np.frombuffer(content, dtype).reshape(shape)


def _assemble(shape: tuple[int, ...], dtype: np.dtype,
              parts: Sequence[tuple[tuple[slice, ...], Callable[[], np.ndarray]]]) -> np.ndarray:
    """A variable from its parts, each a region and what reads it; they must cover it without overlapping."""
    n_elements = sum(math.prod(_size_of(region)) for region, _ in parts)
    # Parts without elements would be as many as a file can name.
    if n_elements != math.prod(shape) or len(parts) > max(n_elements, 1):
        raise InvalidTable(f"{len(parts)} parts with {n_elements} elements of a variable of shape {shape[:8]}")
    values, is_set = np.empty(shape, dtype), np.zeros(shape, bool)
    for region, read in parts:
        values[region], is_set[region] = read(), True
    if not is_set.all():
        raise InvalidTable(f"overlapping parts of a variable of shape {shape[:8]}")
    return values


def _shape(message: Message) -> tuple[int, ...]:
    """A valid shape."""
    shape = tuple(dim.integer(1) for dim in message.messages(2))
    if (message.integer(3) or len(shape) > MAX_DIMENSIONS or min(shape, default=0) < 0
            or math.prod(size or 1 for size in shape) > MAX_ELEMENTS):
        raise InvalidTable(f"a variable of shape {shape[:8]}")
    return shape


def _dtype(number: int) -> np.dtype:
    """The NumPy type of one of TensorFlow's types."""
    name = TYPES.get(number)
    if name is None:                 # reference types, too: they exist in graphs, not in files
        raise InvalidTable(f"a variable of the unknown type {number}")
    if name in UNREAD:
        return np.dtype([(name, object)])
    name = name.replace("qint", "int").replace("quint", "uint")      # quantized types, which are integers here
    try:
        return np.dtype(name)
    except TypeError:
        extension_types = importlib.import_module("ml_dtypes")       # TensorFlow requires it
    if not hasattr(extension_types, name):
        raise InvalidTable(f"a variable of type {name}, which this version of ml_dtypes lacks")
    return np.dtype(getattr(extension_types, name))


def _dtype_of_v1(number: int) -> np.dtype:
    """The NumPy type of one of TensorFlow's types in format V1."""
    dtype = _dtype(number)
    if dtype.hasobject or _name(dtype) in FIXED_SIZE_FIELDS.keys() | INTEGER_FIELDS.keys():
        return dtype
    return np.dtype([(_name(dtype), object)])


def _name(dtype: np.dtype) -> str:
    return dtype.names[0] if dtype.names else dtype.name


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise InvalidTable("a name that is not UTF-8") from None


def _extents(part: Message) -> Extents:
    """The start and length in each dimension of a TensorSliceProto."""
    extents = tuple((extent.integer(1), extent.integer(2) if 2 in extent else -1) for extent in part.messages(1))
    if len(extents) > MAX_DIMENSIONS:
        raise InvalidTable(f"a slice {[*extents[:8]]}")
    return extents


def _region(extents: Extents, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The indices of a part, which must be within the variable's shape."""
    if len(extents) != len(shape) or not all(
            (start, length) == (0, -1) or (start >= 0 and length > 0 and start + length <= size)
            for (start, length), size in zip(extents, shape, strict=True)):
        raise InvalidTable(f"a slice {[*extents[:8]]} of a variable of shape {shape[:8]}")
    return tuple(slice(start, size if length == -1 else start + length)
                 for (start, length), size in zip(extents, shape, strict=True))


def _size_of(region: tuple[slice, ...]) -> tuple[int, ...]:
    """The shape of a part."""
    return tuple(indices.stop - indices.start for indices in region)


def part_key(name: bytes, extents: Extents) -> bytes:
    """The key of a part in format V2 (`EncodeTensorNameSlice` in tensorflow/core/util/saved_tensor_slice_util.cc)."""
    escaped = name.replace(b"\0", b"\0\xff")         # in UTF-8 there is no other byte to escape
    numbers = b"".join(map(_ordered, itertools.chain.from_iterable(extents)))
    return b"\0" + escaped + b"\0\1" + (bytes([1, len(extents)]) if extents else b"\0") + numbers


def _ordered(number: int) -> bytes:
    """A signed integer as bytes that sort like it (tensorflow/core/lib/strings/ordered_code.h).

    Its length, in unary, takes the place of the highest bits, which repeat the sign.
    """
    n_bytes = (number if number >= 0 else ~number).bit_length() // 7 + 1
    header = (1 << n_bytes) - 1 << 7 * n_bytes
    return (number % (1 << 8 * n_bytes) ^ header).to_bytes(n_bytes, "big")
