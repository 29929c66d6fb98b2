"""The explorer in other windows, colours and media: what must be there in each of them, in headless Chromium."""

import json

import numpy as np
import pytest

from tests.numpy_network import PREFIX
from tests.pages.helpers import wait


@pytest.fixture
def emulate(explorer_page):
    """Sets a medium or a window, until the test ends."""
    commands = []

    def emulate(command, **values):
        commands.append(command)
        explorer_page.execute_cdp_cmd(f"Emulation.set{command}", values)

    yield emulate
    for command in commands:
        explorer_page.execute_cdp_cmd(f"Emulation.{UNDO.get(command, f'set{command}')}", {})


UNDO = {"DeviceMetricsOverride": "clearDeviceMetricsOverride"}


@pytest.mark.parametrize("width", [1200, 320, pytest.param(520, marks=pytest.mark.slow)])
def test_the_page_fits_its_window(explorer_page, emulate, width):
    emulate("DeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    explorer_page.execute_script("say('refused_'.repeat(99))")
    inner, available, content = explorer_page.execute_script(
        "const { clientWidth, scrollWidth } = document.documentElement; return [innerWidth, clientWidth, scrollWidth]")
    assert inner == width
    assert content <= available                    # beside the scroll bar
    map_box = explorer_page.find_element("id", "map").rect
    digit_box = explorer_page.find_element("css selector", "#decoded canvas").rect
    beside = digit_box["x"] >= map_box["x"] + map_box["width"]
    above = digit_box["y"] + digit_box["height"] <= map_box["y"]
    assert (beside, above) == ((True, False) if width == 1200 else (False, True))
    if width < 1200:                               # a finger needs room, and hides what is below it
        assert explorer_page.find_element("id", "sketch").rect["width"] > min(0.85 * width, 380)
        pictures = explorer_page.find_elements("css selector", "#seen, #reconstructed canvas")
        assert len({picture.rect["y"] for picture in pictures}) == 1


@pytest.mark.parametrize("media", [{"features": [{"name": "forced-colors", "value": "active"}]}, {"media": "print"}],
                         ids=["forced colours", "print"])
def test_the_legend_keeps_its_colours(explorer_page, emulate, media):
    emulate("EmulatedMedia", **media)
    colours = explorer_page.execute_script("""
        return Array.from($('legend').children, entry => {
          const { backgroundColor, forcedColorAdjust, printColorAdjust } = getComputedStyle(entry, '::before');
          return [backgroundColor, forcedColorAdjust, printColorAdjust];
        })""")
    assert explorer_page.execute_script("return getComputedStyle($('sketch')).backgroundColor") == "rgb(0, 0, 0)"
    assert len({colour for colour, _, _ in colours}) == 10
    assert {tuple(rest) for _, *rest in colours} == {("none", "exact")}


def test_without_javascript_the_page_says_so(browser, small_page, tmp_path):
    (tmp_path / "explorer.html").write_bytes(small_page)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get((tmp_path / "explorer.html").as_uri())
        assert "shows nothing without JavaScript" in browser.find_element("tag name", "body").text
        assert not browser.find_element("id", "views").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_in_an_iframe_with_srcdoc_pins_are_set(browser, small_page, tmp_path):
    page = json.dumps(small_page.decode()).replace("<", "\\u003c")
    (tmp_path / "outer.html").write_text(f"<iframe></iframe><script>document.querySelector('iframe').srcdoc = {page}"
                                         "</script>", encoding="utf-8")
    browser.get((tmp_path / "outer.html").as_uri())
    browser.switch_to.frame(0)
    wait(browser, "typeof waiting !== 'undefined' && images !== null && !waiting")
    browser.execute_script("onerror = message => { window.thrown = message; }")
    browser.find_element("id", "map").click()
    assert browser.execute_script("return [pins.length, window.thrown ?? null]") == [1, None]
    browser.switch_to.default_content()


def test_the_icon_is_loaded_under_the_pages_policy(explorer_page):
    assert explorer_page.execute_async_script("""
        const done = arguments[0], icon = new Image();
        icon.onload = () => done(true);
        icon.onerror = () => done(false);
        icon.src = document.querySelector('link[rel=icon]').href;""")


@pytest.mark.parametrize("prefix", [
    pytest.param(PREFIX, id="dots", marks=pytest.mark.slow), pytest.param(None, id="decoded digits")])
def test_a_resize_decodes_and_encodes_nothing_but_the_point(open_explorer, prefix):
    browser = open_explorer()
    if prefix is None:
        browser.find_element("id", "files").send_keys(f"{PREFIX}.index\n{PREFIX}.data-00000-of-00001")
    else:
        browser = open_explorer(prefix)
    wait(browser, "models.length === 1 && !waiting")
    n_runs = browser.execute_async_script("""
        const done = arguments[0], own = affine, sides = [];
        let n_runs = 0;
        affine = (...given) => { n_runs++; return own(...given); };
        $('views').style.width = '600px';
        setTimeout(() => done([n_runs, side]), 500);""")
    assert n_runs[0] <= 3 * 3                      # three layers of the decoder, in each frame
    assert n_runs[1] < 400
    np.testing.assert_array_equal(browser.execute_script("return [map.width, map.height]"), [n_runs[1]] * 2)
