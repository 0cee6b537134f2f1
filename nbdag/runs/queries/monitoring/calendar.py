"""Runs by day, and the days on which a schedule will create runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from ....core.model.states import RunState
from ....home import Home, the_home
from ....scheduler import timetable_of
from ..deployments import NotDeployedError
from ..runs import open_store

_MOST_TICKS = 10_000  # maximum number of planned ticks; a schedule may have a tick in each minute


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarDay:
    """A day with runs, or with ticks in the future."""

    day: date
    runs: Mapping[RunState, int]  # number of runs whose logical date is on that day, by state
    planned: int  # number of ticks on that day that are still to come


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Days in the time zone of the schedule."""

    tz: str
    days: tuple[CalendarDay, ...]  # the days with runs or ticks, oldest first


def calendar(dag: str, first: date, last: date, *, now: datetime | None = None, home: Home | None = None) -> Calendar:
    """Return the runs and the future ticks of a DAG by day, from the day `first` to the day `last`, inclusive."""
    with open_store(the_home(home)) as store:
        row = None if store is None else store.deployments.get(dag)
        if store is None or not (row or store.runs(dag=dag, limit=1)):
            raise NotDeployedError(dag, () if store is None else tuple(each.id for each in store.deployments.all()))
        zone = ZoneInfo("UTC" if row is None else row.tz)
        start = datetime.combine(first, time(), zone)
        end = datetime.combine(last + timedelta(days=1), time(), zone)
        found: dict[date, Counter[RunState]] = {}
        for at, state in store.listings.dated_runs(dag, start.timestamp(), end.timestamp()):
            found.setdefault(datetime.fromtimestamp(at, zone).date(), Counter())[state] += 1
    planned: Counter[date] = Counter()
    if row is not None and not row.paused:
        begin = max(start.astimezone(UTC), now or datetime.now(UTC))
        if begin < end:
            ticks = timetable_of(row).between(begin, end.astimezone(UTC) - timedelta(microseconds=1))
            planned.update(tick.astimezone(zone).date() for tick in islice(ticks, _MOST_TICKS))
    return Calendar(
        tz=zone.key,
        days=tuple(
            CalendarDay(day=day, runs=dict(found.get(day, {})), planned=planned[day])
            for day in sorted({*found, *planned})
        ),
    )
