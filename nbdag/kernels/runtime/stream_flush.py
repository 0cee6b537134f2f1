"""What the processes of a cell have written belongs to that cell.

ipykernel reads it from a pipe, in a thread of its own, and does not wait for that thread when a cell ends: on a machine
that is busy the last line of `os.system` comes after the answer, and is in no notebook.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_PATIENCE = 5.0  # seconds: a process that was left running may write for ever
_PAUSE = 0.0005  # seconds between two looks
_DESCRIPTORS = 1 << 20  # more than there are; addresses are larger


def wait_for_streams() -> None:
    """Until what processes have written to the standard streams has been passed on."""
    deadline = time.monotonic() + _PATIENCE
    for pipe, watcher in _watched():
        while not (_is_empty(pipe) and _waits(watcher)) and time.monotonic() < deadline:
            time.sleep(_PAUSE)


def _watched() -> Iterator[tuple[int, threading.Thread]]:
    """The pipes, and who reads them."""
    for fd, stream in ((1, sys.stdout), (2, sys.stderr)):
        watcher = getattr(stream, "watch_fd_thread", None)  # ipykernel's
        if watcher is not None and watcher.is_alive():
            yield fd, watcher


def _is_empty(pipe: int) -> bool:
    if sys.platform == "win32":
        return True
    import fcntl
    import termios

    try:
        return fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)) == bytes(4)
    except OSError:  # the cell has put something else there
        return True


def _waits(watcher: threading.Thread) -> bool:
    """Whether it is waiting for more to read, and so has passed on what it had.

    A thread that waits for Python's lock is in a system call too, but one whose first argument is an address.
    """
    try:
        told = Path(f"/proc/self/task/{watcher.native_id}/syscall").read_text().split()
    except OSError:  # not to be known here
        time.sleep(_PAUSE)
        return True
    return len(told) > 1 and int(told[1], 16) < _DESCRIPTORS
