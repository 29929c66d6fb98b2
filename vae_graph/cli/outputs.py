"""The outputs of the commands: folders that are known to be writable, files that are written atomically."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import vae_graph
from vae_graph.cli.execution import complain
from vae_graph.errors import UserError, printable
from vae_graph.files import remove_stale, write_atomic
from vae_graph.settings import SettingsError

if TYPE_CHECKING:
    from vae_graph.data import DataSet


class ResultsMissing(UserError):
    """A training is complete, but some of its results could not be written. The message names them."""


def figures_folder(flags: argparse.Namespace, data_set: DataSet) -> Path:
    """The folder for the pictures; data sets other than MNIST have a subfolder."""
    return writable_folder("--figures_dir", flags.figures_dir / data_set.results_subdir)


def writable_folder(flag: str, path: Path) -> Path:
    """Create the folder and try to write to it now, not after a quarter of an hour of training."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise SettingsError(f"{flag}: expected a writable folder, found {path}: {error.strerror}") from None


def draw_results(prefix: str, data_set: DataSet, flags: argparse.Namespace, note: str = "") -> dict[str, bytes]:
    """The pictures of a checkpoint that a training draws, by their names."""
    return vae_graph.pictures.of_training(prefix, data_set, flags.seed, flags.manifold_grid == "gaussian",
                                          flags.add_noise, flags.palette, note)


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write some files, each atomically, and remove what killed processes have left incomplete."""
    remove_stale(folder)
    for name, content in contents.items():
        write_atomic(folder / name, content)


@contextlib.contextmanager
def optional(what: str, missing: set[str]) -> Iterator[None]:
    """Report an error in one line and add `what`, a result, to `missing`; success removes it."""
    try:
        yield
        missing.discard(what)
    except (OSError, vae_graph.checkpoints.CheckpointError) as error:
        missing.add(what)
        complain(printable(f"{what}: not written: {error}"))


def write_optional(folder: Path, contents: Mapping[str, bytes], missing: set[str]) -> None:
    """As `write_files`, of results that a training can do without: see `optional`."""
    remove_stale(folder)
    for name, content in contents.items():
        with optional(str(folder / name), missing):
            write_atomic(folder / name, content)


def check_complete(missing: set[str]) -> None:
    """Raise ResultsMissing if some of a training's results could not be written."""
    if missing:
        raise ResultsMissing(f"expected to write {', '.join(sorted(missing))}, found the errors above; the training is "
                             "complete; rerun the same command to write them again")
