"""Kill a kernel and every process that it started.

A started process may have left the kernel's process group and session, or have become a daemon. So three sets are
killed: the process group, all descendants of the kernel, and every process whose environment contains the attempt's
mark, a unique id.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal

import psutil

from .identity import MARK_VARIABLE

_ROUNDS = 5  # searches for marked processes, as one may start another just before it is killed


def new_attempt_mark() -> str:
    """Return a new unique id that marks the processes of one attempt in their environment."""
    return secrets.token_hex(8)


def kill_tree(pid: int | None, mark: str) -> None:
    """Kill a kernel and every process that it started.

    The kernel is killed last, so that its watchdog kills the other processes if the calling process is killed halfway.
    Marked processes are killed once more at the end, as the kernel may have started some in the meantime.
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
    """Kill every process with this mark in its environment, except the calling process and the pid `but`."""
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
