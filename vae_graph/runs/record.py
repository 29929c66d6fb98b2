"""The record of a run, `resume.json`: what a resumed run needs beyond the 39 variables of a checkpoint."""

import dataclasses
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vae_graph.checkpoints import CheckpointError
from vae_graph.settings import Settings
from vae_graph.training_graph import ERROR_NAMES

RECORD_FILE = "resume.json"      # beside the checkpoints
# A checkpoint saved within an epoch has a folder of its own; the names sort by step.
STOPPED_FOLDER, STOPPED_NAME = "stopped-{step:010}", re.compile("stopped-[0-9]{10}")
MAX_RECORD_SIZE = 10**8          # bytes: of a million epochs
OLD_NAMES = {"unfinished": "epoch_sums", "n_unfinished": "n_epoch_steps"}    # of fields, in earlier records


@dataclass
class RunRecord:
    """A run so far."""

    settings: Settings
    data: dict[str, str]             # SHA-256 of the data's files
    n_towers: int = 2                # data-parallel splits of each batch; records of earlier versions lack the number
    first_epoch: int = 0             # not 0 for a run resumed from a checkpoint without a record
    first_step: int = 0              # the step counter at the beginning of that epoch
    # The mean errors of each epoch, as columns.
    errors: dict[str, list] = field(default_factory=lambda: {name: [] for name in ("epoch", *ERROR_NAMES)})
    epoch_sums: list[float] = field(default_factory=lambda: [0.0] * len(ERROR_NAMES))    # of the errors in this epoch
    n_epoch_steps: int = 0           # the number of steps in these sums

    def position(self, step: int, n_batches: int) -> tuple[int, int]:
        """The epoch, and the batch within it, of the step that follows `step` steps."""
        n_epochs, batch = divmod(step - self.first_step, n_batches)
        return self.first_epoch + n_epochs, batch

    def add(self, errors: Sequence[Sequence[float]]) -> None:
        """Add the three errors of each of some steps."""
        self.epoch_sums = np.add(self.epoch_sums, np.sum(errors, axis=0, dtype=np.float64)).tolist()
        self.n_epoch_steps += len(errors)

    def end_epoch(self, epoch: int) -> list[float]:
        """Append the means of an epoch's errors and return them."""
        means = [total / self.n_epoch_steps for total in self.epoch_sums]
        for name, value in zip(("epoch", *ERROR_NAMES), (epoch, *means), strict=True):
            self.errors[name].append(value)
        self.epoch_sums, self.n_epoch_steps = [0.0] * len(ERROR_NAMES), 0
        return means

    def as_json(self) -> bytes:
        """The content of the file."""
        return json.dumps(dataclasses.asdict(self), indent=1).encode()


def read_record(path: Path) -> RunRecord | None:
    """The validated record in a file; None if there is no file. Settings that it does not have get their defaults.

    Raises:
        CheckpointError: the file is not a record, or has something in it that this version does not know.
    """
    try:
        return parse_record(read_bytes(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError, OverflowError) as error:
        raise CheckpointError(
            f"{path}: expected a record written by this program, found: {error}; {remedy(path)}") from None


def parse_record(text: bytes) -> RunRecord:
    """Parse and validate the content of a record. Raises one of several exceptions: see `read_record`."""
    content = {OLD_NAMES.get(name, name): value for name, value in json.loads(text).items()}
    _check_names(content, RunRecord, "field")
    _check_names(content["settings"], Settings, "setting")
    record = RunRecord(**content | {"settings": Settings(**content["settings"])})
    if not isinstance(content["data"], dict):
        raise ValueError("invalid data")
    if invalid := _invalid_field(record):
        raise ValueError(f"invalid {invalid}")
    return record


def remedy(path: Path) -> str:
    """What to do about an invalid record. Without a record, a checkpoint within an epoch cannot be resumed."""
    if STOPPED_NAME.fullmatch(path.parent.name):
        return f"remove the folder {path.parent.name} to resume from an earlier checkpoint"
    return "remove the file to resume without the errors of earlier epochs"


def trained_on(prefix: str, data_sha256: dict[str, str]) -> bool | None:
    """Whether a checkpoint was trained on a data set with these digests; None if no readable record says so."""
    try:
        return json.loads(read_bytes(Path(prefix).parent / RECORD_FILE))["data"] == data_sha256
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def stopped_folders(folder: Path) -> list[Path]:
    """The folders of the checkpoints that a run in `folder` saved within an epoch."""
    return [path for path in folder.glob("stopped-*") if STOPPED_NAME.fullmatch(path.name)]


def read_bytes(path: Path) -> bytes:
    """The content of a file that this program wrote. Raises ValueError if it is no regular file, or too large."""
    if path.exists() and not path.is_file():
        raise ValueError("no regular file")
    with open(path, "rb") as file:
        content = file.read(MAX_RECORD_SIZE + 1)
    if len(content) > MAX_RECORD_SIZE:
        raise ValueError(f"more than {MAX_RECORD_SIZE} bytes")
    return content


def _check_names(content: dict[str, Any], record_type: type, what: str) -> None:
    if unknown := content.keys() - {one.name for one in dataclasses.fields(record_type)}:
        raise ValueError(f"the unknown {what} {min(unknown)}")


def _invalid_field(record: RunRecord) -> str | None:
    """The name of the first field of a record that this program cannot have written; None if there is none."""
    for name in ("n_towers", "first_epoch", "first_step", "n_epoch_steps"):
        if not _is_count(getattr(record, name)):
            return name
    if record.n_towers == 0:
        return "n_towers"
    columns = record.errors
    if {*columns} != {"epoch", *ERROR_NAMES} or not all(isinstance(some, list) for some in columns.values()):
        return "errors"
    epochs, *columns_of_errors = (columns[name] for name in ("epoch", *ERROR_NAMES))
    if not all(map(_is_count, epochs)) or not _are_errors(columns_of_errors, len(epochs)):
        return "errors"
    if not all(a < b for a, b in itertools.pairwise([record.first_epoch - 1, *epochs])):
        return "errors"
    sums = record.epoch_sums
    if not isinstance(sums, list) or not _are_errors([[total] for total in sums], 1) or (
            any(sums) and record.n_epoch_steps == 0):
        return "epoch_sums"
    return None


def _is_count(value: object) -> bool:
    """Whether a value is an int that a step counter can hold."""
    return type(value) is int and 0 <= value < 2**31


def _are_errors(columns: Sequence[Sequence[float]], length: int) -> bool:
    """Whether three columns have the length, and finite numbers of which the third is the sum of the others."""
    if not all(type(value) in (int, float) for column in columns for value in column):
        return False                 # NumPy would convert a text
    values = np.array(columns, float)
    if values.shape != (len(ERROR_NAMES), length) or not np.isfinite(values).all():
        return False
    with np.errstate(over="ignore"):
        return np.allclose(values[0] + values[1], values[2], rtol=1e-3, atol=1e-3)
