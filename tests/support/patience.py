"""Wait for a condition. One bound for all tests: a passing test never waits for it, however slow the machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import psutil

Found = TypeVar("Found")
LONG = 300.0  # seconds


def until(holds: Callable[[], Found], what: str = "the condition") -> Found:
    """Return what `holds` answers as soon as it is true; fail after `LONG` seconds."""
    deadline = time.monotonic() + LONG
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {LONG:g} s: {what}"
        time.sleep(0.02)
    return found


def is_gone(pid: int) -> bool:
    """Return whether a process has ended; a zombie has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def limits(first: float = 3.0) -> Iterator[float]:
    """Yield longer and longer time limits, in seconds: for what has to begin, and then to exceed its limit."""
    while first < LONG:
        yield first
        first *= 4
    raise AssertionError(f"nothing has begun within {first / 4:g} s")
