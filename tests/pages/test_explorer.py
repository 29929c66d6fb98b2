"""The explorer page: what is in it, and that the committed pages are current."""

import base64
import gzip
import re

import numpy as np
import pytest

from tests.helpers import write_checkpoint
from tests.numpy_network import PREFIX, encode, weights_of
from tests.pages.helpers import (
    BLANK,
    COMMITTED,
    numbers_of,
)
from vae_graph import checkpoints, plot
from vae_graph.pages import explorer


def float16(text):
    return np.frombuffer(base64.b64decode(text), "<f2")


@pytest.fixture(scope="module")
def page(digits):
    return explorer.page([PREFIX], digits.test.images, digits.test.digits, "some </script> digits")


def test_the_page_contains_the_network_the_map_and_the_images(page, digits):
    found, weights = numbers_of(page), weights_of()
    assert (found["data"], found["colours"]) == ("some </script> digits", plot.colours("accessible"))
    [model] = found["models"]
    assert model["name"] == "tf-1.4.0/parameter20.ckpt"
    assert model["sizes"] == {"input": 784, "encoder": 16, "z": 2, "decoder": 12}
    assert len(model["weights"]) == 12
    for name, values in model["weights"].items():
        np.testing.assert_allclose(float16(values), weights[name.split("/")[1]].ravel(), rtol=1e-3, atol=1e-7)
    means = encode(weights, digits.test.images)[0]
    np.testing.assert_allclose(float16(model["means"]).reshape(-1, 2), means, rtol=2e-3, atol=1e-4)
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(found["digits"]), np.uint8), digits.test.digits)
    assert gzip.decompress(base64.b64decode(found["images"])) == digits.test.pixels.tobytes()


def test_the_page_loads_no_external_resources(page):
    assert not re.findall(rb"https?:|src=|@import|fetch\(|XMLHttp|import\(", page.replace(b'<a href="https:', b""))


def test_weights_beyond_float16_are_refused(digits, tmp_path):
    values = checkpoints.read_variables(PREFIX)
    values["decoder_output/b6"] = np.full_like(values["decoder_output/b6"], -7e4)
    with pytest.raises(checkpoints.CheckpointError, match=r"expected numbers in the range of float16, found 7e\+04"):
        explorer.page([write_checkpoint(tmp_path / "x", values)], digits.test.images, digits.test.digits, "")



@pytest.mark.parametrize(("path", "limit"), [(COMMITTED, 7_000_000), (BLANK, 80_000)])
def test_the_committed_pages_are_small_and_current(path, limit):
    page, blank = path.read_bytes(), explorer.blank_page()
    assert len(page) < limit
    numbers = re.compile(rb'(?<=type="application/json">).*(?=</script>\n<script>"use strict";)')
    assert numbers.sub(b"", page) == numbers.sub(b"", blank)
