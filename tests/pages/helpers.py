"""What the tests of the pages use."""

import json
import re

import numpy as np
import pytest

from tests.small import ROOT

COMMITTED = ROOT / "figures" / "reference" / "checkpoint" / "explorer.html"
BLANK = ROOT / "figures" / "explorer.html"
ORIGINAL, FULL_SIZE = (str(ROOT / "figures" / "weights" / name / "parameter199.ckpt") for name in ("original", "ours"))
POINTS = [(0, 0), (1, 1), (-1, 2), (2, -2), (0.3, -0.7), (-2.5, 0.1), (3, 3), (-3, -3), (0.01, 1.7), (-0.6, -1.1)]


def wait(browser, condition, seconds=60):
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(browser, seconds).until(lambda browser: browser.execute_script(f"return {condition}"))


def fragment_of(browser):
    """The address's fragment, after the last change to it."""
    browser.execute_async_script("setTimeout(arguments[0], ADDRESS_PERIOD)")
    return browser.execute_script("return location.hash")


def changes_of_address(browser, script):
    """How often a script changes the address."""
    return browser.execute_async_script(f"""
        const replace = history.replaceState;
        let n = 0;
        history.replaceState = (...values) => {{ n++; replace.apply(history, values); }};
        {script}
        setTimeout(() => {{ history.replaceState = replace; arguments[0](n); }}, ADDRESS_PERIOD);""")


def numbers_of(page):
    return json.loads(re.search(rb'<script id="numbers" type="application/json">(.*?)</script>', page)[1])


def decoded(browser, points=POINTS, model=0):
    return np.array(browser.execute_script(
        "return arguments[0].map(z => Array.from(decode(models[arguments[1]], z)))", points, model))


def gray(browser, canvas):
    """The gray levels, 0 to 255, of a canvas of 28 x 28 pixels that a JavaScript expression gives."""
    data = browser.execute_script(f"return Array.from({canvas}.getContext('2d').getImageData(0, 0, 28, 28).data)")
    return np.reshape(data, (784, 4))[:, 0]


def set_scheme(browser, scheme=None):
    """Of colours: light, dark, or what it is by default."""
    features = [{"name": "prefers-color-scheme", "value": scheme}] if scheme else []
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def accessibility_faults(browser):
    """What axe finds to mend on a page as it is shown: the rules, and the elements that do not keep them."""
    selenium = pytest.importorskip("axe_core_python.selenium", reason="there is no axe-core-python")
    violations = selenium.Axe().run(browser)["violations"]
    return [f"{rule['id']}: {node['html']}" for rule in violations for node in rule["nodes"]]


def readout(browser):
    return wait(browser, "waiting ? null : $('readout').textContent")


def text(browser, name):
    return browser.execute_script(f"return $('{name}').textContent")


def set_size(browser, width, height):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})


def values_of(browser, name, values="shown.values"):
    return np.array(browser.execute_script(f"return Array.from({values}.get('{name}').data)"))


def choose_image(browser, number):
    browser.execute_script("$('number').value = arguments[0]; $('number').dispatchEvent(new Event('input'))", number)
