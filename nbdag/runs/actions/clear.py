"""Reset tasks of a run so that they run again (`clear`), or set their state by hand (`mark`).

Clearing resets finished tasks to the state `none`. Earlier attempts are kept, and the count of retries restarts at
zero. A running task is terminated first (`restarting`). A run that has ended is queued again, with its pinned notebook
or with the deployed version, and waits for a scheduler or for `resume`. Marking sets the state of a task without
executing the task, so tasks that waited for it can run. If the run is running, its owner uses the changed states.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ... import notebooks
from ...core.model import text
from ...core.model.dag import CellKind, Dag
from ...core.model.job import Key, Result
from ...core.model.states import ACTIVE, RUN_FINISHED, RunState, TaskState, move
from ...core.model.text import task_label
from ...core.planning.clearing import with_setups
from ...errors import NbdagError, error
from ...home import Home
from ...scheduler import new_instance
from ...scheduler.run_step import given_up
from ...storage.pinned_files import pack
from ...store.rows import Change, InstanceRow, NewInstance, RunRow
from ..creation.build import pin_built
from ..creation.prepare import record_parameters
from ..execution.recovery import open_recovered_store
from ..queries.deployments import NotDeployedError
from ..queries.liveness import owner_of
from ..queries.pinned import pinned_dag, pinned_text, run_dag
from ..queries.records import Run, TaskNotInRunError
from ..queries.runs import RunBusyError, UnknownRunError, UnknownStateError, find_row, home_of, id_of, read_runs

if TYPE_CHECKING:
    from ...store.store import Store

Wanted = tuple[str, int | None]  # (task, map index); the map index None means every instance of the task

_FAILED = frozenset({TaskState.FAILED, TaskState.UPSTREAM_FAILED})
MARKS = {state.value: state for state in (TaskState.SUCCESS, TaskState.FAILED, TaskState.SKIPPED)}


@error
class NothingToClearError(NbdagError):
    """No task of the run matches the request."""

    dag: str
    run: str
    what: str  # the condition that no task meets, as a predicate such as "has failed"
    template = "nothing to clear: no task of run {run} {what}; `nbdag status {which}` shows its tasks"

    @property
    def which(self) -> str:
        return text.run_selector(self.run, self.dag)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """The result of `clear` or `mark`: the changed tasks, and the run."""

    run: Run
    tasks: tuple[str, ...]  # the changed tasks (`train`, or `train[3]` for an instance), in notebook order
    restarting: tuple[str, ...] = ()  # the tasks among `tasks` that were running; these are terminated first
    again: tuple[str, ...] = ()  # tasks downstream of marked tasks; these tasks were cleared
    queued_again: bool = False  # whether the run was queued again, because it had ended
    owner: str = ""  # describes the process that owns the run; "" if no process owns it
    edited: str = ""  # one sentence if cells of these tasks were edited after the run's notebook was pinned; else ""


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection of tasks to clear: named tasks or all tasks, optionally only tasks in certain states."""

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
    """Reset tasks of a run so that they run again: named tasks (`train`, or `train[3]` for an instance), or all tasks.

    `upstream` and `downstream` add all tasks upstream and downstream of the named tasks. `only_failed` limits the
    selection to tasks that failed, or could not run because an upstream task failed. `deployed` switches the run to the
    deployed version of the notebook. With `dry_run`, nothing is changed.
    """
    selection = Selection(tasks, upstream, downstream, _FAILED if only_failed else None)

    def step(store: Store, here: Home, row: RunRow) -> tuple[Change, list[InstanceRow]]:
        if deployed:
            source = _deployed(store, row.dag)
            digest, dag = pin_built(here, source, row.path, row.cwd, row.parameters, row.kernel)
            before = pinned_dag(here, row.digest, row.path).parameters
            lost = {name: value for name, value in row.parameters.items() if name in before or name in dag.parameters}
            # Check the parameters again, because the deployed notebook may have other rules for its parameters.
            record_parameters(dag, lost)
            change, chosen = clearing(store, dag, replace(row, digest=digest), selection)
            return replace(change, built=dag.built), chosen
        return clearing(store, run_dag(here, row), row, selection)

    done = change_run(run, dag, home, step, dry_run=dry_run)
    return replace(done, edited=edited_since(done.run, done.tasks))


