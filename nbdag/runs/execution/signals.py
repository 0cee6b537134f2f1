"""Handle SIGINT (Ctrl-C), SIGTERM and SIGHUP while runs are executed in the foreground."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from ...scheduler import Scheduler


@contextlib.contextmanager
def stopped_by_signals(scheduler: Scheduler) -> Iterator[list[int]]:
    """At the first signal, stop the scheduler; at the second, let the signal take its usual effect.

    Yield the list of received signals.
    """
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if caught:
            signal.signal(number, before[number])
            pass_on(number)
        caught.append(number)
        scheduler.stop()

    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # Keep a signal handler that was installed by other code.
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            before[number] = signal.signal(number, stop)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def pass_on(number: int) -> None:
    """Raise KeyboardInterrupt for SIGINT; send any other signal to this process again."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    signal.raise_signal(number)
