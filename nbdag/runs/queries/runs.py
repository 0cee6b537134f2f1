"""Questions about runs: which there are, how they stand, what happens to them, where an attempt's log is."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ... import store as stores
from ...core.model.events import Event
from ...core.model.job import CANCELLED, Key
from ...core.model.states import FINISHED, RUN_FINISHED, RunState, TaskState
from ...core.options.option_types import nearest
from ...errors import NbdagError
from ...home import Home, the_home
from ...store.rows import AttemptRow, InstanceRow, RunRow
from ..execution.recovery import bury
from .records import Run, TaskRun

if TYPE_CHECKING:
    from ...store.store import Store

WAS_CANCELLED = "the run was cancelled"


_BURY_EVERY = 5.0  # seconds between two looks for runs whose process is gone, while nobody asks for anything


class NoSuchRunError(NbdagError):
    """A run was asked for that is not there."""

    def __init__(self, run: str, dag: str | None, where: Path) -> None:
        super().__init__(run, dag, where)
        self.run = run
        self.dag = dag
        self.where = where

    def __str__(self) -> str:
        of = f" of {self.dag}" if self.dag else ""
        if self.run == "latest":
            return f"there is no run{of} in {self.where} yet: make one with `nbdag run NOTEBOOK`"
        return f"there is no run {self.run!r}{of} in {self.where}; `nbdag runs` lists them"


class ManyRunsError(NbdagError):
    """An id, or the beginning of one, that fits several runs."""

    def __init__(self, run: str, found: Sequence[tuple[str, str]]) -> None:
        super().__init__(run, found)
        self.run = run
        self.found = tuple(found)  # DAG and run id

    def __str__(self) -> str:
        listed = ", ".join(f"{run} of {dag}" for dag, run in self.found)
        return f"{self.run!r} may be any of {listed}: say more of the id, or name the DAG (--dag)"


class NoSuchStateError(NbdagError):
    """A state was named that there is not."""

    exit_code = 2

    def __init__(self, state: str, states: Iterable[str]) -> None:
        super().__init__(state)
        self.state = str(state)
        self.states = tuple(states)

    def __str__(self) -> str:
        near = nearest(self.state, self.states)
        like = f" (did you mean {near!r}?)" if near else ""
        return f"{self.state!r} is no state here{like}: it is one of {', '.join(self.states)}"


class NotBegunError(NbdagError):
    """A task was asked for its log, and has not begun."""

    def __init__(self, run: str, task: str, try_number: int | None, state: TaskState) -> None:
        super().__init__(run, task, try_number, state)
        self.run = run
        self.task = task
        self.try_number = try_number
        self.state = state

    def __str__(self) -> str:
        what = "has not begun" if self.try_number is None else f"has no try {self.try_number}"
        return f"{self.task} {what} in run {self.run} (it is {self.state.value}), so there is no log"


@contextmanager
def opened(home: Home) -> Iterator[Store | None]:
    """The home's store, with runs whose process is gone recorded as such; None where nothing was ever recorded."""
    if not home.exists:
        yield None
        return
    store = stores.open(home)
    try:
        bury(store, home)
        yield store
    finally:
        store.close()


def list_runs(
    dag: str | None = None, state: RunState | str | None = None, limit: int = 20, *, home: Home | None = None
) -> list[Run]:
    """The latest runs, the newest first."""
    here = the_home(home)
    known = {each.value: each for each in RunState}
    if state is not None and state not in known:
        raise NoSuchStateError(state, known)
    states = () if state is None else (known[state],)
    with opened(here) as store:
        return [] if store is None else told(store, here, store.runs(dag=dag, states=states, limit=limit))


def find_run(run: str = "latest", dag: str | None = None, *, home: Home | None = None) -> Run:
    """A run by its id, by the beginning of it, or the latest one."""
    here = the_home(home)
    with opened(here) as store:
        if store is None:
            raise NoSuchRunError(run, dag, here.root)
        return told(store, here, [the_row(store, here, run, dag)])[0]


def follow(run: Run | str, *, home: Home | None = None, poll: float = 0.1) -> Iterator[Event]:
    """Where a run stands, as events, then what happens to it, until it ends. `poll` is in seconds."""
    here = home_of(run, home)
    with opened(here) as store:
        if store is None:
            raise NoSuchRunError(id_of(run), None, here.root)
        row = the_row(store, here, id_of(run), run.dag if isinstance(run, Run) else None)
        seen: dict[int, InstanceRow] = {}
        state: RunState | None = None
        while True:
            row = store.run(row.id)
            yield from _news(store, row, seen, state)
            state = row.state
            if state in RUN_FINISHED:
                return
            while store.revision(row.id) == row.revision:
                time.sleep(poll)
                bury(store, here)


def moves(dag: Callable[[], str], *, limit: int, home: Home) -> Generator[list[Run]]:
    """The latest runs of a DAG, then, whenever the next is asked for, those that have moved since; the oldest first.

    To ask costs next to nothing while nobody writes to the database. Runs whose process is gone are found now and then.
    """
    with opened(home) as store:
        seen: dict[int, int] = {}  # by run, the revision that was told
        changes: Hashable | None = None
        named, buried = "", time.monotonic()
        while store is not None:
            if time.monotonic() - buried >= _BURY_EVERY:
                bury(store, home)
                changes, buried = None, time.monotonic()
            before, changes = (changes, named), store.changes()
            named = dag()
            if changes is not None and before == (changes, named):
                yield []
                continue
            rows = store.runs(dag=named, limit=limit)
            moved = [row for row in reversed(rows) if seen.get(row.id) != row.revision]
            seen = {row.id: row.revision for row in rows}
            yield told(store, home, moved) if moved else []