def edited_since(run: Run, tasks: Iterable[str] = ()) -> str:
    """Return one sentence about edits of the notebook since it was pinned for a run; "" if nothing was edited.

    Only edits in setup cells, in parameters cells and in the cells of `tasks` count (default: all tasks that did not
    succeed).
    """
    if run.source is None:
        return ""
    names = [task.partition("[")[0] for task in tasks] or [
        each.id for each in run if each.state is not TaskState.SUCCESS
    ]
    try:
        pinned = pinned_text(run.home, run.digest, run.id)
        dag = notebooks.read_text(pinned, name=run.source.name)
        before, now = (_code(each, run.source.name) for each in (pinned, notebooks.read_file(run.source)))
    except NbdagError:
        return ""
    gone = {source for source in before if source not in now}
    edited = [
        task
        for task in dict.fromkeys(names)
        if task in dag.tasks and any(cell.source in gone for cell in dag.cells_of(task))
    ]
    shared = any(cell.source in gone for cell in dag.cells if cell.kind in (CellKind.SETUP, CellKind.PARAMETERS))
    pinned_anew = _files_changed(dag, run.source.parent)
    if not (edited or shared or pinned_anew):
        return ""
    first = next((task for task in dag.tasks if task in (edited or names)), "")
    what = [*edited, *(["setup"] if shared else []), *(["a pinned file"] if pinned_anew else [])]
    return (
        f"run {run.id} executes the version of the notebook with which it was created, but {text.join_names(what)} "
        f"was edited since; to execute the new code: `nbdag run {run.source}{f' --from {first}' if first else ''}`"
    )


def _files_changed(dag: Dag, folder: Path) -> bool:
    """Return whether the files that are pinned with a version differ from the same files in the notebook's folder."""
    if not dag.pinned_files:
        return False
    try:
        return pack(folder, dag.options.with_)[0] != dag.pinned_files
    except NbdagError:  # a file is missing now
        return True


def _code(content: bytes, name: str) -> set[str]:
    """Return the sources of a notebook's code cells, except cells that a %%dag cell built."""
    cells, _ = notebooks.read_raw(notebooks.without_built(content, name=name), name=name)
    return {cell.source for cell in cells if cell.type == "code"}


def clear_unsuccessful(store: Store, here: Home, row: RunRow) -> list[InstanceRow]:
    """In an ended run, clear every task that did not succeed, and return these tasks."""
    unsuccessful = frozenset(TaskState) - {TaskState.SUCCESS, TaskState.NONE}
    change, chosen = clearing(store, run_dag(here, row), row, Selection((), False, False, unsuccessful))
    if store.save(change) is None:
        raise RunBusyError(row.name)
    return chosen


def mark(
    state: TaskState | str,
    run: Run | str,
    tasks: Sequence[str],
    *,
    dry_run: bool = False,
    dag: str | None = None,
    home: Home | None = None,
) -> Cleared:
    """Set tasks to success, failed or skipped without executing them. A running task is terminated.

    Downstream tasks that failed or could not run are cleared, so that they run again. `dry_run` changes nothing.
    """
    if state not in MARKS:
        raise UnknownStateError(str(state), tuple(MARKS))
    to = MARKS[state]
    again: tuple[str, ...] = ()

    def step(store: Store, here: Home, row: RunRow) -> tuple[Change, list[InstanceRow]]:
        nonlocal again
        change, chosen, below = _marking(store, run_dag(here, row), row, tasks, to)
        again = tuple(task_label(each.task, each.map_index) for each in below)
        return change, chosen

    done = change_run(run, dag, home, step, dry_run=dry_run)
    return replace(done, again=again)


