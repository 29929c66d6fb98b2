"""CRC-32C, the checksum of a checkpoint's blocks and variables, vectorized over many parts of the data.

The checksum is linear: the register after a message is the XOR of what each of its parts, followed by as many zeros as
there are bytes after it, gives alone. So the registers of all parts advance together, and are combined in pairs.
Reference: Castagnoli et al., "Optimization of Cyclic Redundancy-Check Codes with 24 and 32 Parity Bits", IEEE
Transactions on Communications 41(6), 1993.
"""

import functools

import numpy as np

POLYNOMIAL = 0x82F63B78          # with the coefficient of x^31 in the lowest bit
WORD = 4                         # bytes by which a register advances at once
ALL_ONES = 0xFFFFFFFF


def masked_crc32c(content: bytes | np.ndarray) -> int:
    """The masked checksum of some bytes, as TensorFlow stores it (tensorflow/core/lib/hash/crc32c.h)."""
    crc = crc32c(content)
    return (crc >> 15 | crc << 17) + 0xA282EAD8 & ALL_ONES


def crc32c(content: bytes | np.ndarray) -> int:
    """The checksum of some bytes: uint8 if they are an array."""
    content = np.frombuffer(content, np.uint8)
    # About as many parts as a part has words. Zeros in front change nothing, since a register begins with zeros.
    log_n_words = max(content.size // WORD, 1).bit_length() // 2
    part_size = WORD << log_n_words
    n_parts = -(-max(content.size, WORD) // part_size)
    padded = np.zeros(n_parts * part_size, np.uint8)
    padded[padded.size - content.size:] = content
    padded[padded.size - content.size:][:WORD] ^= 0xFF           # the standard's register begins with ones

    words = np.ascontiguousarray(padded.view("<u4").reshape(n_parts, -1).T)
    registers = np.zeros(n_parts, np.uint32)
    for word in words:
        registers = _advance(registers ^ word)
    crc = _combine(registers, log_n_words)
    # Of a message shorter than a word, some of the first register's ones are left.
    return crc ^ ALL_ONES ^ (ALL_ONES >> 8 * content.size if content.size < WORD else 0)


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


def _combine(registers: np.ndarray, log_n_words: int) -> int:
    """The register of the whole message from those of its parts, of 2 ** `log_n_words` words each."""
    while registers.size > 1:
        if registers.size % 2:
            registers = np.concatenate([np.zeros(1, np.uint32), registers])
        registers = _multiply(_shift(log_n_words), registers[::2]) ^ registers[1::2]
        log_n_words += 1
    return int(registers[0])


@functools.cache
def _shift(log_n_words: int) -> np.ndarray:
    """The matrix, as its 32 columns, that advances a register by 2 ** `log_n_words` words of zeros."""
    if log_n_words == 0:
        return _advance(np.uint32(1) << np.arange(32, dtype=np.uint32))
    half = _shift(log_n_words - 1)
    return _multiply(half, half)


def _multiply(matrix: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Products over GF(2) of a 32 x 32 matrix and vectors of 32 bits."""
    bits = vectors[:, np.newaxis] >> np.arange(32, dtype=np.uint32) & 1
    return np.bitwise_xor.reduce(np.where(bits, matrix, np.uint32(0)), axis=1)
