"""The outputs of the commands: folders that are known to be writable, files that are written atomically."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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


def results_folder(flags: argparse.Namespace, prefixes: Sequence[str], data_set: DataSet | None = None) -> Path:
    """The folder for the results of some checkpoints: --figures_dir, or one of their own in `figures`.

    Its name is that of the checkpoint's folder and its own, as in figures/checkpoints-parameter199, and a number if
    there are results of another checkpoint of that name. Those in --figures_dir are printed.
    """
    subdir = data_set.results_subdir if data_set else ""
    if flags.figures_dir:
        folder = writable_folder("--figures_dir", flags.figures_dir / subdir)
        for name, others in _results_of_others(folder, prefixes).items():
            print(printable(f"{folder} also has results of {' and '.join(others)}, recorded in {name}; files of the "
                            "same name are replaced"))
        return folder
    # Short, and legal on Windows.
    names = [re.sub(r"[^\w.-]+", "-", vae_graph.checkpoints.label(prefix).removesuffix(".ckpt")) for prefix in prefixes]
    own = "-and-".join(names)[-60:].strip("-.")
    candidates = (Path("figures", own if number == 1 else f"{own}-{number}", subdir) for number in itertools.count(1))
    folder = next(folder for folder in candidates if not _results_of_others(folder, prefixes))
    return writable_folder("--figures_dir", folder)


def _results_of_others(folder: Path, prefixes: Sequence[str]) -> dict[str, list[str]]:
    """The records in a folder of results of other checkpoints, by the records' names."""
    from vae_graph.runs.record import read_bytes

    own, found = {*map(os.path.abspath, prefixes)}, {}
    for path in sorted(folder.glob("*.json")):
        # Whatever else is there is no record of results.
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            record = json.loads(read_bytes(path))
            named = record["checkpoints"] if "checkpoints" in record else [record["checkpoint"]]
            if others := [other for other in named if os.path.abspath(other) not in own]:
                found[path.name] = others
    return found


def writable_folder(flag: str, path: Path) -> Path:
    """Create the folder and try to write to it now, not after a quarter of an hour of training."""
    for place in (path, *path.parents):
        if Path(f"{place}.index").exists():      # a folder of that name would hide it from every command
            raise SettingsError(f"{flag}: expected a folder, found the checkpoint {place}; its folder is "
                                f"{place.parent}")
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
