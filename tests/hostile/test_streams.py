"""Standard streams that are closed, and a pipe whose reader has gone."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

import run_mnist
from run_mnist import COMMANDS
from tests.helpers import closed_output, one_line_error, posix_only
from tests.hostile.commands import arguments, every_command
from tests.small import ROOT
from vae_graph import errors

pytestmark = posix_only

STREAMS = ("stdin", "stdout", "stderr")


def run_without(streams, flags, folder):
    """Run the program in this process as the shell starts one with `>&-` and the like."""
    os.chdir(folder)
    os.environ["MNIST_DIR"] = str(Path("small digits").absolute())
    for name in streams:
        os.close(STREAMS.index(name))
        setattr(sys, name, None)
    sys.exit(run_mnist.main(flags))


@pytest.mark.slow
@pytest.mark.parametrize(("command", "streams"), [
    *((command, STREAMS) for command in COMMANDS),
    *((command, (stream,)) for command in ("train", "figures") for stream in ("stdout", "stderr"))])
def test_closed_streams(run, command, streams):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.small"])
    process = context.Process(target=run_without, args=(streams, arguments(command, run, Path("figures")), Path.cwd()))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert Path("figures").is_dir() == (command not in ("inspect", "evaluate"))


def test_streams_that_the_shell_closes(run):
    done = subprocess.run(f"exec {sys.executable} {ROOT / 'run_mnist.py'} inspect run/other >&- 2>&-", shell=True)
    assert done.returncode == 0


@every_command
def test_a_closed_pipe(run, capsys, command):
    """As in `inspect CHECKPOINT | head -2`: a command that only reads ends quietly, a training says what to do."""
    with closed_output():
        status = run_mnist.main(arguments(command, run, Path("figures")))
    if COMMANDS[command].is_training:
        assert status == 2
        assert one_line_error(capsys).startswith("expected an output that stays open, found it closed; rerun the same ")
    else:
        assert (status, capsys.readouterr().err) == (0, "")


def test_a_full_output(run):
    """One line, although the interpreter flushes the stream once more at its end."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, ROOT / "run_mnist.py", "inspect", "run/other"], env=environment,
                              stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "No space left on device" in done.stderr


@every_command
def test_a_closed_error_stream(run, monkeypatch, command):
    """As in `COMMAND 2>&1 | head`: the status is still that of the error."""
    def fail(flags):
        raise errors.UserError("x")
    monkeypatch.setitem(COMMANDS, command, COMMANDS[command]._replace(function=fail))
    read_end, write_end = os.pipe()
    os.close(read_end)
    with open(write_end, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert run_mnist.main(arguments(command, run, Path("figures"))) == 2
