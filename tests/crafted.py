"""Checkpoints made by hand, with arbitrary entries and valid checksums."""

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from tensorflow.core.framework import tensor_shape_pb2, tensor_slice_pb2
from tensorflow.core.protobuf import tensor_bundle_pb2
from tensorflow.core.util import saved_tensor_slice_pb2

MAGIC = 0xDB4775248B80FB57


def _crc_table() -> list[int]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return table


CRC_TABLE = _crc_table()


def crc32c(content: bytes) -> int:
    """The checksum of the table's blocks and of the variables, masked as by TensorFlow."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = CRC_TABLE[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return (crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF


def entry(sizes: Sequence[int] = (16,), dtype: int = 1, data: bytes = bytes(64),
          slices: Sequence[Sequence[tuple[int, int]]] = (), **others: int) -> bytes:
    """The index entry of a variable at the beginning of the data file; slices by start and length."""
    shape = tensor_shape_pb2.TensorShapeProto(
        dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in sizes])
    return tensor_bundle_pb2.BundleEntryProto(
        slices=[slice_proto(extents) for extents in slices],
        **{"dtype": dtype, "shape": shape, "size": len(data), "crc32c": crc32c(data)} | others).SerializeToString()


def slice_proto(extents: Sequence[tuple[int, int]]) -> tensor_slice_pb2.TensorSliceProto:
    """A part of a partitioned variable, by the start and the length in each dimension."""
    return tensor_slice_pb2.TensorSliceProto(extent=[
        tensor_slice_pb2.TensorSliceProto.Extent(start=start, length=length) for start, length in extents])


def saved_slices(name: str, sizes: Sequence[int], slices: Sequence[Sequence[tuple[int, int]]] = (),
                 dtype: int = 1) -> bytes:
    """The unnamed entry of a single file of TensorFlow 0.x with one variable."""
    found = saved_tensor_slice_pb2.SavedTensorSlices()
    variable = found.meta.tensor.add(name=name, type=dtype)
    for size in sizes:
        variable.shape.dim.add(size=size)
    variable.slice.extend(slice_proto(extents) for extents in slices)
    return found.SerializeToString()


def saved_part(name: str, extents: Sequence[tuple[int, int]], data: bytes) -> bytes:
    """The entry of a single file of TensorFlow 0.x with the float32 values of a part of a variable."""
    found = saved_tensor_slice_pb2.SavedTensorSlices()
    found.data.name = name
    found.data.slice.CopyFrom(slice_proto(extents))
    found.data.data.float_val.extend(struct.unpack(f"<{len(data) // 4}f", data))
    return found.SerializeToString()


def header(num_shards: int = 1, min_consumer: int = 0, endianness: int = 0) -> bytes:
    """The unnamed first entry of the index."""
    return tensor_bundle_pb2.BundleHeaderProto(
        num_shards=num_shards, endianness=endianness, version={"min_consumer": min_consumer}).SerializeToString()


def table(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Keys and values, in the order of the keys, as a table of one block."""
    return sealed([block(entries)])


def block(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Entries whose keys share no prefixes."""
    return b"".join(varint(0) + varint(len(key)) + varint(len(value)) + key + value
                    for key, value in entries) + struct.pack("<II", 0, 1)


def sealed(blocks: Sequence[bytes], index: bytes | None = None, compression: bytes = b"\0") -> bytes:
    """Blocks with their checksums, an index of them unless it is given, and the footer."""
    content, handles = b"", []
    for number, part in enumerate([*blocks, block([]), index]):
        if part is None:
            part = block((bytes([255, at]), handle) for at, handle in enumerate(handles[:len(blocks)]))
        handles.append(varint(len(content)) + varint(len(part)))
        content += part + compression + struct.pack("<I", crc32c(part + compression))
        assert number <= 254
    return content + (handles[-2] + handles[-1]).ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def varint(number: int) -> bytes:
    """A number in groups of seven bits, lowest first."""
    content = b""
    while number > 127:
        content += bytes([number & 127 | 128])
        number >>= 7
    return content + bytes([number])


def write(folder: Path, index: bytes, data: bytes = bytes(64)) -> str:
    """Write a checkpoint and return its prefix."""
    prefix = folder / "parameter0.ckpt"
    Path(f"{prefix}.index").write_bytes(index)
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
    return str(prefix)
