"""Running a command: its output, its exit status, one line for each error, and what an import of TensorFlow changes."""

import argparse
import importlib
import io
import logging
import os
import signal
import subprocess
import sys

import pytest

from tests.helpers import closed_output, posix_only
from tests.small import ROOT
from vae_graph.cli import execution, memory
from vae_graph.cli.execution import execute
from vae_graph.cli.parser import Command
from vae_graph.errors import UserError
from vae_graph.runs.signals import Stopped

HINT = "; rerun the same command, without --restart, to resume from the latest checkpoint"


def run(function, *, is_training=False, needs_tensorflow=False, **flags):
    return execute(Command("", (), function, needs_tensorflow, is_training), argparse.Namespace(**flags))


def test_a_commands_text_is_printed_without_control_characters(capsys):
    assert run(lambda flags: f"{flags.name}\nb\x1b[31m", name="a\a") == 0
    assert capsys.readouterr() == ("a\\x07\nb\\x1b[31m\n", "")


@pytest.mark.parametrize(("json", "expected"), [
    (False, ("on the way\ntext\n", "")), (True, ("text\n", "on the way\n"))])
def test_with_json_the_output_is_the_text_alone(capsys, json, expected):
    assert run(lambda flags: print("on the way") or "text", json=json) == 0
    assert capsys.readouterr() == expected


@pytest.mark.parametrize(("error", "status", "line", "hint"), [
    (UserError("a\nb"), 2, r"run_mnist.py: error: a\nb", ""),
    (OSError(28, "No space left", "x"), 2,
     "run_mnist.py: error: expected files that can be read and written, found: [Errno 28] No space left: 'x'", ""),
    (MemoryError(), 2, "run_mnist.py: error: expected enough memory, found: none left", HINT),
    (Stopped(signal.SIGTERM, "p\n"), 143, r"stopped by SIGTERM; all steps so far are saved in p\n", HINT),
    (Stopped(signal.SIGINT), 130, "stopped by SIGINT", HINT), (KeyboardInterrupt(), 130, "stopped", HINT)])
@pytest.mark.parametrize("is_training", [False, True])
def test_an_error_is_one_line(capsys, error, status, line, hint, is_training):
    def fail(flags):
        raise error

    assert run(fail, is_training=is_training) == status
    captured = capsys.readouterr()
    # On a terminal, a stop has the line after that of `^C`.
    assert captured.err.removeprefix("\n" * (status > 2)) == f"{line}{hint if is_training else ''}\n"
    assert captured.out == ""


def test_a_missing_package_is_named_with_its_python_and_what_to_type(capsys):
    assert run(lambda flags: importlib.import_module("missing_package")) == 2
    line = capsys.readouterr().err
    assert f"({sys.executable}), found: No module named 'missing_package'; activate the environment" in line
    assert line.endswith(f"{sys.executable} -m pip install -e .\n")
    assert line.count("\n") == 1


@pytest.mark.parametrize("defect", ["1 / 0", "from vae_graph import missing", "import vae_graph.missing"])
def test_another_error_is_a_defect(defect):
    with pytest.raises((ZeroDivisionError, ImportError)):
        run(lambda flags: exec(defect))


@posix_only
@pytest.mark.parametrize(("is_training", "status", "message"), [
    (False, 0, ""),
    (True, 2, f"run_mnist.py: error: expected an output that stays open, found it closed{HINT}\n")])
def test_a_closed_output(capsys, is_training, status, message):
    with closed_output():
        assert run(lambda flags: "text", is_training=is_training) == status
        print("goes nowhere", flush=True)
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("needed", [True, False])
def test_tensorflow_and_its_memory_only_where_they_are_needed(monkeypatch, needed):
    called = []
    monkeypatch.setattr(memory, "check_memory", called.append)
    monkeypatch.setattr(execution, "import_tensorflow", lambda: called.append("import"))
    assert run(lambda flags: "", needs_tensorflow=needed, name="a") == 0
    assert called == ([argparse.Namespace(name="a"), "import"] if needed else [])


class TestImport:
    @pytest.fixture(autouse=True)
    def logger(self):
        logger = logging.getLogger("tensorflow")
        level = logger.level
        yield logger
        logger.setLevel(level)

    def test_the_programs_settings_are_defaults(self, monkeypatch):
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
        monkeypatch.delenv("GRPC_FAIL_FAST", raising=False)
        execution.import_tensorflow()
        assert (os.environ["TF_ENABLE_ONEDNN_OPTS"], os.environ["GRPC_FAIL_FAST"]) == ("0", "true")

    @pytest.mark.parametrize(("level", "shown"), [(None, ""), ("1", "during the import\n")])
    def test_messages_are_suppressed_unless_a_level_is_set(self, monkeypatch, capfd, logger, level, shown):
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level or "")
        if level is None:
            monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
        logger.setLevel("WARNING")
        before = os.dup(2)           # the lowest free descriptor: a leak would take it
        os.close(before)
        with execution._quiet_import():
            os.write(2, b"during the import\n")
        after = os.dup(2)
        os.close(after)
        assert after == before
        os.write(2, b"after it\n")
        assert capfd.readouterr().err == f"{shown}after it\n"
        assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == (level or "3")
        assert logging.getLevelName(logger.level) == ("WARNING" if level else "ERROR")

    @pytest.mark.parametrize(("content", "is_noted"), [
        ("flags\t\t: fpu sse2 avx avx2\n", False), ("flags\t\t: fpu sse2 xavx\n", True),
        ("Features : fp asimd\n", False), (None, False)])
    def test_a_processor_without_avx_is_noted(self, monkeypatch, capsys, content, is_noted):
        """TensorFlow's import ends the process there."""
        def read_text(path):
            if content is None:
                raise FileNotFoundError
            return content

        monkeypatch.setattr(execution.Path, "read_text", read_text)
        execution.import_tensorflow()
        assert capsys.readouterr().err.startswith("the processor has no AVX instructions: ") == is_noted

    def test_ctrl_c_ends_it_without_a_traceback(self):
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with execution._quiet_import():
                assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
            assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
            signal.signal(signal.SIGINT, signal.SIG_IGN)         # as `nohup` arranges
            with execution._quiet_import():
                assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        finally:
            signal.signal(signal.SIGINT, before)


CLOSED_STREAMS = """
import os, sys
from vae_graph.cli import execution
os.closerange(0, 3)
sys.stdin = sys.stdout = sys.stderr = None
execution.prepare_standard_streams()
print("x", flush=True)
print("x", file=sys.stderr, flush=True)
assert sys.stdin.read() == ""
assert open(os.devnull).fileno() == 3
"""


@posix_only
def test_closed_streams_are_replaced():
    subprocess.run([sys.executable, "-c", CLOSED_STREAMS], cwd=ROOT, check=True)


def test_a_name_that_cannot_be_encoded_is_printed(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    execution.prepare_standard_streams()
    print("図", flush=True)
    assert written.getvalue() == rb"\u56f3" + os.linesep.encode()
