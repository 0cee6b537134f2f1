"""Linux calls that a fork server needs: name this process, measure its memory, kill a process group."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Sequence
from pathlib import Path

_PR_SET_NAME = 15


def name_process(name: str) -> None:
    """Set the name that `ps` and `top` show."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def kill_group(pid: int) -> None:
    """Kill a process and its process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)  # kill the process as well, because the child may not lead a process group yet


def own_memory() -> int:
    """Return how many bytes of memory the end of this process would free."""
    kinds: Sequence[bytes] = (b"Private_Clean:", b"Private_Dirty:", b"Pss:")
    sizes = dict.fromkeys(kinds, 0)
    for line in Path("/proc/self/smaps_rollup").read_bytes().splitlines():
        parts = line.split()
        if parts[0] in sizes:
            sizes[parts[0]] += int(parts[1]) * 1024
    return sizes[b"Pss:"]
