"""What a stopped run goes on from: its record, its newest whole checkpoint, and only as the run that it was."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vae_graph import checkpoints, saving
from vae_graph.training_graph import Settings

ERROR_NAMES = ("Recon_error", "Regularization_error", "ELBO")
FREE_TO_CHANGE = {"num_epoch", "checkpoint_every"}
LATER_SETTINGS = {"shuffle": False, "add_noise": False}      # which a record of an earlier version has not


class SettingsError(ValueError):
    """Settings do not fit the data or the run that is to go on. The message names the flag and both values."""


@dataclass
class Run:
    """A run so far: what going on needs and the 39 variables of a checkpoint do not hold."""

    settings: dict[str, int | float]
    data: dict[str, str]             # SHA-256 of the data's files
    first_epoch: int = 0             # not 0 in a run that went on from a checkpoint without a record
    first_step: int = 0              # the step counter at the beginning of that epoch
    # The mean errors of each epoch, as columns.
    errors: dict[str, list] = field(default_factory=lambda: {name: [] for name in ("epoch", *ERROR_NAMES)})
    unfinished: list[float] = field(default_factory=lambda: [0.0] * len(ERROR_NAMES))   # an epoch's sums so far
    n_unfinished: int = 0            # over so many steps

    def position(self, step: int, n_batches: int) -> tuple[int, int]:
        """The epoch and the batch in it that come after so many steps."""
        epochs, batch = divmod(step - self.first_step, n_batches)
        return self.first_epoch + epochs, batch

    def add(self, errors: Sequence[Sequence[float]]) -> None:
        """Add the three errors of each of some steps."""
        self.unfinished = np.add(self.unfinished, np.sum(errors, axis=0, dtype=np.float64)).tolist()
        self.n_unfinished += len(errors)

    def end_epoch(self, epoch: int) -> list[float]:
        """Note the means of an epoch's errors and return them."""
        means = [total / self.n_unfinished for total in self.unfinished]
        for name, value in zip(("epoch", *ERROR_NAMES), (epoch, *means), strict=True):
            self.errors[name].append(value)
        self.unfinished, self.n_unfinished = [0.0] * len(ERROR_NAMES), 0
        return means

    def as_json(self) -> bytes:
        """The record as it is kept."""
        return json.dumps(dataclasses.asdict(self), indent=1).encode()


def resumed(folder: Path, settings: Settings, data_sha256: dict[str, str], n_batches: int
            ) -> tuple[Run, checkpoints.Checkpoint | None]:
    """The run that `folder` holds and the checkpoint to go on from; a new run and None where it holds none.

    What is broken is moved into a folder of its own, out of the way of what will be written.

    Raises:
        SettingsError: the run has other settings or data.
        CheckpointError: its record is spoiled.
    """
    run = Run(dataclasses.asdict(settings), data_sha256)
    newest, problems = checkpoints.newest_to_resume(folder)
    if newest:
        before = _read_record(Path(newest.prefix).parent / checkpoints.RECORD_FILE, like=run)
        if before:
            _refuse_other_data(folder, before.data, run.data)
            _refuse_other_settings(folder, before.settings, run.settings)
            run = dataclasses.replace(before, settings=run.settings)
            epoch, _ = run.position(newest.step, n_batches)
            n_done = sum(done < epoch for done in run.errors["epoch"])
            run.errors = {name: column[:n_done] for name, column in run.errors.items()}
        else:
            # The original's have no record beside them; their sizes still tell something.
            sizes = {name: size for name, size in dataclasses.asdict(newest.sizes).items() if name != "n_input"}
            _refuse_other_settings(folder, sizes, run.settings)
            run.first_epoch, run.first_step = newest.epoch + 1, newest.step

    for problem in problems.values():
        print(f"skipped: {problem}")
    if problems:
        # Where there is none to go on from, the record too would be in the new run's way.
        files = {path if path.parent == folder else path.parent
                 for prefix in problems for path in checkpoints.files_of(prefix)}
        print(f"what was skipped is now in {saving.set_aside(folder, files if newest else None)}")
    return run, newest


def trained_on(prefix: str, data_sha256: dict[str, str]) -> bool | None:
    """Whether a checkpoint was trained on some data, known by the SHA-256 of their files; None if no record tells.

    Raises:
        CheckpointError: the record beside it is spoiled.
    """
    record = _read_record(Path(prefix).parent / checkpoints.RECORD_FILE,
                          like=Run(dataclasses.asdict(Settings()), data_sha256))
    return record.data == data_sha256 if record else None


def _read_record(path: Path, like: Run) -> Run | None:
    """The record of a run, its parts with the same names in them as those of `like`; None where there is none."""
    try:
        run = Run(**json.loads(path.read_bytes()))
        run.settings = LATER_SETTINGS | run.settings
        names = [(found.settings.keys(), found.data.keys(), found.errors.keys()) for found in (run, like)]
        numbers = [*np.array([*run.errors.values()], float).flat, *run.unfinished, run.first_epoch, run.first_step]
        if names[0] == names[1] and len(run.unfinished) == len(ERROR_NAMES) and np.isfinite(numbers).all():
            return run
        found = "other names or numbers in it"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        found = repr(error)
    raise checkpoints.CheckpointError(f"{path}: expected the record that this program writes, found {found}; remove "
                                      "the file to go on without the errors of the epochs before")


def _refuse_other_settings(folder: Path, before: dict, now: dict) -> None:
    for name, value in before.items():
        if name not in FREE_TO_CHANGE and now[name] != value:
            flag = f"--{name} {value}" if not isinstance(value, bool) else f"--{name}" if value else f"no --{name}"
            raise SettingsError(f"--{name}: expected {value} as in the run in {folder}, found {now[name]}; go on with "
                                f"{flag}, begin anew with --restart, or name another --checkpoint_dir")


def _refuse_other_data(folder: Path, before: dict[str, str], now: dict[str, str]) -> None:
    for name, digest in before.items():
        if now[name] != digest:
            raise SettingsError(f"--dataset: expected the data of the run in {folder} ({name} with SHA-256 {digest}), "
                                f"found {now[name]}; begin anew with --restart, or name another --checkpoint_dir")
