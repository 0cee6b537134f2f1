"""Kill a kernel and every process that it started.

Such a process may have left the kernel's group, its session and even its family (a daemon). So three sets are killed:
the process group, all descendants of the kernel, and every process with the attempt's mark in its environment.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal

import psutil

from .identity import MARK_VARIABLE

_ROUNDS = 5  # a marked process may have started another one just before it was killed


def new_attempt_mark() -> str:
    """Return a new mark, unique to one attempt."""
    return secrets.token_hex(8)


def kill_tree(pid: int | None, mark: str) -> None:
    """Kill a kernel and every process that it started.

    The kernel is killed after the others: if this process is killed meanwhile, the kernel's watchdog kills the rest.
    Marked processes are killed once more at the end, as the kernel may have started some in between.
    """
    if pid:
        family = _family(pid)
        kill_marked(mark, but=pid)
        for process in family[1:]:
            with contextlib.suppress(psutil.Error):
                process.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
        for process in family[:1]:
            with contextlib.suppress(psutil.Error):
                process.kill()
    kill_marked(mark)


def kill_marked(mark: str, but: int | None = None) -> None:
    """Kill every process with this mark, except the calling one and the one with the pid `but`."""
    for _ in range(_ROUNDS):
        found = [process for process in _marked(mark) if process.pid != but]
        if not found:
            return
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()


def _family(pid: int) -> list[psutil.Process]:
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.Error:
        return []


def _marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK_VARIABLE) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
