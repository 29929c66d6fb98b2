"""The explorer's map, pins and sliders, in headless Chromium."""

import re

import numpy as np
import pytest

from tests.helpers import write_network
from tests.numpy_network import PREFIX, encode, weights_of
from tests.pages.helpers import (
    changes_of_address,
    choose_image,
    decoded,
    fragment_of,
    gray,
    readout,
    text,
    wait,
)
from vae_graph import checkpoints, pictures
from vae_graph.pages import explorer


def test_the_decoded_digit_is_drawn_and_described(explorer_page):
    z = explorer_page.execute_script("moveTo(centre[0] + 0.03, centre[1] - 0.07); return point")
    assert readout(explorer_page) == f"z = ({z[0]:.2f}, {z[1]:.2f})"
    np.testing.assert_allclose(gray(explorer_page, "models[0].digit"), 255 * decoded(explorer_page, [z])[0], atol=1)
    label = explorer_page.execute_script("return models[0].digit.getAttribute('aria-label')")
    assert label == f"Digit decoded from z = ({z[0]:.2f}, {z[1]:.2f})"


def test_the_page_opens_with_an_image_and_its_loss(explorer_page, digits):
    assert text(explorer_page, "what").startswith("what the encoder sees: test image 2, ")
    assert explorer_page.find_element("id", "number").get_attribute("value") == "2"
    np.testing.assert_allclose(gray(explorer_page, "$('seen')"), digits.test.pixels[2], atol=1)
    assert explorer_page.find_element("id", "bars").is_displayed()


@pytest.mark.slow
def test_a_pointer_on_a_dot_names_and_draws_its_image(explorer_page, digits):
    from selenium.webdriver.common.action_chains import ActionChains

    number = 17
    x, y, side = explorer_page.execute_script(
        f"return [fromLeft(models[0].dots[{2 * number}]), fromTop(models[0].dots[{2 * number} + 1]), side]")
    canvas = explorer_page.find_element("id", "map")
    ActionChains(explorer_page).move_to_element_with_offset(canvas, round(x - side / 2), round(y - side / 2)).perform()
    z = encode(weights_of(), digits.test.images)[0]
    readout(explorer_page)
    found = re.fullmatch(r"nearest: test image (\d+), (an?) (\d), at a distance of 0.0\d",
                         text(explorer_page, "about-nearest"))
    named, digit = int(found[1]), int(found[3])
    assert (found[2], digit) == ("an" if digit == 8 else "a", digits.test.digits[named])
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
    canvas.send_keys(Keys.ARROW_RIGHT, Keys.SPACE)
    ActionChains(browser).move_to_element_with_offset(canvas, 60, -70).perform()      # loses no pin
    pins = browser.execute_script("return pins.map(z => Array.from(z))")
    assert len(pins) == 2
    ActionChains(browser).click_and_hold().move_by_offset(30, 30).release().perform()
    assert browser.execute_script("return pins.map(z => Array.from(z))") == pins     # nor is the end of a drag a pin
    z = browser.execute_script("return [...models[0].z].map(z => z.toFixed(3))")
    assert fragment_of(browser).split(";")[0] == f"#{','.join(z)}"
    choose_image(browser, 7)
    browser.execute_script("$('number').dispatchEvent(new Event('change'))")
    assert browser.execute_script("return $('walk').children.length") == 10
    np.testing.assert_allclose([gray(browser, f"$('walk').children[{i}]") for i in range(10)],
                               255 * decoded(browser, np.linspace(*pins, 10).tolist()), atol=1)
    browser = open_explorer(PREFIX, fragment=fragment_of(browser))
    np.testing.assert_allclose(browser.execute_script("return pins.map(z => Array.from(z))"), pins, atol=1e-3)
    assert browser.execute_script("return [$('walk').children.length, seen.number]") == [10, 7]
    browser.find_element("id", "unpin").click()
    assert browser.execute_script("return [pins.length, $('walk').children.length]") == [0, 0]
    browser.find_element("id", "map").send_keys(Keys.ENTER, Keys.ESCAPE)
    assert browser.execute_script("return [pins.length, $('walk').children.length]") == [0, 0]


