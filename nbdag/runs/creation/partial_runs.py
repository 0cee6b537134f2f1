"""Find the values that a partial run borrows for the tasks that it does not execute.

The user can name the run that lends the values. By default, each value comes from the latest run in which its task
succeeded or was skipped. If a value is missing, an error is raised. A note warns if the task's code has changed since
that run, or if that run had other parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.model.dag import CellKind, Dag, Input, Pull, Task
from ...core.model.job import PUSHED, Note
from ...core.options.options import RESULT_OPTIONS
from ...core.planning.cache_key import normalized
from ...errors import NbdagError, error
from ...scheduler import task_outputs
from ...store.rows import RunRow

if TYPE_CHECKING:
    from ...store.store import Store


@error
class NoStoredValueError(NbdagError):
    """A partial run needs a value that no earlier run has stored."""

    reader: str
    name: str
    source: str  # the task that sets the value
    run: str | None  # the run that was searched; None if all runs were searched
    template = (
        "{reader} reads {name!r} of {source}, which {missing}; run {source} first, or include its upstream tasks with "
        "--upto {reader}"
    )

    @property
    def missing(self) -> str:
        return f"run {self.run} did not store" if self.run else "no run has stored yet"


@dataclass(frozen=True, slots=True)
class Borrowed:
    """The earlier runs whose values a partial run uses."""

    runs: Mapping[str, RunRow]  # key: task that is not executed; value: the run that lends the task's values
    notes: tuple[Note, ...]  # warnings about differences between these runs and the new run


def borrow(
    store: Store | None,
    dag: Dag,
    chosen: Mapping[str, str],
    parameters: Mapping[str, object],
    *,
    values_from: RunRow | None,
    read: Callable[[RunRow], Dag],
) -> Borrowed:
    """Find a run for every value that the chosen tasks read from unchosen tasks. In a new home, `store` is None."""
    lenders = _Lenders(store, dag.id, values_from)
    for task in chosen:
        for wanted in dag.tasks[task].inputs:
            _find(lenders, chosen, task, wanted)
        for pull in dag.tasks[task].pulls:
            if pull.task not in chosen:
                _find_pulled(lenders, task, pull)
    notes = [note for task, run in lenders.used.items() for note in _outdated(dag, task, run, parameters, read)]
    return Borrowed(lenders.used, tuple(notes))


class _Lenders:
    """Finds the runs from which values are borrowed, with one query per task."""

    def __init__(self, store: Store | None, dag: str, named: RunRow | None) -> None:
        self._store = store
        self._dag = dag
        self._named = named
        self.used: dict[str, RunRow] = {}
        self._names: dict[str, tuple[RunRow | None, frozenset[str] | None]] = {}

    def find(self, task: str) -> tuple[RunRow | None, frozenset[str] | None]:
        """Return the run in which the task finished, and the names that the task stored.

        The names are None if the task was skipped.
        """
        if task not in self._names:
            self._names[task] = self._query(task)
        return self._names[task]

    def _query(self, task: str) -> tuple[RunRow | None, frozenset[str] | None]:
        if self._store is None:
            return None, None
        run = self._store.latest_with(self._dag, task) if self._named is None else self._in_named(self._named, task)
        if run is None:
            return None, None
        outputs = task_outputs(self._store.attempts([run.id])[run.id]).get(task)
        if outputs is None:
            return run, None
        return run, frozenset(name for each in outputs.values() for name in each.digests)

    def _in_named(self, run: RunRow, task: str) -> RunRow | None:
        assert self._store is not None
        if run.tasks is None or task in run.tasks:
            return self._store.latest_with(run.dag, task, run.id)
        # The named run may itself have borrowed the task's values from another run.
        lender = self._store.borrowed([run.id])[run.id].get(task)
        return None if lender is None else self._store.run(lender)


def _find(lenders: _Lenders, chosen: Mapping[str, str], reader: str, wanted: Input) -> None:
    for source in wanted.sources:
        if source in chosen:
            return  # the new run executes this source, so values of earlier sources are not needed
        run, names = lenders.find(source)
        if run is not None and names is None:
            lenders.used[source] = run
            continue  # the task was skipped in that run, so the value comes from an earlier source
        if run is None or names is None or wanted.name not in names:
            if wanted.optional:
                continue
            raise NoStoredValueError(reader, wanted.name, source, None if run is None else run.name)
        lenders.used[source] = run
        return


def _find_pulled(lenders: _Lenders, reader: str, pull: Pull) -> None:
    """Find the run from which `ti.xcom_pull` returns the values of a task.

    A value that the task only pushes (`ti.xcom_push`) may be missing in the run.
    """
    run, names = lenders.find(pull.task)
    missing = names is not None and pull.name is not None and not {pull.name, f"{PUSHED}{pull.key}"} & names
    if run is None or missing:
        raise NoStoredValueError(reader, pull.name or pull.key, pull.task, None if run is None else run.name)
    lenders.used[pull.task] = run


def _outdated(
    dag: Dag, task: str, run: RunRow, parameters: Mapping[str, object], read: Callable[[RunRow], Dag]
) -> Iterator[Note]:
    before = read(run)
    changed = next((each for each in (task, *_above(dag, task)) if _differs(before, dag, each)), None)
    if changed is not None:
        which = task if changed == task else f"{changed}, which is upstream of {task},"
        yield Note(
            code="NB412",
            name=task,
            message=f"{which} has changed since run {run.name}, whose values of {task} are used; "
            f"--from {changed} computes them again",
        )
    others = sorted(
        name
        for name in {*run.parameters, *parameters}
        if run.parameters.get(name, before) != parameters.get(name, before)
    )
    if others:
        yield Note(
            code="NB413",
            name=task,
            message=f"run {run.name}, whose values of {task} are used, had other parameters ({', '.join(others)})",
        )


def _above(dag: Dag, task: str) -> list[str]:
    ancestors = dag.ancestors(task)
    return [each for each in dag.tasks if each in ancestors]


def _differs(before: Dag, now: Dag, task: str) -> bool:
    return task not in before.tasks or _code_of(before, before.tasks[task]) != _code_of(now, now.tasks[task])


def _code_of(dag: Dag, task: Task) -> tuple[object, ...]:
    """Return the code and options that determine a task's values. Inputs are not included."""
    return (
        normalized(task.code),  # the code without the header; the header's options are added below
        [getattr(task.options, name) for name in RESULT_OPTIONS],
        [definition.source for definition in task.definitions],
        [dag.cells[index].code for index in task.setup],
        [cell.code for cell in dag.cells if cell.kind is CellKind.PARAMETERS],
    )
