"""Signals that ask a process to end, taken note of until a good moment comes."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

# Windows has no SIGHUP, which is what a closed terminal sends.
ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def noted() -> Iterator[list[signal.Signals]]:
    """Put the first of these signals into a list instead of ending; a second one ends the process as ever.

    Where someone has a signal ignored, as `nohup` does, it stays so. Only a process's main thread can take note.
    """
    received: list[signal.Signals] = []
    before: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        restore()

    def restore() -> None:
        while before:
            signal.signal(*before.popitem())

    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, note)
    try:
        yield received
    finally:
        restore()
