"""Pipes, devices and folders in place of files: they are not opened, and nothing waits for them."""

import faulthandler
import os
import shutil
from pathlib import Path

import pytest

import run_mnist
from run_mnist import COMMANDS
from tests.helpers import posix_only
from tests.hostile.commands import arguments, assert_refused, every_command, first_by_default
from vae_graph.data import datasets

pytestmark = posix_only


@pytest.fixture(autouse=True)
def end_of_waiting():
    """A test that waits for a pipe ends with a traceback."""
    faulthandler.dump_traceback_later(60, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def replace_all(run, pattern, make):
    for path in [*run.rglob(pattern)]:
        path.unlink()
        make(path)


SPECIAL = {"pipe": os.mkfifo, "endless device": lambda path: path.symlink_to("/dev/zero"), "folder": Path.mkdir}


@every_command
@first_by_default("make", SPECIAL)
@first_by_default("pattern", {"index": "*.index", "data": "*.data-*"})
def test_in_place_of_a_checkpoints_file(run, capsys, command, make, pattern):
    replace_all(run, pattern, make)
    if not COMMANDS[command].is_training:
        assert "expected " in assert_refused(capsys, command, run, Path("figures"))
        return
    # A training starts a new run, and keeps what it cannot read.
    assert run_mnist.main(arguments(command, run, Path("figures"))) == 0, capsys.readouterr().err
    place = run / "other" if command == "train" else run / "sweep" / "n_z-2" / "other"
    assert len([*(place / "earlier-1").glob(pattern)]) == 2
    assert "skipped: " in capsys.readouterr().out


@every_command
@first_by_default("make", SPECIAL)
def test_in_place_of_the_record(run, capsys, command, make):
    replace_all(run, "resume.json", make)
    if COMMANDS[command].is_training:
        assert "resume.json" in assert_refused(capsys, command, run, Path("figures"))
    else:
        assert run_mnist.main(arguments(command, run, Path("figures"))) == 0, capsys.readouterr().err


@every_command
@first_by_default("make", SPECIAL)
def test_in_place_of_a_data_file(run, capsys, idx_folder, command, make):
    (idx_folder / datasets.TEST_LABELS.name).unlink()
    make(idx_folder / datasets.TEST_LABELS.name)
    if command in ("inspect", "sample", "export"):
        assert run_mnist.main(arguments(command, run, Path("figures"))) == 0
    else:
        assert datasets.TEST_LABELS.name in assert_refused(capsys, command, run, Path("figures"))


@every_command
@first_by_default("make", {"pipe": os.mkfifo, "file": Path.touch})
def test_in_place_of_the_folder_for_results(run, capsys, command, make):
    make(Path("figures"))
    if command in ("inspect", "evaluate"):
        assert run_mnist.main(arguments(command, run, Path("figures"))) == 0
    else:
        assert "figures" in assert_refused(capsys, command, run, Path("figures"))


@pytest.mark.slow
@every_command
def test_a_folder_in_place_of_a_result(run, capsys, command):
    """Whatever else the command writes, the folder and what is in it stay."""
    run_mnist.main(arguments(command, run, Path("figures")))
    results = [path for path in Path("figures").rglob("*") if path.is_file()]
    shutil.rmtree("figures", ignore_errors=True)
    for path in results:
        path.mkdir(parents=True)
        (path / "kept").touch()
    capsys.readouterr()
    status = run_mnist.main(arguments(command, run, Path("figures")))
    assert status == (2 if results else 0)
    # A training goes on, and names each result that it cannot write.
    *lines, error = capsys.readouterr().err.splitlines() or [""]
    assert ("expected " in error) == bool(results)
    assert len(lines) == (len(results) if COMMANDS[command].is_training else 0)
    assert all((path / "kept").exists() for path in results)
