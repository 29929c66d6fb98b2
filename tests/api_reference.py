"""Write a reference of all public functions, in HTML, from their docstrings.

    pip install -e ".[docs]"
    python -m tests.api_reference FOLDER         open FOLDER/index.html in a browser

A warning of pdoc's, such as a name that cannot be resolved, is an error.
"""

import argparse
import pkgutil
import warnings
from pathlib import Path

import pdoc

import vae_graph


def write_reference(folder: Path) -> None:
    """Write a page for each module and package."""
    for name in vae_graph.__all__:
        setattr(vae_graph, name, getattr(vae_graph, name))       # they are imported on first use, which pdoc is not
    # A package with `__all__` is not searched for modules.
    modules = [module.name for package in (vae_graph, vae_graph.checkpoints)
               for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]
    pdoc.render.configure(docformat="google")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.pdoc("vae_graph", *modules, output_directory=folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    write_reference(parser.parse_args().folder)
