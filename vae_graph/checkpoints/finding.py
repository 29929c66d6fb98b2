"""Finding a checkpoint: by its prefix, by one of its files, or as the latest of a folder."""

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from vae_graph.checkpoints.format import (
    FILE_NAME,
    PART,
    STEP,
    Checkpoint,
    CheckpointError,
    ShapesOf,
    model_shapes,
)
from vae_graph.checkpoints.reading import check_finite, layer_sizes, read_shapes, read_variables
from vae_graph.checkpoints.table import is_table, other_format

REQUIRED_FILE = re.compile(r"parameter(0|[1-9][0-9]{0,8})\.ckpt(\.index)?")      # without it there is no checkpoint
NUMBER = re.compile(r"\d+(?=\D*$)")          # the last one in a name: of the step, in `my_model-1000`
STATE_FILE = "checkpoint"                    # TensorFlow's, which names the checkpoint that was written last
STATE = re.compile(rb'^model_checkpoint_path: "((?:[^"\\]|\\.)*)"', re.MULTILINE)
ESCAPE = re.compile(rb"\\([0-7]{3}|.)")      # of any byte, in protocol buffers' text format
MAX_STATE_SIZE = 1_000_000                   # TensorFlow lists five checkpoints in it by default


class Found(NamedTuple):
    """The checkpoint that a path refers to."""

    prefix: str
    problems: dict[str, CheckpointError]     # of a folder: the errors of checkpoints that would have been preferred
    others: list[str]        # of a folder without `parameter<epoch>.ckpt`: the prefixes of the other checkpoints


def find(path: str | Path, any_program: bool = False) -> Found:
    """The checkpoint that a path refers to.

    Args:
        path: a prefix, one of a checkpoint's files, or a folder. A folder refers to its valid checkpoint of the highest
            epoch; if its checkpoints have other names than `parameter<epoch>.ckpt`, to the one that TensorFlow's state
            file names, else to the valid one of the highest number. The state file itself refers to the checkpoint that
            it names, if that is there, else to its folder. A checkpoint that it names and that is gone is a problem.
        any_program: a folder without one of this network refers to its latest of another program; if no values are
            there, to its latest index.

    Raises:
        CheckpointError: there is none.
        OSError: one cannot be read.
    """
    path = Path(path)
    problems: dict[str, CheckpointError] = {}
    if path.name == STATE_FILE and (latest := _latest_in_state(path.parent)):
        problems = _missing_latest(path.parent)
        path = path.parent if problems else path.parent / latest
    if path.is_dir():
        found = _find_in_folder(path, any_program)
        return found._replace(problems=problems | found.problems)

    prefix = PART.sub("", str(path))
    if not os.path.isfile(prefix + ".index") and not os.path.isfile(prefix):
        incomplete = os.path.exists(path) or os.path.exists(f"{prefix}.data-00000-of-00001")
        raise CheckpointError(f"{path}: expected a checkpoint's prefix, one of its files, or a folder of checkpoints, "
                              f"found {'no .index file beside it' if incomplete else 'nothing of that name'}")
    return Found(prefix, {}, [])


def latest_valid(folder: str | Path, expected_shapes: ShapesOf = model_shapes
                 ) -> tuple[Checkpoint | None, dict[str, CheckpointError]]:
    """The valid checkpoint of the highest epoch in a folder, and the errors of the later ones, by their prefixes.

    TensorFlow's `checkpoint` state file is not read: it may be stale, or name another machine's folder.

    Args:
        folder: of the checkpoints.
        expected_shapes: of the variables that a valid one has: `model_shapes` or `training_shapes`.

    Raises:
        OSError: a checkpoint cannot be read, which does not make it invalid.
    """
    return _first_valid(reversed(by_epoch(folder).items()), expected_shapes)


def by_epoch(folder: str | Path) -> dict[int, str]:
    """The prefixes of a folder's `parameter<epoch>.ckpt`, by their epochs from the first; they may be invalid."""
    folder = Path(folder)
    matches = (REQUIRED_FILE.fullmatch(path.name) for path in folder.glob("parameter*.ckpt*"))
    epochs = sorted({int(match[1]) for match in matches if match})
    return {epoch: str(folder / FILE_NAME.format(epoch=epoch)) for epoch in epochs}


