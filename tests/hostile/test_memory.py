"""Not enough memory: one line that says so, before TensorFlow aborts if that can be known."""

import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow.compat.v1 as tf

import run_mnist
from run_mnist import COMMANDS
from tests.helpers import one_line_error, parse_flags, posix_only
from tests.hostile.commands import arguments, assert_refused, every_command
from tests.small import ROOT
from vae_graph.cli import memory

BIG = ("--n_z", "1000", "--n_hidden_encoder", "10000", "--n_hidden_decoder", "10000")


@every_command
def test_too_little_for_tensorflow(run, capsys, monkeypatch, command):
    monkeypatch.setattr(memory, "limits", lambda: [("address space (ulimit -v)", 10**9, memory.BASE_ADDRESS_SPACE)])
    if not COMMANDS[command].needs_tensorflow:
        assert run_mnist.main(arguments(command, run, Path("figures"))) == 0
    else:
        assert assert_refused(capsys, command, run, Path("figures")) == (
            "address space (ulimit -v): expected 2.0 GB or more, found 1.0 GB")


@every_command
@pytest.mark.parametrize("error", [
    MemoryError(), MemoryError("Unable to allocate 2.98 GiB"),
    tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\nwith shape[9]")], ids=type)
def test_too_little_on_the_way(run, capsys, monkeypatch, command, error):
    def fail(flags):
        raise error
    monkeypatch.setitem(COMMANDS, command, COMMANDS[command]._replace(function=fail))
    message = assert_refused(capsys, command, run, Path("figures"))
    found = getattr(error, "message", str(error)).partition("\n")[0] or "none left"
    assert message.startswith(f"expected enough memory, found: {found}")


def test_what_a_network_needs():
    """It is known from the flags."""
    n_weights = 784 * 10**4 + 10**8 + 10**4 * 2000 + 1000 * 10**4 + 10**8 + 10**4 * 784 + 4 * 10**4 + 2000 + 784
    [sizes] = memory._layer_sizes(parse_flags([*BIG]))
    assert memory.network_size(sizes) == 4 * n_weights
    assert len(memory._layer_sizes(parse_flags(["sweep", "--n_z", "1", "2"]))) == 2
    assert memory._layer_sizes(parse_flags(["inspect", "x"])) == []


def test_a_network_that_does_not_fit(in_tmp, capsys, monkeypatch):
    monkeypatch.setattr(memory, "limits", lambda: [("free memory", 6 * 10**9, memory.BASE)])
    assert run_mnist.main([*BIG]) == 2
    assert one_line_error(capsys) == "free memory: expected 6.6 GB or more for this network, found 6.0 GB"


@posix_only
def test_a_limit_of_the_shell(in_tmp):
    program = f"ulimit -v 1200000; exec {sys.executable} {ROOT / 'run_mnist.py'} evaluate x"
    done = subprocess.run(program, shell=True, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        2, "run_mnist.py: error: address space (ulimit -v): expected 2.0 GB or more, found 1.2 GB\n")
