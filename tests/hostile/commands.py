"""Every command of the program, so that each is tried on every hostile input. A new command fails until it is here."""

import shutil
from pathlib import Path

import pytest

import run_mnist
from run_mnist import COMMANDS
from tests.helpers import one_line_error
from tests.small import SMALL

OTHER = ("--dataset", "other")
READING = [name for name in COMMANDS if not COMMANDS[name].is_training]
every_command = pytest.mark.parametrize("command", COMMANDS)
N_EPOCHS = 2                     # of the run in the folder


def first_by_default(names: str | tuple[str, ...], cases: dict[str, object]) -> pytest.MarkDecorator:
    """Cases by their names, of which the first is tried by default and the others with `-m slow`."""
    return pytest.mark.parametrize(names, [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), id=name, marks=[pytest.mark.slow] * (number > 0))
        for number, (name, case) in enumerate(cases.items())])


def arguments(command: str, run: Path, figures: Path, checkpoint: Path | None = None) -> list[str]:
    """The arguments of a command that works on the run in a folder, or on one checkpoint.

    Args:
        command: its name.
        run: the folder of the checkpoints; see `lay_out`. A training resumes there, for one more epoch.
        figures: the folder for what it writes.
    """
    checkpoint, figures_dir = checkpoint or run / "other", ("--figures_dir", figures)
    training = (*OTHER, *SMALL, "--num_epoch", N_EPOCHS + 1, "--checkpoint_dir", run, *figures_dir)
    return [*map(str, {
        "train": training,
        "sweep": ("sweep", "--n_z", 2, *training),
        "inspect": ("inspect", checkpoint),
        "evaluate": ("evaluate", checkpoint, *OTHER, "--draws", 1),
        "figures": ("figures", checkpoint, *OTHER, *figures_dir),
        "sample": ("sample", checkpoint, *figures_dir),
        "walk": ("walk", checkpoint, *OTHER, *figures_dir),
        "explore": ("explore", checkpoint, *OTHER, *figures_dir),
        "trace": ("trace", checkpoint, *OTHER, *figures_dir),
        "compare": ("compare", checkpoint, checkpoint, *OTHER, "--draws", 1, *figures_dir),
        "export": ("export", checkpoint, figures / "model", "--npz", figures / "weights.npz", "--onnx",
                   figures / "onnx", "--safetensors", figures / "weights.safetensors"),
    }[command])]


def lay_out(finished_run: Path, folder: Path) -> Path:
    """A copy of a run in each of the places where the commands of `arguments` look for it."""
    for place in (folder / "other", folder / "sweep" / "n_z-2" / "other"):
        shutil.copytree(finished_run, place)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every regular file below a folder, except locks and logs."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.stat().st_size < 10**8 and path.name != ".lock"
            and not path.name.startswith("events.")}


def assert_refused(capsys, command: str, run: Path, figures: Path, checkpoint: Path | None = None) -> str:
    """A command's error, one line with exit status 2; it must have changed and written nothing."""
    before = contents(Path())
    capsys.readouterr()
    assert run_mnist.main(arguments(command, run, figures, checkpoint)) == 2
    message = one_line_error(capsys)
    assert contents(Path()) == before
    assert not [*Path().rglob(".saving-*")]
    return message
