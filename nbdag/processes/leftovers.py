"""Kill the processes that remain of an attempt whose executor was killed.

Before the next attempt of a task starts, the executor kills the remaining processes and waits until they have ended, so
that a task never runs twice at the same time. The kernel and its processes are found by the attempt's mark, which can
be computed from the attempt's key. A worker has no mark. So while an attempt runs, a file beside the attempt's
notebook also records the pids of the worker and the kernel. Only processes on this machine can be killed; a worker on
another host exits when its connection to the executor closes.
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
from .process_tree import end_marked, kill_tree

# Maximum wait in seconds. A killed process that exists even longer is stuck in a system call and runs no more code.
_TIMEOUT = 5.0


def record_processes(notebook: Path, pids: Iterable[int]) -> None:
    """Record the processes of an attempt."""
    data = {"processes": [asdict(process_of(pid)) for pid in pids]}
    with contextlib.suppress(OSError):
        write_atomically(_file(notebook), json.dumps(data).encode())


def forget_processes(notebook: Path) -> None:
    """Remove the record of an attempt's processes."""
    with contextlib.suppress(OSError):
        _file(notebook).unlink()


def terminate_leftovers(notebook: Path, mark: str) -> None:
    """Kill the processes of an attempt whose executor was killed, and wait until they have ended."""
    processes = _recorded(notebook)
    for process in processes:
        if is_alive(process):
            kill_tree(process.pid, mark)
    deadline = time.monotonic() + _TIMEOUT
    while any(is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.01)
    end_marked(mark, _TIMEOUT)
    forget_processes(notebook)


def _recorded(notebook: Path) -> list[Process]:
    try:
        data = json.loads(_file(notebook).read_text(encoding="utf-8"))
        return [Process(**each) for each in data["processes"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _file(notebook: Path) -> Path:
    return notebook.with_suffix(".pids")
