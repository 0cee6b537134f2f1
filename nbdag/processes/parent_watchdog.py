"""A kernel does not outlive the worker that drives it.

Jupyter's own poller ends the kernel alone. What the user's code started is to end with it, so a thread watches the
worker and, when that is gone, ends every process below this one and all that carry the attempt's mark, and then the
kernel's own process group.
"""

from __future__ import annotations

import contextlib
import os
import signal
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
