"""Find the runs that a scheduler must execute next: runs that a schedule or new data makes due, and queued runs.

Two schedulers never create the same run twice: one transaction records the run of a tick and the schedule's next date,
and the run's id contains the tick. After missed ticks, at most as many runs are created as may run at once, so a year
of missed ticks does not fill the queue.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ..core.model.dag import Dag
from ..core.model.states import RunState
from ..core.model.text import join_names
from ..core.planning.pools import runs_to_start
from ..core.schedule.assets import Condition, label, located
from ..core.schedule.timetable import Timetable
from ..errors import NbdagError
from ..store.rows import AssetEvent, DagRow, NewInstance, NewRun, RunRow
from .file_assets import WatchedFiles
from .planning_views import new_instance, run_view, utc_datetime
from .queued_deadlines import OnMissed, QueuedDeadlines

if TYPE_CHECKING:
    from ..store.store import Store

DEFAULT_BACKFILL_LIMIT = 10  # by default, how many runs of one backfill may run at once
DEFAULT_RUN_LIMIT = 16  # how many runs of a DAG that is no longer deployed may run at once
RETRY_INTERVAL = 60.0  # seconds before a notebook that could not be read is read again

# A function that logs a message; arguments: message, id of the DAG, id of the run.
Report = Callable[[str, str, str], None]


@dataclass(frozen=True, slots=True)
class DueRun:
    """A run that a scheduler must own now."""

    row: RunRow
    most: int | None  # how many runs of this DAG and kind may run at once; None if the run is already running


class DueRuns:
    """Finds the runs that one scheduler must own and does not own yet."""

    def __init__(
        self,
        store: Store,
        *,
        read: Callable[[RunRow | DagRow], Dag],
        report: Report,
        most_of_backfill: int = DEFAULT_BACKFILL_LIMIT,
        on_missed: OnMissed = lambda row, dag, missed: None,
    ) -> None:
        self._store = store
        self._read = read
        self._report = report
        self._most_of_backfill = most_of_backfill
        self._files = WatchedFiles()
        self._deadlines = QueuedDeadlines(store, read=read, on_missed=on_missed)
        # Key: (DAG, digest) of a run that could not be created; value: time of the next try.
        self._retries: dict[tuple[str, str], datetime] = {}

    def poll(self, now: datetime, scheduler: str, owned: Collection[int]) -> tuple[list[DueRun], datetime | None]:
        """Return the runs to own now, and the latest time for the next poll (None: no further poll is needed)."""
        self._create_due(now)
        watched = self._create_for_assets(now)
        wake = self._wake(now)
        due, waiting = self._due_or_running(scheduler, owned)
        deadline = self._deadlines.poll(waiting, now)
        return due, min((at for at in (wake, watched, deadline) if at is not None), default=None)

    def _wake(self, now: datetime) -> datetime | None:
        times = [at for at in self._retries.values() if at > now]
        date = self._store.deployments.next_date_after(now.timestamp())
        if date is not None:
            times.append(utc_datetime(date))
        return min(times, default=None)

    def _create_due(self, now: datetime) -> None:
        for row in self._store.deployments.due(now.timestamp()):
            key = (row.id, row.digest)
            if self._retries.get(key, now) > now:
                continue
            try:
                self._create(row, now)
                self._retries.pop(key, None)
            except NbdagError as error:
                self._retries[key] = now + timedelta(seconds=RETRY_INTERVAL)
                self._report(f"the due run cannot be created; next try in {RETRY_INTERVAL:g} s: {error}", row.id, "")

    def _create_for_assets(self, now: datetime) -> datetime | None:
        """Create runs that are due because of new asset events. Return the time of the next check of watched files."""
        needed = self._store.assets.needed()
        if not needed:
            return None
        watched = self._files.poll(self._store, needed, now)
        for dag, events in self._store.assets.unused().items():
            row = self._store.deployments.get(dag)
            if row is None or self._retries.get((dag, row.digest), now) > now:
                continue
            condition = condition_of(row)
            if condition is None or not condition.met({located(each.asset, row.cwd) for each in events}):
                continue
            try:
                self._create_for(row, events, now)
                self._retries.pop((dag, row.digest), None)
            except NbdagError as error:
                self._retries[dag, row.digest] = now + timedelta(seconds=RETRY_INTERVAL)
                self._report(f"the due run cannot be created; next try in {RETRY_INTERVAL:g} s: {error}", dag, "")
        return watched

    def _create_for(self, row: DagRow, events: Sequence[AssetEvent], now: datetime) -> None:
        """Create a run that uses these events.

        The data interval begins at the time of the first event. The run's date is the time of the last event.
        """
        first, last = (utc_datetime(each.at) for each in (events[0], events[-1]))
        new = new_run(row, name=scheduled_name(now, "asset"), kind="asset", at=now, date=last, start=first)
        new = replace(new, events=tuple(each.to_dict() for each in events))
        run = self._store.assets.create_run(new, instances_of(self._read(row)), events)
        if run is not None:
            names = join_names(list(dict.fromkeys(label(each.asset) for each in events)))
            self._report(f"is due, since there is new data: {names}", row.id, run.name)

    def _create(self, row: DagRow, now: datetime) -> None:
        """Create the due runs of a DAG, but at most as many as may run at once; later calls create the others."""
        timetable, deployed = timetable_of(row), utc_datetime(row.deployed)
        last = None if row.last_date is None else utc_datetime(row.last_date)
        first = timetable.next_run(last, now, deployed)
        if first is None or first > now:
            next_ = None if first is None else first.timestamp()
            if row.next_date != next_:
                self._store.deployments.advance(row, next_)
            return
        most = row.max_active_runs if row.catchup else timetable.max_active_runs
        room = None if most is None else max(0, most - self._store.deployments.count_scheduled(row.id))
        ticks = list(islice(timetable.due(last, now, deployed), room))
        if ticks:
            self._record(row, timetable, ticks, last, now, timetable.next_run(ticks[-1], now, deployed))

    def _record(
        self,
        row: DagRow,
        timetable: Timetable,
        ticks: Sequence[datetime],
        last: datetime | None,
        now: datetime,
        next_: datetime | None,
    ) -> None:
        starts = (timetable.data_interval(ticks[0], last)[0], *ticks)
        due = [
            new_run(row, name=scheduled_name(tick), kind="scheduled", at=now, date=tick, start=start)
            for start, tick in zip(starts, ticks, strict=False)
        ]
        next_at = None if next_ is None else next_.timestamp()
        created = self._store.deployments.create_due(row, due, instances_of(self._read(row)), next_at)
        for run in created or ():
            late = (now - utc_datetime(run.logical_date)).total_seconds()
            delay = f" ({late:.0f} s late)" if late >= 60 else ""
            local = utc_datetime(run.logical_date).astimezone(timetable.zone)
            self._report(
                f"is due at {local:%Y-%m-%d %H:%M:%S %Z} by its schedule {row.schedule!r}{delay}", row.id, run.name
            )

    def _due_or_running(self, scheduler: str, owned: Collection[int]) -> tuple[list[DueRun], list[RunRow]]:
        """Return the runs to own, and the queued runs that may not start yet."""
        rows = [row for row in self._store.deployments.unfinished(scheduler) if row.id not in owned]
        due = [DueRun(row, None) for row in rows if row.state is RunState.RUNNING or row.cancel_asked is not None]
        queued = {(row.dag, row.name): row for row in rows if row.state is RunState.QUEUED and row.cancel_asked is None}
        if not queued:
            return due, []
        most = self._store.deployments.max_active_runs(sorted({dag for dag, _ in queued}))
        limits: dict[tuple[str, bool], int] = {}
        for row in queued.values():
            backfill = row.kind == "backfill"
            limits[row.dag, backfill] = self._most_of_backfill if backfill else most.get(row.dag, DEFAULT_RUN_LIMIT)
        backfills = self._store.backfills.newest({row.dag for row in queued.values() if row.backfill})
        limits |= {(dag, True): each.max_active_runs for dag, each in backfills.items()}
        start = runs_to_start(
            map(run_view, queued.values()),
            self._store.deployments.count_running(),
            limits,
            backwards={dag for dag, each in backfills.items() if each.backwards},
        )
        for each in start:
            row = queued.pop((each.dag_id, each.run_id))
            due.append(DueRun(row, limits[row.dag, row.kind == "backfill"]))
        return due, list(queued.values())


def timetable_of(row: DagRow) -> Timetable:
    """Return the timetable of a deployed notebook."""
    return _timetable(row.schedule, row.tz, row.start_date, row.end_date, row.catchup)


def condition_of(row: DagRow) -> Condition | None:
    """Return the condition on assets of a deployed notebook's schedule, with absolute paths of files."""
    condition = timetable_of(row).condition
    return None if condition is None else condition.located(row.cwd)


