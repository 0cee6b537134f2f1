"""Imports in a fork server: what can be had ahead, and what must be left to the tasks.

Left to the task, and noted, is an import that fails, that leaves a thread behind, that prints or warns (the cell that
imports should show it), or that ended the process. What an import did cannot be taken back: after one that went wrong
the process replaces itself by a fresh one, which reads the note and leaves that module out.
"""

from __future__ import annotations

import _thread
import contextlib
import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_ENDED = "its import ended the process"
_DOUBT = 600.0  # seconds after which that is tried again: somebody else may have ended it just then


def import_ahead(
    modules: Sequence[str], notes: Path, start_over: Callable[[], None]
) -> tuple[list[str], dict[str, str]]:
    """Import them; which were, and which were not, and why. `start_over` does not come back."""
    left: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        left = json.loads(notes.read_text())
        if notes.stat().st_mtime < time.time() - _DOUBT:
            left = {module: why for module, why in left.items() if why != _ENDED}
    for module in modules:
        if module in left:
            continue
        # Written before and not after: an import can end the process, and the next one then knows.
        notes.write_text(json.dumps({**left, module: _ENDED}))
        said = os.fstat(1).st_size
        why, spoilt = _import(module), False
        flush()
        if culprit := other_threads():
            why, spoilt = f"its import leaves a thread behind: {culprit}", True
        elif os.fstat(1).st_size > said and not why:
            why, spoilt = "its import prints or warns", True
        if why:
            left[module] = why
        if left:
            notes.write_text(json.dumps(left))
        else:
            notes.unlink(missing_ok=True)
        if spoilt:
            start_over()
    return [module for module in modules if module not in left], left


def other_threads() -> str:
    """The names of Python threads other than this one, if there are any."""
    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if not names and _thread._count() > 0:
        names = ["one that threading does not know of"]
    return ", ".join(names)


def flush() -> None:
    """Nothing may wait in a buffer when the process forks: it would be written twice."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def _import(module: str) -> str:
    """Import it; why not, or nothing. `a:b` is what `from a import b` imports."""
    name, _, member = module.partition(":")
    try:
        found = importlib.import_module(name)
        if member and hasattr(found, "__path__") and not hasattr(found, member):
            importlib.import_module(f"{name}.{member}")
    except BaseException as error:  # an import may even exit
        return f"its import fails: {type(error).__name__}: {error}"[:300]
    return ""
