"""Write the guide, vae_graph/README.md, as a notebook, vae_graph/guide.ipynb.

    python -m tests.notebook

The guide's blocks become code cells, and what they print their outputs. Excerpts stay text, since they are not to be
run. The answers to the exercises are folded. The notebook has two cells of its own: the first installs the package
where it is missing, as on Colab, from the repository that setup.cfg names; another shows the picture.
"""

import re

import nbformat
from nbformat import NotebookNode, v4

from tests.small import ROOT

GUIDE, NOTEBOOK = ROOT / "vae_graph" / "README.md", ROOT / "vae_graph" / "guide.ipynb"
BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
REPOSITORY = re.search(r"^url = https://github\.com/(.+)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)[1]
INSTALL = """\
import importlib.util
import subprocess
import sys

if not importlib.util.find_spec("vae_graph"):
    repository = "git+https://github.com/{repository}"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", repository], check=True)

import tensorflow.compat.v1 as tf

tf.logging.set_verbosity(tf.logging.ERROR)           # in a notebook TensorFlow logs to standard output"""
SHOW_PICTURE = """\
from IPython.display import Image

Image("manifold.png")"""
HIDDEN = {"cellView": "form", "collapsed": True, "jupyter": {"source_hidden": True, "outputs_hidden": True}}


def notebook(guide: str, repository: str) -> NotebookNode:
    """The notebook of a guide.

    Args:
        guide: its text.
        repository: owner and name of the repository on GitHub, from which the package is installed.
    """
    cells = [_code_cell(INSTALL.format(repository=repository), "")]
    text, answers, other_files = re.split(r"^## Answers\n|(?=^# The other files)", guide, flags=re.MULTILINE)
    cells += _cells(text)
    cells.append(v4.new_markdown_cell("## Answers"))
    for answer in re.split(r"^(?=\*\*\d\.\*\*)", answers, flags=re.MULTILINE)[1:]:
        cells += _folded(_cells(answer))
    cells += _cells(other_files)
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"               # not random: the same guide gives the same file
    return v4.new_notebook(cells=cells, metadata={
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"}})


def _cells(text: str) -> list[NotebookNode]:
    """The cells of a part of the guide."""
    cells = []
    end = 0
    for block in BLOCK.finditer(text):
        cells += [_text_cell(text[end:block.start()]), _code_cell(block[1].rstrip("\n"), block[2] or "")]
        if "manifold.png" in block[1]:
            cells.append(_code_cell(SHOW_PICTURE, ""))
        end = block.end()
    cells.append(_text_cell(text[end:]))
    return [cell for cell in cells if cell.source]


def _folded(cells: list[NotebookNode]) -> list[NotebookNode]:
    """An answer's cells, to be opened by the reader."""
    for cell in cells:
        if cell.cell_type == "code":
            cell.metadata.update(HIDDEN)
        else:
            number, text = re.fullmatch(r"(?:\*\*(\d)\.\*\* )?(.*)", cell.source, re.DOTALL).groups()
            cell.source = f"<details><summary>{number or 'more'}</summary>\n\n{text}\n\n</details>"
    return cells


def _text_cell(text: str) -> NotebookNode:
    return v4.new_markdown_cell(text.strip().replace("```python excerpt", "```python"))


def _code_cell(code: str, printed: str) -> NotebookNode:
    outputs = [v4.new_output("stream", name="stdout", text=printed)] if printed else []
    return v4.new_code_cell(code, outputs=outputs)


def current() -> str:
    """The content of the notebook's file, as it should be."""
    return nbformat.writes(notebook(GUIDE.read_text(encoding="utf-8"), REPOSITORY)) + "\n"


if __name__ == "__main__":
    NOTEBOOK.write_text(current(), encoding="utf-8")
