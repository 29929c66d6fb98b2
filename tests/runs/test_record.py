"""The record of a run, `resume.json`: whatever the bytes, a valid record or one line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import assert_one_line, damaged, many
from vae_graph import checkpoints
from vae_graph.runs import record
from vae_graph.settings import Settings

JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
                    max_leaves=8)
RUN = record.RunRecord(vars(Settings()).copy(), {"file": "digest"})


class TestRecords:
    """`resume.json` is written by the program, but may have been changed."""

    def check(self, path):
        try:
            run = record.read_record(path, like=RUN)
        except checkpoints.CheckpointError as error:
            assert_one_line(error, f"{path}: expected a record written by this program, found ")
        else:
            assert run.settings.keys() == RUN.settings.keys()
            assert len({len(column) for column in run.errors.values()}) == 1

    @many
    @given(st.binary(max_size=100))
    def test_any_bytes(self, tmp_path, content):
        (tmp_path / "resume.json").write_bytes(content)
        self.check(tmp_path / "resume.json")

    @many
    @given(damaged(RUN.as_json()))
    def test_a_damaged_record(self, tmp_path, content):
        (tmp_path / "resume.json").write_bytes(content)
        self.check(tmp_path / "resume.json")

    @many
    @given(st.sampled_from(list(json.loads(RUN.as_json()))), JSON)
    def test_a_record_with_another_value(self, tmp_path, name, value):
        (tmp_path / "resume.json").write_text(json.dumps(json.loads(RUN.as_json()) | {name: value}))
        self.check(tmp_path / "resume.json")

    def test_non_finite_numbers(self, tmp_path):
        content = json.loads(RUN.as_json()) | {"unfinished": [0.0, float("nan"), 0.0]}
        (tmp_path / "resume.json").write_text(json.dumps(content))
        with pytest.raises(checkpoints.CheckpointError):
            record.read_record(tmp_path / "resume.json", like=RUN)

    def test_nested_too_deep(self, tmp_path):
        (tmp_path / "resume.json").write_text("[" * 100_000)
        self.check(tmp_path / "resume.json")

    def test_a_good_one(self, tmp_path):
        (tmp_path / "resume.json").write_bytes(RUN.as_json())
        assert record.read_record(tmp_path / "resume.json", like=RUN) == RUN
