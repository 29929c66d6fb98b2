"""The kills of `tests.stress`, fewer of them: `pytest -m slow`."""

import random
from collections import Counter

import pytest

from tests.helpers import posix_only
from tests.stress import command_kills, kills


@posix_only
@pytest.mark.slow
def test_twenty_kills_change_no_byte(idx_files, tmp_path):
    expected, seconds = kills.uninterrupted(tmp_path / "uninterrupted", idx_files)
    moments, report = random.Random(0), Counter()
    while report["kills"] < 20:
        report["runs"] += 1
        folder = tmp_path / str(report["runs"])
        found = kills.killed(folder, idx_files, 20 - report["kills"], seconds, moments, report)
        assert kills.differences(found, expected) == []
    assert report["while a checkpoint was being saved"] > 0


@posix_only
@pytest.mark.slow
@pytest.mark.parametrize("command", command_kills.COMMANDS)
def test_killed_commands_leave_whole_results(idx_files, tmp_path, command):
    _, bad = command_kills.kill(tmp_path / "run", idx_files, command, 3, random.Random(0))
    assert bad == []
