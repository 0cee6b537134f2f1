"""The mark of an attempt, by which every process that the attempt has started is found.

The mark is visible from outside in two places, which both survive the death of every parent: in the environment that a
program was started with, and, on Linux, in a resource limit that `fork` and `exec` inherit, and that `setsid`, a double
fork and `env -i` keep. What another service starts on a task's request (`systemd-run`, `docker run`, `at`, `ssh`) has
no mark, and what runs under another user cannot be killed. On a system without that limit, a process that has left the
kernel's session with an empty environment is not found either.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import sys
from collections.abc import Iterator

from .identity import MARK_VARIABLE

# This limit concerns processes under a real-time scheduling policy only. It is in microseconds, so these values are
# thousands of years.
MARK_LIMIT = "RLIMIT_RTTIME"
_LINE = b"Max realtime timeout"  # of the same limit, in /proc/PID/limits
_BASE = 1 << 61
_DIGITS = 15  # of a mark, hexadecimal: 60 bits
_IS_LINUX = sys.platform == "linux"
_PR_SET_CHILD_SUBREAPER = 36


def new_attempt_mark() -> str:
    """Return a new mark, unique to one attempt."""
    return secrets.token_hex(8)[:_DIGITS]


def adopt_mark(mark: str) -> None:
    """Mark this process and whatever it starts from now on; adopt the descendants whose parents end."""
    if _IS_LINUX:
        _set_limit(_number(mark))
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def drop_mark() -> None:
    """Remove an inherited mark from this process, which is to outlive the attempt that started it."""
    if _IS_LINUX:
        _set_limit(None)


def has_children() -> bool:
    """Return whether a process below this one may still exist, after `adopt_mark`."""
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
    for name in os.listdir("/proc"):  # noqa: PTH208  # many times as fast as psutil or pathlib
        if name.isdigit() and is_marked(int(name), mark):
            yield int(name)


def _number(mark: str) -> int:
    return _BASE + int(mark, 16)


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # it has ended, or belongs to another user
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

    with contextlib.suppress(OSError, ValueError, AttributeError):  # an administrator may have set a lower hard limit
        limit = getattr(resource, MARK_LIMIT)
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (hard if soft is None else soft, hard))
