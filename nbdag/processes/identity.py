"""Which process this is, and whether another is still there.

A process id comes again, after a reboot or in another container; so a process is told by where it runs (machine,
boot, container) and by when its system says that it began. The clock of the wall plays no part in that.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

MARK = "NBDAG_ATTEMPT"  # environment variable: inherited by all that an attempt starts
WORKER = "NBDAG_WORKER"  # environment variable: the pid of the worker, where the kernel is its child


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told apart from all others."""

    host: str  # which machine, which boot of it, which container
    pid: int
    birth: str  # when it began, as its system counts


def this_process() -> Process:
    """The one that asks."""
    return process_of(os.getpid())


def process_of(pid: int) -> Process:
    """A process that runs on this machine."""
    return Process(host=_host(), pid=pid, birth=_birth(pid) or "")


def is_alive(process: Process) -> bool | None:
    """Whether it runs; None when it runs elsewhere, so that nobody here can see."""
    if process.host != _host():
        return None
    return _birth(process.pid) == process.birth


def _host() -> str:
    parts = [platform.node()]
    for place in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            path = Path(place)
            parts.append(str(path.readlink()) if path.is_symlink() else path.read_text(encoding="ascii").strip())
        except OSError:
            continue  # not Linux: the name must do
    return "/".join(parts)


def _birth(pid: int) -> str | None:
    try:
        # The second field is the program's name, in brackets, and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    else:
        return None if fields[0] in "ZX" else fields[19]
    import psutil

    try:
        return f"{psutil.Process(pid).create_time():.1f}"
    except psutil.Error:
        return None
