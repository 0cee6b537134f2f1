"""The processes that an attempt may leave behind when the process that owns it is killed.

Each attempt records the ids of its worker and its kernel in a file beside its notebook while these run. Before the next
attempt starts, its executor kills them and waits until they have ended, so that no task runs twice at once. Only
processes of this machine can be observed; on other hosts they end by themselves when their connection to the executor
closes.
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

_TIMEOUT = 5.0  # seconds: a killed process that is still there is stuck in a system call, and runs no more code


def record_processes(notebook: Path, pids: Iterable[int], mark: str) -> None:
    """Record the processes of an attempt."""
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
