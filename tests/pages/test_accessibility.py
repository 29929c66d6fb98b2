"""axe finds nothing to mend on the explorer, in any of its states.

It is looked for in the file that the environment variable AXE_CORE names, `axe.min.js` of npm's axe-core.
"""

import os
from pathlib import Path

import pytest

from tests.helpers import write_network
from tests.numpy_network import PREFIX
from tests.pages.helpers import wait
from vae_graph import checkpoints


@pytest.fixture(scope="module")
def axe():
    if not os.environ.get("AXE_CORE"):
        pytest.skip("AXE_CORE names no axe.min.js of npm's axe-core")
    return Path(os.environ["AXE_CORE"]).read_text(encoding="utf-8")


STATES = {
    "as opened": "",
    "pins and the loss": "seeNumber(3); pin(); moveTo(1, 1); pin(); resample();",
    "cleared": "seeNumber(3); clearSketch();",
    "a list of variables": "document.querySelectorAll('details').forEach(details => { details.open = true; });",
    "a refusal": "say('x: expected a checkpoint');",
    "no model": "removeModel(models[0]);",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("n_models", [0, 1, 2])
def test_axe_finds_nothing(open_explorer, tmp_path, axe, n_models, scheme):
    browser = open_explorer(PREFIX if n_models else None)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia",
                            {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    if n_models == 2:
        prefix = write_network(tmp_path / "x", n_z=5)
        browser.find_element("id", "files").send_keys("\n".join(map(str, checkpoints.files_of(prefix))))
        wait(browser, "models.length === 2")
        browser.find_element("id", "swap").click()
        wait(browser, "models[0].means && !waiting")
    browser.execute_script(axe)
    found = {}
    for state, script in STATES.items():
        if n_models or state in ("as opened", "a refusal"):
            browser.execute_script(script)
            wait(browser, "!waiting")
            found[state] = browser.execute_async_script("""
                const done = arguments[0];
                axe.run().then(({ violations }) => done(violations.map(
                  ({ id, nodes }) => `${id}: ${nodes.map(node => node.html)}`)));""")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert {state: violations for state, violations in found.items() if violations} == {}
