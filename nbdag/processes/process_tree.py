"""Kill a kernel and every process that it started.

A started process may have left the kernel's process group and session, or have become a daemon. So three sets of
processes are killed: the kernel's process group, all descendants of the kernel, and every process with the attempt's
mark (see `marks`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

import psutil

from .identity import MARK_VARIABLE
from .marks import is_marked, marked_pids

_ROUNDS = 5  # how often marked processes are searched, because a process may start another one just before it is killed
_IS_LINUX = sys.platform == "linux"


def kill_tree(pid: int | None, mark: str) -> None:
    """Kill a kernel and every process that it started.

    The kernel is killed last: if the calling process is itself killed too early, the kernel's watchdog kills the other
    processes. Marked processes are killed once more at the end, because the kernel may have started new ones.
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


def is_running(pid: int) -> bool:
    """Return whether a process of this machine is running; a zombie is not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def kill_marked(mark: str, but: int | None = None) -> None:
    """Kill every process with this mark, except the calling process and the pid `but`."""
    if not mark:  # no mark: the attempt was never assigned to a worker
        return
    for _ in range(_ROUNDS):
        found = [process for process in _marked(mark) if process.pid != but]
        if not found:
            return
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()


def end_marked(mark: str, timeout: float) -> bool:
    """Kill every process with this mark, and wait until all have ended.

    Return False if a process has not ended after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while found := _marked(mark):
        if time.monotonic() > deadline:
            return False
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.005)
    return True


def _family(pid: int) -> list[psutil.Process]:
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.Error:
        return []


def _marked(mark: str) -> list[psutil.Process]:
    found = []
    for pid in marked_pids(mark) if _IS_LINUX else psutil.pids():
        if pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError):
            # `Process` records the start time, so that another process with a reused pid is not killed.
            process = psutil.Process(pid)
            is_ours = is_marked(pid, mark) if _IS_LINUX else process.environ().get(MARK_VARIABLE) == mark
            if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