def _find_in_folder(folder: Path, any_program: bool) -> Found:
    checkpoint, problems = latest_valid(folder)
    prefixes = [] if checkpoint or problems else _prefixes_of_other_names(folder)
    if prefixes:
        checkpoint, problems = _first_valid(((0, prefix) for prefix in prefixes), model_shapes)
    if checkpoint is None and any_program and (other := _of_any_program([*problems])):
        at = [*problems].index(other)
        return Found(other, dict([*problems.items()][:at]) | _missing_latest(folder), [*problems][at + 1:])
    if checkpoint is None or prefixes:
        problems = problems | _missing_latest(folder)
    if checkpoint is None:
        found = next(iter(problems.values())) if problems else f"no checkpoint{_instead(folder)}"
        raise CheckpointError(f"{folder}: expected a folder with a valid checkpoint in it, found: {found}")
    return Found(checkpoint.prefix, problems,
                 [prefix for prefix in prefixes if prefix != checkpoint.prefix and prefix not in problems])


def _first_valid(candidates: Iterable[tuple[int, str]], expected_shapes: ShapesOf
                 ) -> tuple[Checkpoint | None, dict[str, CheckpointError]]:
    """The first valid one of some epochs and prefixes, and the errors of those before it, by their prefixes."""
    problems: dict[str, CheckpointError] = {}
    for epoch, prefix in candidates:
        try:
            variables = read_variables(prefix)
            sizes = layer_sizes(prefix, variables, expected_shapes)
            names = expected_shapes(sizes)
            check_finite(prefix, variables, names)
            return Checkpoint(epoch, prefix, sizes, int(variables[STEP]) if STEP in names else 0), problems
        except CheckpointError as error:
            problems[prefix] = error
    return None, problems


def _of_any_program(prefixes: list[str]) -> str | None:
    """The first of some checkpoints that can be read; if there is none, the first of which an index is there."""
    for read in (read_variables, read_shapes):
        for prefix in prefixes:
            with contextlib.suppress(CheckpointError):
                read(prefix)
                return prefix
    return None


def _instead(folder: Path) -> str:
    """What is in a folder without checkpoints that may have been taken for one."""
    for path in sorted(folder.iterdir()):
        with contextlib.suppress(OSError):
            if path.is_file() and (found := other_format(path)):
                return f", but {path.name}, {found}"
    return ""


def _prefixes_of_other_names(folder: Path) -> list[str]:
    """The prefixes of a folder's checkpoints of any names: the state file's, then the others from the highest number.

    One in the single file of TensorFlow 0.x is known by the state file or by the `.meta` file beside it; in a folder
    without either, by its content.
    """
    names = {path.name for path in folder.iterdir()}
    latest = _latest_in_state(folder)
    prefixes = {latest} if latest else set()
    prefixes |= {PART.sub("", name) for name in names if name.endswith((".index", ".meta"))}
    prefixes = {prefix for prefix in prefixes if f"{prefix}.index" in names or prefix in names}
    if not prefixes:
        prefixes = {name for name in names if _is_single_file(folder / name)}

    def order(prefix: str) -> tuple[bool, int, str]:
        number = NUMBER.search(prefix)
        return prefix == latest, int(number[0]) if number else -1, prefix

    return [str(folder / prefix) for prefix in sorted(prefixes, key=order, reverse=True)]


def _is_single_file(path: Path) -> bool:
    """Whether a file is a checkpoint in the single file of TensorFlow 0.x."""
    with contextlib.suppress(OSError):
        return path.is_file() and is_table(path)
    return False


def _missing_latest(folder: Path) -> dict[str, CheckpointError]:
    """The error of the checkpoint that a folder's state file names, by its prefix, if it is not in the folder."""
    latest = _latest_in_state(folder)
    if not latest or any((folder / name).is_file() for name in (f"{latest}.index", latest)):
        return {}
    return {str(folder / latest): CheckpointError(
        f"{folder / latest}: expected the checkpoint that {folder / STATE_FILE} names, found nothing of that name")}


def _latest_in_state(folder: Path) -> str | None:
    """The base name of the checkpoint that a folder's state file names, if there is one. It may be gone."""
    path = folder / STATE_FILE
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        found = STATE.search(file.read(MAX_STATE_SIZE))
    if not found:
        return None
    text = ESCAPE.sub(lambda escape: bytes([int(escape[1], 8) & 255]) if escape[1].isdigit() else escape[1], found[1])
    return re.split(r"[/\\]", os.fsdecode(text))[-1]         # the file may come from Windows
