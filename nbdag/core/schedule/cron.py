"""The instants that a cron expression, or an interval, means in a time zone.

An expression speaks of the clock on the wall. Where a wall clock and real time part, at a change of daylight saving:

- a time that comes twice means the second of the two; every real hour, if the hour field is `*`;
- a time that does not exist means the instant at which it would have come, had the clocks not been changed: 03:30
  in a missing hour is 04:30. Times moved onto one another are one tick.

Ticks strictly increase. All instants given and taken are aware; those given are in UTC, because Python compares two
times of one zone by their wall clocks and so takes the two passes of a repeated hour for the same. Which of the ticks
make a run is `core.timetable`'s to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
MAX_UTC_OFFSET = DAY  # no zone is further from UTC
ANCHOR = datetime(1970, 1, 5)  # intervals without a start date count from here: a midnight, of a Monday
# how far to look back for the tick before: near first, because a dense expression has many
LOOKBACKS = tuple(timedelta(hours=2) * 12**n for n in range(6))


class Ticks(Protocol):
    """What all kinds of ticks can tell."""

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The ticks later than this, in order, without end or until the calendar ends."""

    def wall_times(self, tick: datetime) -> list[datetime]:
        """The wall-clock times that mean this tick; empty where it was not told by a wall clock."""


def latest(ticks: Ticks, moment: datetime, *, inclusive: bool = True) -> datetime | None:
    """The last tick before this moment, or at it; None if there is none within centuries."""
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
    """What a wall-clock time means: one instant, or with `both` the two passes of a repeated time."""
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if second > first:
        return (first, second) if both else (second,)
    return (first,)  # a missing time is read with the offset before the change, which moves it on


class Cron:
    """A cron expression of five fields, as croniter reads it."""

    def __init__(self, expression: str, zone: ZoneInfo) -> None:
        fields, _ = croniter.expand(expression)
        minutes = [*range(60)] if "*" in fields[0] else fields[0]
        hours = [*range(24)] if "*" in fields[1] else fields[1]
        self.zone = zone
        self.every_hour = len(hours) == 24
        self._minutes = [60 * hour + minute for hour in hours for minute in minutes]  # of a day that matches
        self._days = " ".join(("0 0", *expression.split()[2:]))

    def days(self, first: date) -> Iterator[date]:
        """The days that match, from this one on."""
        try:
            found = croniter(self._days, datetime.combine(first, time()) - timedelta(minutes=1), ret_type=datetime)
            for moment in found:
                yield moment.date()
        except (CroniterBadDateError, OverflowError):
            return

    def after(self, moment: datetime) -> Iterator[datetime]:
        # a day's ticks, moved by a change of the clocks, can come after ticks of the next day: so they are held back
        # until no later day can have an earlier one, and the day before is looked at as well
        pending: set[datetime] = set()
        for day in self.days(moment.astimezone(self.zone).date() - DAY):
            sure = self._beginning(day)
            done = sorted(tick for tick in pending if tick < sure)
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

    def _beginning(self, day: date) -> datetime:
        """No wall-clock time from this midnight on means an earlier instant."""
        midnight = datetime.combine(day, time(), self.zone)
        if midnight.utcoffset() == midnight.replace(fold=1).utcoffset():
            return midnight.astimezone(UTC)
        return datetime.combine(day, time(), UTC) - MAX_UTC_OFFSET  # it comes twice, or never: no need to be exact

    def _ticks(self, day: date, moment: datetime) -> Iterator[datetime]:
        """The ticks of a day that are later than this."""
        midnight = datetime.combine(day, time())
        if len(self._minutes) > 24 and self._is_plain(midnight):  # a short cut, for dense expressions
            begin = midnight.replace(tzinfo=self.zone).astimezone(UTC)
            least = (moment - begin) // MINUTE
            yield from (begin + minute * MINUTE for minute in self._minutes if minute > least)
        else:
            for minute in self._minutes:
                wall = midnight + minute * MINUTE
                yield from (tick for tick in instants(wall, self.zone, both=self.every_hour) if tick > moment)

    def _is_plain(self, midnight: datetime) -> bool:
        """Whether the clocks stay as they are, all day long."""
        hours = [midnight + timedelta(hours=n) for n in range(25)]
        return len({hour.replace(tzinfo=self.zone, fold=fold).utcoffset() for hour in hours for fold in (0, 1)}) == 1


class Days:
    """Every so many days, at the same time on the wall."""

    def __init__(self, count: int, anchor: datetime, zone: ZoneInfo) -> None:
        self.zone = zone
        self._count, self._anchor = count, anchor.replace(tzinfo=None, fold=0)  # the anchor is a wall-clock time

    def after(self, moment: datetime) -> Iterator[datetime]:
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        step = timedelta(days=self._count)
        n = (local - self._anchor) // step  # its tick may be later: moved on, or in the second pass of its hour
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
    """Every so many seconds of real time, whatever the clock on the wall says."""

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
