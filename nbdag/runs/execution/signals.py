"""Ctrl-C, a hang-up and SIGTERM, while runs are driven in the foreground."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from ...scheduler import Scheduler


@contextlib.contextmanager
def stopped_by_signals(scheduler: Scheduler) -> Iterator[list[int]]:
    """Ctrl-C, a hang-up or SIGTERM stops the run in good order; a second one at once. Answers with what came."""
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
        # Whoever has a handler of their own has a reason.
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            before[number] = signal.signal(number, stop)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def pass_on(number: int) -> None:
    """Let a signal that was held back do what it does to any program."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    signal.raise_signal(number)