def clearing(store: Store, dag: Dag, row: RunRow, selection: Selection) -> tuple[Change, list[InstanceRow]]:
    """Return the change that clears the selected tasks, and the current rows of these tasks.

    The selection includes the setup and teardown tasks of the selected tasks. If the run is switched to the deployed
    notebook, tasks that are missing in this notebook are selected too, and the scheduler removes them.
    """
    if dag.unbuilt:
        return Change(
            run=_queued_again(row), at=time.time()
        ), []  # the run has no tasks because building them failed: queue the run, so that building is retried
    instances = store.instances([row.id])[row.id]
    # A name that is no task of the run may be the name of a group.
    known = {each.task for each in instances}
    tasks = [task for word in selection.tasks for task in ([word] if word in known else dag.groups.get(word, [word]))]
    wanted = wanted_instances(row, dag, instances, tasks)
    if selection.tasks:
        wanted += [
            (other, None)
            for task, _ in list(wanted)
            for other in (
                *(dag.ancestors(task) if selection.upstream and task in dag.tasks else ()),
                *(dag.descendants(task) if selection.downstream and task in dag.tasks else ()),
            )
        ]
    named = [
        each
        for each in instances
        if is_wanted(each, wanted) and (selection.only is None or each.state in selection.only)
    ]
    # Setup and teardown tasks are cleared in any state, because the cleared tasks need the prepared resources again.
    around = with_setups(dag, dict.fromkeys(each.task for each in named))
    chosen = [
        each
        for each in instances
        if (each in named or each.task in around or each.task not in dag.tasks)
        and each.state not in (TaskState.NONE, TaskState.RESTARTING)
    ]
    if not chosen:
        which = "among the named tasks " if selection.tasks else ""
        raise NothingToClearError(row.dag, row.name, f"{which}{'has failed' if selection.only else 'has started'}")
    moved = [_cleared(each) for each in chosen]
    at = time.time()
    change = Change(
        run=_queued_again(row),
        instances=moved,
        ended=_given_up(store, row, chosen, at, "cleared"),
        added=_placeholders(dag, instances, chosen),
        at=at,
    )
    return change, chosen


def _marking(
    store: Store, dag: Dag, row: RunRow, tasks: Sequence[str], to: TaskState
) -> tuple[Change, list[InstanceRow], list[InstanceRow]]:
    """Return the change that marks tasks, and the earlier rows of the marked tasks and of the cleared tasks."""
    instances = store.instances([row.id])[row.id]
    wanted = wanted_instances(row, dag, instances, tasks)
    chosen = [each for each in instances if is_wanted(each, wanted) and each.state is not to]
    if not chosen:
        raise NothingToClearError(row.dag, row.name, f"among the named tasks is in another state than {to.value}")
    moved = [
        replace(each, state=move(each.state, to, by_user=True), wake=None, answer={}, short_circuit=False, chosen=None)
        for each in chosen
    ]
    names = {each.task for each in chosen}
    below = {other for task in names if task in dag.tasks for other in dag.descendants(task)} - names
    again = [each for each in instances if each.task in below and each.state in _FAILED]
    moved += [_cleared(each) for each in again]
    at = time.time()
    ended = _given_up(store, row, [*chosen, *again], at, f"marked {to.value}")
    return Change(run=_queued_again(row), instances=moved, ended=ended, at=at), chosen, again


def _given_up(
    store: Store, row: RunRow, chosen: Iterable[InstanceRow], at: float, why: str
) -> list[tuple[InstanceRow, Result]]:
    """If a changed task waits for its next poll, its attempt ends now. Return the outcomes of these attempts."""
    waiting = [each for each in chosen if each.state is TaskState.UP_FOR_RESCHEDULE]
    if not waiting:
        return []
    started = {(each.instance, each.try_number): each.started for each in store.attempts([row.id])[row.id]}
    ended = []
    for each in waiting:
        key = Key(dag=row.dag, run=row.name, task=each.task, map_index=each.map_index, try_number=each.tries)
        result = given_up(key, started.get((each.id, each.tries), at), at, TaskState.FAILED, f"{why} while it waited")
        ended.append((each, result))
    return ended


