"""Ticks of cron expressions and intervals in a time zone.

A cron expression is evaluated in local (wall-clock) time. When the clocks change for daylight saving:

- A local time that occurs twice has its tick at the second occurrence, or at both if the hour field is `*`.
- A local time that does not exist is shifted by the change of the clocks: 03:30 in a missing hour is 04:30. Several
  times shifted to the same instant are one tick.

Ticks strictly increase. All datetimes are aware. Returned datetimes are in UTC, because Python compares datetimes of
one zone by their local times and so treats both occurrences of a repeated hour as equal. `timetable` decides which
ticks create a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
MAX_UTC_OFFSET = DAY  # an upper bound: the offset from UTC is smaller in every time zone
ANCHOR = datetime(1970, 1, 5)  # the first tick of an interval without a start date: midnight of a Monday
# Lengths of time to search back for the previous tick. The shortest is tried first, because most schedules have a
# recent tick.
LOOKBACKS = tuple(timedelta(hours=2) * 12**n for n in range(6))


class Ticks(Protocol):
    """The interface of all schedules that have ticks."""

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the ticks after this moment, in order, up to the end of the calendar."""

    def wall_times(self, tick: datetime) -> list[datetime]:
        """Return the local times in the schedule that produce this tick; an interval of real time has none."""


def latest(ticks: Ticks, moment: datetime, *, inclusive: bool = True) -> datetime | None:
    """Return the last tick up to this moment, or None if there is none within centuries."""
    for lookback in LOOKBACKS:
        try:
            begin = moment - lookback
        except OverflowError:
            return None
        found = None
        for tick in ticks.after(begin):
            if tick > moment or (tick == moment and not inclusive):
                break
            found = tick
        if found is not None:
            return found
    return None


def instants(wall: datetime, zone: ZoneInfo, *, both: bool) -> tuple[datetime, ...]:
    """Return the instant of a local time; with `both`, return both instants of a local time that occurs twice."""
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if second > first:
        return (first, second) if both else (second,)
    # For a missing local time, Python uses the offset before the clock change, which shifts the time forward.
    return (first,)


class Cron:
    """Ticks of a cron expression with five fields, parsed by croniter."""

    def __init__(self, expression: str, zone: ZoneInfo) -> None:
        fields, _ = croniter.expand(expression)
        minutes = [*range(60)] if "*" in fields[0] else fields[0]
        hours = [*range(24)] if "*" in fields[1] else fields[1]
        self.zone = zone
        self.every_hour = len(hours) == 24
        # Ticks of a matching day, in minutes after midnight.
        self._minutes = [60 * hour + minute for hour in hours for minute in minutes]
        self._days = " ".join(("0 0", *expression.split()[2:]))

    def days(self, first: date) -> Iterator[date]:
        """Yield the days that the expression matches, beginning with `first`."""
        try:
            found = croniter(self._days, datetime.combine(first, time()) - timedelta(minutes=1), ret_type=datetime)
            for moment in found:
                yield moment.date()
        except (CroniterBadDateError, OverflowError):
            return

    def after(self, moment: datetime) -> Iterator[datetime]:
        # When the clocks change, ticks of one day can move past ticks of the next day. So the search begins a day
        # early, and a tick is yielded only once no later day can have an earlier tick.
        pending: set[datetime] = set()
        for day in self.days(moment.astimezone(self.zone).date() - DAY):
            earliest = self._earliest_instant(day)
            done = sorted(tick for tick in pending if tick < earliest)
            yield from done
            pending.difference_update(done)
            pending.update(self._ticks(day, moment))
        yield from sorted(pending)

    def wall_times(self, tick: datetime) -> list[datetime]:
        today = tick.astimezone(self.zone).date()
        return [
            wall
            for day in (today - DAY, today)
            if next(self.days(day), None) == day
            for minute in self._minutes
            if tick in instants(wall := datetime.combine(day, time()) + timedelta(minutes=minute), self.zone, both=True)
        ]

    def _earliest_instant(self, day: date) -> datetime:
        """Return an instant that is at or before every local time of this day and of all later days."""
        midnight = datetime.combine(day, time(), self.zone)
        if midnight.utcoffset() == midnight.replace(fold=1).utcoffset():
            return midnight.astimezone(UTC)
        # Midnight occurs twice or never on this day, so return an earlier instant.
        return datetime.combine(day, time(), UTC) - MAX_UTC_OFFSET

    def _ticks(self, day: date, moment: datetime) -> Iterator[datetime]:
        """Yield the ticks of a day that are after this moment."""
        midnight = datetime.combine(day, time())
        # If the day has many ticks, it is faster to compute all of them with one offset.
        if len(self._minutes) > 24 and self._has_constant_offset(midnight):
            begin = midnight.replace(tzinfo=self.zone).astimezone(UTC)
            least = (moment - begin) // MINUTE
            yield from (begin + minute * MINUTE for minute in self._minutes if minute > least)
        else:
            for minute in self._minutes:
                wall = midnight + minute * MINUTE
                yield from (tick for tick in instants(wall, self.zone, both=self.every_hour) if tick > moment)

    def _has_constant_offset(self, midnight: datetime) -> bool:
        """Return whether the offset from UTC is constant on this day."""
        hours = [midnight + timedelta(hours=n) for n in range(25)]
        return len({hour.replace(tzinfo=self.zone, fold=fold).utcoffset() for hour in hours for fold in (0, 1)}) == 1


class Days:
    """Ticks every `count` days, at the same local time."""

    def __init__(self, count: int, anchor: datetime, zone: ZoneInfo) -> None:
        self.zone = zone
        # The local time from which days are counted.
        self._count, self._anchor = count, anchor.replace(tzinfo=None, fold=0)

    def after(self, moment: datetime) -> Iterator[datetime]:
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        step = timedelta(days=self._count)
        n = (local - self._anchor) // step  # after a clock change, tick n may be later than `moment`
        last = moment
        while True:
            try:
                wall = self._anchor + n * step
                (tick,) = instants(wall, self.zone, both=False)
            except OverflowError:
                return
            if tick > last:
                yield tick
                last = tick
            n += 1

    def wall_times(self, tick: datetime) -> list[datetime]:
        local = tick.astimezone(self.zone).replace(tzinfo=None, fold=0)
        step = timedelta(days=self._count)
        n = (local - self._anchor) // step
        walls = [self._anchor + k * step for k in (n - 1, n)]
        return [wall for wall in walls if tick in instants(wall, self.zone, both=False)]


class Seconds:
    """Ticks every `count` seconds of real time, independent of local time."""

    def __init__(self, count: float, anchor: datetime) -> None:
        self._step, self._anchor = timedelta(seconds=count), anchor.astimezone(UTC)

    def after(self, moment: datetime) -> Iterator[datetime]:
        n = (moment - self._anchor) // self._step + 1
        while True:
            try:
                yield self._anchor + n * self._step
            except OverflowError:
                return
            n += 1

    def wall_times(self, tick: datetime) -> list[datetime]:
        return []
