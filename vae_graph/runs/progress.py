"""How far a run has come, and which checkpoint it is resumed from, if it is still the same run."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vae_graph import checkpoints
from vae_graph.checkpoints import Checkpoint, CheckpointError, writing
from vae_graph.errors import printable
from vae_graph.runs.folder import archive_run, finish_archiving
from vae_graph.runs.record import RECORD_FILE, RunRecord, read_record, remedy, stopped_folders
from vae_graph.settings import Settings, SettingsError

MUTABLE_SETTINGS = {"num_epoch", "checkpoint_every"}      # may differ when a run is resumed


@dataclass
class Progress:
    """A run's record and its position: loaded, then advanced by the training loop."""

    folder: Path                     # of the checkpoints
    record: RunRecord
    checkpoint: Checkpoint | None    # the one to restore; None for a new run
    n_input: int                     # pixels per image
    n_batches: int                   # per epoch
    step: int                        # gradient steps taken

    @property
    def epoch(self) -> int:
        """The epoch of the next step."""
        return self.record.position(self.step, self.n_batches)[0]

    @property
    def batch(self) -> int:
        """The next step's batch within its epoch. At the beginning of an epoch it is 0 unless resuming within one."""
        return self.record.position(self.step, self.n_batches)[1]

    @property
    def last_step(self) -> int:
        """The step counter at the end of the run."""
        n_epochs = self.record.settings.num_epoch - self.record.first_epoch
        return self.record.first_step + n_epochs * self.n_batches


def check_pixels(pixels: np.ndarray) -> None:
    """Raise SettingsError unless training images are bytes, uint8 [n, n_input]: they will be divided by 255."""
    if pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise SettingsError(f"pixels: expected an array of type uint8 and shape [n, n_input], found {pixels.dtype} of "
                            f"shape {pixels.shape}")


def load_run(folder: str | Path, settings: Settings, data_sha256: dict[str, str], shape: tuple[int, ...],
             n_towers: int | None, default_towers: int) -> Progress:
    """The run in `folder`, or a new one. Invalid checkpoints are moved into a folder of their own.

    Args:
        folder: the folder of the checkpoints.
        settings: see `Settings`.
        data_sha256: the digests that identify the data set.
        shape: that of the training images, (n, n_input).
        n_towers: data-parallel splits of each batch; None for the number of the run in `folder`.
        default_towers: the number of a new run, if `n_towers` is None.

    Raises:
        SettingsError: a batch is larger than the training set, the run has other settings or data, or its checkpoints
            hold the network only.
        CheckpointError: its record is invalid, or the folder cannot be written to and read back.
        OSError: a file cannot be read.
    """
    folder, (n_images, n_input) = Path(folder), shape
    if settings.batch_size > n_images:
        raise SettingsError(f"--batch_size: expected at most {n_images}, the number of training images, found "
                            f"{settings.batch_size}")
    writing.check_folder(folder)
    if earlier := finish_archiving(folder):
        print(f"the files that an interrupted run was moving are now in {printable(earlier)}")
    n_batches = n_images // settings.batch_size
    record = RunRecord(settings, data_sha256, n_towers or default_towers)
    checkpoint, problems = _latest_to_resume(folder)
    if problems and not checkpoint:
        _check_trainable(folder)
    if checkpoint:
        if checkpoint.sizes.n_input != n_input:
            raise CheckpointError(f"{checkpoint.prefix}: expected a network for images of {n_input} pixels, found one "
                                  f"for {checkpoint.sizes.n_input}")
        if saved := read_record(Path(checkpoint.prefix).parent / RECORD_FILE):
            record = _resume(folder, saved, record, checkpoint, n_batches, n_towers)
        else:
            record = _resume_without_record(folder, record, checkpoint)
    for problem in problems.values():
        print(f"skipped: {problem}")
    if problems:
        # If there is no valid checkpoint, the record too would conflict with the new run's.
        invalid = {path if path.parent == folder else path.parent
                   for prefix in problems for path in checkpoints.files_of(prefix)}
        if earlier := archive_run(folder, invalid if checkpoint else None):
            print(f"the skipped files are now in {printable(earlier)}")
    return Progress(folder, record, checkpoint, n_input, n_batches, checkpoint.step if checkpoint else 0)


