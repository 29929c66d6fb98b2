"""The explorer page, in headless Chromium if it is installed."""

import base64
import json
import re
import shutil
import statistics

import numpy as np
import pytest

from tests.helpers import (
    ROOT,
    write_checkpoint,
)
from tests.numpy_network import PREFIX, decode, encode, weights_of
from vae_graph import checkpoints, evaluation, plot, training
from vae_graph.pages import explorer
from vae_graph.settings import Settings

COMMITTED = ROOT / "figures" / "reference" / "checkpoint" / "explorer.html"


def numbers_of(page):
    return json.loads(re.search(rb'<script id="numbers" type="application/json">(.*?)</script>', page)[1])


def float16(text):
    return np.frombuffer(base64.b64decode(text), "<f2")


@pytest.fixture(scope="module")
def page(digits):
    return explorer.page(PREFIX, digits.test.images, digits.test.digits, "some </script> digits")


def test_the_page_contains_the_decoder_and_the_map(page, digits):
    found, weights = numbers_of(page), weights_of()
    assert found["data"] == "some </script> digits"
    assert found["colours"] == plot.colours("accessible")
    assert [layer["units"] for layer in found["layers"]] == [12, 12, 784]
    for layer, number in zip(found["layers"], (4, 5, 6), strict=True):
        np.testing.assert_allclose(float16(layer["weights"]), weights[f"w{number}"].ravel(), rtol=1e-3, atol=1e-7)
        np.testing.assert_allclose(float16(layer["biases"]), weights[f"b{number}"], rtol=1e-3, atol=1e-7)
    means = encode(weights, digits.test.images)[0]
    np.testing.assert_allclose(float16(found["means"]).reshape(-1, 2), means, rtol=2e-3, atol=1e-4)
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(found["digits"]), np.uint8), digits.test.digits)


def test_the_page_loads_no_external_resources(page):
    assert not re.findall(rb"https?:|src=|@import|fetch\(|XMLHttp", page)


def test_another_n_z_is_refused(digits, tmp_path):
    settings = Settings(n_hidden_encoder=8, n_z=3, n_hidden_decoder=8, num_epoch=1, batch_size=50)
    prefix, _ = training.train(digits.train.pixels, digits.sha256, settings, tmp_path)
    with pytest.raises(checkpoints.CheckpointError, match=r"expected a network with n_z = 2, .*, found n_z = 3"):
        explorer.page(prefix, digits.test.images, digits.test.digits, "")


def test_weights_beyond_float16_are_refused(digits, tmp_path):
    values = checkpoints.read_variables(PREFIX)
    values["decoder_output/b6"] = np.full_like(values["decoder_output/b6"], -7e4)
    with pytest.raises(checkpoints.CheckpointError, match=r"expected numbers in the range of float16, found 7e\+04"):
        explorer.page(write_checkpoint(tmp_path / "x", values), digits.test.images, digits.test.digits, "")


@pytest.fixture(scope="module")
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


@pytest.fixture
def opened(browser, page, tmp_path):
    """The page of TensorFlow 1.4.0's small network, opened as a file."""
    path = tmp_path / "explorer.html"
    path.write_bytes(page)
    browser.get(path.as_uri())
    yield browser
    assert browser.get_log("browser") == []


POINTS = [(0, 0), (1, 1), (-1, 2), (2, -2), (0.3, -0.7), (-2.5, 0.1), (3, 3), (-3, -3), (0.01, 1.7), (-0.6, -1.1)]


def decoded(browser, points=POINTS):
    return np.array(browser.execute_script("return arguments[0].map(z => Array.from(decode(...z)))", points))


def readout(browser):
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(browser, 5).until(lambda browser: browser.execute_script(
        "return waiting ? null : document.getElementById('readout').textContent"))


