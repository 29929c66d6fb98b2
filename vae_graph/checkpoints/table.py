"""The tables that a checkpoint consists of: keys and values, as in LevelDB.

Blocks of entries whose keys share prefixes, an index of the blocks, and a footer of 48 bytes with the position of the
index (tensorflow/core/lib/io/format.h). Each block is followed by a byte for its compression and by its checksum.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from vae_graph.checkpoints.crc32c import masked_crc32c
from vae_graph.checkpoints.protobuf import InvalidMessage, read_varint

FOOTER_SIZE, MAGIC = 48, 0xDB4775248B80FB57
# Since keys share prefixes, a small file can have very long ones.
MAX_KEY_SIZE, MAX_KEYS_SIZE = 2**16, 10_000_000
MAX_FILE_SIZE = 2**31            # of an index, or of a single file of TensorFlow 0.x


# What stands in front of other files that are taken for checkpoints, and what they are.
LFS_POINTER = b"version https://git-lfs"
OTHER_FORMATS = {
    LFS_POINTER: "a Git LFS pointer: `git lfs pull` fetches the file itself",
    b"\x89HDF\r\n": "an HDF5 file, such as Keras writes",
    b"PK\x03\x04": "a ZIP archive, such as PyTorch, Keras and NumPy write",
    b"\x80\x02\x8a\nl\xfc\x9c": "a PyTorch file",
    b"\x08\x01\x12": "a SavedModel's graph; its variables are in the checkpoint variables/variables beside it",
}


class InvalidTable(ValueError):
    """A file is not a table, or a damaged one. The message says what was found."""


def entries(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The keys, ascending, and the values of a table, whose checksums are verified.

    Raises:
        InvalidTable: it is damaged, or not a table.
        OSError: it cannot be read.
    """
    content = _read(path)
    footer = content[-FOOTER_SIZE:]
    if len(footer) < FOOTER_SIZE or struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise InvalidTable(other_format(path) or "a file that is not a checkpoint")
    try:
        _, at = _handle(footer, 0)           # the metaindex block, which TensorFlow leaves empty
        index, _ = _handle(footer, at)
        end, budget = 0, MAX_KEYS_SIZE
        previous: bytes | None = None
        for _, value in _block(content, index):
            handle, _ = _handle(value, 0)
            if handle.start < end:           # blocks are consecutive
                raise InvalidTable("a damaged table")
            end = handle.stop
            for key, value in _block(content, handle):
                budget -= len(key)
                if budget < 0:
                    raise InvalidTable("names that are too long")
                if previous is not None and key <= previous:
                    raise InvalidTable("a damaged table")
                yield key, value
                previous = key
    except (IndexError, struct.error, InvalidMessage):
        raise InvalidTable("a damaged table") from None


def other_format(path: Path) -> str | None:
    """What a file is that is no part of a checkpoint, if it is of a known format."""
    with open(path, "rb") as file:
        beginning = file.read(256)
    if beginning.startswith(b"PK") and b"/data.pkl" in beginning:
        return "a PyTorch file"
    return next((name for start, name in OTHER_FORMATS.items() if beginning.startswith(start)), None)


def is_table(path: Path) -> bool:
    """Whether a file ends as a table does."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 8))
        return file.read(8) == struct.pack("<Q", MAGIC)


def check_regular(path: Path) -> None:
    """Raise InvalidTable unless a path is that of a regular file: a pipe or a device would block, or never end."""
    if not path.is_file():
        raise InvalidTable(f"{path.name}, which is not a regular file" if path.exists() else f"no file {path.name}")


def _read(path: Path) -> bytes:
    check_regular(path)
    if path.stat().st_size > MAX_FILE_SIZE:
        raise InvalidTable(f"{path.name} of {path.stat().st_size} bytes")
    return path.read_bytes()


def _block(content: bytes, handle: slice) -> Iterator[tuple[bytes, bytes]]:
    """The entries of a block."""
    compression = content[handle.stop]
    checksum = struct.unpack_from("<I", content, handle.stop + 1)[0]
    if masked_crc32c(content[handle.start:handle.stop + 1]) != checksum:
        raise InvalidTable("a table whose checksum does not match")
    if compression:
        raise InvalidTable("a compressed table, which TensorFlow does not write")
    block = content[handle]
    n_restarts = struct.unpack("<I", block[-4:])[0]
    entries_end = len(block) - 4 * (n_restarts + 1)
    if entries_end < 0:
        raise InvalidTable("a damaged table")
    key, at = b"", 0
    while at < entries_end:
        shared, at = read_varint(block, at)
        unshared, at = read_varint(block, at)
        size, at = read_varint(block, at)
        if shared > len(key) or at + unshared + size > entries_end:
            raise InvalidTable("a damaged table")
        if shared + unshared > MAX_KEY_SIZE:
            raise InvalidTable("names that are too long")
        key = key[:shared] + block[at:at + unshared]
        at += unshared + size
        yield key, block[at - size:at]


def _handle(content: bytes, at: int) -> tuple[slice, int]:
    """The position of a block, and the offset after its handle."""
    start, at = read_varint(content, at)
    size, at = read_varint(content, at)
    return slice(start, start + size), at
