"""What an attempt may leave behind when whoever drove it is killed.

Beside its notebook an attempt keeps the ids of its worker and its kernel while these run. Whoever makes the next
attempt ends them first, and waits until they are gone: so no task runs twice at once. Only this machine's processes
can be seen; elsewhere they have ended by themselves, as their connection to the executor has.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from ..writing import write_atomically
from .identity import Process, is_alive, process_of
from .process_tree import end_all

_ENOUGH = 5.0  # seconds: a killed process that is not gone by then is stuck in the kernel, and runs nothing


def remember(notebook: Path, pids: Iterable[int], mark: str) -> None:
    """These processes are at work for the attempt."""
    found = {"processes": [asdict(process_of(pid)) for pid in pids], "mark": mark}
    with contextlib.suppress(OSError):
        write_atomically(_place(notebook), json.dumps(found).encode())


def forget(notebook: Path) -> None:
    """Nothing is at work for the attempt any more."""
    with contextlib.suppress(OSError):
        _place(notebook).unlink()


def end_what_is_left(notebook: Path) -> None:
    """End the processes of an attempt that nobody drives any more, and wait until they are gone."""
    try:
        found = json.loads(_place(notebook).read_text(encoding="utf-8"))
        processes = [Process(**each) for each in found["processes"]]
        mark = str(found["mark"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    for process in processes:
        if is_alive(process):
            end_all(process.pid, mark)
    until = time.monotonic() + _ENOUGH
    while any(is_alive(process) for process in processes) and time.monotonic() < until:
        time.sleep(0.01)
    forget(notebook)


def _place(notebook: Path) -> Path:
    return notebook.with_suffix(".pids")
