"""The graph page of TensorFlow 1.4.0's small network, in a browser."""

import pytest
import tensorflow.compat.v1 as tf

from tests.numpy_network import PREFIX
from tests.pages.helpers import wait
from vae_graph.pages import graph, program


@pytest.fixture(scope="package")
def page(digits):
    return graph.page(PREFIX, digits.test.images)


@pytest.fixture(scope="package")
def path(page, tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "graph.html"
    path.write_bytes(page)
    return path


@pytest.fixture
def open_page(browser, path):
    """Opens the page at a fragment; its console must stay empty."""
    def open_page(fragment=""):
        browser.get("about:blank")
        browser.get(path.as_uri() + fragment)
        wait(browser, "session !== null && lines[0].row !== undefined")
        return browser

    yield open_page
    assert browser.get_log("browser") == []


@pytest.fixture
def opened(open_page):
    return open_page()


@pytest.fixture(scope="package")
def built():
    """The graph of the page, and what the program's names stand for."""
    with tf.Graph().as_default() as built:
        tf.set_random_seed(0)
        names = program.build(784, 16, 2, 12)
    return built, names
