"""Kill the processes that remain of an attempt whose executor was killed.

While an attempt runs, the pids of its worker and its kernel are recorded in a file beside its notebook. Before the next
attempt of the same task starts, the executor kills these processes and waits until they have ended, so that no task
runs twice at once. Only processes on this machine can be killed; a worker on another host exits when its connection to
the executor closes.
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
from .process_tree import kill_tree

_TIMEOUT = 5.0  # seconds: a killed process that still exists then is stuck in a system call and runs no more code


def record_processes(notebook: Path, pids: Iterable[int], mark: str) -> None:
    """Record the processes and the mark (the unique id) of an attempt."""
    data = {"processes": [asdict(process_of(pid)) for pid in pids], "mark": mark}
    with contextlib.suppress(OSError):
        write_atomically(_file(notebook), json.dumps(data).encode())


def forget_processes(notebook: Path) -> None:
    """Remove the record of an attempt's processes."""
    with contextlib.suppress(OSError):
        _file(notebook).unlink()


def terminate_leftovers(notebook: Path) -> None:
    """Kill the recorded processes of an attempt without an owner, and wait until they have ended."""
    try:
        data = json.loads(_file(notebook).read_text(encoding="utf-8"))
        processes = [Process(**each) for each in data["processes"]]
        mark = str(data["mark"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    for process in processes:
        if is_alive(process):
            kill_tree(process.pid, mark)
    deadline = time.monotonic() + _TIMEOUT
    while any(is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.01)
    forget_processes(notebook)


def _file(notebook: Path) -> Path:
    return notebook.with_suffix(".pids")
