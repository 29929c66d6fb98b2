"""Protocol buffers, as far as a checkpoint has them: messages parsed into the values of their fields.

https://protobuf.dev/programming-guides/encoding
"""

import numpy as np

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIXED_SIZES = {FIXED64: 8, FIXED32: 4}


class InvalidMessage(ValueError):
    """Bytes are not a message of the expected kind."""


Value = int | bytes      # of a field; within `Message`, `bytes` is its method


class Message:
    """A message's values: `message.integer(3)` is field 3 as an integer, which is 0 if it is absent."""

    def __init__(self, content: bytes) -> None:
        """Parse a message.

        Raises:
            InvalidMessage: it is incomplete.
        """
        self._values: dict[int, list[Value]] = {}
        at = 0
        while at < len(content):
            key, at = read_varint(content, at)
            kind = key & 7
            value: Value
            if kind == VARINT:
                value, at = read_varint(content, at)
            else:
                size = FIXED_SIZES.get(kind)
                if kind == BYTES:
                    size, at = read_varint(content, at)
                if size is None or at + size > len(content):
                    raise InvalidMessage("an entry that cannot be parsed")
                value, at = content[at:at + size], at + size
            self._values.setdefault(key >> 3, []).append(value)

    def __contains__(self, field: int) -> bool:
        return field in self._values

    def integer(self, field: int) -> int:
        """A field of type int32, int64, bool, enum or fixed32: the last value given counts."""
        value = self._values.get(field, [0])[-1]
        if isinstance(value, bytes):
            if len(value) not in FIXED_SIZES.values():
                raise InvalidMessage("an entry that cannot be parsed")
            return int.from_bytes(value, "little")
        return value - (value >> 63 << 64)           # negative numbers are in two's complement

    def bytes(self, field: int) -> bytes:
        """A string, or a repeated field of fixed size: its values, packed."""
        values = self._values.get(field, [])
        if any(isinstance(value, int) for value in values):
            raise InvalidMessage("an entry that cannot be parsed")
        return b"".join(values)          # type: ignore[arg-type]

    def message(self, field: int) -> "Message":
        """A field that is a message itself; an empty one if it is absent."""
        return Message(self.bytes(field))            # the concatenation of messages is their union

    def messages(self, field: int) -> "list[Message]":
        """A repeated field of messages."""
        return [Message(value) for value in self._values.get(field, []) if isinstance(value, bytes)]

    def integers(self, field: int) -> np.ndarray:
        """A repeated field of packed integers, uint64 [n]; negative numbers are in two's complement."""
        packed = np.frombuffer(self.bytes(field), np.uint8)
        ends = np.flatnonzero(packed < 128) + 1
        if packed.size != (ends[-1] if ends.size else 0):
            raise InvalidMessage("an entry that cannot be parsed")
        starts = np.concatenate([[0], ends[:-1]]) if ends.size else ends
        shifts = 7 * (np.arange(packed.size) - np.repeat(starts, ends - starts))
        if shifts.max(initial=0) > 63:
            raise InvalidMessage("an entry that cannot be parsed")
        groups = (packed & 127).astype(np.uint64) << shifts.astype(np.uint64)
        return np.bitwise_or.reduceat(groups, starts) if ends.size else groups


def read_varint(content: bytes, at: int) -> tuple[int, int]:
    """An integer in groups of seven bits, lowest first, at an offset, and the offset after it.

    Raises:
        InvalidMessage: it is incomplete, or of more than 64 bits.
    """
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            break
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << 64) - 1, at
    raise InvalidMessage("an entry that cannot be parsed")
