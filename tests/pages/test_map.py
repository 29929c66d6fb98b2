"""The explorer's map, pins and sliders, in headless Chromium."""

import re

import numpy as np
import pytest

from tests.helpers import write_network
from tests.numpy_network import PREFIX, encode, weights_of
from tests.pages.helpers import decoded, gray, readout
from vae_graph import pictures


def test_the_decoded_digit_is_drawn_and_described(explorer_page):
    z = explorer_page.execute_script("moveTo(centre[0] + 0.03, centre[1] - 0.07); return point")
    assert readout(explorer_page).startswith(f"z = ({z[0]:.2f}, {z[1]:.2f})\n")
    np.testing.assert_allclose(gray(explorer_page, "models[0].digit"), 255 * decoded(explorer_page, [z])[0], atol=1)
    label = explorer_page.execute_script("return models[0].digit.getAttribute('aria-label')")
    assert label == f"Digit decoded from z = ({z[0]:.2f}, {z[1]:.2f})"


@pytest.mark.slow
def test_a_pointer_on_a_dot_names_and_draws_its_image(explorer_page, digits):
    from selenium.webdriver.common.action_chains import ActionChains

    number = 17
    x, y, side = explorer_page.execute_script(
        f"return [fromLeft(models[0].dots[{2 * number}]), fromTop(models[0].dots[{2 * number} + 1]), side]")
    canvas = explorer_page.find_element("id", "map")
    ActionChains(explorer_page).move_to_element_with_offset(canvas, round(x - side / 2), round(y - side / 2)).perform()
    z = encode(weights_of(), digits.test.images)[0]
    named = int(re.search(r"test image (\d+): an? \d$", readout(explorer_page))[1])
    digit = digits.test.digits[named]
    assert readout(explorer_page).endswith(f": {'an' if digit == 8 else 'a'} {digit}")
    # Many dots may lie closer together than a pixel is wide.
    reach = explorer_page.execute_script("return reach")
    assert np.abs(z[named] - z[number]).max() < 4 * reach / side
    np.testing.assert_allclose(gray(explorer_page, "$('nearest')"), digits.test.pixels[named], atol=1)


@pytest.mark.slow
def test_arrow_keys_move_the_point(explorer_page):
    from selenium.webdriver.common.keys import Keys

    explorer_page.execute_script("moveTo(...centre)")
    before = explorer_page.execute_script("return point")
    explorer_page.find_element("id", "map").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_UP, Keys.ARROW_UP)
    explorer_page.find_element("id", "map").send_keys(Keys.SHIFT + Keys.ARROW_LEFT)
    moved = np.subtract(explorer_page.execute_script("return point"), before)
    np.testing.assert_allclose(moved, [0.09, 0.2], atol=1e-9)


def test_two_pins_show_the_walk_between_them_and_a_link_shows_the_same_place(open_explorer):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser = open_explorer(PREFIX)
    canvas = browser.find_element("id", "map")
    ActionChains(browser).move_to_element_with_offset(canvas, -50, 40).click().perform()
    canvas.send_keys(Keys.ARROW_RIGHT, Keys.ENTER)
    ActionChains(browser).move_to_element_with_offset(canvas, 60, -70).perform()      # loses no pin
    pins = browser.execute_script("return pins")
    assert len(pins) == 2
    assert browser.execute_script("return $('walk').children.length") == 10
    np.testing.assert_allclose([gray(browser, f"$('walk').children[{i}]") for i in range(10)],
                               255 * decoded(browser, np.linspace(*pins, 10).tolist()), atol=1)
    fragment = browser.execute_script("return location.hash")
    browser = open_explorer(PREFIX, fragment=fragment)
    np.testing.assert_allclose(browser.execute_script("return pins"), pins, atol=1e-3)
    assert browser.execute_script("return $('walk').children.length") == 10
    browser.find_element("id", "unpin").click()
    assert browser.execute_script("return [pins.length, $('walk').children.length]") == [0, 0]
    browser.find_element("id", "map").send_keys(Keys.ENTER, Keys.ESCAPE)
    assert browser.execute_script("return [pins.length, $('walk').children.length]") == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("fragment", ["#", "#a,b", "#1", "#1,2,3", "#NaN,1", "#%ff", "#1e999,0"])
def test_a_fragment_that_is_no_place_is_ignored(open_explorer, fragment):
    assert open_explorer(PREFIX, fragment=fragment).execute_script("return pins.length") == 0


@pytest.mark.slow
def test_sliders_for_the_dimensions_that_vary_most(open_explorer, tmp_path, digits):
    prefix = write_network(tmp_path / "x", n_z=12)
    browser = open_explorer(prefix)
    variances = pictures.means(prefix, digits.test.images).var(0)
    shown = browser.execute_script(
        "return Array.from($('sliders').querySelectorAll('input'), slider => Number(slider.dataset.dimension))")
    assert shown == list(np.argsort(-variances)[:10])
    z = browser.execute_script("""
        const slider = $('sliders').querySelector('input');
        slider.value = 1.5;
        slider.dispatchEvent(new Event('input'));
        return Array.from(models[0].z);
    """)
    assert z[shown[0]] == 1.5
    assert readout(browser).startswith("z = (")


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 520])
def test_the_page_fits_its_window(explorer_page, width):
    explorer_page.set_window_size(width, 900)
    assert explorer_page.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    map_box = explorer_page.find_element("id", "map").rect
    digit_box = explorer_page.find_element("id", "decoded").rect
    beside = digit_box["x"] >= map_box["x"] + map_box["width"]
    below = digit_box["y"] >= map_box["y"] + map_box["height"]
    assert (beside, below) == ((True, False) if width == 1200 else (False, True))
    explorer_page.set_window_size(1200, 900)


@pytest.mark.parametrize(("event", "n_encoded", "n_decoded"), [
    ("moveTo(i / 5 - 1, 0.3)", 0, 1), ("draw({ type: 'pointerdown', clientX: 20 + i, clientY: 20 })", 1, 2)])
def test_the_work_for_a_frame(explorer_page, event, n_encoded, n_decoded):
    """The digit at the point is decoded; for a stroke, it is encoded and reconstructed first. No dot is drawn again."""
    found = explorer_page.execute_script("""
        const found = { products: 0, dots: 0 }, own = [affine, drawDots];
        affine = (x, weights, scope, number) => {
          found.products += weights[`${scope}/w${number}`].length;
          return own[0](x, weights, scope, number);
        };
        drawDots = (...drawn) => { found.dots++; own[1](...drawn); };
        for (let i = 0; i < 10; i++) { eval(arguments[0]); drawFrame(); }
        return found;""", event)
    encoder, decoder = (sum(values.size for name, values in weights_of().items() if name in names)
                        for names in (("w1", "w2", "w3"), ("w4", "w5", "w6")))
    assert found == {"products": 10 * (n_encoded * encoder + n_decoded * decoder), "dots": 0}
