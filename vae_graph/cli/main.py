"""The entry point: flags in, exit status out. TensorFlow is imported only once the flags are valid."""

import importlib.util
import io
import os
import sys

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
    from vae_graph.cli.execution import execute  # with it NumPy, which takes longer than all of the above

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
