"""Standard streams that close while a run is on: their errors are deferred until the run is saved."""

import contextlib
import os
import sys
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
        except OSError as error:
            self._errors.append(error)
            with contextlib.suppress(OSError):       # a stream that a caller has set may have no descriptor
                discard(self._stream)


@contextlib.contextmanager
def deferred() -> Iterator[list[OSError]]:
    """Append the errors of standard output and standard error to the list that this yields, instead of raising them."""
    errors: list[OSError] = []
    with (contextlib.redirect_stdout(_Deferring(sys.stdout, errors)),
          contextlib.redirect_stderr(_Deferring(sys.stderr, errors))):
        yield errors


def discard(stream: TextIO) -> None:
    """Let what is still buffered for a closed stream, and what follows, go nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
