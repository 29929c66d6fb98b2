"""The guide's blocks are quoted from the code, or run and print the output shown."""

import contextlib
import io
import json
import re
import types

import pytest
import tensorflow
import tensorflow.compat.v1 as tf

from tests.small import ROOT
from vae_graph import data

GUIDE = (ROOT / "vae_graph" / "README.md").read_text(encoding="utf-8")
EXCERPTS = re.findall(r"Excerpt of\s`([\w/]+\.py)`:\n\n```python excerpt\n(.*?)```", GUIDE, re.DOTALL)
RUN = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", GUIDE, re.DOTALL)     # with what they print


def test_both_kinds_of_blocks_are_found():
    assert len(EXCERPTS) >= 7
    assert len(RUN) >= 17
    assert len(EXCERPTS) + len(RUN) == GUIDE.count("```python")


@pytest.mark.parametrize(("file", "code"), EXCERPTS)
def test_excerpts_are_in_the_code(file, code):
    assert code in (ROOT / "vae_graph" / file).read_text(encoding="utf-8")


def test_blocks_print_the_output_shown(tmp_path, monkeypatch, digits):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "mnist", lambda folder: types.SimpleNamespace(test=digits.train))
    names = {}
    for code, shown in RUN:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        assert printed.getvalue() == shown, code
    assert (tmp_path / "manifold.png").stat().st_size > 10_000


@pytest.mark.parametrize(("column", "module"), [(1, tf), (2, tensorflow)])
def test_the_functions_in_the_table_exist(column, module):
    table = GUIDE.split("## Then and now")[1].split("## 1.")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| `")]
    assert len(rows) > 10
    # Where nothing changed, the first column says what to call.
    cells = [row[0] if row[column].startswith("the same") else row[column] for row in rows]
    for name in re.findall(r"\btf((?:\.\w+)+)", " ".join(cells)):
        place = module
        for part in name.split(".")[1:]:
            place = getattr(place, part)


def test_the_metrics_match_the_reference_run():
    """In comparison.json its checkpoint is the second one."""
    path = ROOT / "figures" / "reference" / "comparison" / "comparison.json"
    found = json.loads(path.read_text())["comparison"]["evaluation_b"]
    rows = dict(re.findall(r"^\| `([\w ]+)` \|.*\| ([\d.]+) \|$", GUIDE, re.MULTILINE))
    assert {name.replace(" ", "_"): float(value) for name, value in rows.items()} == {
        name: round(found[name], 2) for name in ("Recon_error", "Regularization_error", "ELBO", "true_negative_ELBO",
                                                 "KL", "negative_IWAE_bound")}
