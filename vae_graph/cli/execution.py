"""Running a command: TensorFlow's import, the command's output, and one line for each error."""

import argparse
import contextlib
import io
import logging
import os
import platform
import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from vae_graph.cli.parser import Command, program_name
from vae_graph.errors import UserError, first_line, printable
from vae_graph.runs.signals import Stopped
from vae_graph.runs.streams import OutputClosed, discard

TENSORFLOW_ENVIRONMENT = {
    # oneDNN's matrix products are faster. TensorFlow takes them by itself only on processors with VNNI or AMX.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    # On a GPU, TensorFlow multiplies float32 matrices in TF32 by default, with 10 bits of mantissa instead of 23.
    "NVIDIA_TF32_OVERRIDE": "0",
    # Otherwise the first process takes all of a GPU's memory.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    # In a cluster, a task that is gone is an error at once.
    "GRPC_FAIL_FAST": "true",
}


def execute(command: Command, flags: argparse.Namespace) -> int:
    """Run a command and return the exit status: 0; 2 after an error; 128 + its number after a signal."""
    status = _execute(command, flags)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            discard(stream)              # else the interpreter's own flush at its end would change the status
    return status


def _execute(command: Command, flags: argparse.Namespace) -> int:
    resume_hint = ("; rerun the same command, without --restart, to resume from the latest checkpoint"
                   if command.is_training else "")
    try:
        # With --json, standard output is for the JSON only.
        with contextlib.redirect_stdout(sys.stderr) if vars(flags).get("json") else contextlib.nullcontext():
            if command.needs_tensorflow:
                from vae_graph.cli.memory import check_memory  # and NumPy with it, which --help does not need

                check_memory(flags)
                import_tensorflow()
            text = command.function(flags)
        show(text)
        return 0
    except OutputClosed as error:
        message = f"{error}{resume_hint}"
    except UserError as error:
        message = str(error)
    except ImportError as error:
        if (error.name or "").startswith("vae_graph"):
            raise
        message = _missing_package(error)
    except BrokenPipeError:
        discard(sys.stdout)
        if not command.is_training:
            return 0                 # a command that only reads ends quietly, as `head` expects of it
        message = f"expected an output that stays open, found it closed{resume_hint}"
    except _out_of_memory_errors() as error:
        message = f"expected enough memory, found: {first_line(error) or 'none left'}{resume_hint}"
    except OSError as error:
        message = f"expected files that can be read and written, found: {error}"
    except Stopped as stop:
        complain(f"\n{printable(stop)}{resume_hint}")
        return 128 + stop.number
    except KeyboardInterrupt:
        complain(f"\nstopped{resume_hint}")
        return 128 + signal.SIGINT
    complain(f"{program_name()}: error: {printable(message)}")
    return 2


def _missing_package(error: ImportError) -> str:
    activate = r".venv\Scripts\activate" if os.name == "nt" else ". .venv/bin/activate"
    return (f"expected the program's packages in Python {platform.python_version()} ({sys.executable}), found: "
            f"{first_line(error)}; activate the environment that has them ({activate}), or install them here, from the "
            f"clone's folder: {sys.executable} -m pip install -e .")


def show(text: str) -> None:
    """Print lines without the control characters that a name in them may have."""
    print(*map(printable, text.split("\n")), sep="\n", flush=True)


def complain(text: str) -> None:
    """Print to standard error, even if its reader has gone, as in `2>&1 | head`, or its terminal is closed."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def prepare_standard_streams() -> None:
    """Replace standard streams that are closed, so that no other file gets their descriptors and all can be used."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)       # gets the lowest free descriptor, which is this one
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")        # a name that cannot be encoded must not end a run


def import_tensorflow() -> ModuleType:
    """Import TensorFlow with the program's settings, which are environment variables that the user may set too."""
    for variable, value in TENSORFLOW_ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    if not _has_avx():
        complain("the processor has no AVX instructions: TensorFlow's own packages need them and end here without a "
                 "word; install one that is built for this processor")
    with _quiet_import():
        import tensorflow
    return tensorflow


def _has_avx() -> bool:
    """Whether the processor has AVX instructions; True where that cannot be seen, or it is none of x86."""
    try:
        flags = re.search(r"^flags\s*:(.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        return True
    return flags is None or "avx" in flags[1].split()


@contextlib.contextmanager
def _quiet_import() -> Iterator[None]:
    """Suppress TensorFlow's start-up messages, unless the user set a level for them, and tracebacks on Ctrl-C.

    Some messages are written during the import, regardless of TensorFlow's log level and of Python's streams: then
    the file descriptor itself is redirected.
    """
    with contextlib.ExitStack() as stack:
        is_main_thread = threading.current_thread() is threading.main_thread()       # no other may set handlers
        if is_main_thread and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            stack.callback(signal.signal, signal.SIGINT, signal.default_int_handler)
        if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
            os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
            stderr = os.dup(2)
            with open(os.devnull, "wb") as null:
                os.dup2(null.fileno(), 2)
            stack.callback(os.close, stderr)
            stack.callback(os.dup2, stderr, 2)
        yield
        if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3":
            logging.getLogger("tensorflow").setLevel("ERROR")        # else it warns of deprecated functions


def _out_of_memory_errors() -> tuple[type[Exception], ...]:
    """Python's and NumPy's error, and TensorFlow's if it is imported."""
    tensorflow = sys.modules.get("tensorflow")
    return (MemoryError, tensorflow.errors.ResourceExhaustedError) if tensorflow else (MemoryError,)