def _latest_to_resume(folder: Path) -> tuple[Checkpoint | None, dict[str, CheckpointError]]:
    """The valid checkpoint with the most steps, of an epoch's end or a stop, and the errors of the invalid ones."""
    found = [checkpoints.latest_valid(place, checkpoints.training_shapes)
             for place in (folder, *stopped_folders(folder))]
    valid = [checkpoint for checkpoint, _ in found if checkpoint]
    problems = {prefix: problem for _, some in found for prefix, problem in some.items()}
    return max(valid, key=lambda checkpoint: checkpoint.step, default=None), problems


def _check_trainable(folder: Path) -> None:
    """Raise SettingsError if a folder holds a trained network, but without what resuming needs: it is not damaged."""
    if network := checkpoints.latest_valid(folder)[0]:
        raise SettingsError(f"--checkpoint_dir: expected checkpoints with a step counter and Adam's slots, found "
                            f"{network.prefix} without them: it can be used, but not trained further; use another "
                            "--checkpoint_dir, or start a new run with --restart")


def _resume(folder: Path, saved: RunRecord, new: RunRecord, checkpoint: Checkpoint, n_batches: int,
            n_towers: int | None) -> RunRecord:
    """The saved record, after checking that it fits the checkpoint, and the settings and data of the new one."""
    _check_data(folder, saved.data, new.data)
    _check_settings(folder, vars(saved.settings), new.settings)
    epoch, batch = saved.position(checkpoint.step, n_batches)
    if saved.first_step > checkpoint.step or saved.n_epoch_steps != batch:
        path = Path(checkpoint.prefix).parent / RECORD_FILE
        raise CheckpointError(
            f"{path}: expected the record of {checkpoint.prefix} and its {checkpoint.step} steps, found first_step "
            f"{saved.first_step} and n_epoch_steps {saved.n_epoch_steps}; {remedy(path)}")
    if n_towers not in (None, saved.n_towers):
        print(f"the run in {printable(folder)} split each batch into {saved.n_towers}; with {n_towers} its results "
              "differ by rounding")
    # A kill between record and checkpoint leaves a record with epochs that have no checkpoint.
    n_ended = sum(ended < epoch for ended in saved.errors["epoch"])
    return dataclasses.replace(saved, settings=new.settings, n_towers=n_towers or saved.n_towers,
                               errors={name: column[:n_ended] for name, column in saved.errors.items()})


def _resume_without_record(folder: Path, new: RunRecord, checkpoint: Checkpoint) -> RunRecord:
    """The new record, from the epoch after the checkpoint's. Only layer sizes can be compared with the original's."""
    place = Path(checkpoint.prefix).parent
    if place != folder:
        raise CheckpointError(f"{place / RECORD_FILE}: expected the record of {checkpoint.prefix}, found no such file; "
                              f"{remedy(place / RECORD_FILE)}")
    sizes = dataclasses.asdict(checkpoint.sizes)
    _check_settings(folder, {name: sizes[name] for name in sizes if name != "n_input"}, new.settings)
    print(printable(f"{checkpoint.prefix} has no record of how it was trained: all settings are those of the flags, "
                    f"such as --keep_prob {new.settings.keep_prob:g}, --learning_rate {new.settings.learning_rate:g} "
                    f"and --seed {new.settings.seed}"))
    return dataclasses.replace(new, first_epoch=checkpoint.epoch + 1, first_step=checkpoint.step)


def _check_settings(folder: Path, saved: dict, current: Settings) -> None:
    """Raise SettingsError unless all settings but `MUTABLE_SETTINGS` are those of the run in `folder`."""
    for name, value in saved.items():
        found = getattr(current, name)
        if name not in MUTABLE_SETTINGS and found != value:
            flag = f"--{name} {value}" if not isinstance(value, bool) else f"--{name}" if value else f"no --{name}"
            raise SettingsError(f"--{name}: expected {value} as in the run in {folder}, found {found}; resume with "
                                f"{flag}, restart with --restart, or use another --checkpoint_dir")


def _check_data(folder: Path, saved: dict[str, str], current: dict[str, str]) -> None:
    """Raise SettingsError unless the data set is that of the run in `folder`."""
    for name, digest in current.items():
        if saved.get(name) != digest:
            raise SettingsError(
                f"--dataset: expected the data of the run in {folder} ({name} with SHA-256 {saved.get(name)}), found "
                f"{digest}; restart with --restart, or use another --checkpoint_dir")