def _cleared(each: InstanceRow) -> InstanceRow:
    to = TaskState.RESTARTING if each.state in ACTIVE else TaskState.NONE
    tries_before_reset = each.tries_before_reset if to is TaskState.RESTARTING else each.tries
    return replace(
        each,
        state=move(each.state, to, by_user=True),
        wake=None,
        answer={},
        tries_before_reset=tries_before_reset,
        short_circuit=False,
        chosen=None,
    )


def _queued_again(row: RunRow) -> RunRow:
    if row.state not in RUN_FINISHED:
        return row
    end = {name: getattr(row, name) for name in ("started", "ended", "error", "cancel_asked")}
    return replace(
        row,
        state=move(row.state, RunState.QUEUED, by_user=True),
        earlier=(*(row.earlier or ()), {"state": row.state.value, **end}),
        started=None,
        ended=None,
        error=None,
        cancel_asked=None,
        scheduler=None,
    )


def _placeholders(dag: Dag, instances: Sequence[InstanceRow], chosen: Sequence[InstanceRow]) -> list[NewInstance]:
    """If all instances of a mapped task were cleared, return a placeholder for them, so that the task expands again."""
    ids = {each.id for each in chosen}
    found = []
    for task in dict.fromkeys(each.task for each in chosen if each.map_index >= 0 and each.task in dag.tasks):
        mine = [each for each in instances if each.task == task]
        if all(each.id in ids for each in mine):
            found.append(new_instance(dag, task))
    return found


def wanted_instances(row: RunRow, dag: Dag, instances: Iterable[InstanceRow], named: Sequence[str]) -> list[Wanted]:
    """Return the named tasks and instances; all tasks if none is named. Raise `TaskNotInRunError`."""
    known = {each.task for each in instances}
    if not named:
        return [(task, None) for task in sorted(known)]
    present = {(each.task, each.map_index) for each in instances}
    found: list[Wanted] = []
    for word in named:
        part = re.fullmatch(r"(.+)\[(\d+)\]", word)
        if word in known:
            found.append((word, None))
        elif part and (part[1], int(part[2])) in present:
            found.append((part[1], int(part[2])))
        else:
            names = [task for task in dag.tasks if task in known]
            raise TaskNotInRunError(row.dag, row.name, word, tuple(names + sorted(known - set(names))))
    return found


def is_wanted(each: InstanceRow, wanted: Sequence[Wanted]) -> bool:
    """Return whether `wanted` contains an instance, or the whole task of the instance."""
    return (each.task, None) in wanted or (each.task, each.map_index) in wanted


def _deployed(store: Store, dag: str) -> str:
    row = store.deployments.get(dag)
    if row is None:
        raise NotDeployedError(dag, tuple(each.id for each in store.deployments.all()))
    return row.digest


def change_run(
    run: Run | str,
    dag: str | None,
    home: Home | None,
    step: Callable[[Store, Home, RunRow], tuple[Change, list[InstanceRow]]],
    *,
    dry_run: bool = False,
) -> Cleared:
    """Save the change that `step` returns. Call `step` again if another process has saved first.

    With `dry_run`, nothing is saved. Raise `RunBusyError` if another process has saved first at every try.
    """
    here = home_of(run, home)
    with open_recovered_store(here) as store:
        if store is None:
            raise UnknownRunError(id_of(run), dag, here.root)
        for _ in range(20):
            row = find_row(store, here, id_of(run), run.dag if isinstance(run, Run) else dag)
            change, chosen = step(store, here, row)
            if dry_run or store.save(change) is not None:
                break
        else:
            raise RunBusyError(row.name)
        now = store.run(row.id)
        return Cleared(
            run=read_runs(store, here, [now])[0],
            tasks=tuple(task_label(each.task, each.map_index) for each in chosen),
            restarting=tuple(task_label(each.task, each.map_index) for each in chosen if each.state in ACTIVE),
            queued_again=row.state in RUN_FINISHED,
            owner=owner_of(store, now),
        )
