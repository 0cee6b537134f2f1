"""Queries about runs: list runs, find one, follow its events, locate the log of an attempt.

A query only reads: it does not recover orphaned runs, send notifications or import user code. So a query also works in
a read-only home. The only exception is a database with an old schema, which is upgraded so that it can be read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Generator, Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ... import notebooks
from ... import store as stores
from ...core.model.cell_tags import RENDERED, nbdag_metadata
from ...core.model.events import Event
from ...core.model.job import CANCELLED, Key, StoredOutput
from ...core.model.states import FINISHED, RUN_FINISHED, RunState, TaskState
from ...core.options.option_types import nearest
from ...errors import NbdagError, error
from ...home import Home, the_home
from ...storage import local_copy
from ...store.rows import AttemptRow, InstanceRow, RunRow
from .liveness import dead_owners, describe_orphan, owner_of
from .records import Run, TaskRun

if TYPE_CHECKING:
    from ...store.listings import TaskStateRow
    from ...store.store import Store

WAS_CANCELLED = "the run was cancelled"
_CHECK_OWNERS = 5.0  # seconds between two checks for orphaned runs in `watch_runs`


@error
class UnknownRunError(NbdagError):
    """No run has this id."""

    run: str
    dag: str | None
    where: Path
    same_dag: str = ""  # id of a DAG, if `run` names this DAG or its notebook instead of a run

    def __str__(self) -> str:
        of_dag = f" of {self.dag}" if self.dag else ""
        if self.run == "latest":
            return f"no run{of_dag} in {self.where} yet; create one with `nbdag run NOTEBOOK`"
        if self.same_dag:
            hint = f"for the latest run of {self.same_dag}, write `latest --dag {self.same_dag}`"
            return f"{self.run!r} is not the id of a run; {hint}"
        return f"unknown run {self.run!r}{of_dag} in {self.where}; `nbdag runs` lists the runs"


@error
class AmbiguousRunError(NbdagError):
    """Several runs match this id or prefix of an id."""

    run: str
    found: tuple[tuple[str, str], ...]  # the matching runs, each as (DAG, run id)
    template = "ambiguous run id {run!r}, matches {matches}; use a longer prefix, or name the DAG with --dag"

    @property
    def matches(self) -> str:
        return ", ".join(f"{run} of {dag}" for dag, run in self.found)


@error
class UnknownStateError(NbdagError):
    """No state has this name."""

    exit_code = 2

    state: str
    states: tuple[str, ...]
    template = "unknown state {state!r}{hint}; expected one of {expected}"

    @property
    def hint(self) -> str:
        near = nearest(self.state, self.states)
        return f" (did you mean {near!r}?)" if near else ""

    @property
    def expected(self) -> str:
        return ", ".join(self.states)


@error
class NoLogError(NbdagError):
    """No log exists, because the task has not started."""

    run: str
    task: str
    try_number: int | None
    state: TaskState
    template = "no log of {task} in run {run}: the task is {state.value} and has {missing}"

    @property
    def missing(self) -> str:
        return "not started" if self.try_number is None else f"no try {self.try_number}"


@error
class RunBusyError(NbdagError):
    """The change could not be saved, because other processes changed the run before each try."""

    run: str
    template = "run {run} is being changed by other processes too often; try again in a moment"


@contextmanager
def open_store(home: Home, *, to_change: bool = False) -> Iterator[Store | None]:
    """Yield the home's store, or None if the home has no store yet. With `to_change`, the store must be writable."""
    if not home.exists:
        yield None
        return
    store = stores.open(home, read_only=not to_change)
    try:
        yield store
    finally:
        store.close()


def list_runs(
    dag: str | None = None,
    state: RunState | str | None = None,
    limit: int = 20,
    *,
    tasks: Collection[str] | None = None,
    details: bool = True,
    home: Home | None = None,
) -> list[Run]:
    """Return the latest runs, the newest first.

    With `tasks`, the records contain only these tasks. Without `details`, the records of tasks lack outputs, warnings
    and the paths of notebooks, and are read several times faster.
    """
    here = the_home(home)
    known = {each.value: each for each in RunState}
    if state is not None and state not in known:
        raise UnknownStateError(str(state), tuple(known))
    states = () if state is None else (known[state],)
    with open_store(here) as store:
        if store is None:
            return []
        return read_runs(store, here, store.runs(dag=dag, states=states, limit=limit), tasks=tasks, details=details)


