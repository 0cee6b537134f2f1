"""The mark of an attempt: a unique id by which every process of the attempt is found.

Other processes can read the mark in two places, even after all parent processes have ended. One is the environment with
which a program was started. The other, on Linux, is a resource limit. `fork` and `exec` pass the limit on, and
`setsid`, a double fork and `env -i` do not change it. Processes that another service starts for a task (`systemd-run`,
`docker run`, `at`, `ssh`) have no mark, and processes of another user cannot be killed. On a system without this limit,
a process is not found if it has left the kernel's session and was started with an empty environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import sys
from collections.abc import Iterator

from .identity import MARK_VARIABLE

# The limit that stores the mark affects only processes with a real-time scheduling policy. The limit is in
# microseconds, so a mark means a limit of thousands of years.
MARK_LIMIT = "RLIMIT_RTTIME"
_LINE = b"Max realtime timeout"  # the line of this limit in /proc/PID/limits
_BASE = 1 << 61
_DIGITS = 15  # hexadecimal digits of a mark: 60 bits
_IS_LINUX = sys.platform == "linux"
_PR_SET_CHILD_SUBREAPER = 36


def new_attempt_mark() -> str:
    """Return a new unique mark for one attempt."""
    return secrets.token_hex(8)[:_DIGITS]


def adopt_mark(mark: str) -> None:
    """Mark this process and all processes that it starts from now on.

    Orphaned descendants become children of this process.
    """
    if _IS_LINUX:
        _set_limit(_number(mark))
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def drop_mark() -> None:
    """Remove an inherited mark from this process, so that the process can outlive the attempt that started it."""
    if _IS_LINUX:
        _set_limit(None)


def has_children() -> bool:
    """Return whether a descendant of this process may still exist; call `adopt_mark` before."""
    if not _IS_LINUX:
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def is_marked(pid: int, mark: str) -> bool:
    """Return whether a process has this mark; Linux only."""
    number = b" %d " % _number(mark)
    if number in _read(f"/proc/{pid}/limits").partition(_LINE)[2]:
        return True
    return f"{MARK_VARIABLE}={mark}".encode() in _read(f"/proc/{pid}/environ").split(b"\0")


def marked_pids(mark: str) -> Iterator[int]:
    """Yield the pids of the processes with this mark; Linux only."""
    for name in os.listdir("/proc"):  # noqa: PTH208  # `listdir` is much faster than psutil or pathlib
        if name.isdigit() and is_marked(int(name), mark):
            yield int(name)


def _number(mark: str) -> int:
    return _BASE + int(mark, 16)


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # the process has ended, or belongs to another user
        return b""
    try:
        parts = []
        while part := os.read(fd, 1 << 17):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _set_limit(soft: int | None) -> None:
    import resource

    # Errors are ignored, because an administrator may have set a lower hard limit.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        limit = getattr(resource, MARK_LIMIT)
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (hard if soft is None else soft, hard))
