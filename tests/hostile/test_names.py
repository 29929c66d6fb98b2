"""Names that TensorFlow takes for patterns or cannot decode, and control characters: they are names like others."""

import os
from pathlib import Path

import pytest

import run_mnist
from tests.helpers import one_line_error, posix_only
from tests.hostile.commands import arguments, every_command, first_by_default, lay_out

NAMES = ["run[1]", "run?", "run*", "run\\1", "run$\\x", os.fsdecode(b"run\xff"), "a\tb\x1b[31m\a", "走 \n", "-run"]
pytestmark = posix_only


@every_command
@first_by_default("name", {"all of them": "".join(NAMES)} | {ascii(name): name for name in NAMES})
def test_a_name_of_any_characters(in_tmp, finished_run, without_drawing, capfd, command, name):
    run, figures = lay_out(finished_run, in_tmp / name), in_tmp / name / "figures"
    before = {path.name for path in (run / "other").iterdir()}
    assert run_mnist.main(arguments(command, run, figures)) == 0, capfd.readouterr().err
    captured = capfd.readouterr()
    assert captured.err == ""
    assert not {character for character in captured.out if not character.isprintable()} - {"\n"}
    assert before <= {path.name for path in (run / "other").iterdir()}
    assert figures.is_dir() == (command not in ("inspect", "evaluate"))


@pytest.mark.parametrize("command", ["train", "figures", "walk", "compare"])
def test_a_name_that_is_not_utf_8_is_drawn(in_tmp, finished_run, command):
    """Matplotlib cannot draw its bytes."""
    run = lay_out(finished_run, in_tmp / os.fsdecode(b"run\xff"))
    assert run_mnist.main(arguments(command, run, in_tmp / "figures")) == 0


@every_command
def test_a_name_in_an_error(in_tmp, capsys, command):
    """A folder of results that cannot be made, or a checkpoint that is not there."""
    name = Path("a\nb\x1b[31m\udcff")
    name.touch()
    assert run_mnist.main(arguments(command, name, name)) == 2
    assert r"a\nb\x1b[31m\udcff" in one_line_error(capsys)