def find_run(
    run: str = "latest",
    dag: str | None = None,
    *,
    tasks: Collection[str] | None = None,
    details: bool = True,
    home: Home | None = None,
) -> Run:
    """Return the run with this id; `run` may also be an unambiguous prefix of an id, or "latest".

    For `tasks` and `details`, see `list_runs`.
    """
    here = the_home(home)
    with open_store(here) as store:
        if store is None:
            raise UnknownRunError(run, dag, here.root)
        return read_runs(store, here, [find_row(store, here, run, dag)], tasks=tasks, details=details)[0]


def owner(run: Run) -> str:
    """Describe the process that owns this run; return "" if no process owns it."""
    with open_store(run.home) as store:
        return "" if store is None else owner_of(store, find_row(store, run.home, run.id, run.dag))


def follow(run: Run | str, *, home: Home | None = None, poll: float = 0.1) -> Iterator[Event]:
    """Yield the current state of a run as events, then an event for every change, until the run ends.

    `poll` is in seconds.

    The iteration also ends if the run is orphaned, because an orphaned run does not change. Then the message of the
    last event says that the run is orphaned. Nothing is written.
    """
    here = home_of(run, home)
    with open_store(here) as store:
        if store is None:
            raise UnknownRunError(id_of(run), None, here.root)
        row = find_row(store, here, id_of(run), run.dag if isinstance(run, Run) else None)
        seen: dict[int, InstanceRow] = {}
        state: RunState | None = None
        while True:
            row = store.run(row.id)
            yield from _events(store, row, seen, state)
            state = row.state
            if state in RUN_FINISHED:
                return
            while store.revision(row.id) == row.revision:
                dead = dead_owners(store).get(row.id)
                if dead is not None and store.revision(row.id) == row.revision:
                    message = describe_orphan(row, dead)
                    yield Event(kind="run", run_id=row.name, state=state, at=time.time(), message=message)
                    return
                time.sleep(poll)


def watch_runs(dag: Callable[[], str], *, limit: int, home: Home) -> Generator[list[Run]]:
    """Yield the latest runs of a DAG. After that, each `next` yields the runs that have changed since, oldest first.

    While the database does not change, a `next` is cheap. Orphaned runs are searched every few seconds.
    """
    with open_store(home) as store:
        # Key: run number; value: (revision that was last yielded, whether the run was orphaned).
        seen: dict[int, tuple[int, bool]] = {}
        changes: Hashable | None = None
        named, checked = "", time.monotonic()
        orphans: set[int] = set()
        while store is not None:
            if time.monotonic() - checked >= _CHECK_OWNERS:
                orphans, changes, checked = set(dead_owners(store)), None, time.monotonic()
            before, changes = (changes, named), store.changes()
            named = dag()
            if changes is not None and before == (changes, named):
                yield []
                continue
            rows = store.runs(dag=named, limit=limit)
            now = {row.id: (row.revision, row.id in orphans) for row in rows}
            moved = [row for row in reversed(rows) if seen.get(row.id) != now[row.id]]
            seen = now
            yield read_runs(store, home, moved) if moved else []


def list_attempts(
    run: str, dag: str, *, tasks: Collection[str] | None = None, details: bool = True, home: Home | None = None
) -> list[AttemptRow]:
    """Return the attempts of a run by start time; with `tasks`, only the attempts of these tasks.

    Without `details`, the attempts lack outputs and notes.
    """
    here = the_home(home)
    with open_store(here) as store:
        if store is None:
            return []
        row = find_row(store, here, run, dag)
        return store.attempts([row.id], tasks, details=details)[row.id]


def stored_outputs(run: str, dag: str, *, home: Home | None = None) -> list[tuple[str, int, StoredOutput]]:
    """Return the values that the tasks of a run have stored, in notebook order.

    Each value is returned as a tuple of the task, the map index and the output.
    """
    here = the_home(home)
    with open_store(here) as store:
        if store is None:
            raise UnknownRunError(run, dag, here.root)
        return store.listings.outputs(find_row(store, here, run, dag).id)


def logs(
    run: Run | str, task: str, try_number: int | None = None, map_index: int = -1, *, home: Home | None = None
) -> Path:
    """Return the path of an attempt's text log (default: the last attempt). The file grows during the attempt."""
    return _attempt(run, task, try_number, map_index, home).with_suffix(".log")


def rendered(
    run: Run | str, task: str, try_number: int | None = None, map_index: int = -1, *, home: Home | None = None
) -> dict[str, str]:
    """Return the texts that an attempt (default: the last attempt) has rendered from templates, by name.

    Secrets are masked.
    """
    return rendered_in(_attempt(run, task, try_number, map_index, home))


