"""The page as a file."""

import html
import re

import numpy as np
import pytest

from tests.pages.helpers import set_size, text, wait
from tests.small import ROOT
from vae_graph import checkpoints
from vae_graph.pages import template

COMMITTED = ROOT / "figures" / "reference" / "checkpoint" / "graph.html"


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390, 800, 1280, 1920])
def test_the_page_fits_its_window(opened, width):
    set_size(opened, width, 900)
    widths = opened.execute_script("""
        return data.scenes.map(scene => {
          openScene(scene);
          return document.documentElement.scrollWidth;
        })""")
    set_size(opened, 1200, 900)
    assert max(widths) <= width


@pytest.mark.slow
def test_the_page_runs_in_a_frame_without_an_address(browser, page, tmp_path):
    path = tmp_path / "frame.html"
    path.write_text(f'<iframe srcdoc="{html.escape(page.decode())}"></iframe>', encoding="utf-8")
    browser.get(path.as_uri())
    browser.switch_to.frame(0)
    wait(browser, "session !== null && lines[0].row !== undefined")
    browser.execute_script("$('again').click()")
    assert text(browser, "counts").startswith("136 of ")
    browser.switch_to.default_content()
    assert browser.get_log("browser") == []


def test_the_page_loads_no_external_resources(page):
    static = re.sub(rb'(?<="application/json">).*?(?=</script>)', b"", page, flags=re.DOTALL)
    without_links = static.replace(b'<a href="https:', b"").replace(b'createElementNS("http:', b"")
    assert not re.findall(rb"https?:|src=|@import|fetch\(\"|XMLHttp|import\(", without_links)


def test_weights_out_of_the_range_of_float16_are_refused():
    with pytest.raises(checkpoints.CheckpointError, match="a: expected numbers in the range of float16, found 7e\\+04"):
        template.float16("a", np.float32([7e4]))


def test_the_committed_page_is_current(page):
    numbers = re.compile(rb'(?<="application/json">).*(?=</script>\n<script>)')
    assert numbers.sub(b"", COMMITTED.read_bytes()) == numbers.sub(b"", page)
    assert len(COMMITTED.read_bytes()) < 6e6
