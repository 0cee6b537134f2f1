"""A kernel does not outlive the worker that drives it.

Jupyter's own poller ends the kernel alone. What the user's code started is to end with it, so a thread watches the
worker and, when that is gone, ends every process below this one and all that carry the attempt's mark, and then the
kernel's own process group. The poller is switched off: within a second it would end the kernel, and with it this
thread, which on a busy machine has not found every process by then.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time

from .identity import MARK, WORKER

_EVERY = 0.5  # seconds


def end_with_worker() -> None:
    """Begin to watch; a kernel of the fork server is watched by that, and needs nothing."""
    worker = os.environ.pop(WORKER, "")
    if worker.isdigit():
        threading.Thread(target=_watch, args=(int(worker),), name="nbdag-worker-watch", daemon=True).start()


def _watch(worker: int) -> None:
    if os.getppid() != worker:  # it was forked, and its server sees to it
        return
    poller = sys.modules.get("ipykernel.parentpoller")
    if poller is not None:
        poller.os = _WithParent(worker)  # type: ignore[attr-defined]
    while os.getppid() == worker:
        time.sleep(_EVERY)
    import psutil

    from .process_tree import end_marked

    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
    if MARK in os.environ:
        end_marked(os.environ[MARK])
    os.killpg(0, signal.SIGKILL)


class _WithParent:
    """The module `os`, as it is for a process whose parent never ends."""

    def __init__(self, parent: int) -> None:
        self._parent = parent

    def getppid(self) -> int:
        return self._parent

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)