def test_a_key_that_is_held_changes_the_address_no_more_often_than_browsers_accept(open_explorer):
    browser = open_explorer(PREFIX)
    fragment_of(browser)
    press = "for (let i = 0; i < 300; i++) map.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowUp' }));"
    assert changes_of_address(browser, press) == 2
    _, z2 = re.findall(r"-?[\d.]+", fragment_of(browser).partition(";")[0])
    assert float(z2) == pytest.approx(browser.execute_script("return point[1]"), abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("fragment", ["#", "#a,b", "#1", "#1,2,3", "#NaN,1", "#%ff", "#1e999,0", "#image=7"])
def test_a_fragment_that_is_no_place_is_ignored(open_explorer, fragment):
    pins, z, mean = open_explorer(PREFIX, fragment=fragment).execute_script(
        "return [pins, [...models[0].z], [...encode(models[0], image(2)).mean]]")
    assert (pins, z) == ([], mean)                       # as without a fragment


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
    row = browser.find_element("css selector", "#sliders div").text
    assert row.split() == [f"z{shown[0] + 1}", "1.50"]
    browser.execute_script("$('sliders').querySelector('input').dispatchEvent(new Event('change'))")
    assert fragment_of(browser).split(",")[shown[0]].lstrip("#") == "1.500"
    assert text(browser, "order") == "10 of 12 dimensions of z, those whose means vary most first"


def test_a_pin_and_a_link_keep_all_of_z(open_explorer, tmp_path):
    """The map shows a plane of a latent space of five dimensions; the sliders leave it."""
    prefix = write_network(tmp_path / "x", n_z=5)
    browser = open_explorer(prefix)
    z = [2, -2, 1.5, 1, -1]
    browser.execute_script("moveToZ([arguments[0]]); pin()", z)
    expected = 255 * decoded(browser, [z])[0]
    np.testing.assert_allclose(gray(browser, "$('walk').children[0]"), expected, atol=1)
    browser = open_explorer(prefix, fragment=fragment_of(browser))
    readout(browser)
    for canvas in ("$('walk').children[0]", "models[0].digit"):
        np.testing.assert_allclose(gray(browser, canvas), expected, atol=1)


def test_a_link_to_an_image_shows_each_models_own_code(browser, tmp_path, digits):
    path = tmp_path / "explorer.html"
    path.write_bytes(explorer.page([PREFIX, write_network(tmp_path / "x")], digits.test.images, digits.test.digits,
                                   "digits"))
    browser.get(path.as_uri())
    wait(browser, "images !== null && !waiting")
    choose_image(browser, 7)
    codes = "return models.map(({ z }) => [...z])"
    before = browser.execute_script(f"rememberPlace(); {codes}")
    browser.refresh()
    wait(browser, "images !== null && !waiting")
    np.testing.assert_allclose(browser.execute_script(codes), before, atol=1e-3)


@pytest.mark.slow
def test_keys_that_the_map_uses_do_not_scroll_and_the_browsers_own_are_left(explorer_page):
    used = explorer_page.execute_script("""
        return [[" ", {}], ["ArrowUp", {}], ["ArrowLeft", { altKey: true }], ["a", {}]].map(([key, modifiers]) => {
          const event = new KeyboardEvent("keydown", { key, cancelable: true, ...modifiers });
          map.dispatchEvent(event);
          return event.defaultPrevented;
        })""")
    assert used == [True, True, False, False]
    assert explorer_page.execute_script("""
        unpin();
        for (let i = 0; i < 2; i++) map.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", repeat: i > 0 }));
        return pins.length""") == 1


def test_the_nearest_test_image_is_the_nearest_in_z(open_explorer, tmp_path, digits):
    prefix = write_network(tmp_path / "x", n_z=5)
    browser = open_explorer(prefix)
    means = pictures.means(prefix, digits.test.images)
    for z in (means[7] + 0.01, np.full(5, 2)):
        distances = np.linalg.norm(means - z, axis=1)
        number = distances.argmin()
        browser.execute_script("moveToZ([arguments[0]])", z.tolist())
        readout(browser)
        assert re.fullmatch(rf"nearest: test image {number}, an? \d, at a distance of {distances[number]:.2f}",
                            text(browser, "about-nearest"))


@pytest.mark.parametrize(("n_z", "has_images", "names"), [
    (1, True, ["z1"]), (5, False, ["z1", "z2"]), *(pytest.param(*case, marks=pytest.mark.slow) for case in (
        (2, True, ["z1", "z2"]), (5, True, ["PC 1", "PC 2"]), (1, False, ["z1"])))])
def test_the_axes_are_named_for_what_they_show(open_explorer, tmp_path, n_z, has_images, names):
    prefix = write_network(tmp_path / "x", n_z)
    browser = open_explorer(prefix if has_images else None)
    if not has_images:
        browser.find_element("id", "files").send_keys("\n".join(map(str, checkpoints.files_of(prefix))))
    wait(browser, "models.length === 1 && !waiting")
    drawn = browser.execute_script("""
        const own = drawLabel, drawn = [];
        drawLabel = (pen, text, ...place) => { drawn.push(`${text}`); own(pen, text, ...place); };
        drawBackground();
        return drawn.filter(text => /^(z|PC)/.test(text));""")
    assert drawn == names
    # To the right and upwards, the point moves along these axes.
    z = browser.execute_script("moveTo(centre[0] + 0.5, 0.25); return [Array.from(models[0].z), point, centre[0]]")
    if names[0] == "z1":
        np.testing.assert_allclose(z[0], [z[2] + 0.5, 0.25, 0, 0, 0][:n_z], atol=1e-9)


def test_each_digits_dots_are_labelled_where_they_are_densest(explorer_page, digits):
    drawn = explorer_page.execute_script("""
        const own = drawLabel, drawn = {};
        drawLabel = (pen, text, left, bottom, font) => { if (font) drawn[text] = [left + 6, bottom - 7]; };
        drawBackground();
        drawLabel = own;
        const { dots } = models[0], numbers = Array.from(digits.keys());
        return [drawn, numbers.map(i => [fromLeft(dots[2 * i]), fromTop(dots[2 * i + 1])]), side];""")
    labels, places, side = drawn[0], np.array(drawn[1]), drawn[2]
    assert [*labels] == [str(digit) for digit in np.unique(digits.test.digits)]
    cells, taken = (15 * places / side).astype(int), []
    for digit, label in labels.items():
        found, counts = np.unique(cells[digits.test.digits == int(digit)], axis=0, return_counts=True)
        densest = {(column, row): count for (column, row), count in zip(found.tolist(), counts, strict=True)
                   if (column, row) not in taken}
        cell = tuple((15 * np.array(label) / side).astype(int).tolist())
        assert densest[cell] == max(densest.values())
        taken.append(cell)


def test_one_dimension_has_a_row_of_dots_for_each_digit(open_explorer, tmp_path, digits):
    prefix = write_network(tmp_path / "x", n_z=1)
    dots = np.reshape(open_explorer(prefix).execute_script("return Array.from(models[0].dots)"), (-1, 2))
    np.testing.assert_allclose(dots[:, :1], pictures.means(prefix, digits.test.images), atol=2e-3)
    heights = [set(dots[digits.test.digits == digit, 1]) for digit in range(10)]
    assert [len(row) for row in heights] == [1] * 10
    assert [*map(max, heights)] == sorted(map(max, heights), reverse=True)


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
