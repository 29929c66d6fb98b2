"""Running a command: its function, its output, and one line for each error.

TensorFlow is imported only with the function of a command that needs it.
"""

import argparse
import contextlib
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

from vae_graph.checkpoints import first_line
from vae_graph.cli.flags import COMMANDS, SWEEP, TRAIN, TRAIN_IN_CLUSTER, program_name
from vae_graph.cli.memory import check_memory
from vae_graph.cluster import config
from vae_graph.errors import UserError, printable
from vae_graph.runs.signals import Stopped

# oneDNN's matrix products are faster. TensorFlow takes them by itself only on processors with VNNI or AMX.
TENSORFLOW_ENVIRONMENT = {"TF_ENABLE_ONEDNN_OPTS": "1"}


def execute(flags: argparse.Namespace) -> int:
    """Run a command and return the exit status: 0; 2 after an error; 128 + its number after a signal."""
    resume_hint = ("; rerun the same command, without --restart, to resume from the latest checkpoint"
                   if flags.command in (TRAIN, SWEEP) else "")
    try:
        # With --json, standard output is for the JSON only.
        with contextlib.redirect_stdout(sys.stderr) if vars(flags).get("json") else contextlib.nullcontext():
            text = run_command(flags)
        print(*map(printable, text.split("\n")), sep="\n", flush=True)
        return 0
    except UserError as error:
        message = str(error)
    except BrokenPipeError:
        discard(sys.stdout)
        if not resume_hint:
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


def complain(text: str) -> None:
    """Print to standard error, even if its reader has gone, as in `2>&1 | head`."""
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Let what is still buffered for a closed pipe, and what follows, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def run_command(flags: argparse.Namespace) -> str:
    """The text that a command prints at its end."""
    if COMMANDS[flags.command].needs_tensorflow:
        check_memory(flags)
    if flags.command == TRAIN and (cluster := config.from_environment(flags.cluster_timeout, flags.sync_replicas)):
        return load_function(TRAIN_IN_CLUSTER)(flags, cluster)
    return load_function(COMMANDS[flags.command].function)(flags)


def _out_of_memory_errors() -> tuple[type[Exception], ...]:
    """Python's and NumPy's error, and TensorFlow's if it is imported."""
    tensorflow = sys.modules.get("tensorflow")
    return (MemoryError, tensorflow.errors.ResourceExhaustedError) if tensorflow else (MemoryError,)


def load_function(name: str) -> Callable[..., str]:
    """The function `module:name`."""
    module, _, function = name.partition(":")
    for variable, value in TENSORFLOW_ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    with quiet_imports():
        return getattr(importlib.import_module(module), function)


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Suppress TensorFlow's start-up messages, unless the user set a level for them, and tracebacks on Ctrl-C.

    Some messages are written during the import, regardless of TensorFlow's log level and of Python's streams: then
    the file descriptor itself is redirected.
    """
    with contextlib.ExitStack() as stack:
        if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
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
