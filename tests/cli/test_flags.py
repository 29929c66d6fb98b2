"""Flags: their help, and one line for each wrong one."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

import run_mnist
from run_mnist import COMMANDS
from tests.helpers import one_line_error, parse_flags, posix_only
from tests.small import ROOT
from vae_graph.settings import Settings

pytestmark = pytest.mark.quick

WHOLE_NUMBERS = ("n_hidden_encoder", "n_z", "n_hidden_decoder", "num_epoch", "batch_size", "decay_step",
                 "checkpoint_every", "seed", "towers", "cluster_timeout")
FRACTIONS = ("learning_rate", "decay_rate", "keep_prob")


@pytest.mark.parametrize(("flag", "value"), [
    *((flag, value) for flag in WHOLE_NUMBERS for value in ("1.5", "ten", "", "nan", "1" + 30 * "0")),
    *((flag, value) for flag in FRACTIONS for value in ("0", "-0.1", "1.01", "ten", "", "nan", "inf", "1e400"))])
def test_a_flag_out_of_range_is_one_line(flag, value, capsys):
    with pytest.raises(SystemExit) as exit:
        parse_flags([f"--{flag}", value])
    assert exit.value.code == 2
    error = one_line_error(capsys)
    assert error.startswith(f"argument --{flag}: expected a")
    assert f"found '{value}'" in error


@pytest.mark.parametrize(("flags", "expected"), [
    (["--dataset", "cifar"], "argument --dataset: invalid choice: 'cifar'"),
    (["--n_zz", "3"], "unrecognized arguments: --n_zz 3; did you mean '--n_z'? (see --help)"),
    (["--num_ep", "3"], "unrecognized arguments: --num_ep 3; did you mean '--num_epoch'?"),
    (["--learnign_rate=3"], "unrecognized arguments: --learnign_rate=3; did you mean '--learning_rate'?"),
    (["--seed"], "argument --seed: expected one argument"),
    (["--data_dir", ""], "argument --data_dir: expected the name of a folder, found ''"),
    (["--data_dir", "https://x.y/z"], "argument --data_dir: expected the name of a folder, found the URL 'https://x.y/z'"),
    (["--a\nb\x1b[31m"], r"unrecognized arguments: --a\nb\x1b[31m"),
    (["--checkpoint_dir="], "argument --checkpoint_dir: expected the name of a folder, found ''"),
    (["--figures_dir", ""], "argument --figures_dir: expected the name of a folder, found ''"),
    *((["--local_cluster", roles], f"argument --local_cluster: expected roles and numbers such as ps=1,worker=2, found "
                                   f"{roles!r}")
      for roles in ("", "2", "ps=1", "worker=2", "ps=0,worker=1", "ps=1,worker=x", "ps=1,cook=1", "ps=1,chief=2",
                    "ps=1,ps=1,worker=1", "ps=1,worker=101", "ps=1,,worker=1")),
    (["surplus"], "expected a command or a flag, found 'surplus' (see --help)"),
    (["evalute", "x"], "expected a command or a flag, found 'evalute'; did you mean 'evaluate'? (see --help)"),
    (["inspct"], "expected a command or a flag, found 'inspct'; did you mean 'inspect'? (see --help)"),
    (["--seed", "1", "surplus"], "unrecognized arguments: surplus"),
    (["evaluate", "a", "--draws", "0"], "argument --draws: expected an integer from 1 to 1000000, found '0'"),
    (["evaluate", "a", "--iwae_samples", "-1"], "argument --iwae_samples: expected an integer from 0 to 1000000, found "
                                                "'-1'"),
    (["evaluate", "a", "--n_images", "0"], "argument --n_images: expected an integer from 1 to 1000000, found '0'"),
    (["export", "a", ""], "argument DIR: expected the name of a folder, found ''"),
    (["export", "a", "--npz", ""], "argument --npz: expected the name of a file, found ''"),
    (["export", "a", "--safetensors", ""], "argument --safetensors: expected the name of a file, found ''"),
    (["export", "a", "--onnx", ""], "argument --onnx: expected the name of a folder, found ''"),
])
def test_a_wrong_flag_is_one_line(flags, expected, capsys):
    with pytest.raises(SystemExit) as exit:
        parse_flags(flags)
    assert exit.value.code == 2
    assert one_line_error(capsys).startswith(expected)


def test_help_names_every_flag_with_its_default(capsys):
    with pytest.raises(SystemExit) as exit:
        parse_flags(["--help"])
    assert exit.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for flag, default in (("--keep_prob X", "0.6"), ("--num_epoch N", "200"), ("--learning_rate X", "0.0001"),
                          ("--data_dir DIR", "$MNIST_DIR, else data"), ("--restart", None), ("--seed N", "0"),
                          ("--dataset {auto,mnist,rendered,other}", "auto"), ("--checkpoint_every N", "20")):
        assert flag in text
        assert default is None or f"(default: {default})" in text
    assert "(default: None)" not in text
    assert "(default: False)" not in text


def test_training_may_be_named():
    assert parse_flags(["train", "--seed", "3"]) == parse_flags(["--seed", "3"])


@pytest.mark.parametrize(("argv", "expected"), [
    (["evaluate", "a"], {"draws": 10, "iwae_samples": 0, "n_images": None, "add_noise": False, "json": False}),
    (["evaluate", "a", "--draws", "3", "--iwae_samples", "5", "--n_images", "7", "--json"],
     {"draws": 3, "iwae_samples": 5, "n_images": 7, "json": True}),
    (["compare", "a", "b", "--draws", "3", "--iwae_samples", "5", "--n_images", "7"],
     {"a": Path("a"), "b": Path("b"), "draws": 3, "iwae_samples": 5, "n_images": 7, "palette": "accessible"}),
    (["export", "a"], {"saved_model": None, "npz": None, "safetensors": None, "onnx": None}),
    (["export", "a", "b", "--npz", "c", "--safetensors", "d", "--onnx", "e"],
     {"saved_model": Path("b"), "npz": Path("c"), "safetensors": Path("d"), "onnx": Path("e")}),
    ([], {"towers": None, "local_cluster": None, "cluster_timeout": 60, "palette": "jet", "restart": False}),
    (["--local_cluster", "ps=1,chief=1,worker=100"], {"local_cluster": {"ps": 1, "chief": 1, "worker": 100}}),
    (["--local_cluster", "chief=1,ps=2"], {"local_cluster": {"chief": 1, "ps": 2}}),
    (["--keep_prob", "1", "--decay_rate", "1e-9"], {"keep_prob": 1.0, "decay_rate": 1e-9}),
    (["sample", "a"], {"n": 100, "seed": 0, "figures_dir": None}),
    (["walk", "a"], {"n": 16, "images": [0, 1]}), (["walk", "a", "--n", "2"], {"n": 2}),
    (["explore"], {"checkpoints": [], "palette": "accessible"})])
def test_flags_and_their_defaults(argv, expected):
    assert expected.items() <= vars(parse_flags(argv)).items()


def test_the_home_in_every_path():
    """As after `=`, where no shell expands it."""
    found = vars(parse_flags(["export", "~/a", "~/b", "--npz=~/c", "--safetensors=~/d", "--onnx=~/e"]))
    assert [found[name] for name in ("checkpoint", "saved_model", "npz", "safetensors", "onnx")] == [
        Path.home() / name for name in "abcde"]
    found = vars(parse_flags([f"--{name}_dir=~/x" for name in ("data", "checkpoint", "figures")]))
    assert {found[f"{name}_dir"] for name in ("data", "checkpoint", "figures")} == {Path.home() / "x"}


def test_the_default_training_is_the_settings():
    assert run_mnist.settings_from(parse_flags([])) == Settings()
    assert run_mnist.settings_from(argparse.Namespace(**vars(parse_flags(["sweep"])) | {"n_z": 2})) == Settings()


@pytest.mark.parametrize("command", COMMANDS)
def test_each_flag_has_a_help_and_each_value_a_short_name(command):
    parser = argparse.ArgumentParser()
    for add_group in COMMANDS[command].groups:
        add_group(parser)
    for action in parser._actions:
        assert action.help
        assert action.nargs == 0 or action.choices or action.metavar


@pytest.mark.parametrize(("flag", "low", "high"), [
    *((flag, 1, 10**6) for flag in ("num_epoch", "batch_size", "checkpoint_every", "cluster_timeout")),
    *((flag, 1, 10**4) for flag in ("n_hidden_encoder", "n_hidden_decoder")),
    ("n_z", 1, 1000), ("towers", 1, 1000), ("decay_step", 1, 10**9), ("seed", 0, 2**31 - 1)])
def test_the_range_of_a_flag(flag, low, high, capsys):
    assert [vars(parse_flags([f"--{flag}", str(value)]))[flag] for value in (low, high)] == [low, high]
    for value in (low - 1, high + 1):
        with pytest.raises(SystemExit):
            parse_flags([f"--{flag}", str(value)])
        assert one_line_error(capsys).startswith(
            f"argument --{flag}: expected an integer from {low} to {high}, found '{value}'")


@pytest.mark.parametrize(("command", "default"), [("sweep", "2 5 10 20"), ("walk", "0 1")])
def test_help_shows_defaults_of_several_numbers_as_typed(command, default, capsys):
    with pytest.raises(SystemExit):
        parse_flags([command, "--help"])
    assert f"(default: {default})" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("flags", [
    ("inspect",), ("inspect", ""), ("inspect", "a", "b"), ("inspect", "a", "--seed", "1"),
    ("evaluate", "a", "--n_z", "2"), ("evaluate", "a", "--seed", "x"), ("figures", "a", "--figures_dir", ""),
    ("compare", "a"), ("export",), ("evaluat", "a"), ("sample", "a", "--n", "0"), ("sample",),
    ("walk", "a", "--images", "1"), ("walk", "a", "--images", "1", "-2"), ("walk", "a", "--n", "1"),
    ("figures", "a", "--manifold_grid", "log"), ("sweep", "--n_z"), ("sweep", "--n_z", "2", "0"), ("sweep", "a"),
    ("sweep", "--local_cluster", "ps=1,worker=1"), ("explore", "a", "--add_noise"),
])
def test_wrong_flags_are_one_line(flags, capsys):
    with pytest.raises(SystemExit) as exit:
        parse_flags(list(flags))
    assert exit.value.code == 2
    assert one_line_error(capsys)


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit):
        parse_flags(["--help"])
    text = capsys.readouterr().out
    for name in COMMANDS:
        if name != "train":
            assert f"\n  {name} " in text
            with pytest.raises(SystemExit) as exit:
                parse_flags([name, "--help"])
            assert exit.value.code == 0
            assert capsys.readouterr().out.startswith(f"usage: run_mnist.py {name} ")


def test_help_and_wrong_flags_need_neither_tensorflow_nor_numpy():
    cases = [(["--help"], 0), *(([name, "--help"], 0) for name in COMMANDS if name != "train"), (["--n_zz", "3"], 2),
             (["inspect"], 2), (["--n_z", "0"], 2)]
    script = f"""
