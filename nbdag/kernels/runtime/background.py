"""Find what runs in the background: threads, coroutines and processes that the user's code has started.

A task's kernel ends with the task, and stops everything that still runs in it. Threads and processes that libraries
start for themselves, such as the idle workers of a pool, are ignored. A thread is reported if it executes, or will
execute, the user's code. A process is reported if the user's code has started a program.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...values.libraries import is_library

_MAX_COMMAND = 40  # maximum number of characters of a command that a message shows
# Packages that start programs on behalf of their caller.
_STARTERS = frozenset(["subprocess", "os", "pty", "pexpect", "ptyprocess", "asyncio", "IPython", "multiprocessing"])
_HELPERS = ("multiprocessing", "loky", "joblib", "resource_tracker")  # words in the commands of a pool's processes
# Names of processes that code starts by multiprocessing.Process; a pool gives its processes other names.
_OWN_PROCESSES = frozenset(["Process", "ForkProcess", "SpawnProcess", "ForkServerProcess"])

_programs_of_user = False  # whether the user's code has started a program in this process


def running() -> dict[str, object]:
    """Return the running threads, coroutines and processes of the user's code, by their names for messages."""
    return {**dict(_threads()), **dict(_coroutines()), **dict(_processes())}


def note_program(frame: types.FrameType | None) -> None:
    """If the user's code starts a program through this frame, record that."""
    global _programs_of_user
    by_shell = False
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _STARTERS and not package.startswith("_"):
            break
        if frame.f_globals.get("__name__") == "__main__":
            break
        by_shell = by_shell or package == "IPython"
        frame = frame.f_back
    if by_shell or (frame is not None and _is_of_user(frame.f_globals)):
        _programs_of_user = True


def _is_of_user(names: dict[str, Any]) -> bool:
    """Return whether these are the globals of the notebook or of a module of the user."""
    if names.get("__name__") == "__main__":
        return True
    path = names.get("__file__")
    return isinstance(path, str) and not is_library(path)


def _threads() -> Iterator[tuple[str, object]]:
    # `threading.enumerate` includes the main thread, which executes this.
    others = [each for each in threading.enumerate() if each is not threading.current_thread()]
    frames = sys._current_frames() if others else {}
    for thread in others:
        if isinstance(thread, threading.Timer):
            if not thread.finished.is_set() and _is_of_user(getattr(thread.function, "__globals__", {})):
                yield f"timer {getattr(thread.function, '__name__', thread.name)}", thread.ident
            continue
        target: Any = getattr(thread, "_target", None)  # a thread deletes this attribute when it ends
        if _is_of_user(getattr(target, "__globals__", {})):
            yield f"thread {target.__name__}", thread.ident
            continue
        frame = frames.get(thread.ident or 0)
        while frame is not None and not _is_of_user(frame.f_globals):
            frame = frame.f_back
        if frame is not None:
            yield f"thread {frame.f_code.co_name}", thread.ident


def _coroutines() -> Iterator[tuple[str, object]]:
    if asyncio._get_running_loop() is None:
        return
    for task in asyncio.all_tasks():
        frame = getattr(task.get_coro(), "cr_frame", None)
        if frame is not None and _is_of_user(frame.f_globals):
            yield f"coroutine {frame.f_code.co_name}", id(task)


def _processes() -> Iterator[tuple[str, object]]:
    children = getattr(sys.modules.get("multiprocessing.process"), "_children", ())
    # Processes of executors have the same default names. They are ignored, because a thread of the user's code waits
    # for them while they work.
    of_executors = bool(getattr(sys.modules.get("concurrent.futures.process"), "_threads_wakeups", None))
    for process in list(children):
        if not of_executors and process.name.partition("-")[0] in _OWN_PROCESSES and process.is_alive():
            yield f"process {process.name}", process.pid
    if not _programs_of_user:
        return
    for pid in _children():
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            command = os.fsdecode(b" ".join(words))
            forked = words == Path("/proc/self/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            # The command is empty if the process has ended, or for a moment after its start.
            has_ended = not command and b") Z " in Path(f"/proc/{pid}/stat").read_bytes()
            if not forked and not has_ended and not any(word in command for word in _HELPERS):
                yield f"process {command[:_MAX_COMMAND] or pid}", pid


def _children() -> Iterator[int]:
    """Yield the pids of this process's children. On Linux, these include orphaned descendants."""
    with suppress(OSError):
        for thread in os.listdir("/proc/self/task"):  # noqa: PTH208 (faster than pathlib)
            yield from map(int, Path(f"/proc/self/task/{thread}/children").read_text().split())
