"""The notebook is the guide, and runs from its first cell to its last."""

import base64
import importlib.util
import re

import nbclient
import nbformat
import pytest

from tests import notebook
from tests.helpers import comparable
from tests.small import ROOT

COMMITTED = notebook.NOTEBOOK.read_text(encoding="utf-8")


def test_the_committed_notebook_is_the_guide():
    assert notebook.current() == COMMITTED, "run `python -m tests.notebook`"


def test_every_link_to_the_repository_is_to_that_of_setup_cfg():
    """So whoever publishes it replaces OWNER everywhere, or the test names what was forgotten."""
    for page in (*ROOT.glob("**/*.md"), *ROOT.glob("vae_graph/pages/*.html")):
        text = page.read_text(encoding="utf-8")
        found = re.findall(r"github(?:\.com)?/([\w.-]+)/vae_graph\b|https://([\w-]+)\.github\.io/vae_graph\b", text)
        assert {"".join(owner) for owner in found} <= {notebook.OWNER}, page
    assert f'OWNER = \\"{notebook.OWNER}\\"' in COMMITTED


def test_the_title_comes_before_the_installation():
    first, install, *_ = nbformat.reads(COMMITTED, 4).cells
    assert first.source.startswith("# The TF1 graph by example")
    assert "pip" in install.source


def test_without_an_owner_the_installation_fails_in_one_sentence(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"^Set OWNER to .*\.$"):
        exec(notebook.INSTALL.replace(f'"{notebook.OWNER}"', '"OWNER"', 1), {})


def test_answers_are_folded_and_the_picture_is_stored():
    cells = nbformat.reads(COMMITTED, 4).cells
    answers = [cell for cell in cells if "<summary>Answer</summary>" in cell.source]
    assert len(answers) == 13
    assert all(cell.cell_type == "markdown" and cell.source.startswith("<details>")
               and cell.source.endswith("</details>") for cell in answers)
    [picture] = [output for cell in cells for output in cell.get("outputs", []) if "data" in output]
    assert base64.b64decode(picture.data["image/png"]) == notebook.PICTURE.read_bytes()


@pytest.mark.slow
def test_it_runs_and_prints_the_output_shown(tmp_path, monkeypatch):
    """Without MNIST and without a network: on the rendered digits."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MNIST_DIR", str(tmp_path / "none"))
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")
    found = nbformat.reads(COMMITTED, 4)
    shown = [printed_by(cell) for cell in found.cells]
    nbclient.NotebookClient(found, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert [comparable(printed_by(cell)) for cell in found.cells] == [comparable(printed) for printed in shown]
    assert (tmp_path / "manifold.png").exists()


def printed_by(cell):
    """What a code cell printed to standard output."""
    return "".join(output.text for output in cell.get("outputs", []) if output.get("name") == "stdout")
