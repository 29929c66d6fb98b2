"""axe finds nothing to mend on the graph page, in any of its states."""

import pytest

from tests.pages.helpers import accessibility_faults, set_scheme, set_size, wait
from vae_graph.pages.scenes import scenes

STATES = {f"scene {scene.number}": f"openScene(data.scenes[{i}]);" for i, scene in enumerate(scenes(n_z=2))} | {
    "trained": "openScene(data.scenes.find(({ number }) => number === '9')); runSteps(3);",
    "a table of variables": "select(producer('Adam'));",
    "folded links": "select(producer('save/restore_all'));",
    "an image is drawn":
        "openScene(data.scenes[0]); images.drawn = new Float32Array(784); fedFields = ''; refresh();",
    "a missing feed": "openRun({ fetches: ['add_5:0'], feeds: [] });",
    "two draws": "openScene(data.scenes[0]); isTwice = true; refresh();",
    "folded lines": "closed.add(lines[2]); buildLines(); showLines(); showSelection();",
    "an unknown name": "$('unknown').textContent = 'The graph has no x.';",
}


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(opened, scheme, width):
    set_scheme(opened, scheme)
    set_size(opened, width, 800)
    found = {}
    for state, script in STATES.items():
        opened.execute_script(script)
        wait(opened, "!remaining")                                   # training steps
        found[state] = accessibility_faults(opened)
    set_scheme(opened)
    set_size(opened, 1200, 900)
    assert {state: faults for state, faults in found.items() if faults} == {}
