"""CRC-32C, the checksum of a checkpoint's blocks and variables, vectorized over many parts of the data.

The checksum is linear: the register after a message is the XOR of what each of its parts, followed by as many zeros as
there are bytes after it, gives alone. So the registers of all parts advance together, and are combined in pairs.
Reference: Castagnoli et al., "Optimization of Cyclic Redundancy-Check Codes with 24 and 32 Parity Bits", IEEE
Transactions on Communications 41(6), 1993.
"""

import functools

import numpy as np

POLYNOMIAL = 0x82F63B78          # with the coefficient of x^31 in the lowest bit
ALL_ONES = 0xFFFFFFFF
WORD = 4                         # bytes by which a register advances at once
CHUNK = 1 << 24                  # bytes: bounds the memory for copies


def masked_crc32c(content: bytes | np.ndarray) -> int:
    """The masked checksum of some bytes, as TensorFlow stores it (tensorflow/core/lib/hash/crc32c.h)."""
    crc = crc32c(content)
    return (crc >> 15 | crc << 17) + 0xA282EAD8 & ALL_ONES


def crc32c(content: bytes | np.ndarray) -> int:
    """The checksum of some bytes: uint8 if they are an array."""
    content = np.frombuffer(content, np.uint8)
    register = ALL_ONES
    for start in range(0, content.size, CHUNK):
        chunk = content[start:start + CHUNK]
        register = _after_zeros(register, chunk.size) ^ _register(chunk)
    return register ^ ALL_ONES


def _register(content: np.ndarray) -> int:
    """The register after some bytes, if it begins with zeros."""
    # About as many parts as a part has words. Zeros in front change nothing.
    log_part_size = max(content.size // WORD, 1).bit_length() // 2 + 2
    n_parts = -(-content.size >> log_part_size)
    padded = np.zeros(n_parts << log_part_size, np.uint8)
    padded[padded.size - content.size:] = content
    words = np.ascontiguousarray(padded.view("<u4").reshape(n_parts, -1).T)
    registers = np.zeros(n_parts, np.uint32)
    for word in words:
        registers = _advance(registers ^ word)

    while registers.size > 1:            # combine pairs of neighbours
        if registers.size % 2:
            registers = np.concatenate([np.zeros(1, np.uint32), registers])
        registers = _multiply(_shift(log_part_size), registers[::2]) ^ registers[1::2]
        log_part_size += 1
    return int(registers[0])


def _after_zeros(register: int, n_bytes: int) -> int:
    """A register after some bytes of zeros."""
    registers = np.array([register], np.uint32)
    for log_size in range(n_bytes.bit_length()):
        if n_bytes >> log_size & 1:
            registers = _multiply(_shift(log_size), registers)
    return int(registers[0])


def _advance(registers: np.ndarray) -> np.ndarray:
    """The registers after one word of zeros."""
    low, high = _tables()
    return low[registers & 0xFFFF] ^ high[registers >> 16]


@functools.cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """What the lower and the upper half of a register, each of any value, contribute to it after one word."""
    halves = np.arange(1 << 16, dtype=np.uint32)
    return _after_bits(halves, 32), _after_bits(halves, 16)


def _after_bits(registers: np.ndarray, n_bits: int) -> np.ndarray:
    for _ in range(n_bits):
        registers = registers >> 1 ^ np.where(registers & 1, np.uint32(POLYNOMIAL), np.uint32(0))
    return registers


@functools.cache
def _shift(log_size: int) -> np.ndarray:
    """The matrix, as its 32 columns, that advances a register by 2 ** `log_size` bytes of zeros."""
    if log_size == 0:
        return _after_bits(np.uint32(1) << np.arange(32, dtype=np.uint32), 8)
    half = _shift(log_size - 1)
    return _multiply(half, half)


def _multiply(matrix: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Products over GF(2) of a 32 x 32 matrix and vectors of 32 bits."""
    bits = vectors[:, np.newaxis] >> np.arange(32, dtype=np.uint32) & 1
    return np.bitwise_xor.reduce(np.where(bits, matrix, np.uint32(0)), axis=1)
