"""A headless Chromium, and the explorer in it."""

import shutil

import pytest

from tests.numpy_network import PREFIX
from tests.pages.helpers import wait
from vae_graph.pages import explorer


@pytest.fixture(scope="session")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver", reason="there is no Selenium")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("there is no chromium with its chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", "--window-size=1200,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


@pytest.fixture(scope="session")
def small_page(digits):
    """The explorer of TensorFlow 1.4.0's small network."""
    return explorer.page([PREFIX], digits.test.images, digits.test.digits, "digits")


@pytest.fixture
def open_explorer(browser, tmp_path, digits, small_page):
    """Opens the page of a checkpoint, or the one without; its console must stay empty."""
    def open_explorer(prefix=None, fragment=""):
        path = tmp_path / "explorer.html"
        path.write_bytes(small_page if prefix == PREFIX else explorer.blank_page() if prefix is None else
                         explorer.page([prefix], digits.test.images, digits.test.digits, "digits"))
        browser.get("about:blank")
        browser.get(path.as_uri() + fragment)
        wait(browser, "!waiting && (images !== null || !digits.length)")
        return browser

    yield open_explorer
    # Chromium advises against what only these tests do, reading the same canvas again and again.
    assert [entry for entry in browser.get_log("browser") if "willReadFrequently" not in entry["message"]] == []


@pytest.fixture
def explorer_page(open_explorer):
    """`small_page`, opened."""
    return open_explorer(PREFIX)
