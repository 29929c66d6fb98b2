"""The explorer's field to draw a digit in, in headless Chromium."""

import re

import numpy as np
import pytest

from tests.numpy_network import encode, weights_of
from tests.pages.helpers import choose_image, fragment_of, gray, text, wait


def draw_seven(browser):
    from selenium.webdriver.common.action_chains import ActionChains

    field = browser.find_element("id", "sketch")
    chain = ActionChains(browser).move_to_element_with_offset(field, -30, -40).click_and_hold()
    for x, y in ((30, -40), (0, 40)):
        chain = chain.move_to_element_with_offset(field, x, y)
    chain.release().perform()


def seen(browser):
    return gray(browser, "$('seen')").reshape(28, 28)


@pytest.mark.slow
def test_a_drawing_is_scaled_and_centred_as_in_mnist(explorer_page):
    draw_seven(explorer_page)
    pixels = seen(explorer_page)
    rows, columns = np.nonzero(pixels)
    assert 20 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 22        # shifted by parts of a pixel
    middle = [(pixels * (axis + 0.5)).sum() / pixels.sum() for axis in np.mgrid[:28, :28]]
    np.testing.assert_allclose(middle, [14, 14], atol=0.3)


def test_a_click_draws_a_dot_and_a_number_removes_the_drawing(explorer_page):
    explorer_page.find_element("id", "sketch").click()
    assert seen(explorer_page).max() > 200
    choose_image(explorer_page, 23)
    assert not inked(explorer_page).any()
    explorer_page.execute_script("rememberPlace()")
    assert fragment_of(explorer_page).split(";")[1] == "image=23"
    explorer_page.find_element("id", "clear").click()
    assert len(fragment_of(explorer_page).split(";")) == 1


def test_the_nearest_image_is_encoded(explorer_page):
    explorer_page.execute_script("moveTo(0.3, -0.7)")
    wait(explorer_page, "!waiting")
    number = explorer_page.execute_script("return nearest(models[0])[0]")
    explorer_page.find_element("id", "encode").click()
    assert explorer_page.execute_script("return [seen.number, $('number').valueAsNumber]") == [number, number]


def test_it_is_encoded_and_reconstructed(explorer_page):
    draw_seven(explorer_page)
    images = seen(explorer_page).reshape(1, 784) / 255
    mean, std = encode(weights_of(), images)
    shown = [[float(number) for number in re.findall(r"-?[\d.]+", part)]
             for part in text(explorer_page, "encoded").split(";")]
    np.testing.assert_allclose(shown, [mean[0], std[0]], atol=0.03)
    assert explorer_page.execute_script("return samples.length") == 10
    explorer_page.find_element("id", "clear").click()
    assert explorer_page.execute_script("return samples.length") == 0
    assert text(explorer_page, "encoded") == ""
    assert not seen(explorer_page).any()


@pytest.mark.slow
def test_a_test_image_is_encoded(explorer_page, digits):
    choose_image(explorer_page, 23)
    np.testing.assert_allclose(seen(explorer_page).ravel(), digits.test.pixels[23], atol=1)
    [mean], _ = encode(weights_of(), digits.test.images[23:24])
    np.testing.assert_allclose(explorer_page.execute_script("return point"), mean, atol=2e-3)


def test_the_number_field_shows_the_number_of_the_image_that_is_seen(explorer_page):
    from selenium.webdriver.common.keys import Keys

    field = explorer_page.find_element("id", "number")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("23")
    assert text(explorer_page, "what").startswith("what the encoder sees: test image 23, a")
    field.send_keys("99", Keys.TAB)                      # there is no image 2399
    assert field.get_attribute("value") == "23"
    draw_seven(explorer_page)
    assert (field.get_attribute("value"), text(explorer_page, "what")) == ("", "what the encoder sees: the drawing")


def inked(browser):
    data = browser.execute_script("return Array.from($('sketch').getContext('2d').getImageData(0, 0, 280, 280).data)")
    return np.reshape(data, (280, 280, 4))[..., 3] > 0


def test_the_right_button_and_a_second_finger_do_not_draw(explorer_page):
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.mouse_button import MouseButton

    actions, field = ActionBuilder(explorer_page), explorer_page.find_element("id", "sketch")
    actions.pointer_action.move_to(field).pointer_down(MouseButton.RIGHT)
    actions.pointer_action.move_to(field, 40, 40).pointer_up(MouseButton.RIGHT)
    actions.perform()
    assert not inked(explorer_page).any()
    draw_seven(explorer_page)
    before = inked(explorer_page)
    explorer_page.execute_script("""
        sketch.setPointerCapture = () => {};                         // of a pointer that there is not
        const { x, y } = sketch.getBoundingClientRect();
        for (const [kind, pointerId, distance] of [['down', 7, -500], ['down', 8, 20], ['move', 8, 90], ['up', 8, 90],
                                                   ['move', 8, 20], ['up', 7, -500]]) {
          sketch.dispatchEvent(new PointerEvent(
            `pointer${kind}`, { pointerId, button: 0, clientX: x + distance, clientY: y + distance }));
        }""")
    assert (inked(explorer_page) == before).all()


def test_a_stroke_that_leaves_the_field_and_comes_back_draws_no_diagonal(explorer_page):
    from selenium.webdriver.common.action_chains import ActionChains

    field = explorer_page.find_element("id", "sketch")
    side = field.rect["width"]
    chain = ActionChains(explorer_page, duration=0)
    for i, (x, y) in enumerate([(0, -0.4), (0.6, -0.4), (0.6, 0.4), (0, 0.4)]):      # round the right edge
        chain = chain.move_to_element_with_offset(field, round(x * side), round(y * side))
        chain = chain if i else chain.click_and_hold()
    chain.release().perform()
    ink = inked(explorer_page)
    assert ink[[28, 252], 140:].all()
    assert not ink[60:220].any()