def next_date(row: DagRow, now: datetime) -> float | None:
    """Return the logical date of a deployed notebook's next scheduled run, or None if there is none."""
    last = None if row.last_date is None else utc_datetime(row.last_date)
    tick = timetable_of(row).next_run(last, now, utc_datetime(row.deployed))
    return None if tick is None else tick.timestamp()


def new_run(row: DagRow, *, name: str, kind: str, at: datetime, date: datetime, start: datetime) -> NewRun:
    """Return a new run of a deployed notebook. Its logical date is `date`, its data interval is `start` to `date`."""
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
    """Return the id of the run for a tick."""
    return f"{kind}__{tick.astimezone(UTC):%Y-%m-%dT%H-%M-%S.%f}Z"


def instances_of(dag: Dag) -> Sequence[NewInstance]:
    """Return the task instances of a complete run, or no instances if %%dag builds the tasks when the run starts."""
    if dag.unbuilt:
        return []
    return [new_instance(dag, task) for task in dag.tasks]


@lru_cache(maxsize=4096)
def _timetable(schedule: str | None, tz: str, start: float | None, end: float | None, catchup: bool) -> Timetable:
    zone = ZoneInfo(tz)
    first, last = (None if at is None else datetime.fromtimestamp(at, zone) for at in (start, end))
    return Timetable.parse(schedule, tz=tz, start_date=first, end_date=last, catchup=catchup and schedule is not None)