def attempts(run: str, dag: str, *, home: Home) -> list[AttemptRow]:
    """Every attempt of a run, in the order in which they began."""
    with opened(home) as store:
        if store is None:
            return []
        row = the_row(store, home, run, dag)
        return store.attempts([row.id])[row.id]


def logs(
    run: Run | str, task: str, try_number: int | None = None, map_index: int = -1, *, home: Home | None = None
) -> Path:
    """The text log of an attempt, the last one unless said. The file grows while the attempt goes on."""
    here = home_of(run, home)
    found = run if isinstance(run, Run) else find_run(run, home=here)
    one = found[task] if map_index < 0 else found[task, map_index]
    if one.tries < (try_number or 1):
        raise NotBegunError(found.id, task, try_number, one.state)
    key = Key(dag=found.dag, run=found.id, task=one.id, map_index=one.map_index, try_number=try_number or one.tries)
    return here.attempt(key).with_suffix(".log")


def home_of(run: Run | str, home: Home | None) -> Home:
    """The home that was given, else the run's own, else the one of the working directory."""
    return run.home if home is None and isinstance(run, Run) else the_home(home)


def the_row(store: Store, home: Home, run: str, dag: str | None) -> RunRow:
    """The one run that is meant."""
    found = store.runs(dag=dag, limit=1) if run == "latest" else store.named(run, dag)
    if not found:
        raise NoSuchRunError(run, dag, home.root)
    if len(found) > 1:
        raise ManyRunsError(run, [(row.dag, row.name) for row in found])
    return found[0]


def told(store: Store, home: Home, rows: Sequence[RunRow]) -> list[Run]:
    """The runs, as people are told of them."""
    numbers = [row.id for row in rows]
    attempts = store.attempts(numbers)
    instances = store.instances(numbers)
    notes = store.notes(numbers)
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
            tasks=_tasks(home, row, instances[row.id], attempts[row.id]),
            warnings=notes[row.id],
            error=row.error,
            source=Path(row.path),
            only=row.tasks,
            home=home,
        )
        for row in rows
    ]


def _report(home: Home, row: RunRow) -> Path:
    """Where it was asked for, as long as it is there."""
    asked = None if row.output is None else Path(row.output)
    return asked if asked is not None and asked.is_file() else home.report(row.dag, row.name)


def _tasks(
    home: Home, row: RunRow, instances: Sequence[InstanceRow], attempts: Sequence[AttemptRow]
) -> tuple[TaskRun, ...]:
    last = {attempt.instance: attempt for attempt in attempts}
    return tuple(_task(home, row, instance, last.get(instance.id)) for instance in instances)


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
    # Of a mapped task without elements an attempt succeeded, that of finding them; it is skipped then.
    moved = attempt.state in FINISHED and instance.state in FINISHED - {attempt.state, TaskState.SKIPPED}
    by_hand = moved and row.state is not RunState.CANCELLED
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
        warnings=attempt.notes,
        notebook=home.attempt(key),
        error=None if by_hand else error_of(row, attempt),
        traceback=None if by_hand else attempt.traceback,
        cached=attempt.cached,
        by_hand=by_hand,
    )


def error_of(row: RunRow, attempt: AttemptRow) -> str | None:
    """Why an attempt failed; where the run ended it, why the run did."""
    if attempt.error == CANCELLED and (row.error or row.state is RunState.CANCELLED):
        return f"it was ended: {row.error or WAS_CANCELLED}"
    return attempt.error


def _news(store: Store, row: RunRow, seen: dict[int, InstanceRow], state: RunState | None) -> Iterator[Event]:
    at = time.time()
    if row.state is not state and row.state not in RUN_FINISHED:
        yield Event(kind="run", run_id=row.name, state=row.state, at=at)
    instances = store.instances([row.id])[row.id]
    moved = [each for each in instances if _stands(each) != _stands(seen.get(each.id))]
    attempts = {attempt.instance: attempt for attempt in store.attempts([row.id])[row.id]} if moved else {}
    for each in moved:
        seen[each.id] = each
        attempt = attempts.get(each.id)
        yield Event(
            kind="task",
            run_id=row.name,
            state=each.state,
            at=_moment(each, attempt) or at,
            task=each.task,
            map_index=each.map_index,
            try_number=each.tries,
            message=_message(each, attempt),
        )
    if row.state in RUN_FINISHED:
        yield Event(kind="run", run_id=row.name, state=row.state, at=at, message=row.error or "")


def _moment(each: InstanceRow, attempt: AttemptRow | None) -> float | None:
    """When it came to stand so, which may be long before it is looked at; None where no attempt says so."""
    if attempt is None or each.is_reset:
        return None
    return attempt.started if each.state is TaskState.RUNNING else attempt.ended


def _message(each: InstanceRow, attempt: AttemptRow | None) -> str:
    if attempt is None or each.is_reset:
        return ""
    return f"cached: as in run {attempt.cached}" if attempt.cached else attempt.error or ""


def _stands(instance: InstanceRow | None) -> tuple[TaskState, int]:
    return (TaskState.NONE, 0) if instance is None else (instance.state, instance.tries)


def id_of(run: Run | str) -> str:
    """The id, or the word, that a run was asked for by."""
    return run.id if isinstance(run, Run) else run
