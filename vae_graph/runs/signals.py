"""Signals that ask a process to stop, deferred until it can stop consistently."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

# Windows has no SIGHUP, which is what a closed terminal sends.
STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(Exception):
    """A signal stopped the run. `prefix` is the checkpoint of its last finished step; empty where none is saved."""

    def __init__(self, number: signal.Signals, prefix: str = "") -> None:
        super().__init__(f"stopped by {number.name}" + (f"; all steps so far are saved in {prefix}" if prefix else ""))
        self.number = number


@contextlib.contextmanager
def deferred() -> Iterator[list[signal.Signals]]:
    """Append the first of these signals to the list that this yields; a second one has its usual effect.

    A signal that is ignored, as `nohup` arranges, stays ignored. Signals are deferred in the main thread only.
    """
    pending: list[signal.Signals] = []
    before: dict[int, Any] = {}

    def defer(number: int, frame: FrameType | None) -> None:
        pending.append(signal.Signals(number))
        restore()

    def restore() -> None:
        while before:
            signal.signal(*before.popitem())

    if threading.current_thread() is threading.main_thread():
        for number in STOP_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, defer)
    try:
        yield pending
    finally:
        restore()
