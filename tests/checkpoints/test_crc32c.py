"""The checksum, against its standard's test vectors and TensorFlow's own."""

import time

import numpy as np
import pytest

from tests import crafted
from vae_graph.checkpoints import crc32c as crc
from vae_graph.checkpoints.crc32c import crc32c, masked_crc32c

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(("content", "checksum"), [
    (b"123456789", 0xE3069283), (b"", 0), (b"a", 0xC1D04330),
    # RFC 3720, section B.4
    (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
])
def test_vectors_of_the_standard(content, checksum):
    assert crc32c(content) == checksum


@pytest.mark.parametrize("chunk", [crc.CHUNK, 1000])
def test_every_length_gives_what_a_byte_by_byte_loop_gives(monkeypatch, chunk):
    monkeypatch.setattr(crc, "CHUNK", chunk)
    content = np.random.default_rng(0).bytes(70_001)
    for size in [*range(300), 4095, 4096, 4097, 65_535, 70_001]:
        assert masked_crc32c(content[:size]) == crafted.crc32c(content[:size]), size


def test_fifteen_megabytes_take_a_second_of_the_processor_at_most():
    """The size of a checkpoint. A tenth of that is expected; a loop over the bytes takes several seconds."""
    content = np.random.default_rng(0).bytes(15_000_000)
    begin = time.thread_time()
    crc32c(content)
    assert time.thread_time() - begin < 1
