"""Tasks of a run that are to run anew, or that a person settles by a word.

Clearing takes finished tasks back to none: their attempts stay on record, their retries count anew, and a run that
had ended is queued again, with the notebook that it was created with or the one that is deployed now. A task that is
running is ended first (`restarting`). Marking a task gives it an outcome without an attempt; what could not run
because of it may then run after all.

Whoever drives a run that goes on sees the change. One that was queued again waits for a scheduler, or for `resume`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...core.model.dag import Dag
from ...core.model.states import ACTIVE, RUN_FINISHED, RunState, TaskState, move
from ...core.model.text import run_selector, task_label
from ...errors import NbdagError
from ...home import Home
from ...scheduler import new_instance
from ...store.rows import Change, InstanceRow, NewInstance, RunRow
from ..creation.build import pin_built
from ..queries.liveness import driver_of
from ..queries.pinned import pinned
from ..queries.records import NoSuchTaskError, Run
from ..queries.runs import NoSuchRunError, NoSuchStateError, home_of, id_of, opened, the_row, told
from .deploy import NotDeployedError

if TYPE_CHECKING:
    from ...store.store import Store

Wanted = tuple[str, int | None]  # task, map index; None: every instance of it

_FAILED = frozenset({TaskState.FAILED, TaskState.UPSTREAM_FAILED})
MARKS = {state.value: state for state in (TaskState.SUCCESS, TaskState.FAILED, TaskState.SKIPPED)}


class NothingToClearError(NbdagError):
    """No task of a run is of the kind that was to be cleared."""

    def __init__(self, dag: str, run: str, what: str) -> None:
        super().__init__(dag, run, what)
        self.dag = dag
        self.run = run
        self.what = what

    def __str__(self) -> str:
        return (
            f"no task of run {self.run} {self.what}, so there is nothing to clear; "
            f"`nbdag status {run_selector(self.run, self.dag)}` shows it"
        )


class TooBusyError(NbdagError):
    """Others changed the run each time that it was to be changed."""

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self.run = run

    def __str__(self) -> str:
        return f"run {self.run} changes too fast to be changed from here: try again in a moment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """What became of the tasks that were cleared, or marked."""

    run: Run
    tasks: tuple[str, ...]  # as people call them: `train`, `train[3]`; in notebook order
    restarting: tuple[str, ...] = ()  # of these, those that are running, and are ended first
    queued_again: bool = False  # the run had ended
    driver: str = ""  # who drives it now, in words; "": nobody does


@dataclass(frozen=True, slots=True)
class Asked:
    """Which tasks are to run anew: those named, or all; of these only those in some states."""

    tasks: Sequence[str]
    upstream: bool
    downstream: bool
    only: frozenset[TaskState] | None


def clear(
    run: Run | str = "latest",
    tasks: Sequence[str] = (),
    *,
    upstream: bool = False,
    downstream: bool = False,
    only_failed: bool = False,
    deployed: bool = False,
    dry_run: bool = False,
    dag: str | None = None,
    home: Home | None = None,
) -> Cleared:
    """Let tasks of a run run anew: those named (`train`, or `train[3]` of a mapped one), or all of them.

    With `upstream` and `downstream` also those that they need and that follow them; with `only_failed` those alone
    that failed, or could not run because something before them failed. `deployed` takes the notebook that is deployed
    now instead of the one that the run was created with. `dry_run` changes nothing.
    """
    asked = Asked(tasks, upstream, downstream, _FAILED if only_failed else None)

    def step(store: Store, here: Home, row: RunRow) -> tuple[Change, list[InstanceRow]]:
        if deployed:
            source = _deployed(store, row.dag)
            digest, dag = pin_built(here, source, row.path, row.cwd, row.parameters, row.kernel)
            change, chosen = clearing(store, dag, replace(row, digest=digest), asked)
            return replace(change, built=dag.built), chosen
        return clearing(store, pinned(here, row), row, asked)

    return _change(run, dag, home, step, dry_run=dry_run)


def clear_unsuccessful(store: Store, here: Home, row: RunRow) -> list[InstanceRow]:
    """Clear all of an ended run that did not succeed; answers with it."""
    others = frozenset(TaskState) - {TaskState.SUCCESS, TaskState.NONE}
    change, chosen = clearing(store, pinned(here, row), row, Asked((), False, False, others))
    if store.save(change) is None:
        raise TooBusyError(row.name)
    return chosen


def mark(
    state: TaskState | str,
    run: Run | str,
    tasks: Sequence[str],
    *,
    dag: str | None = None,
    home: Home | None = None,
) -> Cleared:
    """Give tasks an outcome without an attempt: success, failed or skipped. One that is running is ended.

    Tasks further down that could not run, or failed, are cleared, so that they run after all.
    """
    if state not in MARKS:
        raise NoSuchStateError(state, MARKS)
    to = MARKS[state]

    def step(store: Store, here: Home, row: RunRow) -> tuple[Change, list[InstanceRow]]:
        return _marking(store, pinned(here, row), row, tasks, to)

    return _change(run, dag, home, step)


def clearing(store: Store, dag: Dag, row: RunRow, asked: Asked) -> tuple[Change, list[InstanceRow]]:
    """What to save so that tasks run anew, and which these are as they stand.

    Tasks that the notebook has no more, since another version was deployed, are among them: the scheduler removes them.
    """
    if dag.unbuilt:
        return Change(run=_queued_again(row), at=time.time()), []  # its tasks could not be built: that is tried again
    instances = store.instances([row.id])[row.id]
    wanted = _wanted(row, dag, instances, asked.tasks)
    if asked.tasks:
        wanted += [
            (other, None)
            for task, _ in list(wanted)
            for other in (
                *(dag.ancestors(task) if asked.upstream and task in dag.tasks else ()),
                *(dag.descendants(task) if asked.downstream and task in dag.tasks else ()),
            )
        ]
    chosen = [
        each
        for each in instances
        if ((_meant(each, wanted) and (asked.only is None or each.state in asked.only)) or each.task not in dag.tasks)
        and each.state not in (TaskState.NONE, TaskState.RESTARTING)
    ]
    if not chosen:
        which = "that was named " if asked.tasks else ""
        raise NothingToClearError(row.dag, row.name, f"{which}{'failed' if asked.only else 'has begun'}")
    moved = [_cleared(each) for each in chosen]
    change = Change(
        run=_queued_again(row), instances=moved, added=_placeholders(dag, instances, chosen), at=time.time()
    )
    return change, chosen


def _marking(
    store: Store, dag: Dag, row: RunRow, tasks: Sequence[str], to: TaskState
) -> tuple[Change, list[InstanceRow]]:
    instances = store.instances([row.id])[row.id]
    wanted = _wanted(row, dag, instances, tasks)
    chosen = [each for each in instances if _meant(each, wanted) and each.state is not to]
    if not chosen:
        raise NothingToClearError(row.dag, row.name, f"that was named is anything but {to.value}")
    moved = [replace(each, state=move(each.state, to, by_user=True), wake=None) for each in chosen]
    names = {each.task for each in chosen}
    below = {other for task in names if task in dag.tasks for other in dag.descendants(task)} - names
    again = [each for each in instances if each.task in below and each.state in _FAILED]
    moved += [_cleared(each) for each in again]
    return Change(run=_queued_again(row), instances=moved, at=time.time()), chosen


def _cleared(each: InstanceRow) -> InstanceRow:
    to = TaskState.RESTARTING if each.state in ACTIVE else TaskState.NONE
    forgiven = each.forgiven if to is TaskState.RESTARTING else each.tries
    return replace(each, state=move(each.state, to, by_user=True), wake=None, forgiven=forgiven, short_circuit=False)


def _queued_again(row: RunRow) -> RunRow:
    if row.state not in RUN_FINISHED:
        return row
    return replace(
        row,
        state=move(row.state, RunState.QUEUED, by_user=True),
        started=None,
        ended=None,
        error=None,
        cancel_asked=None,
        scheduler=None,
    )


def _placeholders(dag: Dag, instances: Sequence[InstanceRow], chosen: Sequence[InstanceRow]) -> list[NewInstance]:
    """Of mapped tasks that run anew as a whole, what works out their elements."""
    ids = {each.id for each in chosen}
    found = []
    for task in dict.fromkeys(each.task for each in chosen if each.map_index >= 0 and each.task in dag.tasks):
        mine = [each for each in instances if each.task == task]
        if all(each.id in ids for each in mine):
            found.append(new_instance(dag, task))
    return found


def _wanted(row: RunRow, dag: Dag, instances: Iterable[InstanceRow], said: Sequence[str]) -> list[Wanted]:
    known = {each.task for each in instances}
    if not said:
        return [(task, None) for task in sorted(known)]
    there = {(each.task, each.map_index) for each in instances}
    found: list[Wanted] = []
    for word in said:
        part = re.fullmatch(r"(.+)\[(\d+)\]", word)
        if word in known:
            found.append((word, None))
        elif part and (part[1], int(part[2])) in there:
            found.append((part[1], int(part[2])))
        else:
            names = [task for task in dag.tasks if task in known]
            raise NoSuchTaskError(row.dag, row.name, word, tuple(names + sorted(known - set(names))))
    return found


def _meant(each: InstanceRow, wanted: Sequence[Wanted]) -> bool:
    return (each.task, None) in wanted or (each.task, each.map_index) in wanted


def _deployed(store: Store, dag: str) -> str:
    row = store.deployments.get(dag)
    if row is None:
        raise NotDeployedError(dag, [each.id for each in store.deployments.all()])
    return row.digest


def _change(
    run: Run | str,
    dag: str | None,
    home: Home | None,
    step: Callable[[Store, Home, RunRow], tuple[Change, list[InstanceRow]]],
    *,
    dry_run: bool = False,
) -> Cleared:
    here = home_of(run, home)
    with opened(here) as store:
        if store is None:
            raise NoSuchRunError(id_of(run), dag, here.root)
        for _ in range(20):
            row = the_row(store, here, id_of(run), run.dag if isinstance(run, Run) else dag)
            change, chosen = step(store, here, row)
            if dry_run or store.save(change) is not None:
                break
        else:
            raise TooBusyError(row.name)
        now = store.run(row.id)
        return Cleared(
            run=told(store, here, [now])[0],
            tasks=tuple(task_label(each.task, each.map_index) for each in chosen),
            restarting=tuple(task_label(each.task, each.map_index) for each in chosen if each.state in ACTIVE),
            queued_again=row.state in RUN_FINISHED,
            driver=driver_of(store, now),
        )