def rendered_in(notebook: Path) -> dict[str, str]:
    """Return the rendered texts in the notebook of an attempt, or no texts if the notebook cannot be read."""
    try:
        found = nbdag_metadata(json.loads(notebook.read_bytes())).get(RENDERED)
    except (OSError, ValueError, AttributeError):
        return {}
    return {str(name): str(text) for name, text in found.items()} if isinstance(found, dict) else {}


def _attempt(run: Run | str, task: str, try_number: int | None, map_index: int, home: Home | None) -> Path:
    """Return the path of an attempt's notebook."""
    here = home_of(run, home)
    found = run if isinstance(run, Run) else find_run(run, details=False, home=here)
    one = found[task] if map_index < 0 else found[task, map_index]
    if one.tries < (try_number or 1):
        raise NoLogError(found.id, task, try_number, one.state)
    key = Key(dag=found.dag, run=found.id, task=one.id, map_index=one.map_index, try_number=try_number or one.tries)
    local_copy(here, here.attempt(key).with_suffix(".log"))
    return local_copy(here, here.attempt(key))


def home_of(run: Run | str, home: Home | None) -> Home:
    """Return `home`; if it is None, the home of a `Run`, or, for a run's id, the home of the working directory."""
    return run.home if home is None and isinstance(run, Run) else the_home(home)


def id_of(run: Run | str) -> str:
    """Return the id of a run that may be given as a record or as an id."""
    return run.id if isinstance(run, Run) else run


def find_row(store: Store, home: Home, run: str, dag: str | None) -> RunRow:
    """Return the only run that matches an id, a prefix of an id, or "latest"."""
    if not run:  # reject an empty id, because as a prefix it would match every id
        raise UnknownRunError(run, dag, home.root)
    found = store.runs(dag=dag, limit=1) if run == "latest" else store.named(run, dag)
    if not found:
        name = notebooks.stem_of(Path(run).name)
        raise UnknownRunError(run, dag, home.root, name if name in store.dags() else "")
    if len(found) > 1:
        raise AmbiguousRunError(run, tuple((row.dag, row.name) for row in found))
    return found[0]


def read_runs(
    store: Store, home: Home, rows: Sequence[RunRow], *, tasks: Collection[str] | None = None, details: bool = True
) -> list[Run]:
    """Return the records of these runs, with their tasks. For `tasks` and `details`, see `list_runs`."""
    numbers = [row.id for row in rows]
    tasks_of = _detailed_tasks(store, home, rows, tasks) if details else _light_tasks(store, rows, tasks)
    notes = store.notes(numbers)
    may_be_orphaned = any(row.scheduler is not None and row.state not in RUN_FINISHED for row in rows)
    dead = dead_owners(store) if may_be_orphaned else {}
    return [
        Run(
            id=row.name,
            dag=row.dag,
            state=row.state,
            created=row.created,
            started=row.started,
            ended=row.ended,
            notebook=_report(home, row),
            parameters=row.parameters,
            tasks=tasks_of[row.id],
            warnings=notes[row.id],
            error=row.error,
            orphaned=describe_orphan(row, dead[row.id]) if row.id in dead else None,
            source=Path(row.path),
            digest=row.digest,
            only=row.tasks,
            home=home,
        )
        for row in rows
    ]


def _report(home: Home, row: RunRow) -> Path:
    """Return the output path that the user gave if that file exists, else the report in the home."""
    requested = None if row.output is None else Path(row.output)
    return requested if requested is not None and requested.is_file() else home.report(row.dag, row.name)


def _light_tasks(store: Store, rows: Sequence[RunRow], tasks: Collection[str] | None) -> dict[int, tuple[TaskRun, ...]]:
    """Return the records of tasks without details, by the number of the run."""
    found = store.listings.task_states([row.id for row in rows], tasks)
    return {row.id: tuple(_light_task(row, each) for each in found[row.id]) for row in rows}


def _light_task(row: RunRow, each: TaskStateRow) -> TaskRun:
    if each.outcome is None or each.tries_before_reset == each.tries:
        return TaskRun(
            id=each.task, map_index=each.map_index, state=each.state, tries=each.tries, started=None, ended=None
        )
    by_hand = _is_by_hand(row, each.state, each.outcome)
    return TaskRun(
        id=each.task,
        map_index=each.map_index,
        state=each.state,
        tries=each.tries,
        started=each.started,
        ended=each.ended,
        error=None if by_hand or each.error is None else _error_text(row, each.error),
        cached=each.cached,
        by_hand=by_hand,
        chosen=each.chosen,
    )


