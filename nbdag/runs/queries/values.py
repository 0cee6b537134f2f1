"""The values of a run, in this process: what a task was given, and what it left."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ... import store as stores
from ...core.model.job import StoredInput, StoredOutput
from ...core.model.states import TaskState
from ...core.model.text import run_selector
from ...core.planning.assemble import inputs
from ...errors import NbdagError
from ...home import Home, the_home
from ...scheduler import task_outputs
from ...values import ValueStore
from .pinned import pinned
from .records import Run, TaskRun
from .runs import find_run, the_row


class FailedWriterError(NbdagError):
    """A value of a task that did not succeed: nothing of it is kept."""

    def __init__(self, dag: str, run: str, name: str, task: str, state: TaskState) -> None:
        super().__init__(dag, run, name, task, state)
        self.dag = dag
        self.run = run
        self.name = name
        self.task = task
        self.state = state

    def __str__(self) -> str:
        return (
            f"run {self.run} has no {self.name!r}, since task {self.task}, which sets it, is {self.state.value} there: "
            f"`nbdag why {run_selector(self.run, self.dag)} {self.task}` says why"
        )


class NotStoredError(NbdagError):
    """A value that the run did not keep."""

    def __init__(self, run: str, name: str, writers: Iterable[str], stored: Iterable[str]) -> None:
        super().__init__(run, name)
        self.run = run
        self.name = name
        self.writers = tuple(writers)
        self.stored = tuple(sorted(set(stored)))

    def __str__(self) -> str:
        if self.writers:
            return (
                f"run {self.run} did not store {self.name!r}, since no later task reads it: add `--out {self.name}` to "
                f"`%%task {self.writers[-1]}` and run again"
            )
        return f"no task of run {self.run} sets {self.name!r}; it stored {', '.join(self.stored) or 'nothing'}"


def value_of(run: Run, name: str) -> Any:
    """The value of a name as the last task that stored it left it; of a mapped task, the list of what each left."""
    found: dict[str, list[StoredOutput]] = {}
    for task in run.tasks:
        if task.state is TaskState.SUCCESS:
            found.setdefault(task.id, []).extend(output for output in task.outputs if output.name == name)
    writers = [task for task, outputs in found.items() if outputs]
    if not writers:
        raise _not_stored(run, name)
    last = writers[-1]
    values = ValueStore(str(run.home.values))
    loaded = [values.load(output.digest)[name] for output in found[last]]
    return loaded if any(task.id == last and task.map_index >= 0 for task in run.tasks) else loaded[0]


def load(
    dag: str, *, run: str = "latest", task: str, map_index: int = -1, home: Home | None = None
) -> dict[str, object]:
    """What a task was given and what it left, by name; where it changed what it was given, what it left."""
    here = the_home(home)
    found = find_run(run, dag, home=here)
    one = found[task] if map_index < 0 else found[task, map_index]
    store = stores.open(here)
    try:
        row = the_row(store, here, found.id, dag)
        borrowed = store.borrowed([row.id])[row.id]
        attempts = store.attempts([row.id, *borrowed.values()])
        left = task_outputs(attempts[row.id])
        for other, number in borrowed.items():
            left[other] = task_outputs(attempts[number]).get(other, {})
        notebook = pinned(here, row)
        given = inputs(notebook, notebook.tasks[task], lambda source: list(left.get(source, {}).values()))
    finally:
        store.close()
    return _loaded(ValueStore(str(here.values)), given, one)


def _loaded(values: ValueStore, given: Iterable[StoredInput], task: TaskRun) -> dict[str, object]:
    # Names that were stored together are the same objects together, so each digest is read once.
    read: dict[str, dict[str, Any]] = {}

    def value(digest: str, name: str) -> object:
        if digest not in read:
            read[digest] = values.load(digest)
        return read[digest][name]

    found: dict[str, object] = {}
    for each in given:
        parts = [value(digest, each.name) for digest in each.digests]
        found[each.name] = parts if each.is_list else parts[0]
    for output in task.outputs:
        found[output.name] = value(output.digest, output.name)
    return found


def _not_stored(run: Run, name: str) -> NbdagError:
    stored = (output.name for task in run.tasks for output in task.outputs)
    store = stores.open(run.home)
    try:
        notebook = pinned(run.home, the_row(store, run.home, run.id, run.dag))
    finally:
        store.close()
    writers = [task.id for task in notebook.tasks.values() if name in task.writes]
    for task in reversed(run.tasks):
        if task.id in writers and task.state is not TaskState.SUCCESS:
            return FailedWriterError(run.dag, run.id, name, task.id, task.state)
    return NotStoredError(run.id, name, writers, stored)
