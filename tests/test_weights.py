"""The committed weights are what their model card says, and every command takes them."""

import hashlib
import json
import re

import pytest

import run_mnist
from tests.small import ROOT
from vae_graph import checkpoints

WEIGHTS = ROOT / "figures" / "weights"
CARD = (WEIGHTS / "MODEL_CARD.md").read_text(encoding="utf-8")
NAMES = ("original", "ours")


@pytest.mark.parametrize("name", NAMES)
def test_the_digests_are_those_of_the_files(name):
    folder = WEIGHTS / name
    listed = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    files = {path.name: path for path in folder.iterdir() if path.name != "SHA256SUMS"}
    assert listed == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


@pytest.mark.parametrize("name", NAMES)
def test_there_are_twelve_variables_of_the_full_size(name):
    prefix = checkpoints.find(WEIGHTS / name).prefix
    variables = checkpoints.read_variables(prefix)
    sizes = checkpoints.LayerSizes(784, 500, 2, 500)
    assert {name: value.shape for name, value in variables.items()} == checkpoints.model_shapes(sizes)
    assert f"{sum(value.size for value in variables.values()):,} numbers" in CARD


def test_the_commands_of_the_card_run(in_tmp, capsys, idx_folder):
    """On a small data set in place of MNIST, whose folders are named `other`."""
    commands = re.findall(r"^    python run_mnist.py (.*)$", CARD, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["figures", "explore", "compare"]
    for command in commands:
        name, *places = command.split()
        assert run_mnist.main([name, *(str(ROOT / place) for place in places), "--dataset", "other"]) == 0
    written = {path.name for path in in_tmp.glob("figures/**/other/*")}
    assert {"result1_reconstruction.png", "result2_latent.png", "result3_manifold.png", "explorer.html",
            "comparison.png"} <= written


def test_the_results_are_those_of_the_committed_comparison():
    """It compared the checkpoints that these weights were taken from."""
    reference = ROOT / "figures" / "reference"
    found = json.loads((reference / "comparison" / "comparison.json").read_text())["comparison"]
    sides = found["evaluation_a"], found["evaluation_b"]
    rows = re.findall(r"^\| (?:`(\w+)`[^|]*|(true [\w ]+)) \| ([\d.]+) \| ([\d.]+) \|$", CARD, re.MULTILINE)
    assert {code or text.replace(" ", "_"): numbers for code, text, *numbers in rows} == {
        name: [f"{side[name]:.4f}" for side in sides]
        for name in ("Recon_error", "Regularization_error", "ELBO", "true_negative_ELBO")}
    ours = json.loads((reference / "run.json").read_text())["test"]
    assert ours["ELBO"] == pytest.approx(sides[1]["ELBO"], abs=1e-4)      # measured in another process
