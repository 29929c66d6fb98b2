"""Every command that a page prints runs as it is printed, in a fresh clone with the environment activated.

Trainings are cut to one epoch, and benchmarks, stress tests and servers to their `--help`. Of `pip install` only the
extras are checked, since the tests need no network: `.ci/run` installs them.
"""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import posix_only, write_checkpoint
from tests.small import ROOT
from vae_graph import checkpoints

PAGES = [page.as_posix() for page in sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
         if not any(part.startswith(".") for part in page.parts)]
PROGRAMS = r"python|pip|ruff|mypy|tensorboard|sha256sum|cd"
COMMAND = re.compile(rf"(?<![`\w])`((?:{PROGRAMS}) [^`]+|mypy)`(?!`)")
MNIST = Path(os.environ.get("MNIST_DIR") or ROOT.parent / "shared" / "mnist").absolute()


def commands(page):
    """In their order: the lines of shell blocks and indented blocks, and code in the text and in tables."""
    found, text = [], (ROOT / page).read_text(encoding="utf-8")
    for block in re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL):
        if block.startswith("```sh\n"):
            found += block.splitlines()[1:-1]
        elif not block.startswith("```"):
            found += [line.strip() if indented else line for indented, line in re.findall(
                rf"^(    )((?:{PROGRAMS}) .*)$", block, re.MULTILINE)]
            found += COMMAND.findall(block.replace("\n", " "))
    return [*dict.fromkeys(found)]


def shortened(command):
    """One command, without `&&`, as this test runs it."""
    program, *arguments = command.split()
    if program == "pip" or command.startswith("python3 -m venv"):
        return None
    if command.startswith("python -m pytest"):
        few = "" if "tests/" in command else "tests/legacy" if "legacy" in command else "tests/test_model.py"
        return f"{command} -n 0 -q --collect-only {few}"
    if command.startswith("python -m tests.") or program == "tensorboard":
        return f"{command} --help"
    if "--iwae_samples" in arguments:
        return f"{command} --n_images 100"
    if program == "python" and (arguments[1:] == [] or arguments[1] == "sweep" or arguments[1].startswith("--")):
        return f"{command} --num_epoch {201 if 'old' in arguments else 1}"
    # Of an extra, which may not be installed.
    return command if shutil.which(program) or program not in ("ruff", "mypy") else None


def test_commands_are_found():
    found = {page: commands(page) for page in PAGES}
    assert len(PAGES) >= 7
    assert {"python3 -m venv .venv && . .venv/bin/activate && pip install -e .", "python run_mnist.py"} <= {
        *found["README.md"]}
    assert "python run_mnist.py inspect figures/weights/original" in found["README.md"]
    assert "python -m tests.stress.kills" in found["tests/stress/README.md"]
    assert sum(map(len, found.values())) >= 50


def test_the_extras_exist():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    for page in PAGES:
        for extras in re.findall(r'pip install -e "?\.\[(.*?)\]', (ROOT / page).read_text(encoding="utf-8")):
            assert {*extras.split(",")} <= {*config["options.extras_require"]}, page


@pytest.mark.slow
@posix_only
@pytest.mark.skipif(not MNIST.exists(), reason="needs MNIST, of which the pages speak, in $MNIST_DIR")
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_every_command_runs(page, tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    (clone / ".venv").symlink_to(sys.prefix)
    write_old_checkpoint(clone / "old")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["MNIST_DIR"] = str(MNIST)
    for line in commands(page):
        parts = [short for part in line.split(" && ") if (short := shortened(part))]
        script = " && ".join([". .venv/bin/activate", *parts])
        done = subprocess.run(["bash", "-c", script], cwd=clone, env=environment, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, f"{page}: {line}\n{script}\n{done.stdout[-2000:]}"


def write_old_checkpoint(folder: Path):
    """Where pages say `old/parameter199.ckpt`: all 39 variables at the full size, after 200 epochs."""
    folder.mkdir()
    shapes = checkpoints.training_shapes(checkpoints.LayerSizes(784, 500, 2, 500))
    random = np.random.default_rng(0)
    values = {name: random.normal(0, 0.01, shape).astype(np.float32) for name, shape in shapes.items()}
    values = {name: np.abs(value) if "Adam" in name else value for name, value in values.items()}
    write_checkpoint(folder / "parameter199.ckpt", values | {"Variable": np.int32(85_800), "beta1_power": np.float32(0),
                                                             "beta2_power": np.float32(0)})
