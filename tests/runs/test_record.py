"""The record of a run, `resume.json`: whatever the bytes, a valid record or one line."""

import dataclasses
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import assert_one_line, damaged, many, posix_only
from vae_graph import checkpoints
from vae_graph.runs import record
from vae_graph.settings import Settings

JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
                    max_leaves=8)


def columns(epochs, errors, elbos):
    return {"epoch": epochs, "Recon_error": errors, "Regularization_error": errors, "ELBO": elbos}


RUN = record.RunRecord(Settings(), {"file": "digest"})


class TestRecords:
    """`resume.json` is written by the program, but may have been changed."""

    def check(self, path):
        try:
            run = record.read_record(path)
        except checkpoints.CheckpointError as error:
            assert_one_line(error, f"{path}: expected a record written by this program, found: ")
        else:
            assert isinstance(run.settings, Settings)
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

    @pytest.mark.parametrize(("name", "value"), [
        *(("first_step", value) for value in (0.5, -7, 2**31, 10**18, True, None, "0", [0])),
        *(("first_epoch", value) for value in (0.5, -1, 10**400, None)),
        *(("n_towers", value) for value in (0, -1, 2.0, "2", None)),
        *(("n_epoch_steps", value) for value in ("x", None, [1], -5, 1.0)),
        *(("epoch_sums", value) for value in (None, 3, [0.0, 0.0], [1.0, 2.0, 4.0], [1e308, 0, 0], ["1", "2", "3"],
                                              [0.0, float("nan"), 0.0])),
        *(("errors", columns(*values)) for values in (
            ([1, 2], [1.0, 1.0], ["2", "x"]), (1, 1.0, 2.0), ([[1]], [[1.0]], [[2.0]]), ([0], [1.0], [2.0]),
            ([1, 1], [1.0, 1.0], [2.0, 2.0]), ([10**18], [1.0], [2.0]), ([1], [1.0], [3.0]), ([1], [1e3], [2.01e3]),
            ([2, 1], [1.0, 1.0], [2.0, 2.0]), ([1], [None], [None]), ([1], [1e308], [1e308]), ([1], ["1"], ["2"]),
            ([1.0], [1.0], [2.0]), ("", "", ""), ([], [1.0], [2.0]))),
        ("errors", columns([1], [1.0], [2.0]) | {"Loss": [1.0]}), ("errors", {"epoch": []}), ("data", "x"),
        ("data", [["file", "digest"]])])
    def test_impossible_values_are_refused(self, tmp_path, name, value):
        path = tmp_path / "resume.json"
        path.write_text(json.dumps(json.loads(RUN.as_json()) | {"first_epoch": 1, "n_epoch_steps": 1, name: value}))
        with pytest.raises(checkpoints.CheckpointError) as error:
            record.read_record(path)
        expected = f"{path}: expected a record written by this program, found: invalid {name}; remove "
        assert_one_line(error.value, expected)

    @pytest.mark.parametrize("changed", [
        {"first_step": 2**31 - 1}, {"n_towers": 1}, {"errors": columns([1], [1e3], [2.001e3])},
        {"errors": columns([0, 7], [0.0, 1], [0.0005, 2])}, {"epoch_sums": [1, 2.0, 3.0], "n_epoch_steps": 1}])
    def test_possible_values_are_read(self, tmp_path, changed):
        (tmp_path / "resume.json").write_text(json.dumps(json.loads(RUN.as_json()) | changed))
        found = record.read_record(tmp_path / "resume.json")
        assert {name: getattr(found, name) for name in changed} == changed

    @pytest.mark.parametrize("changed", [{"epoch_sums": [1.0, 2.0, 3.0]}, {"errors": []}, {"settings": []}])
    def test_values_that_do_not_fit_together_are_refused(self, tmp_path, changed):
        (tmp_path / "resume.json").write_text(json.dumps(json.loads(RUN.as_json()) | changed))
        with pytest.raises(checkpoints.CheckpointError):
            record.read_record(tmp_path / "resume.json")

    def test_errors_of_epochs_are_read(self, tmp_path):
        run = record.RunRecord(RUN.settings, RUN.data, first_epoch=3, first_step=40)
        for epoch in (3, 4):
            run.add([(1.0, 2.0, 3.0)] * 2)
            run.end_epoch(epoch)
        run.add([(1.5, 2.0, 3.5)])
        (tmp_path / "resume.json").write_bytes(run.as_json())
        found = record.read_record(tmp_path / "resume.json")
        assert found == run
        assert [*found.errors.values()] == [[3, 4], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
        assert (found.epoch_sums, found.n_epoch_steps) == ([1.5, 2.0, 3.5], 1)

    def test_a_record_of_an_earlier_version(self, tmp_path):
        """Without what came later, which gets its default, and with the names that two fields had."""
        content = json.loads(RUN.as_json())
        del content["n_towers"], content["settings"]["add_noise"]
        content["unfinished"], content["n_unfinished"] = content.pop("epoch_sums"), content.pop("n_epoch_steps")
        (tmp_path / "resume.json").write_text(json.dumps(content))
        assert record.read_record(tmp_path / "resume.json") == dataclasses.replace(RUN, n_towers=2)

    @pytest.mark.parametrize(("changed", "found"), [
        ({"colour": 1}, "the unknown field colour"), ({"settings": {"n_zz": 2}}, "the unknown setting n_zz")])
    def test_what_a_later_version_added_is_named(self, tmp_path, changed, found):
        (tmp_path / "resume.json").write_text(json.dumps(json.loads(RUN.as_json()) | changed))
        with pytest.raises(checkpoints.CheckpointError, match=f"found: {found}; remove the file"):
            record.read_record(tmp_path / "resume.json")

    def test_only_the_data_of_an_unreadable_record_matter_for_a_title(self, tmp_path):
        for content, expected in (('{"data": {"a": "b"}, "colour": 1}', True), ('{"data": {}}', False), ("[]", None),
                                  ("{}", None), ("", None)):
            (tmp_path / "resume.json").write_text(content)
            assert record.trained_on(str(tmp_path / "parameter0.ckpt"), {"a": "b"}) is expected
        assert record.trained_on(str(tmp_path / "without" / "parameter0.ckpt"), {"a": "b"}) is None

    @posix_only
    def test_a_pipe_is_not_opened(self, tmp_path):
        os.mkfifo(tmp_path / "resume.json")
        with pytest.raises(checkpoints.CheckpointError, match="no regular file"):
            record.read_record(tmp_path / "resume.json")

    @pytest.mark.parametrize(("folder", "remedy"), [
        ("run", "remove the file to resume without the errors of earlier epochs"),
        ("stopped-0000000028", "remove the folder stopped-0000000028 to resume from an earlier checkpoint")])
    def test_the_remedy_keeps_the_epochs_right(self, tmp_path, folder, remedy):
        """Without its record, a checkpoint within an epoch would be taken for one at its end."""
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "resume.json").write_text("{}")
        with pytest.raises(checkpoints.CheckpointError, match=f"; {remedy}$"):
            record.read_record(tmp_path / folder / "resume.json")

    def test_nested_too_deep(self, tmp_path):
        (tmp_path / "resume.json").write_text("[" * 100_000)
        self.check(tmp_path / "resume.json")

    def test_a_good_one(self, tmp_path):
        (tmp_path / "resume.json").write_bytes(RUN.as_json())
        assert record.read_record(tmp_path / "resume.json") == RUN
