"""axe finds nothing to mend on the explorer, in any of its states."""

import pytest

from tests.helpers import write_network
from tests.numpy_network import PREFIX
from tests.pages.helpers import accessibility_faults, set_scheme, wait
from vae_graph import checkpoints

STATES = {
    "as opened": "",
    "pins and the loss": "seeNumber(3); pin(); moveTo(1, 1); pin(); goTo(true);",
    "cleared": "seeNumber(3); clearSketch();",
    "a list of variables": "document.querySelectorAll('details').forEach(details => { details.open = true; });",
    "a refusal": "say('x: expected a checkpoint');",
    "no model": "removeModel(models[0]);",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("n_models", [0, 1, 2])
def test_axe_finds_nothing(open_explorer, tmp_path, n_models, scheme):
    browser = open_explorer(PREFIX if n_models else None)
    set_scheme(browser, scheme)
    if n_models == 2:
        prefix = write_network(tmp_path / "x", n_z=5)
        browser.find_element("id", "files").send_keys("\n".join(map(str, checkpoints.files_of(prefix))))
        wait(browser, "models.length === 2")
        browser.find_element("id", "swap").click()
        wait(browser, "models[0].means && !waiting")
    found = {}
    for state, script in STATES.items():
        if n_models or state in ("as opened", "a refusal"):
            browser.execute_script(script)
            wait(browser, "!waiting")
            found[state] = accessibility_faults(browser)
    set_scheme(browser)
    assert {state: faults for state, faults in found.items() if faults} == {}
