"""The outputs of the commands: folders that are known to be writable, files that are written atomically."""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

from vae_graph import pictures
from vae_graph.checkpoints.files import remove_stale, write_atomic
from vae_graph.data import DataSet
from vae_graph.settings import SettingsError


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


def draw_results(prefix: str, data_set: DataSet, flags: argparse.Namespace, figures_dir: Path, note: str = ""
                 ) -> dict[str, bytes]:
    """Write the pictures of a checkpoint that a training draws, and return them by their names."""
    drawn = pictures.of_training(prefix, data_set, flags.seed, flags.manifold_grid == "gaussian", flags.add_noise,
                                 flags.palette, note)
    write_files(figures_dir, drawn)
    return drawn


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write some files, each atomically, and remove what killed processes have left incomplete."""
    remove_stale(folder)
    for name, content in contents.items():
        write_atomic(folder / name, content)
