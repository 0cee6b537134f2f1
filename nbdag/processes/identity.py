"""The identity of a process, and whether that process is still alive.

A pid can be reused, after a reboot or in another container. So a process is identified by three values: its host
(machine, boot and container), its pid, and its start time. The start time is in the system's units, which do not depend
on the wall clock.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Environment variable that contains the mark (unique id) of an attempt, set for all processes of the attempt.
MARK_VARIABLE = "NBDAG_ATTEMPT"
# All kernels have the same hashes of texts, so that a set iterates in the same order in each task of a run. Python
# reads this environment variable when it starts. A kernel then removes it, so that it has no effect on programs that a
# task starts.
HASH_SEED = ("PYTHONHASHSEED", "2718281828")
WORKER_VARIABLE = "NBDAG_WORKER"  # environment variable with the worker's pid, set in a kernel that the worker started


def with_hash_seed(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which to start a kernel without forking; a kernel of a task gets `HASH_SEED`."""
    return {**dict([HASH_SEED] if WORKER_VARIABLE in env else []), **env}


@dataclass(frozen=True, slots=True)
class Process:
    """The identity of one process; no two processes have the same identity."""

    host: str  # identifies the machine, its boot and the container
    pid: int
    start_time: str  # start time of the process in the system's units, such as clock ticks since boot


def this_process() -> Process:
    """Return the identity of the calling process."""
    return process_of(os.getpid())


def process_of(pid: int) -> Process:
    """Return the identity of a process on this machine."""
    return Process(host=_host(), pid=pid, start_time=_start_time(pid) or "")


def is_alive(process: Process) -> bool | None:
    """Return whether a process is running, or None if it is on another host and cannot be observed."""
    if process.host != _host():
        return None
    return _start_time(process.pid) == process.start_time


def _host() -> str:
    parts = [platform.node()]
    for place in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            path = Path(place)
            parts.append(str(path.readlink()) if path.is_symlink() else path.read_text(encoding="ascii").strip())
        except OSError:
            continue  # the files exist only on Linux; on other systems, only the host name identifies the machine
    return "/".join(parts)


def _start_time(pid: int) -> str | None:
    try:
        # The second field is the program's name in brackets, which may contain spaces and brackets.
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
