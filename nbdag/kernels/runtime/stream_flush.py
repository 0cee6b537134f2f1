"""Wait for a cell's subprocess output before reporting the cell as finished.

ipykernel reads the output of subprocesses from a pipe, in a separate thread, and does not wait for the thread when a
cell ends. On a busy machine, the last line of `os.system` would arrive after the reply to the cell and be missing from
the notebook.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_TIMEOUT = 5.0  # maximum wait in seconds: a process that is still running may never stop writing
_POLL_INTERVAL = 0.0005  # seconds between two checks
_MAX_DESCRIPTOR = 1 << 20  # a number above any file descriptor and below any memory address


def wait_for_streams() -> None:
    """Wait until ipykernel has published all output that processes have written to the standard streams."""
    deadline = time.monotonic() + _TIMEOUT
    for pipe, reader in _pipes():
        while not (_is_empty(pipe) and _is_waiting(reader)) and time.monotonic() < deadline:
            time.sleep(_POLL_INTERVAL)


def _pipes() -> Iterator[tuple[int, threading.Thread]]:
    """Yield each pipe with the thread that reads it."""
    for fd, stream in ((1, sys.stdout), (2, sys.stderr)):
        reader = getattr(stream, "watch_fd_thread", None)  # ipykernel sets this attribute
        if reader is not None and reader.is_alive():
            yield fd, reader


def _is_empty(pipe: int) -> bool:
    if sys.platform == "win32":
        return True
    import fcntl
    import termios

    try:
        return fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)) == bytes(4)
    except OSError:  # the cell has closed or replaced the descriptor
        return True


def _is_waiting(reader: threading.Thread) -> bool:
    """Return whether the reading thread waits for input. It has then published all earlier output.

    A thread that waits for Python's global lock is in a system call, too. But the first argument of that call is a
    memory address instead of a file descriptor.
    """
    try:
        call = Path(f"/proc/self/task/{reader.native_id}/syscall").read_text().split()
    except OSError:  # this system does not expose the system calls of threads
        time.sleep(_POLL_INTERVAL)
        return True
    return len(call) > 1 and int(call[1], 16) < _MAX_DESCRIPTOR
