"""Run whole notebooks for tests, each in a home of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import runs
from ..core.model.states import RunState, TaskState
from ..home import Home


class RunFailedError(AssertionError):
    """A run of a notebook has failed."""


def run_notebook(path: Path, *, home: Path, check: bool, **options: Any) -> runs.Run:
    """Run a notebook; with `check`, raise `RunFailedError` if the run does not succeed."""
    __tracebackhide__ = True
    done = runs.run(path, home=Home(home), **options)
    if check and done.state is not RunState.SUCCESS:
        raise RunFailedError(failure_text(done, path))
    return done


def failure_text(run: runs.Run, path: Path) -> str:
    """Return one line for each failed task, and the tracebacks."""
    failed = [each for each in run.tasks if each.state is TaskState.FAILED]
    lines = [f"{path.name}: the run has {run.state.value}"]
    lines += [f"  task {each.id}: {each.error}" for each in failed]
    lines += [each.traceback for each in failed if each.traceback]
    if run.error:
        lines.append(run.error)
    return "\n".join(lines)
