"""Ending a kernel with all that it started.

A process may have left the kernel's group, its session and even its family (a daemon). So what is ended is the group,
everything below the kernel, and every process that carries the attempt's mark in its environment.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal

import psutil

from .identity import MARK

_ROUNDS = 5  # looks for marked processes: one that is being ended may just have started another


def new_mark() -> str:
    """A mark for one attempt."""
    return secrets.token_hex(8)


def end_all(pid: int | None, mark: str) -> None:
    """Kill the kernel, and all that it started.

    The kernel comes last but for what it started meanwhile: if this process is itself killed before, the kernel, which
    watches it, ends the rest.
    """
    if pid:
        family = _family(pid)
        end_marked(mark, but=pid)
        for process in family[1:]:
            with contextlib.suppress(psutil.Error):
                process.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
        for process in family[:1]:
            with contextlib.suppress(psutil.Error):
                process.kill()
    end_marked(mark)


def end_marked(mark: str, but: int | None = None) -> None:
    """Kill every process that carries the mark, apart from this one and from `but`."""
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
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
