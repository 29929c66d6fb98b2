"""The explorer's field to draw a digit in, in headless Chromium."""

import re

import numpy as np
import pytest

from tests.numpy_network import encode, weights_of
from tests.pages.helpers import gray, text


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
    explorer_page.find_element("id", "number").send_keys("23")
    np.testing.assert_allclose(seen(explorer_page).ravel(), digits.test.pixels[23], atol=1)
    [mean], _ = encode(weights_of(), digits.test.images[23:24])
    np.testing.assert_allclose(explorer_page.execute_script("return point"), mean, atol=2e-3)
