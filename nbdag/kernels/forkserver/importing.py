"""Import modules in a fork server, and record the modules that it must not preload.

A module is not preloaded if its import fails, starts a thread or ends the process. It is not preloaded either if its
import prints or warns, because the importing cell should show that output. Nor is it preloaded if it stores data that
differs between kernels and cannot be renewed (see `import_watch`). Tasks import such a module themselves. The effects
of an import cannot be undone. So the server records the module in a file and replaces its process by a new process,
which reads the file and skips the module.
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

from . import import_watch

_ENDED = "its import ended the process"
# Seconds after which an import that ended the process is tried again, because the end may have had another cause.
_RETRY_AFTER = 600.0


def import_ahead(
    modules: Sequence[str], notes: Path, start_over: Callable[[], None], changes: Callable[[], str] = lambda: ""
) -> tuple[list[str], dict[str, str]]:
    """Import modules; return the imported modules, and for each other module the reason why it was not imported.

    `start_over` replaces the process and does not return. `changes` describes how imports have changed the kernel's
    objects, or stored references to them; it returns "" if they did neither.
    """
    # Key: module. Value: why it is not preloaded, or "" if a watched import found no reason and nothing to renew.
    not_preloaded: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        not_preloaded = json.loads(notes.read_text())
        if notes.stat().st_mtime < time.time() - _RETRY_AFTER:
            not_preloaded = {module: reason for module, reason in not_preloaded.items() if reason != _ENDED}
    for module in modules:
        if not_preloaded.get(module):
            continue
        # The reason is written before the import, because the import may end the process. The next process then reads
        # the reason.
        notes.write_text(json.dumps({**not_preloaded, module: _ENDED}))
        output_size = os.fstat(1).st_size
        with import_watch.watching(module in not_preloaded) as watch:
            reason, must_start_over = _import(module), False
        kept = watch.kept() or changes()
        flush()
        if culprit := other_threads():
            reason, must_start_over = f"its import starts a thread: {culprit}", True
        elif os.fstat(1).st_size > output_size and not reason:
            reason, must_start_over = "its import prints or warns", True
        elif kept and not reason:
            reason, must_start_over = kept, True
        if reason or not watch.renewed:
            not_preloaded[module] = reason
        if not_preloaded:
            notes.write_text(json.dumps(not_preloaded))
        else:
            notes.unlink(missing_ok=True)
        if must_start_over:
            start_over()
    return [module for module in modules if not not_preloaded.get(module)], {
        module: reason for module, reason in not_preloaded.items() if reason
    }


def other_threads() -> str:
    """Return the names of all Python threads except the main thread, or "" if no other thread runs."""
    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if not names and _thread._count() > 0:
        names = ["a thread unknown to threading"]
    return ", ".join(names)


def flush() -> None:
    """Flush the standard streams, because a fork would duplicate the contents of their buffers."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def _import(module: str) -> str:
    """Import a module; return why the import failed, or "" if it succeeded. `a:b` means `from a import b`."""
    name, _, member = module.partition(":")
    try:
        found = importlib.import_module(name)
        if member and hasattr(found, "__path__") and not hasattr(found, member):
            importlib.import_module(f"{name}.{member}")
    except BaseException as error:  # BaseException, because an import may call sys.exit
        return f"its import fails: {type(error).__name__}: {error}"[:300]
    return ""
