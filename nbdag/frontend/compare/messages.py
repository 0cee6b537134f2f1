"""Messages about two versions of a notebook, and about two runs of a pipeline.

As in `frontend.messages`, cells count from 0.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from ..messages import RunSummary, TaskStatus


class LineDifference(TypedDict):
    """A line of a cell."""

    sign: Literal[" ", "-", "+"]  # kept, removed or added
    text: str


class CellDifference(TypedDict):
    """A cell of two notebooks, and what changed. Indexes count from 0 and skip the cells that %%dag built."""

    kind: Literal["same", "moved", "changed", "added", "removed"]
    type: str  # code, markdown or raw
    before: int | None  # index in the old notebook
    after: int | None  # index in the new notebook
    lines: list[LineDifference]


class TaskDifference(TypedDict):
    """A task that differs between two versions of a notebook."""

    task: str
    kind: Literal["added", "removed", "changed"]
    changed: list[str]  # what changed: code, options, upstream


class NotebookDifference(TypedDict):
    """The difference between two notebooks."""

    same: bool  # whether all cells are equal
    cells: list[CellDifference]  # all cells of both notebooks, in the order of the new one
    tasks: list[TaskDifference]


class StoredValue(TypedDict):
    """A stored output of a task; for a mapped task, the outputs of all instances together."""

    type: str
    bytes: int
    summary: str


class ComparedValue(TypedDict):
    """An output of a task in two runs."""

    name: str
    run: StoredValue | None  # None: this run did not store the value
    other: StoredValue | None
    same: bool  # whether both runs stored the same bytes


class ComparedTask(TypedDict):
    """A task in two runs."""

    task: str
    run: TaskStatus | None  # None: the task has not run, or this run does not have it
    other: TaskStatus | None
    values: list[ComparedValue]


class ParameterDifference(TypedDict):
    """A parameter that at least one of two runs sets; secrets are masked."""

    name: str
    run: Any
    other: Any
    set: bool  # whether the run sets the parameter, rather than using its default
    other_set: bool
    same: bool


class RunComparison(TypedDict):
    """Two runs of one pipeline."""

    run: RunSummary
    other: RunSummary
    parameters: list[ParameterDifference]
    notebook: NotebookDifference  # changes from the notebook of the other run to the notebook of this run
    tasks: list[ComparedTask]
