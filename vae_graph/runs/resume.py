"""Which checkpoint a run resumes from, and whether it is still the same run."""

import dataclasses
from pathlib import Path

from vae_graph import checkpoints
from vae_graph.checkpoints import Checkpoint, CheckpointError
from vae_graph.errors import printable
from vae_graph.runs.folder import archive_run
from vae_graph.runs.record import RECORD_FILE, STOPPED_GLOB, RunRecord, read_record, remedy
from vae_graph.settings import Settings, SettingsError

MUTABLE_SETTINGS = {"num_epoch", "checkpoint_every"}      # may differ when a run is resumed


def load_run(folder: Path, settings: Settings, data_sha256: dict[str, str], n_batches: int
             ) -> tuple[RunRecord, Checkpoint | None]:
    """The run in `folder` and the checkpoint to restore; a new run and None if there is none.

    Invalid checkpoints are moved into a folder of their own.

    Raises:
        SettingsError: the run has other settings or data.
        CheckpointError: its record is invalid.
    """
    record = RunRecord(dataclasses.asdict(settings), data_sha256)
    checkpoint, problems = latest_to_resume(folder)
    if checkpoint:
        path = Path(checkpoint.prefix).parent / RECORD_FILE
        if saved := read_record(path, like=record):
            check_data(folder, saved.data, record.data)
            check_settings(folder, saved.settings, record.settings)
            record = dataclasses.replace(saved, settings=record.settings)
            epoch, batch = record.position(checkpoint.step, n_batches)
            # An asynchronous replica takes only some of the steps of an epoch.
            if record.first_step > checkpoint.step or record.n_epoch_steps > batch:
                raise CheckpointError(
                    f"{path}: expected the record of {checkpoint.prefix} and its {checkpoint.step} steps, found "
                    f"first_step {record.first_step} and n_unfinished {record.n_epoch_steps}; {remedy(path)}")
            n_done = sum(done < epoch for done in record.errors["epoch"])
            record.errors = {name: column[:n_done] for name, column in record.errors.items()}
        else:
            # The original's checkpoints have no record; their layer sizes can still be checked.
            sizes = {name: size for name, size in dataclasses.asdict(checkpoint.sizes).items() if name != "n_input"}
            check_settings(folder, sizes, record.settings)
            record.first_epoch, record.first_step = checkpoint.epoch + 1, checkpoint.step

    for problem in problems.values():
        print(f"skipped: {problem}")
    if problems:
        # If there is no valid checkpoint, the record too would conflict with the new run's.
        invalid = {path if path.parent == folder else path.parent
                   for prefix in problems for path in checkpoints.files_of(prefix)}
        print(f"the skipped files are now in {printable(archive_run(folder, invalid if checkpoint else None))}")
    return record, checkpoint


def latest_to_resume(folder: Path) -> tuple[Checkpoint | None, dict[str, CheckpointError]]:
    """The valid checkpoint with the most steps, of an epoch's end or a stop, and the errors of the invalid ones."""
    found = [checkpoints.latest_valid(place, checkpoints.training_shapes)
             for place in (folder, *folder.glob(STOPPED_GLOB))]
    valid = [checkpoint for checkpoint, _ in found if checkpoint]
    problems = {prefix: problem for _, some in found for prefix, problem in some.items()}
    return max(valid, key=lambda checkpoint: checkpoint.step, default=None), problems


def check_settings(folder: Path, saved: dict, current: dict) -> None:
    """Raise SettingsError unless all settings but `MUTABLE_SETTINGS` are those of the run in `folder`."""
    for name, value in saved.items():
        if name not in MUTABLE_SETTINGS and current[name] != value:
            flag = f"--{name} {value}" if not isinstance(value, bool) else f"--{name}" if value else f"no --{name}"
            raise SettingsError(f"--{name}: expected {value} as in the run in {folder}, found {current[name]}; resume "
                                f"with {flag}, restart with --restart, or use another --checkpoint_dir")


def check_data(folder: Path, saved: dict[str, str], current: dict[str, str]) -> None:
    """Raise SettingsError unless the data set is that of the run in `folder`."""
    for name, digest in saved.items():
        if current[name] != digest:
            raise SettingsError(
                f"--dataset: expected the data of the run in {folder} ({name} with SHA-256 {digest}), found "
                f"{current[name]}; restart with --restart, or use another --checkpoint_dir")
