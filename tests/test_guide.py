"""The guide's blocks are quoted from the code, or run and print the output shown."""

import json
import re

import pytest

from tests.helpers import BLOCK, run_blocks
from tests.small import ROOT
from vae_graph import data

GUIDE = (ROOT / "vae_graph" / "README.md").read_text(encoding="utf-8")
EXCERPTS = re.findall(r"Excerpt of\s`([\w/]+\.py)`:\n\n```python excerpt\n(.*?)```", GUIDE, re.DOTALL)
FIRST, *OTHERS = re.split(r"^(?=## \d+\. )", GUIDE, flags=re.MULTILINE)[1:]


@pytest.fixture(scope="module")
def after_the_first(digits, tmp_path_factory):
    """The names that section 1 defines, trained on a small data set, and its folder as the working directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("guide"))
        patch.setattr(data, "mnist", lambda folder: digits)
        names = {}
        run_blocks(FIRST, names)
        yield names
        names["session"].close()


def test_all_blocks_are_found():
    assert len(EXCERPTS) >= 13
    assert len(re.findall(BLOCK, GUIDE, re.DOTALL)) + len(EXCERPTS) == GUIDE.count("```python")
    assert [*map(int, re.findall(r"^## (\d+)\. ", GUIDE, re.MULTILINE))] == [*range(1, len(OTHERS) + 2)]


@pytest.mark.parametrize(("file", "code"), EXCERPTS)
def test_excerpts_are_in_the_code(file, code):
    assert code in (ROOT / "vae_graph" / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("section", [section for section in OTHERS if "```python\n" in section],
                         ids=lambda section: section.splitlines()[0].strip("# "))
def test_each_section_runs_after_the_first_and_can_be_run_again(after_the_first, section):
    names = {**after_the_first}
    run_blocks(section, names)
    run_blocks(section, names)
    rebound = {name for name, value in after_the_first.items() if names[name] is not value}
    assert rebound <= {"_"}


def test_the_first_program_draws_a_picture(after_the_first):
    with open("manifold.png", "rb") as file:
        assert len(file.read()) > 10_000


def test_each_exercise_has_an_answer_with_answers():
    found = re.findall(r"^\*\*Exercise (\d+): .*?^<details><summary>Answer</summary>\n\n.*?\n\n</details>$", GUIDE,
                       re.MULTILINE | re.DOTALL)
    assert [*map(int, found)] == [*range(1, 14)]
    assert GUIDE.count("**Exercise") == GUIDE.count("<details>") == 13


def test_the_metrics_match_the_reference_run():
    """In comparison.json its checkpoint is the second one."""
    path = ROOT / "figures" / "reference" / "comparison" / "comparison.json"
    found = json.loads(path.read_text())["comparison"]["evaluation_b"]
    rows = dict(re.findall(r"^\| `([\w ]+)` \|.*\| ([\d.]+) \|$", GUIDE, re.MULTILINE))
    assert {name.replace(" ", "_"): float(value) for name, value in rows.items()} == {
        name: round(found[name], 2) for name in ("Recon_error", "Regularization_error", "ELBO", "true_negative_ELBO",
                                                 "KL", "negative_IWAE_bound")}


def test_links_lead_somewhere_from_an_installed_package_too():
    """Links to what is not installed name the repository; a relative path is for those who have a clone."""
    in_repository = re.compile(r"https://(?:github\.com/\w+/vae_graph/blob/main|\w+\.github\.io/vae_graph)/(.*)")
    for text, target in re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", GUIDE, flags=re.DOTALL)):
        target, _, _ = target.partition("#")
        repository = in_repository.fullmatch(target)
        if repository:
            assert (ROOT / repository[1]).exists(), target
        elif target and not target.startswith("https://"):
            assert (ROOT / "vae_graph" / target).exists(), target
            assert not target.startswith("../") or text in ("in a clone", "a file") or target.endswith(".png"), target
