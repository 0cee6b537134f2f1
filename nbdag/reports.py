"""The report of a run: the user's notebook, with what each task put out in the task's own cell.

The source is the notebook that the run was created with, cell for cell; outputs, execution counts and timings come
from the attempts' notebooks. It is written as tasks finish, in one step, so a reader may open it at any moment.
Scratch cells did not run and have no outputs; setup and parameters cells show those of the first task that ran.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .core.dag import Dag
from .core.states import TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the report shows of one task, or of one instance of a mapped task."""

    task: str
    state: TaskState
    map_index: int = -1
    try_number: int = 0  # from 1; 0 before the first try
    notebook: str | None = None  # path of the last attempt's notebook, which may not exist (yet)
    started: float | None = None  # seconds since the epoch
    ended: float | None = None
    error: str | None = None  # one sentence
    traceback: str | None = None


def write(
    source: str,
    dag: Dag,
    shown: Sequence[Shown],
    path: str | Path,
    *,
    parameters: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
    displays: Mapping[int, Mapping[str, Any]] | None = None,
) -> None:
    """Write the report.

    `source` is the notebook's JSON. `parameters` are the run's overrides: they are shown in a cell after the parameters
    cell, as papermill does. `about` goes into the notebook's metadata under `nbdag` (run id, state, times).
    `displays` gives cells that did not run an output (nbformat's dict), by cell index: the graph of a bare `%dag`.
    """
    raise NotImplementedError
