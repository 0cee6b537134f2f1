"""A watchdog that ends a kernel when its worker has ended.

Jupyter's own watchdog ends only the kernel, but processes that user code started must end too. So a thread of the
kernel checks repeatedly whether the worker is alive. Once the worker has exited, the thread kills all descendants of
the kernel, all processes with the attempt's mark, and finally the kernel's process group. Jupyter's watchdog is
switched off, because it would end the kernel and this thread within a second. On a busy machine, that is too soon to
find every process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time

from .identity import MARK_VARIABLE, WORKER_VARIABLE

_INTERVAL = 0.5  # seconds between two checks of the worker


def start_parent_watchdog() -> None:
    """Start the watchdog, unless this kernel was forked: the fork server watches its children."""
    worker = os.environ.pop(WORKER_VARIABLE, "")
    if worker.isdigit():
        poller = sys.modules.get("ipykernel.parentpoller")
        if poller is not None:
            poller.os = _OsWithConstantParent(int(worker))  # type: ignore[attr-defined]
        threading.Thread(target=_watch, args=(int(worker),), name="nbdag-worker-watch", daemon=True).start()


class _OsWithConstantParent:
    """A replacement for `os` in ipykernel's parent poller.

    Its `getppid` always returns the worker's pid, so the poller never ends the kernel.
    """

    def __init__(self, parent: int) -> None:
        self._parent = parent

    def getppid(self) -> int:
        return self._parent

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)


def _watch(worker: int) -> None:
    if os.getppid() != worker:  # the parent of this kernel is the fork server, so the kernel was forked
        return
    while os.getppid() == worker:
        time.sleep(_INTERVAL)
    import psutil

    from .process_tree import kill_marked

    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
    if MARK_VARIABLE in os.environ:
        kill_marked(os.environ[MARK_VARIABLE])
    os.killpg(0, signal.SIGKILL)
