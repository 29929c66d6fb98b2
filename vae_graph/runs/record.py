"""The record of a run, `resume.json`: what resuming needs and the 39 variables of a checkpoint do not hold."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vae_graph.checkpoints import CheckpointError
from vae_graph.settings import Settings
from vae_graph.training_graph import ERROR_NAMES

RECORD_FILE = "resume.json"      # beside the checkpoints
# The keys in the file, by the fields' names: files of earlier versions have them.
FILE_KEYS = {"epoch_sums": "unfinished", "n_epoch_steps": "n_unfinished"}


@dataclass
class RunRecord:
    """A run so far."""

    settings: dict[str, int | float]
    data: dict[str, str]             # SHA-256 of the data's files
    first_epoch: int = 0             # not 0 for a run resumed from a checkpoint without a record
    first_step: int = 0              # the step counter at the beginning of that epoch
    # The mean errors of each epoch, as columns.
    errors: dict[str, list] = field(default_factory=lambda: {name: [] for name in ("epoch", *ERROR_NAMES)})
    epoch_sums: list[float] = field(default_factory=lambda: [0.0] * len(ERROR_NAMES))    # of the errors in this epoch
    n_epoch_steps: int = 0           # the number of steps in these sums

    def position(self, step: int, n_batches: int) -> tuple[int, int]:
        """The epoch, and the batch within it, of the step that follows `step` steps."""
        epochs, batch = divmod(step - self.first_step, n_batches)
        return self.first_epoch + epochs, batch

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
        return json.dumps({FILE_KEYS.get(name, name): value for name, value in dataclasses.asdict(self).items()},
                          indent=1).encode()


def read_record(path: Path, like: RunRecord) -> RunRecord | None:
    """The record in a file, validated to have the keys of `like`; None if there is no file.

    Raises:
        CheckpointError: the file is not a record.
    """
    try:
        content = json.loads(path.read_bytes())
        parts = {name: content.pop(key) for name, key in FILE_KEYS.items() if key in content}
        record = RunRecord(**content, **parts)
        keys = [(some.settings.keys(), some.data.keys(), some.errors.keys()) for some in (record, like)]
        numbers = [*np.array([*record.errors.values()], float).flat, *record.epoch_sums, record.first_epoch,
                   record.first_step]
        if keys[0] == keys[1] and len(record.epoch_sums) == len(ERROR_NAMES) and np.isfinite(numbers).all():
            return record
        found = "other keys or values in it"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        found = repr(error)
    raise CheckpointError(f"{path}: expected a record written by this program, found {found}; remove the file to "
                          "resume without the errors of earlier epochs")


def trained_on(prefix: str, data_sha256: dict[str, str]) -> bool | None:
    """Whether a checkpoint was trained on a data set with these digests; None if it has no record.

    Raises:
        CheckpointError: its record is invalid.
    """
    record = read_record(Path(prefix).parent / RECORD_FILE,
                         like=RunRecord(dataclasses.asdict(Settings()), data_sha256))
    return record.data == data_sha256 if record else None
