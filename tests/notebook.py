"""Write the guide, vae_graph/README.md, as a notebook, vae_graph/guide.ipynb.

    python -m tests.notebook              after a change of the guide
    python -m tests.notebook --draw       first run the guide's first program on MNIST, for the picture that both show

The guide's blocks become code cells, and what they print their outputs. Excerpts and the folded answers stay text. The
notebook has cells of its own: one installs the package where it is missing, as on Colab, from the repository that
setup.cfg names; others show the picture, which is stored, and the page.
"""

import argparse
import base64
import os
import re
import tempfile

import nbformat
from nbformat import NotebookNode, v4

from tests.small import ROOT

GUIDE, NOTEBOOK = ROOT / "vae_graph" / "README.md", ROOT / "vae_graph" / "guide.ipynb"
PICTURE = ROOT / "figures" / "guide_manifold.png"
OWNER = re.search(r"^url = https://github\.com/(.+)/vae_graph$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)[1]
BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
INSTALL = f"""\
import importlib.util
import subprocess
import sys

import tensorflow.compat.v1 as tf

OWNER = "{OWNER}"                                      # of the repository on GitHub
if not importlib.util.find_spec("vae_graph"):
    if OWNER == "OWNER":
        sys.exit("Set OWNER to the name of the repository's owner on GitHub, and run this cell again.")
    repository = f"git+https://github.com/{{OWNER}}/vae_graph"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", repository], check=True)
tf.logging.set_verbosity(tf.logging.ERROR)           # in a notebook TensorFlow logs to standard output"""
SHOW_PICTURE = """\
from IPython.display import Image

Image("manifold.png", width=560)"""
SHOW_PAGE = """\
from pathlib import Path

from IPython.display import IFrame

page = Path("../figures/reference/checkpoint/graph.html")           # of a clone
IFrame(page, "100%", 700) if page.exists() else None"""


def notebook(guide: str, picture: bytes) -> NotebookNode:
    """The notebook of a guide.

    Args:
        guide: its text.
        picture: the PNG file that its first program writes.
    """
    introduction, program = re.split(r"^(?=# The program$)", guide, flags=re.MULTILINE)
    cells = [_text_cell(introduction), v4.new_code_cell(INSTALL), v4.new_code_cell(SHOW_PAGE)]
    # An answer is one cell, which can be folded.
    for text in re.split(r"(?=^<details>)|(?<=^</details>$)", program, flags=re.MULTILINE):
        cells += [_text_cell(text)] if text.startswith("<details>") else _cells(text, picture)
    cells = [cell for cell in cells if cell.source]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"               # not random: the same guide gives the same file
    return v4.new_notebook(cells=cells, metadata={
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"}})


def _cells(text: str, picture: bytes) -> list[NotebookNode]:
    """The cells of a part of the guide."""
    cells = []
    end = 0
    for block in BLOCK.finditer(text):
        printed = [v4.new_output("stream", name="stdout", text=block[2])] if block[2] else []
        cells += [_text_cell(text[end:block.start()]), v4.new_code_cell(block[1].rstrip("\n"), outputs=printed)]
        if "manifold.png" in block[1]:
            png = base64.b64encode(picture).decode()
            cells.append(v4.new_code_cell(SHOW_PICTURE, outputs=[v4.new_output("display_data", {"image/png": png})]))
        end = block.end()
    return [*cells, _text_cell(text[end:])]


def _text_cell(text: str) -> NotebookNode:
    text = re.sub(r"^!\[.*?\]\(\.\./figures/.*\)\n", "", text, flags=re.MULTILINE)           # stored as an output
    return v4.new_markdown_cell(text.strip().replace("```python excerpt", "```python"))


def current() -> str:
    """The content of the notebook's file, as it should be."""
    return nbformat.writes(notebook(GUIDE.read_text(encoding="utf-8"), PICTURE.read_bytes())) + "\n"


def draw() -> None:
    """Run the guide's first program, and keep the picture that it writes."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("MNIST_DIR", str(ROOT / "data"))
        os.environ["MNIST_DIR"] = os.path.abspath(os.environ["MNIST_DIR"])
        os.chdir(folder)
        exec(BLOCK.search(GUIDE.read_text(encoding="utf-8"))[1], {})
        PICTURE.write_bytes((ROOT / folder / "manifold.png").read_bytes())
        os.chdir(before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", action="store_true")
    if parser.parse_args().draw:
        draw()
    NOTEBOOK.write_text(current(), encoding="utf-8")


if __name__ == "__main__":
    main()
