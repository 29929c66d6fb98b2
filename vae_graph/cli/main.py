"""The entry point: flags in, exit status out. TensorFlow is imported only once the flags are valid."""

import contextlib
import importlib.util
import io
import os
import signal
import sys
from collections.abc import Iterator

from vae_graph.cli.flags import drop_flag, parse_flags
from vae_graph.cluster import local


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit status: 0; 2 after an error; 128 + its number after a signal.

    Args:
        argv: the arguments; those of the process by default.
    """
    argv = sys.argv[1:] if argv is None else argv
    open_standard_streams()
    local.exit_with_parent()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")        # a name that cannot be encoded must not end a run
    flags = parse_flags(argv)                                    # --help and a wrong flag end here
    if vars(flags).get("local_cluster"):
        program = importlib.util.find_spec("run_mnist")
        assert program
        assert program.origin
        return local.run(flags.local_cluster, [sys.executable, program.origin, *drop_flag("--local_cluster", argv)])
    with quiet_imports():
        from vae_graph.cli.execution import execute
    return execute(flags)


def open_standard_streams() -> None:
    """Replace standard streams that are closed, so that no other file gets their descriptors and all can be used."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)       # gets the lowest free descriptor, which is this one
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


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
