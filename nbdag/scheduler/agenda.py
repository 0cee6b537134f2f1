"""What is to be driven: runs that their schedule makes due, and runs that wait for their turn.

A tick's run is recorded together with the step of the schedule to the next, and its name says the tick: whoever comes
second finds it there. Catching up makes no more runs than may run at once, so a year of ticks fills no queue.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ..core.dag import Dag
from ..core.slots import runs_to_start
from ..core.states import RunState
from ..core.timetable import Timetable
from ..errors import NbdagError
from ..store.rows import DagRow, NewInstance, NewRun, RunRow
from .look import new_instance, view, when

if TYPE_CHECKING:
    from ..store.store import Store

OF_BACKFILL = 10  # a backfill's runs at once
UNKNOWN = 16  # runs at once of a DAG that is deployed no more
AGAIN = 60.0  # seconds before a notebook that could not be read is looked at again

Say = Callable[[str, str, str], None]  # what happened, of which DAG, of which run


@dataclass(frozen=True, slots=True)
class Turn:
    """A run whose turn it is."""

    row: RunRow
    most: int | None  # how many of its kind may run at once; None: it runs already


class Agenda:
    """What one scheduler has to drive, besides what it drives already."""

    def __init__(
        self, store: Store, *, read: Callable[[DagRow], Dag], say: Say, most_of_backfill: int = OF_BACKFILL
    ) -> None:
        self._store = store
        self._read = read
        self._say = say
        self._most_of_backfill = most_of_backfill
        self._later: dict[tuple[str, str], datetime] = {}  # what could not be made, and when to try again

    def look(self, now: datetime, scheduler: str, driven: Collection[int]) -> tuple[list[Turn], datetime | None]:
        """The runs whose turn it is, and when to look again though nothing happens."""
        waiting = self._make_due(now)
        return self._turns(scheduler, driven), self._wake(now, waiting)

    def _wake(self, now: datetime, waiting: bool) -> datetime | None:
        times = [at for at in self._later.values() if at > now]
        date = self._store.deployments.next_date_after(now.timestamp())
        if date is not None:
            times.append(when(date))
        return min(times, default=None)

    def _make_due(self, now: datetime) -> bool:
        """Make the runs that are due; whether some have to wait for others to end."""
        held = False
        for row in self._store.deployments.due(now.timestamp()):
            key = (row.id, row.digest)
            if self._later.get(key, now) > now:
                continue
            try:
                held = self._make(row, now) or held
                self._later.pop(key, None)
            except NbdagError as error:
                self._later[key] = now + timedelta(seconds=AGAIN)
                self._say(f"cannot make its run, and tries again in {AGAIN:g} s: {error}", row.id, "")
        return held

    def _make(self, row: DagRow, now: datetime) -> bool:
        timetable, deployed = timetable_of(row), when(row.deployed)
        most = row.max_active_runs if row.catchup else timetable.max_active_runs
        room = None if most is None else most - self._store.deployments.open_runs(row.id)
        last = None if row.last_date is None else when(row.last_date)
        tick = timetable.next_run(last, now, deployed)
        while True:
            if tick is None or tick > now:
                if tick is None or row.next_date != tick.timestamp():
                    self._store.deployments.advance(row, row.last_date, None if tick is None else tick.timestamp())
                return False
            if room is not None:
                if room <= 0:
                    return True
                room -= 1
            next_ = timetable.next_run(tick, now, deployed)
            next_at = None if next_ is None else next_.timestamp()
            if not self._record(row, timetable, tick, last, now, next_at):
                return False  # somebody else goes on with it
            row = replace(row, last_date=tick.timestamp(), next_date=next_at)
            if next_ is None or next_ > now:
                return False
            last, tick = tick, next_

    def _record(
        self,
        row: DagRow,
        timetable: Timetable,
        tick: datetime,
        last: datetime | None,
        now: datetime,
        next_date: float | None,
    ) -> bool:
        from ..store.store import RunExistsError

        start, _ = timetable.data_interval(tick, last)
        new = new_run(row, name=scheduled_name(tick), kind="scheduled", at=now, date=tick, start=start)
        try:
            self._store.create_run(new, instances_of(self._read(row)), due=(row, next_date))
        except RunExistsError:
            # Made by another scheduler just now, or for the schedule as it was deployed before.
            return self._store.deployments.advance(row, new.logical_date, next_date)
        late = (now - tick).total_seconds()
        said = f" ({late:.0f} s late)" if late >= 60 else ""
        local = tick.astimezone(timetable.zone)
        self._say(f"is due at {local:%Y-%m-%d %H:%M:%S %Z} by its schedule {row.schedule!r}{said}", row.id, new.name)
        return True

    def _turns(self, scheduler: str, driven: Collection[int]) -> list[Turn]:
        rows = [row for row in self._store.deployments.unfinished(scheduler) if row.id not in driven]
        turns = [Turn(row, None) for row in rows if row.state is RunState.RUNNING or row.cancel_asked is not None]
        queued = {(row.dag, row.name): row for row in rows if row.state is RunState.QUEUED and row.cancel_asked is None}
        if not queued:
            return turns
        most = self._store.deployments.most(sorted({dag for dag, _ in queued}))
        limits: dict[tuple[str, bool], int] = {}
        for row in queued.values():
            backfill = row.kind == "backfill"
            limits[row.dag, backfill] = self._most_of_backfill if backfill else most.get(row.dag, UNKNOWN)
        filling = self._store.operations.open_backfills({row.dag for row in queued.values() if row.backfill})
        limits |= {(dag, True): each.max_active_runs for dag, each in filling.items()}
        start = runs_to_start(
            map(view, queued.values()),
            self._store.deployments.running(),
            limits,
            backwards={dag for dag, each in filling.items() if each.backwards},
        )
        for each in start:
            row = queued[each.dag_id, each.run_id]
            turns.append(Turn(row, limits[row.dag, row.kind == "backfill"]))
        return turns


def timetable_of(row: DagRow) -> Timetable:
    """When a deployed notebook runs by itself."""
    return _timetable(row.schedule, row.tz, row.start_date, row.end_date, row.catchup)


def next_date(row: DagRow, now: datetime) -> float | None:
    """The logical date of its next scheduled run."""
    last = None if row.last_date is None else when(row.last_date)
    tick = timetable_of(row).next_run(last, now, when(row.deployed))
    return None if tick is None else tick.timestamp()


def new_run(row: DagRow, *, name: str, kind: str, at: datetime, date: datetime, start: datetime) -> NewRun:
    """A run of what is deployed, of the data from `start` up to its logical date."""
    return NewRun(
        dag=row.id,
        name=name,
        digest=row.digest,
        kind=kind,
        path=row.path,
        cwd=row.cwd,
        created=at.timestamp(),
        logical_date=date.timestamp(),
        interval_start=start.timestamp(),
        interval_end=date.timestamp(),
        fail_fast=row.fail_fast,
    )


def scheduled_name(tick: datetime, kind: str = "scheduled") -> str:
    """The id of a tick's run."""
    return f"{kind}__{tick.astimezone(UTC):%Y-%m-%dT%H-%M-%S.%f}Z"


def instances_of(dag: Dag) -> Sequence[NewInstance]:
    """The tasks of a run of the whole notebook."""
    return [new_instance(dag, task) for task in dag.tasks]


@lru_cache(maxsize=4096)
def _timetable(schedule: str | None, tz: str, start: float | None, end: float | None, catchup: bool) -> Timetable:
    zone = ZoneInfo(tz)
    first, last = (None if at is None else datetime.fromtimestamp(at, zone) for at in (start, end))
    return Timetable.parse(schedule, tz=tz, start_date=first, end_date=last, catchup=catchup and schedule is not None)
