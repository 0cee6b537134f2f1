"""Rehearse a notebook's file. This needs a separate process, because a rehearsal changes environment variables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import NbdagError, error
from ...home import Home
from ..actions import KERNEL_VARIABLES
from ..outputs import plain_text
from .messages import CellProblem, NotebookRehearsal

_AT_ONCE = 2  # maximum number of rehearsals at once; each keeps a thread of the server until it ends
_places = threading.BoundedSemaphore(_AT_ONCE)
_running: set[subprocess.Popen[bytes]] = set()


@error
class RehearsalBusyError(NbdagError):
    """Too many rehearsals run at the same time."""

    template = f"{_AT_ONCE} notebooks are being rehearsed; wait until one of them has ended"


@error
class RehearsalFailedError(NbdagError):
    """A rehearsal ended without a result."""

    reason: str
    template = "the rehearsal did not end: {reason}"


def rehearse(notebook: Path, *, home: Home) -> NotebookRehearsal:
    """Run a notebook twice, and return the findings.

    Raise `RehearsalFailedError` if the command fails, or `RehearsalBusyError` if too many rehearsals run.
    """
    if not _places.acquire(blocking=False):
        raise RehearsalBusyError
    try:
        return _rehearse(notebook, home)
    finally:
        _places.release()


def stop() -> None:
    """Terminate all rehearsals. The server calls this function before it ends."""
    for each in list(_running):
        each.terminate()


def _rehearse(notebook: Path, home: Home) -> NotebookRehearsal:
    environment = {name: value for name, value in os.environ.items() if name not in KERNEL_VARIABLES}
    environment |= {"NBDAG_HOME": str(home.root), "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "nbdag", "rehearse", "--json", "--", str(notebook)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    _running.add(process)
    try:
        output, errors = process.communicate()
    finally:
        _running.discard(process)
    try:
        found = json.loads(output)
    except ValueError:
        lines = plain_text(errors.decode(errors="replace")).strip().splitlines()
        reason = lines[-1].removeprefix("nbdag: ") if lines else f"exit code {process.returncode}"
        raise RehearsalFailedError(reason) from None
    return {"summary": found["summary"], "findings": [_problem(each) for each in found["findings"]]}


def _problem(finding: Mapping[str, Any]) -> CellProblem:
    return {
        "code": finding["kind"],
        "severity": "error" if finding["weight"] == "error" else "warning",
        "cell": finding["cell"],
        "line": finding["line"],
        "message": "; ".join([finding["message"], *finding["evidence"]]),
        "hint": finding["remedy"],
    }
