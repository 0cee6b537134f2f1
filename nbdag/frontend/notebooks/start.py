"""Start a run of a notebook's file in a new process, and wait until the run exists.

The process continues after the server has ended, just as a run started from the widget continues after the kernel has
ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from ... import notebooks, runs
from ...core.model.states import RunState
from ...errors import NbdagError, error
from ...home import Home
from ..actions import KERNEL_VARIABLES, RUN_OPTIONS, parameter_arguments, run_arguments
from ..messages import RunAction, RunSummary
from ..outputs import plain_text
from ..status import run_summary
from .messages import StartedRun

_POLL = 0.1  # seconds between two polls of the store
_LONGEST = 120.0  # seconds that a run has to begin, before an error is reported


@error
class RunNotStartedError(NbdagError):
    """The process of a run ended, or took too long, before the run began."""

    reason: str
    template = "the run did not start: {reason}"


def start_run(notebook: Path, action: RunAction, task: str, parameters: Mapping[str, Any], *, home: Home) -> StartedRun:
    """Start a run of the action's tasks with these parameters, and return the run's id.

    Raise `RunNotStartedError`, or `NotebookProblemsError` if the notebook has errors.
    """
    dag = notebooks.read(notebook)
    if dag.errors:
        raise runs.NotebookProblemsError(notebook, dag.errors)
    if "\0" in task:  # an argument of a process cannot contain a zero byte
        raise RunNotStartedError(f"unknown task {task!r}")
    before = _run_ids(dag.id, home)
    arguments = run_arguments(notebook, RUN_OPTIONS[action], task)
    with tempfile.TemporaryFile() as output, parameter_arguments(parameters) as more:
        process = _start([*arguments, *more], home, output)
        deadline = time.monotonic() + _LONGEST
        while True:
            ended = process.poll() is not None
            found = _run_ids(dag.id, home) - before
            if found:
                return {"dag": dag.id, "run": max(found)}
            if ended:
                raise RunNotStartedError(_last_line(output) or f"exit code {process.returncode}")
            if time.monotonic() > deadline:
                raise RunNotStartedError(f"it has not begun for {_LONGEST:.0f} s")
            time.sleep(_POLL)


def resume_run(dag: str, run: str, *, home: Home) -> RunSummary:
    """Execute the unsuccessful tasks of a run again, by a scheduler if one is alive, and otherwise by a new process.

    Raise `RunNotStartedError`, or an error of `runs.requeue`.
    """
    found, owner = runs.requeue(run, dag=dag, home=home)
    if owner:
        return run_summary(found)
    with tempfile.TemporaryFile() as output:
        process = _start(["resume", found.id, "--dag", found.dag], home, output)
        deadline = time.monotonic() + _LONGEST
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            now = runs.find_run(found.id, found.dag, details=False, home=home)
            if now.state is not RunState.QUEUED:
                return run_summary(now)
            if ended:
                raise RunNotStartedError(_last_line(output) or f"exit code {process.returncode}")
            time.sleep(_POLL)
        raise RunNotStartedError(f"it has not begun for {_LONGEST:.0f} s")


def _start(arguments: list[str], home: Home, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a command of nbdag that continues after this process has ended."""
    environment = {name: value for name, value in os.environ.items() if name not in KERNEL_VARIABLES}
    environment |= {"NBDAG_HOME": str(home.root), "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "nbdag", *arguments],
        env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
    )  # fmt: skip
    # The thread waits for the exit code, so that the ended process does not remain as a zombie.
    threading.Thread(target=process.wait, name="nbdag-run", daemon=True).start()
    return process


def _run_ids(dag: str, home: Home) -> set[str]:
    return {run.id for run in runs.list_runs(dag, limit=5, home=home)} if home.exists else set()


def _last_line(output: IO[bytes]) -> str:
    output.seek(0)
    lines = [line.strip() for line in output.read().decode(errors="replace").splitlines() if line.strip()]
    return plain_text(lines[-1]).removeprefix("nbdag: ") if lines else ""