import runpy, sys
sys.modules["tensorflow"] = sys.modules["numpy"] = None
for arguments, status in {cases}:
    sys.argv = ["run_mnist.py", *arguments]
    try:
        runpy.run_path("run_mnist.py", run_name="__main__")
    except SystemExit as exit:
        assert exit.code == status, arguments
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (0, 3), done.stderr


@pytest.mark.parametrize(("script", "name"), [("/usr/bin/vae-graph", "vae-graph"), ("vae-graph.exe", "vae-graph"),
                                              ("run_mnist.py", "run_mnist.py"), ("", "run_mnist.py")])
def test_the_program_is_named_as_it_was_started(monkeypatch, capsys, script, name):
    monkeypatch.setattr(sys, "argv", [script])
    with pytest.raises(SystemExit):
        parse_flags(["--help"])
    assert capsys.readouterr().out.startswith(f"usage: {name} [flags]\n       {name} COMMAND [flags]\n")


@posix_only
@pytest.mark.parametrize(("flags", "status", "closed"), [
    ("--help", 0, ">&-"), ("--n_zz", 2, "2>&-"), ("--help", 0, "<&- >&- 2>&-")])
def test_closed_standard_streams(flags, status, closed):
    done = subprocess.run(f"exec {sys.executable} run_mnist.py {flags} {closed}", shell=True, cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == status
    assert "Traceback" not in done.stderr
