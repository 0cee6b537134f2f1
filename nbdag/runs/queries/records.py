"""What a person is told of a run: plain values, read from the store once.

A `Run` does not change by itself; ask `find_run` again for news, or `follow` it. `Run.to_dict()` is what
`nbdag run --json` prints, and stays stable.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...core.model.job import Note, StoredOutput
from ...core.model.states import RunState, TaskState
from ...core.model.text import run_selector, task_label
from ...errors import NbdagError
from ...home import Home


class NoSuchTaskError(NbdagError):
    """A run has no such task."""

    def __init__(self, dag: str, run: str, task: str, tasks: tuple[str, ...]) -> None:
        super().__init__(dag, run, task)
        self.dag = dag
        self.run = run
        self.task = task
        self.tasks = tasks

    def __str__(self) -> str:
        if not self.tasks:
            status = f"nbdag status {run_selector(self.run, self.dag)}"
            return f"run {self.run} has no task: they are not built, as `{status}` says"
        return f"run {self.run} has no task {self.task!r}; it has {', '.join(self.tasks)}"


class ManyInstancesError(NbdagError):
    """A mapped task, where one of its instances is needed."""

    def __init__(self, task: str, indexes: tuple[int, ...]) -> None:
        super().__init__(task)
        self.task = task
        self.indexes = indexes

    def __str__(self) -> str:
        return (
            f"{self.task} is mapped and has {len(self.indexes)} instances: say which, such as "
            f"'{task_label(self.task, self.indexes[0])}'"
        )


class NoSuchInstanceError(NbdagError):
    """An instance of a task that the task has not."""

    def __init__(self, task: str, index: int, indexes: tuple[int, ...]) -> None:
        super().__init__(task, index, indexes)
        self.task = task
        self.index = index
        self.indexes = indexes  # -1 alone: it is not mapped, or has not been yet

    def __str__(self) -> str:
        if self.indexes == (-1,):
            return f"{self.task} has no instance {self.index}: there is one {self.task} in this run, so leave out which"
        instances = f"instances {self.indexes[0]} to {self.indexes[-1]}" if self.indexes[1:] else "instance 0 alone"
        return f"{self.task} has no instance {self.index}: it has {instances}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """One task of a run, or one instance of a mapped task: where it stands and what its last try left."""

    id: str
    map_index: int  # from 0 for an instance of a mapped task, else -1
    state: TaskState
    tries: int
    started: float | None  # of the last try, seconds since the epoch
    ended: float | None
    outputs: tuple[StoredOutput, ...] = ()
    warnings: tuple[Note, ...] = ()
    notebook: Path | None = None  # of the last try; None before the first
    error: str | None = None  # one sentence, or the exception's last line
    traceback: str | None = None  # plain text
    cached: str | None = None  # the id of the run whose outcome stands for its own; None: it was made
    by_hand: bool = False  # somebody marked it so, whatever its last try left

    @property
    def duration(self) -> float | None:
        """Seconds that the last try took; None while it has not ended."""
        return None if self.started is None or self.ended is None else self.ended - self.started

    def to_dict(self) -> dict[str, Any]:
        """As `run --json` prints it."""
        return {
            "id": self.id,
            "map_index": self.map_index,
            "state": self.state.value,
            "tries": self.tries,
            "started": _iso(self.started),
            "ended": _iso(self.ended),
            "duration": self.duration,
            "outputs": [
                {"name": output.name, "type": output.type, "bytes": output.bytes, "summary": output.summary}
                for output in self.outputs
            ],
            "warnings": [_note(note) for note in self.warnings],
            "notebook": None if self.notebook is None else str(self.notebook),
            "error": self.error,
            "cached": self.cached,
        }


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Run:
    """One run of a DAG. `run["train"]` is a task of it, `run["train", 3]` or `run["train[3]"]` one of its instances."""

    id: str
    dag: str
    state: RunState
    created: float  # seconds since the epoch
    started: float | None
    ended: float | None
    notebook: Path  # the report: the user's notebook with every task's outputs
    parameters: Mapping[str, Any] = field(default_factory=dict)  # overrides that it was given
    tasks: tuple[TaskRun, ...] = ()  # in notebook order
    warnings: tuple[Note, ...] = ()  # of the run as a whole
    error: str | None = None  # why it failed, where no task says so
    source: Path | None = None  # the notebook's file when the run was created
    only: tuple[str, ...] | None = None  # the tasks of a partial run
    home: Home = field(compare=False)  # where its values are

    @property
    def duration(self) -> float | None:
        """Seconds from its start to its end; None while it has not ended."""
        return None if self.started is None or self.ended is None else self.ended - self.started

    def __getitem__(self, which: str | tuple[str, int]) -> TaskRun:
        task, index = which if isinstance(which, tuple) else (which, None)
        if index is None and (part := re.fullmatch(r"(.+)\[(\d+)\]", task)):
            task, index = part[1], int(part[2])
        mine = [each for each in self.tasks if each.id == task]
        if not mine:
            raise NoSuchTaskError(self.dag, self.id, task, tuple(dict.fromkeys(each.id for each in self.tasks)))
        found = [each for each in mine if index in (None, each.map_index)]
        indexes = tuple(each.map_index for each in mine)
        if index is not None and not found:
            raise NoSuchInstanceError(task, index, indexes)
        if len(found) > 1:
            raise ManyInstancesError(task, indexes)
        return found[0]

    def __iter__(self) -> Iterator[TaskRun]:
        return iter(self.tasks)

    def __repr__(self) -> str:
        """One line for people: a cell that ends with a run shows this."""
        tasks = ", ".join(f"{n} {state}" for state, n in Counter(task.state.value for task in self.tasks).items())
        return f"<Run {self.id} of {self.dag}: {self.state.value} ({tasks})>"

    def value(self, name: str) -> Any:
        """The value of `name` as the last task that wrote it left it; of a mapped task the list of them."""
        from .values import value_of

        return value_of(self, name)

    def to_dict(self) -> dict[str, Any]:
        """As `run --json` prints it."""
        return {
            "run_id": self.id,
            "dag": self.dag,
            "state": self.state.value,
            "started": _iso(self.started),
            "ended": _iso(self.ended),
            "duration": self.duration,
            "notebook": str(self.notebook),
            "parameters": dict(self.parameters),
            "tasks": [task.to_dict() for task in self.tasks],
            "warnings": [_note(note) for note in self.warnings],
            "error": self.error,
        }


def _note(note: Note) -> dict[str, str]:
    return {"code": note.code, "name": note.name, "message": note.message}


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()
