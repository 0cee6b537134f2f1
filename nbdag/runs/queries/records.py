"""The records that a query returns: a run and its tasks, as they were at the time of the query.

A `Run` is never updated: call `find_run` again for the current state, or `follow` for every change. `nbdag run --json`
prints `Run.to_dict()`; the keys are stable, and parameters that look like secrets are masked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...core.model import text
from ...core.model.dag import Dag
from ...core.model.job import Note, StoredOutput
from ...core.model.metrics import Metric, json_number
from ...core.model.secret_names import masked
from ...core.model.states import RunState, TaskState
from ...errors import NbdagError, error
from ...home import Home
from .pinned import pinned_dag


@error
class TaskNotInRunError(NbdagError):
    """The run has no task of this name."""

    dag: str
    run: str
    task: str
    tasks: tuple[str, ...]

    def __str__(self) -> str:
        if not self.tasks:
            status = f"nbdag status {text.run_selector(self.run, self.dag)}"
            return f"run {self.run} has no tasks yet, because they are not built; `{status}` shows the reason"
        return f"run {self.run} has no task {self.task!r}; its tasks are {', '.join(self.tasks)}"


@error
class AmbiguousInstanceError(NbdagError):
    """A mapped task was named where one of its instances is needed."""

    task: str
    indexes: tuple[int, ...]
    template = "{task} is mapped and has {count} instances; name one of them, such as '{first}'"

    @property
    def count(self) -> int:
        return len(self.indexes)

    @property
    def first(self) -> str:
        return text.task_label(self.task, self.indexes[0])


@error
class UnknownInstanceError(NbdagError):
    """The task has no instance with this index."""

    task: str
    index: int
    indexes: tuple[int, ...]  # indexes of the task's instances; (-1,) if the task is not mapped or not expanded yet
    template = "{task} has no instance {index}; {known}"

    @property
    def known(self) -> str:
        if self.indexes == (-1,):
            return f"this run has a single {self.task}, so omit the index"
        if len(self.indexes) == 1:
            return "the only instance is 0"
        return f"the instances are {self.indexes[0]} to {self.indexes[-1]}"


@error
class FailedWriterError(NbdagError):
    """The task that sets a value did not succeed, so the run stored no value."""

    dag: str
    run: str
    name: str
    task: str
    state: TaskState
    template = "run {run} has no {name!r}: task {task}, which sets it, is {state.value}; `{why}` shows the reason"

    @property
    def why(self) -> str:
        return f"nbdag why {text.run_selector(self.run, self.dag)} {self.task}"


@error
class ValueNotStoredError(NbdagError):
    """The run did not store this value."""

    run: str
    name: str
    writers: tuple[str, ...]  # tasks that set the name
    stored: tuple[str, ...]  # names that the run stored

    def __str__(self) -> str:
        if self.writers:
            return (
                f"run {self.run} did not store {self.name!r}, because no later task reads it; add `--out {self.name}` "
                f"to `%%task {self.writers[-1]}` and run again"
            )
        return f"no task of run {self.run} sets {self.name!r}; stored names: {', '.join(self.stored) or 'none'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """A task of a run, or an instance of a mapped task: its state, and the result of its last attempt."""

    id: str
    map_index: int  # index of a mapped task's instance, from 0; -1 for any other task
    state: TaskState
    tries: int
    started: float | None  # start of the last attempt, in seconds since the epoch
    ended: float | None
    outputs: tuple[StoredOutput, ...] = ()
    metrics: tuple[Metric, ...] = ()  # the numbers among the outputs; those of --metric come first
    warnings: tuple[Note, ...] = ()
    notebook: Path | None = None  # path of the last attempt's notebook; None before the first attempt
    # Why the last attempt failed or was skipped: one sentence, or the last line of the traceback.
    error: str | None = None
    traceback: str | None = None  # the traceback of the last attempt, as plain text
    cached: str | None = None  # id of the run whose result the task reuses; None if the task was executed
    host: str | None = None  # name of the host that executed the last attempt; None if it is unknown
    by_hand: bool = False  # whether a user set this state with `mark`
    chosen: tuple[str, ...] | None = None  # tasks and groups that a branch task chose; None for any other task

    @property
    def duration(self) -> float | None:
        """Return the seconds that the last attempt took, or None if it has not ended."""
        return None if self.started is None or self.ended is None else self.ended - self.started

    def to_dict(self) -> dict[str, Any]:
        """Return the task as `run --json` prints it."""
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
            "metrics": {each.name: json_number(each.value) for each in self.metrics},
            "warnings": [_note(note) for note in self.warnings],
            "notebook": None if self.notebook is None else str(self.notebook),
            "error": self.error,
            "cached": self.cached,
            "host": self.host,
            "chosen": None if self.chosen is None else list(self.chosen),
        }


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Run:
    """A run of a DAG. `run["train"]` is one of its tasks; `run["train", 3]` or `run["train[3]"]` is an instance."""

    id: str
    dag: str
    state: RunState
    created: float  # creation of the run, in seconds since the epoch
    started: float | None
    ended: float | None
    notebook: Path  # the report: the user's notebook with the outputs of every task
    parameters: Mapping[str, Any] = field(default_factory=dict)  # values that the user set for this run
    tasks: tuple[TaskRun, ...] = ()  # the run's tasks, in notebook order
    warnings: tuple[Note, ...] = ()  # notes about the whole run
    error: str | None = None  # why the run failed, if no failed task explains it
    orphaned: str | None = None  # for an orphaned run: one sentence with the cause and the next step
    source: Path | None = None  # the notebook's file when the run was created
    digest: str = ""  # digest of the pinned notebook
    only: tuple[str, ...] | None = None  # the selected tasks of a partial run; None: all tasks
    home: Home = field(compare=False)  # the home in which the run's values are stored

    @property
    def duration(self) -> float | None:
        """Return the seconds from start to end, or None if the run has not ended."""
        return None if self.started is None or self.ended is None else self.ended - self.started

    @property
    def task_counts(self) -> Counter[str]:
        """Return the number of task instances by state.

        Instances that ended because this run was cancelled count as "cancelled".
        """
        return Counter(
            "cancelled" if self.has_cancelled(task.state, task.ended) else task.state.value for task in self.tasks
        )

    def has_cancelled(self, state: TaskState, ended: float | None) -> bool:
        """Return whether the cancellation of this run ended an attempt with this state and end time.

        A cancelled run ends before its active attempts fail.
        """
        if state is not TaskState.FAILED or self.state is not RunState.CANCELLED:
            return False
        return ended is None or self.ended is None or ended >= self.ended

    def __getitem__(self, which: str | tuple[str, int]) -> TaskRun:
        task, index = which if isinstance(which, tuple) else (which, None)
        if index is None and (part := re.fullmatch(r"(.+)\[(\d+)\]", task)):
            task, index = part[1], int(part[2])
        instances = [each for each in self.tasks if each.id == task]
        if not instances:
            raise TaskNotInRunError(self.dag, self.id, task, tuple(dict.fromkeys(each.id for each in self.tasks)))
        found = [each for each in instances if index in (None, each.map_index)]
        indexes = tuple(each.map_index for each in instances)
        if index is not None and not found:
            raise UnknownInstanceError(task, index, indexes)
        if len(found) > 1:
            raise AmbiguousInstanceError(task, indexes)
        return found[0]

    def __iter__(self) -> Iterator[TaskRun]:
        return iter(self.tasks)

    def __repr__(self) -> str:
        """Return a readable summary in one line."""
        tasks = ", ".join(f"{n} {state}" for state, n in self.task_counts.items())
        return f"<Run {self.id} of {self.dag}: {self.state.value} ({tasks})>"

    def value(self, name: str) -> Any:
        """Return the stored value of `name` from the last task that sets it.

        If that task is mapped, return a list of values.
        """
        from .loading import ValueLoader  # imported here because it is slow to import and most callers read no value

        found: dict[str, list[StoredOutput]] = {}
        for task in self.tasks:
            if task.state is TaskState.SUCCESS:
                found.setdefault(task.id, []).extend(output for output in task.outputs if output.name == name)
        writers = [task for task, outputs in found.items() if outputs]
        if not writers:
            raise self._missing_value(name)
        last = writers[-1]
        value = ValueLoader(self.home, self.id, last)
        loaded = [value(output.digest, name) for output in found[last]]
        return loaded if any(task.id == last and task.map_index >= 0 for task in self.tasks) else loaded[0]

    def pinned_dag(self) -> Dag | None:
        """Return the DAG of the notebook version that the run uses, or None if its file is missing."""
        try:
            return pinned_dag(self.home, self.digest, str(self.source or self.id))
        except NbdagError:
            return None

    def _missing_value(self, name: str) -> NbdagError:
        stored = {output.name for task in self.tasks for output in task.outputs}
        notebook = pinned_dag(self.home, self.digest, str(self.source or self.id))
        writers = tuple(task.id for task in notebook.tasks.values() if name in task.writes)
        for task in reversed(self.tasks):
            if task.id in writers and task.state is not TaskState.SUCCESS:
                return FailedWriterError(self.dag, self.id, name, task.id, task.state)
        return ValueNotStoredError(self.id, name, writers, tuple(sorted(stored)))

    def to_dict(self) -> dict[str, Any]:
        """Return the run as `run --json` prints it."""
        return {
            "run_id": self.id,
            "dag": self.dag,
            "state": self.state.value,
            "started": _iso(self.started),
            "ended": _iso(self.ended),
            "duration": self.duration,
            "notebook": str(self.notebook),
            "parameters": masked(self.parameters),
            "tasks": [task.to_dict() for task in self.tasks],
            "warnings": [_note(note) for note in self.warnings],
            "error": self.error,
            "orphaned": self.orphaned,
        }


def _note(note: Note) -> dict[str, str]:
    return {"code": note.code, "name": note.name, "message": note.message}


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()
