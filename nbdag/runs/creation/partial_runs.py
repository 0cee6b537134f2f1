"""Where a partial run takes the values of the tasks that it leaves out.

From the latest run in which each of them was done, or from the run that was named. A value that is nowhere to be had
is an error; one whose task has changed since, or that was made with other parameters, is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.model.dag import CellKind, Dag, Input, Task
from ...core.model.job import Note
from ...core.options.options import RESULT_OPTIONS
from ...core.planning.cache_key import normalized
from ...errors import NbdagError
from ...scheduler import task_outputs
from ...store.rows import RunRow

if TYPE_CHECKING:
    from ...store.store import Store


class MissingValueError(NbdagError):
    """A partial run needs a value that no earlier run has."""

    def __init__(self, reader: str, name: str, source: str, run: str | None) -> None:
        super().__init__(reader, name, source, run)
        self.reader = reader
        self.name = name
        self.source = source
        self.run = run

    def __str__(self) -> str:
        where = f"run {self.run} did not store it" if self.run else "no run has it yet"
        return (
            f"{self.reader} reads {self.name!r} of {self.source}, and {where}: run {self.source} first, or this "
            f"and all that comes before it with --upto {self.reader}"
        )


@dataclass(frozen=True, slots=True)
class Borrowed:
    """Values that come from earlier runs."""

    runs: Mapping[str, RunRow]  # task → the run that gives its values
    notes: tuple[Note, ...]  # what is not as it was then


def borrow(
    store: Store | None,
    dag: Dag,
    chosen: Mapping[str, str],
    parameters: Mapping[str, object],
    *,
    values_from: RunRow | None,
    read: Callable[[RunRow], Dag],
) -> Borrowed:
    """Find every value that the chosen tasks take from tasks that are not chosen. `store` is None for a new home."""
    lenders = _Lenders(store, dag.id, values_from)
    for task in chosen:
        for wanted in dag.tasks[task].inputs:
            _find(lenders, chosen, task, wanted)
    notes = [note for task, run in lenders.used.items() for note in _outdated(dag, task, run, parameters, read)]
    return Borrowed(lenders.used, tuple(notes))


class _Lenders:
    """The runs that give values, each asked once."""

    def __init__(self, store: Store | None, dag: str, named: RunRow | None) -> None:
        self._store = store
        self._dag = dag
        self._named = named
        self.used: dict[str, RunRow] = {}
        self._names: dict[str, tuple[RunRow | None, frozenset[str] | None]] = {}

    def ask(self, task: str) -> tuple[RunRow | None, frozenset[str] | None]:
        """The run in which the task was done, and the names it stored; no names (None) where it was skipped."""
        if task not in self._names:
            self._names[task] = self._look(task)
        return self._names[task]

    def _look(self, task: str) -> tuple[RunRow | None, frozenset[str] | None]:
        if self._store is None:
            return None, None
        run = self._store.latest_with(self._dag, task) if self._named is None else self._in_named(self._named, task)
        if run is None:
            return None, None
        left = task_outputs(self._store.attempts([run.id])[run.id]).get(task)
        if left is None:
            return run, None
        return run, frozenset(name for each in left.values() for name in each.digests)

    def _in_named(self, run: RunRow, task: str) -> RunRow | None:
        assert self._store is not None
        if run.tasks is None or task in run.tasks:
            return self._store.latest_with(run.dag, task, run.id)
        lender = self._store.borrowed([run.id])[run.id].get(task)  # it had the value from another run itself
        return None if lender is None else self._store.run(lender)


def _find(lenders: _Lenders, chosen: Mapping[str, str], reader: str, wanted: Input) -> None:
    for source in wanted.sources:
        if source in chosen:
            return  # it runs first, and what it leaves comes before what lies further up
        run, names = lenders.ask(source)
        if run is not None and names is None:
            lenders.used[source] = run
            continue  # skipped there, so what lies further up still stands
        if run is None or names is None or wanted.name not in names:
            if wanted.optional:
                continue
            raise MissingValueError(reader, wanted.name, source, None if run is None else run.name)
        lenders.used[source] = run
        return


def _outdated(
    dag: Dag, task: str, run: RunRow, parameters: Mapping[str, object], read: Callable[[RunRow], Dag]
) -> Iterator[Note]:
    before = read(run)
    changed = next((each for each in (task, *_above(dag, task)) if _differs(before, dag, each)), None)
    if changed is not None:
        which = task if changed == task else f"{changed}, which comes before {task},"
        yield Note(
            code="NB412",
            name=task,
            message=f"{which} has changed since run {run.name}, whose values of {task} are used; "
            f"--from {changed} makes them anew",
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
    return task not in before.tasks or _made_of(before, before.tasks[task]) != _made_of(now, now.tasks[task])


def _made_of(dag: Dag, task: Task) -> tuple[object, ...]:
    """All the code that makes a task's values, but for what comes from other tasks."""
    return (
        normalized(task.code),  # without the header: its options count below
        [getattr(task.options, name) for name in RESULT_OPTIONS],
        [definition.source for definition in task.definitions],
        [dag.cells[index].code for index in task.setup],
        [cell.code for cell in dag.cells if cell.kind is CellKind.PARAMETERS],
    )
