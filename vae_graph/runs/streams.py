"""Standard streams that close while a run is on: their errors are deferred until the run is saved."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

from vae_graph.errors import UserError


class OutputClosed(UserError):
    """The run's output cannot be written to any more. The message names the checkpoint of its last finished step."""

    def __init__(self, error: OSError, prefix: str) -> None:
        super().__init__(f"expected an output that stays open, found: {error.strerror}; all steps so far are saved in "
                         f"{prefix}")


class _Deferring:
    """A text stream that, after an error, which it appends to a list, writes nowhere."""

    def __init__(self, stream: TextIO, errors: list) -> None:
        self._stream, self._errors = stream, errors

    def write(self, text: str) -> int:
        with self._deferring():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._deferring():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _deferring(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:       # the second of a stream that is closed
            self._errors.append(error if isinstance(error, OSError) else OSError(0, str(error)))
            with contextlib.suppress(OSError, ValueError):       # a stream that a caller has set has no descriptor
                discard(self._stream)


@contextlib.contextmanager
def deferred() -> Iterator[list[OSError]]:
    """Append the errors of standard output and standard error to the list that this yields, instead of raising them.

    In the main thread only, as signals: the streams belong to the whole process.
    """
    errors: list[OSError] = []
    if threading.current_thread() is not threading.main_thread():
        yield errors
        return
    with (contextlib.redirect_stdout(_Deferring(sys.stdout, errors)),
          contextlib.redirect_stderr(_Deferring(sys.stderr, errors))):
        yield errors


def discard(stream: TextIO) -> None:
    """Let what is still buffered for a closed stream, and what follows, go nowhere."""
    descriptor, null = stream.fileno(), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
