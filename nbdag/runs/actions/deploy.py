"""What is deployed: a notebook, pinned, whose schedule is live; and runs of it that a person asks for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ... import store as stores
from ...building import BuiltNotebook
from ...core.model.states import RunState
from ...core.options.option_types import nearest
from ...core.schedule.timetable import Timetable
from ...errors import NbdagError
from ...home import Home, the_home
from ...scheduler import instances_of, is_dead, new_run, next_date, timetable_of
from ...store.rows import DagRow, SchedulerRow
from ..creation.prepare import digest_of, new_name, prepare, record_parameters
from ..execution.foreground import pool_notes
from ..queries.pinned import notebook_of
from ..queries.records import Run
from ..queries.runs import told

if TYPE_CHECKING:
    from ...store.store import Store


class NotDeployedError(NbdagError):
    """A DAG was asked for that is not deployed."""

    def __init__(self, dag: str, deployed: Iterable[str]) -> None:
        super().__init__(dag)
        self.dag = dag
        self.deployed = tuple(deployed)

    def __str__(self) -> str:
        near = nearest(self.dag, self.deployed)
        hint = f"did you mean {near}?" if near else "`nbdag list` shows what is, `nbdag deploy NOTEBOOK` deploys"
        if self.dag.endswith(".ipynb"):
            hint = f"deploy it with `nbdag deploy {self.dag}`, then name its DAG"
        return f"no DAG {self.dag!r} is deployed here; {hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A deployed notebook, as people are told of it."""

    id: str
    path: Path  # the notebook's file when it was deployed
    digest: str  # of the pinned version, which new runs take
    version: int  # how many versions there have been, this one included
    deployed: datetime
    schedule: str | None  # None: on demand only
    tz: str
    paused: bool
    next_run: datetime | None  # in its zone; None: none is due, or it is paused
    last_run: str | None  # id of its newest run
    last_state: RunState | None
    changed: str = ""  # "", "changed" or "gone": its file, since it was deployed

    def to_dict(self) -> dict[str, Any]:
        """As `list -o json` prints it."""
        return {
            "dag": self.id,
            "schedule": self.schedule,
            "tz": self.tz,
            "next_run": None if self.next_run is None else self.next_run.isoformat(),
            "paused": self.paused,
            "last_run": self.last_run,
            "last_state": None if self.last_state is None else self.last_state.value,
            "changed": self.changed or None,
            "notebook": str(self.path),
            "digest": self.digest,
            "version": self.version,
            "deployed": self.deployed.isoformat(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One time at which a schedule makes a run."""

    at: datetime  # in the schedule's zone
    interval_start: datetime  # the tick before: its data are those of [interval_start, at)
    note: str = ""  # what daylight saving does to it


def deploy(
    notebook: str | PurePath,
    *,
    cwd: str | PurePath | None = None,
    home: Home | None = None,
    built: BuiltNotebook | None = None,
) -> Deployed:
    """Pin a notebook as it is now, and make its schedule live; deployed again, it is a new version.

    Its source is pinned, and each run builds what its %%dag cell makes; here that is only tried. `built`: see `run`.
    What keeps it from running is an `NbdagError`. A schedule that stays as it was goes on where it stood, and a DAG
    that is paused stays so.
    """
    here = the_home(home)
    prepared = prepare(notebook, cwd=cwd, built=built)
    digest = digest_of(prepared.source)
    dag, options = prepared.dag, prepared.dag.options
    timetable = Timetable.of(options)
    now = datetime.now(UTC)
    store = stores.open(here)
    try:
        for _ in pool_notes(store, prepared):
            pass  # a pool that is too small is refused; one that is missing works, and `check` says so
        here.pin(digest, prepared.source)
        before = store.deployments.get(dag.id)
        row = DagRow(
            id=dag.id,
            digest=digest,
            path=str(prepared.path),
            cwd=str(prepared.cwd),
            deployed=now.timestamp(),
            schedule=timetable.schedule,
            tz=options.tz,
            start_date=None if timetable.start is None else timetable.start.timestamp(),
            end_date=None if timetable.end is None else timetable.end.timestamp(),
            catchup=options.catchup,
            fail_fast=options.fail_fast,
            max_active_runs=options.max_active_runs,
            paused=before is not None and before.paused,
            last_date=None if before is None else before.last_date,
        )
        store.deployments.put(_live(row, before, now), now.timestamp())
        return _told(store, [dag.id])[0]
    finally:
        store.close()


def remove(dag: str, *, home: Home | None = None) -> None:
    """Let its schedule make no more runs. Those that there are stay, and go on."""
    with opened_dag(home, dag) as (store, row):
        store.deployments.remove(row.id)


def pause(dag: str, *, home: Home | None = None) -> Deployed:
    """Let its schedule make no runs for now; one that is triggered runs all the same."""
    with opened_dag(home, dag) as (store, row):
        store.deployments.set_paused(row.id, True, row.next_date)
        return _told(store, [row.id])[0]


def unpause(dag: str, *, home: Home | None = None) -> Deployed:
    """Let its schedule make runs again. Of the ticks that it missed it runs the last, or all of them with catchup."""
    with opened_dag(home, dag) as (store, row):
        store.deployments.set_paused(row.id, False, next_date(row, datetime.now(UTC)))
        return _told(store, [row.id])[0]


def deployed(dag: str | None = None, *, home: Home | None = None) -> list[Deployed]:
    """What is deployed, by id; or one of them."""
    here = the_home(home)
    if dag is not None:
        with opened_dag(home, dag) as (store, row):
            return _told(store, [row.id])
    if not here.exists:
        return []
    store = stores.open(here)
    try:
        return _told(store)
    finally:
        store.close()


def next_ticks(dag: str, number: int = 5, *, now: datetime | None = None, home: Home | None = None) -> list[Tick]:
    """The next times at which its schedule makes a run."""
    with opened_dag(home, dag) as (_, row):
        timetable = timetable_of(row)
        return [
            Tick(
                at=tick.astimezone(timetable.zone),
                interval_start=timetable.data_interval(tick)[0].astimezone(timetable.zone),
                note=timetable.clock_change(tick),
            )
            for tick in timetable.next_ticks(now or datetime.now(UTC), number)
        ]


class UnknownParameterError(NbdagError):
    """A parameter that the deployed notebook does not have."""

    exit_code = 2

    def __init__(self, dag: str, name: str, names: Iterable[str]) -> None:
        super().__init__(dag, name)
        self.dag = dag
        self.name = name
        self.names = tuple(names)

    def __str__(self) -> str:
        there = f"they are {', '.join(self.names)}" if self.names else "it has none"
        near = nearest(self.name, self.names)
        hint = f"did you mean {near!r}?" if near else there
        return f"the parameters cell of {self.dag} sets no {self.name!r}; {hint}"


def trigger(
    dag: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    logical_date: datetime | None = None,
    cache: bool = True,
    home: Home | None = None,
) -> Run:
    """Ask for a run of what is deployed. A scheduler makes it, paused or not; see `scheduler_alive`.

    `logical_date` is the time that the run is for (default: now); one without a zone is read in the schedule's. With
    a date, the data interval is that which the schedule gives it. Without `cache` tasks with --cache run anew.
    """
    here = the_home(home)
    with opened_dag(home, dag) as (store, row):
        now = datetime.now(UTC)
        notebook = notebook_of(here, row.digest, row.path)
        values, notes = record_parameters(notebook, parameters or {})
        for name in values:
            if name not in notebook.parameters:  # nobody looks on, as with `nbdag run`: a misspelling would do harm
                raise UnknownParameterError(dag, name, notebook.parameters)
        start = end = now
        if logical_date is not None:
            timetable = timetable_of(row)
            date = logical_date if logical_date.tzinfo else logical_date.replace(tzinfo=timetable.zone)
            start, end = timetable.data_interval(date.astimezone(UTC))
        new = new_run(row, name=new_name(now), kind="manual", at=now, date=end, start=start)
        made = replace(new, parameters=values, notes=notes, cache=cache)
        return told(store, here, [store.create_run(made, instances_of(notebook))])[0]


def scheduler_alive(*, home: Home | None = None) -> SchedulerRow | None:
    """The scheduler that drives what is deployed here; None where there is none."""
    here = the_home(home)
    if not here.exists:
        return None
    store = stores.open(here)
    try:
        now = time.time()
        return next((row for row in store.schedulers.unended() if not is_dead(row, now)), None)
    finally:
        store.close()


def _live(row: DagRow, before: DagRow | None, now: datetime) -> DagRow:
    same = before is not None and _schedule(before) == _schedule(row)
    if before is not None and same:
        row = replace(row, deployed=before.deployed)
    return replace(row, next_date=next_date(row, now))


def _schedule(row: DagRow) -> tuple[object, ...]:
    return (row.schedule, row.tz, row.start_date, row.end_date)


@contextmanager
def opened_dag(home: Home | None, dag: str) -> Iterator[tuple[Store, DagRow]]:
    here = the_home(home)
    if not here.exists:
        raise NotDeployedError(dag, ())
    store = stores.open(here)
    try:
        row = store.deployments.get(dag)
        if row is None:
            raise NotDeployedError(dag, [each.id for each in store.deployments.all()])
        yield store, row
    finally:
        store.close()


def _told(store: Store, dags: Iterable[str] | None = None) -> list[Deployed]:
    rows = store.deployments.all()
    if dags is not None:
        wanted = set(dags)
        rows = [row for row in rows if row.id in wanted]
    last = store.deployments.last_runs()
    versions = store.deployments.versions()
    answers = []
    for row in rows:
        latest, path = last.get(row.id), Path(row.path)
        zone = ZoneInfo(row.tz)  # to read the schedule itself would take most of the time
        due = None if row.paused or row.next_date is None else datetime.fromtimestamp(row.next_date, zone)
        answers.append(
            Deployed(
                id=row.id,
                path=path,
                digest=row.digest,
                version=versions.get(row.id, 1),
                deployed=datetime.fromtimestamp(row.deployed, zone),
                schedule=row.schedule,
                tz=row.tz,
                paused=row.paused,
                next_run=due,
                last_run=None if latest is None else latest.name,
                last_state=None if latest is None else latest.state,
                changed=_changed(path, row.digest),
            )
        )
    return answers


def _changed(path: Path, pinned: str) -> str:
    try:
        digest = digest_of(path.read_bytes())
    except OSError:
        return "gone"
    return "" if digest == pinned else "changed"
