"""The kills of `tests.stress.kills`, fewer of them: `pytest -m slow`."""

import random
from collections import Counter

import pytest

from tests.helpers import posix_only
from tests.stress import kills


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
