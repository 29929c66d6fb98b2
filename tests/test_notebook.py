"""The notebook is the guide, and runs from its first cell to its last."""

import re

import nbclient
import nbformat
import pytest

from tests import notebook
from tests.small import ROOT

COMMITTED = notebook.NOTEBOOK.read_text(encoding="utf-8")


def test_the_committed_notebook_is_the_guide():
    assert notebook.current() == COMMITTED, "run `python -m tests.notebook`"


def test_it_installs_the_repository_of_setup_cfg():
    assert f'\\"git+https://github.com/{notebook.REPOSITORY}\\"' in COMMITTED


def test_every_link_to_the_repository_is_to_that_of_setup_cfg():
    """So whoever publishes it replaces OWNER everywhere, or the test names what was forgotten."""
    for page in ROOT.glob("**/*.md"):
        found = re.findall(r"github(?:\.com)?/([\w.-]+/vae_graph)\b", page.read_text(encoding="utf-8"))
        assert {*found} <= {notebook.REPOSITORY}, page


def test_answers_are_folded():
    cells = nbformat.reads(COMMITTED, 4).cells
    sources = [cell.source for cell in cells]
    first, last = sources.index("## Answers"), next(i for i, text in enumerate(sources) if "# The other files" in text)
    for cell in cells[first + 1:last]:
        folded = cell.metadata.get("jupyter", {}).get("source_hidden") or cell.source.startswith("<details>")
        assert folded, cell.source
    assert sum("<summary>" in source for source in sources) == 5


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
    assert [printed_by(cell) for cell in found.cells] == shown
    assert (tmp_path / "manifold.png").exists()


def printed_by(cell):
    """What a code cell printed to standard output."""
    return "".join(output.text for output in cell.get("outputs", []) if output.get("name") == "stdout")