class TestInABrowser:
    def test_pixels_are_tensorflows(self, opened):
        with evaluation.restored(PREFIX, seed=0) as model:
            expected = model.session.run(model.X_out, {model.z: POINTS})
        np.testing.assert_allclose(decoded(opened), expected, atol=2e-3)
        np.testing.assert_allclose(expected, decode(weights_of(), np.array(POINTS)), atol=1e-5)

    def test_every_float16_is_decoded_as_by_numpy(self, opened):
        values = np.arange(1 << 16, dtype="<u2").view("<f2")
        values = values[np.isfinite(values)]
        read = opened.execute_script("return Array.from(float16(arguments[0]))", base64.b64encode(values).decode())
        np.testing.assert_array_equal(read, values.astype(float))

    def test_float16_is_precise_enough_at_full_size(self, browser, tmp_path, digits):
        """With weights whose pixels range from 0 to 1."""
        random = np.random.default_rng(0)
        shapes = checkpoints.model_shapes(checkpoints.LayerSizes(784, 500, 2, 500))
        prefix = write_checkpoint(tmp_path / "x", {
            name: random.normal(0, 1.5 / np.sqrt(shape[0]), shape).astype(np.float32)
            for name, shape in shapes.items()})
        path = tmp_path / "explorer.html"
        path.write_bytes(explorer.page(prefix, digits.test.images, digits.test.digits, ""))
        browser.get(path.as_uri())
        with evaluation.restored(prefix, seed=0) as model:
            expected = model.session.run(model.X_out, {model.z: POINTS})
        assert expected.min() < 0.01 < 0.99 < expected.max()
        np.testing.assert_allclose(decoded(browser), expected, atol=2e-3)

    def test_the_decoded_digit_is_drawn(self, opened):
        z = opened.execute_script("moveTo(centre.z1 + 0.03, centre.z2 - 0.07); return [point.z1, point.z2]")
        assert readout(opened).startswith(f"z = ({z[0]:.2f}, {z[1]:.2f})\n")
        drawn = opened.execute_script("return Array.from(digit.getContext('2d').getImageData(0, 0, 28, 28).data)")
        pixels = decoded(opened, [z])[0]
        np.testing.assert_allclose(np.array(drawn).reshape(-1, 4)[:, 0], 255 * pixels, atol=1)

    def test_a_pointer_on_a_dot_names_its_digit(self, opened, digits):
        from selenium.webdriver.common.action_chains import ActionChains

        number = 17
        x, y, side = opened.execute_script(
            f"return [fromLeft(means[{2 * number}]), fromTop(means[{2 * number} + 1]), side]")
        canvas = opened.find_element("id", "map")
        ActionChains(opened).move_to_element_with_offset(canvas, round(x - side / 2), round(y - side / 2)).perform()
        z = encode(weights_of(), digits.test.images)[0]
        named = int(re.search(r"test image (\d+): a (\d)", readout(opened))[1])
        assert readout(opened).endswith(f": a {digits.test.digits[named]}")
        # Many dots may lie closer together than a pixel is wide.
        reach = opened.execute_script("return reach")
        assert np.abs(z[named] - z[number]).max() < 4 * reach / side

    def test_arrow_keys_move_the_point(self, opened):
        from selenium.webdriver.common.keys import Keys

        opened.execute_script("point = { z1: centre.z1, z2: centre.z2 }")
        before = opened.execute_script("return [point.z1, point.z2]")
        opened.find_element("id", "map").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_UP, Keys.ARROW_UP)
        opened.find_element("id", "map").send_keys(Keys.SHIFT + Keys.ARROW_LEFT)
        moved = np.subtract(opened.execute_script("return [point.z1, point.z2]"), before)
        np.testing.assert_allclose(moved, [0.09, 0.2], atol=1e-9)

    @pytest.mark.parametrize("width", [1200, 520])
    def test_the_page_fits_its_window(self, opened, width):
        opened.set_window_size(width, 900)
        assert opened.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        map_box, digit_box = (opened.find_element("id", name).rect for name in ("map", "digit"))
        beside = digit_box["x"] >= map_box["x"] + map_box["width"]
        below = digit_box["y"] >= map_box["y"] + map_box["height"]
        assert (beside, below) == ((True, False) if width == 1200 else (False, True))

    def test_a_frame_of_the_full_size_takes_less_than_a_sixtieth_of_a_second(self, browser):
        browser.get(COMMITTED.as_uri())
        times = browser.execute_script("""
            return Array.from({ length: 50 }, (_, i) => {
              point = { z1: i / 25 - 1, z2: 0.3 };
              const begin = performance.now();
              drawFrame();
              return performance.now() - begin;
            })""")
        assert statistics.median(times) < 16
        assert browser.get_log("browser") == []


def test_the_committed_page_is_small_and_current(digits):
    page = COMMITTED.read_bytes()
    assert len(page) < 3_000_000
    template = explorer.TEMPLATE.read_text(encoding="utf-8").split(explorer.DATA_MARK)
    assert page.startswith(template[0].encode())
    assert page.endswith(template[1].encode())
