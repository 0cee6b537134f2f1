"""Create, follow, find, load, cancel: what every surface calls.

A surface parses what a person said, calls one function here, and shows the answer. Every way of running a notebook
goes through here into the store, and one scheduler drives what stands there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.states import RunState
from ..home import Home
from .records import Event, Run, TaskRun

__all__ = [
    "Event",
    "Planned",
    "Run",
    "TaskRun",
    "cancel",
    "find_run",
    "follow",
    "list_runs",
    "load",
    "logs",
    "plan_of",
    "run",
]


def run(
    notebook: str | Path,
    *,
    parameters: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    only: Sequence[str] = (),
    upto: Sequence[str] = (),
    from_: Sequence[str] = (),
    values_from: str | None = None,
    output: str | Path | None = None,
    kernels: str = "warm",
    cwd: str | Path | None = None,
    fail_fast: bool | None = None,
    on_event: Callable[[Event], None] | None = None,
    home: Home | None = None,
) -> Run:
    """Run a notebook in the foreground and wait for it. KeyboardInterrupt is raised after all has been stopped and recorded."""
    raise NotImplementedError


class Planned:
    """A line of a dry run: task: str, runs: bool, reason: str (one sentence), after: tuple[str, ...]."""


def plan_of(
    notebook: str | Path,
    *,
    only: Sequence[str] = (),
    upto: Sequence[str] = (),
    from_: Sequence[str] = (),
    values_from: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    home: Home | None = None,
) -> list[Planned]:
    """What `run` would do, and why, in run order. Writes nothing."""
    raise NotImplementedError


def list_runs(
    dag: str | None = None, state: RunState | str | None = None, limit: int = 20, *, home: Home | None = None
) -> list[Run]:
    """The latest runs, the newest first."""
    raise NotImplementedError


def find_run(run: str = "latest", dag: str | None = None, *, home: Home | None = None) -> Run:
    """A run by its id, by an unambiguous beginning of it, or the latest one."""
    raise NotImplementedError


def follow(run: Run | str, *, home: Home | None = None, poll: float = 0.1) -> Iterator[Event]:
    """What happens to a run that another process drives, until it ends; first, as events, where it stands."""
    raise NotImplementedError


def logs(
    run: Run | str, task: str, try_number: int | None = None, map_index: int = -1, *, home: Home | None = None
) -> Path:
    """The text log of an attempt (the last one)."""
    raise NotImplementedError


def load(
    dag: str, *, run: str = "latest", task: str, map_index: int = -1, home: Home | None = None
) -> dict[str, object]:
    """A task's inputs and outputs, by name."""
    raise NotImplementedError


def cancel(run: Run | str, *, home: Home | None = None) -> Run:
    """Ask whoever drives the run to stop it."""
    raise NotImplementedError