def _is_by_hand(row: RunRow, state: TaskState, outcome: TaskState) -> bool:
    """Return whether a user has set the state of a task; `outcome` is the state of the task's last attempt."""
    # Ignore skipped tasks, because a mapped task without elements is skipped although its attempt succeeded.
    differs = state is not outcome and outcome in FINISHED and state in FINISHED and state is not TaskState.SKIPPED
    return differs and row.state is not RunState.CANCELLED


def _detailed_tasks(
    store: Store, home: Home, rows: Sequence[RunRow], tasks: Collection[str] | None
) -> dict[int, tuple[TaskRun, ...]]:
    """Return the records of tasks, by the number of the run."""
    numbers = [row.id for row in rows]
    instances, attempts = store.instances(numbers, tasks), store.attempts(numbers, tasks)
    last = {each.instance: each for number in numbers for each in attempts[number]}
    return {row.id: tuple(_task(home, row, each, last.get(each.id)) for each in instances[row.id]) for row in rows}


def _task(home: Home, row: RunRow, instance: InstanceRow, attempt: AttemptRow | None) -> TaskRun:
    if attempt is None or instance.is_reset:
        return TaskRun(
            id=instance.task,
            map_index=instance.map_index,
            state=instance.state,
            tries=instance.tries,
            started=None,
            ended=None,
        )
    by_hand = _is_by_hand(row, instance.state, attempt.state)
    key = Key(
        dag=row.dag,
        run=row.name,
        task=instance.task,
        map_index=instance.map_index,
        try_number=attempt.try_number,
    )
    return TaskRun(
        id=instance.task,
        map_index=instance.map_index,
        state=instance.state,
        tries=instance.tries,
        started=attempt.started,
        ended=attempt.ended,
        outputs=attempt.outputs,
        metrics=attempt.metrics,
        warnings=attempt.notes,
        notebook=home.attempt(key),
        error=None if by_hand else error_of(row, attempt),
        traceback=None if by_hand else attempt.traceback,
        cached=attempt.cached,
        host=attempt.host,
        by_hand=by_hand,
        chosen=instance.chosen,
    )


def error_of(row: RunRow, attempt: AttemptRow) -> str | None:
    """Return the error of an attempt. If the attempt was cancelled together with its run, return the run's error."""
    return None if attempt.error is None else _error_text(row, attempt.error)


def _error_text(row: RunRow, error: str) -> str:
    if error == CANCELLED and (row.error or row.state is RunState.CANCELLED):
        return f"the attempt was terminated: {row.error or WAS_CANCELLED}"
    return error


def _events(store: Store, row: RunRow, seen: dict[int, InstanceRow], state: RunState | None) -> Iterator[Event]:
    at = time.time()
    if row.state is not state and row.state not in RUN_FINISHED:
        yield Event(kind="run", run_id=row.name, state=row.state, at=at)
    instances = store.instances([row.id])[row.id]
    moved = [each for each in instances if _progress(each) != _progress(seen.get(each.id))]
    attempts = {attempt.instance: attempt for attempt in store.attempts([row.id])[row.id]} if moved else {}
    for each in moved:
        seen[each.id] = each
        attempt = attempts.get(each.id)
        yield Event(
            kind="task",
            run_id=row.name,
            state=each.state,
            at=_time_of(each, attempt) or at,
            task=each.task,
            map_index=each.map_index,
            try_number=each.tries,
            message=_message(each, attempt),
        )
    if row.state in RUN_FINISHED:
        yield Event(kind="run", run_id=row.name, state=row.state, at=at, message=row.error or "")


def _time_of(each: InstanceRow, attempt: AttemptRow | None) -> float | None:
    """Return the time at which the task entered its current state, or None if that time is not recorded."""
    if attempt is None or each.is_reset:
        return None
    return attempt.started if each.state is TaskState.RUNNING else attempt.ended


def _message(each: InstanceRow, attempt: AttemptRow | None) -> str:
    if attempt is None or each.is_reset:
        return ""
    return f"cached: result of run {attempt.cached}" if attempt.cached else attempt.error or ""


def _progress(instance: InstanceRow | None) -> tuple[TaskState, int]:
    return (TaskState.NONE, 0) if instance is None else (instance.state, instance.tries)
