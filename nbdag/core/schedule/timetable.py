"""The timetable of scheduled runs.

A schedule is a cron expression, a preset, an interval, a condition on assets (module `assets`), or none. A scheduled
run starts at a tick, which is the run's logical date. Its data interval lasts from the previous tick to this tick.
`cron` computes the ticks in a time zone. A `Timetable` selects the ticks that create a run: ticks between the start
date and the end date, after the last run and after the deployment. Without catchup, only the last of several missed
ticks creates a run. An invalid schedule is rejected when it is declared, not at its first tick.

Returned datetimes are in UTC; arguments must be aware. The current time is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter

from ...errors import NbdagError, error
from ..options.option_types import PRESETS, ZONE, nearest, read_duration
from ..options.options import DagOptions
from .assets import Condition, is_condition, parse
from .cron import ANCHOR, Cron, Days, Seconds, Ticks, latest

CRON_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
ONCE, CONTINUOUS = "@once", "@continuous"
NONE = ("", "none", "@none")

FIELDS = (
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31, or L for the last"),
    ("month", "1 to 12, or jan to dec"),
    ("day of the week", "0 to 7, or sun to sat, both 0 and 7 being Sunday"),
)


@error
class ScheduleError(NbdagError):
    """A schedule, date or time zone is invalid."""

    subject: str  # the invalid option and its value, such as "tz 'Europe/Pariss'"
    problem: str
    advice: str
    template = "{subject} {problem}; {advice}"


@dataclass(frozen=True, kw_only=True)
class Timetable:
    """The schedule of a pipeline, parsed."""

    schedule: str | None  # the text of the schedule in the header; None: runs are created only on request
    zone: ZoneInfo
    start: datetime | None  # start date, in UTC: earlier ticks create no run
    end: datetime | None  # end date, in UTC: later ticks create no run
    catchup: bool  # whether every missed tick creates a run; if not, only the last one does
    # None if there are no ticks: no schedule, @once, @continuous, or a condition on assets without a time.
    ticks: Ticks | None
    condition: Condition | None = None  # the assets whose new events create a run

    @classmethod
    def parse(
        cls,
        schedule: str | None,
        *,
        tz: str = "UTC",
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        catchup: bool = False,
    ) -> Timetable:
        """Return the timetable of a schedule. Dates without a zone are in `tz`. Raise `ScheduleError`."""
        try:
            zone = ZoneInfo(ZONE.read(tz))
        except ValueError as invalid:
            problem, _, advice = str(invalid).partition("; ")
            raise ScheduleError(f"tz {tz!r}", problem, advice) from None
        text = None if schedule is None or schedule.strip().lower() in NONE else " ".join(schedule.split())
        start, end = (None if moment is None else _aware(moment, zone) for moment in (start_date, end_date))
        utc = [None if moment is None else moment.astimezone(UTC) for moment in (start, end)]
        if utc[0] and utc[1] and utc[1] < utc[0]:
            raise ScheduleError("the end date", "is before the start date", "write a later end date")
        condition, by_time = (None, text) if text is None or not is_condition(text) else _condition(text)
        ticks = None if by_time is None else _ticks(by_time, zone, start)
        if catchup and ticks is not None and start is None:
            raise ScheduleError("catchup", "needs a start date", "add one, such as --start-date 2026-01-01")
        return cls(
            schedule=text, zone=zone, start=utc[0], end=utc[1], catchup=catchup, ticks=ticks, condition=condition
        )

    @classmethod
    def of(cls, options: DagOptions) -> Timetable:
        """Return the timetable that a notebook's header declares. Raise `ScheduleError`."""
        return cls.parse(
            options.schedule,
            tz=options.tz,
            start_date=options.start_date,
            end_date=options.end_date,
            catchup=options.catchup,
        )

    @property
    def max_active_runs(self) -> int | None:
        """Return 1 if runs of this schedule must not overlap, or None if only --max-active-runs limits them."""
        return 1 if self._is(CONTINUOUS) else None

    def next_run(self, last_run: datetime | None, now: datetime, deployed_at: datetime) -> datetime | None:
        """Return the logical date of the next scheduled run, or None if no run follows. The run is due at this date.

        `last_run` is the logical date of the last scheduled run. For `@continuous`, call this while no run is active.
        """
        if self.ticks is not None:
            tick = self._next_tick(self.ticks, last_run, now, deployed_at)
        elif self._is(ONCE):
            tick = None if last_run else self.start or deployed_at
        elif self._is(CONTINUOUS):
            tick = max(now, self.start or now)
            if last_run and tick <= last_run:  # the clock was set back: two runs must not have the same date
                tick = last_run + timedelta(microseconds=1)
        else:
            tick = None
        if tick is None or (self.end and tick > self.end):
            return None
        return tick.astimezone(UTC)

    def due(self, last_run: datetime | None, now: datetime, deployed_at: datetime) -> Iterator[datetime]:
        """Yield the logical dates of all scheduled runs that are due, in order."""
        tick = self.next_run(last_run, now, deployed_at)
        if tick is None or tick > now:
            return
        yield tick
        if self.ticks is not None:
            yield from self._until(self.ticks.after(tick), min(now, self.end or now))

    def next_ticks(self, now: datetime, n: int) -> tuple[datetime, ...]:
        """Return the next `n` ticks after `now`, or fewer if the schedule ends earlier."""
        if self.ticks is None:
            once = [self.start] if self._is(ONCE) and self.start and self.start > now else []
            return tuple(once[:n])
        return tuple(islice(self._until(self._from(self.ticks, now), self.end), n))

    def between(self, first: datetime, last: datetime) -> Iterator[datetime]:
        """Yield the ticks from `first` to `last`, inclusive, that are within the start and end dates."""
        if self.ticks is not None:
            begin = max(first, self.start or first) - timedelta(microseconds=1)
            yield from self._until(self.ticks.after(begin), min(last, self.end or last))

    def data_interval(self, tick: datetime, last_run: datetime | None = None) -> tuple[datetime, datetime]:
        """Return the interval from the previous tick to this tick; for `@continuous`, from the last run to this tick.

        The end is excluded.
        """
        before = last_run if self.ticks is None else latest(self.ticks, tick, inclusive=False)
        end = tick.astimezone(UTC)
        return (end if before is None else before.astimezone(UTC), end)

    def clock_change(self, tick: datetime) -> str:
        """Describe the effect of a daylight saving change on this tick; return "" if there is none."""
        local = tick.astimezone(self.zone)
        wall = local.replace(tzinfo=None, fold=0)
        nominal = [] if self.ticks is None else self.ticks.wall_times(tick.astimezone(UTC))
        if nominal and wall not in nominal:
            return (
                f"{nominal[0]:%H:%M} does not exist on {nominal[0]:%Y-%m-%d}, when the clocks go forward; the run "
                f"starts at {wall:%H:%M}"
            )
        twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
        if twice and self.ticks is not None:
            occurrence = "second" if local.fold else "first"
            return f"{wall:%H:%M} occurs twice, as the clocks go back; this is the {occurrence}"
        return ""

    def _is(self, preset: str) -> bool:
        return self.schedule is not None and self.schedule.lower() == preset

    def _next_tick(
        self, ticks: Ticks, last_run: datetime | None, now: datetime, deployed_at: datetime
    ) -> datetime | None:
        bounds = []
        if last_run is not None:
            bounds.append(next(ticks.after(last_run), None))
        if self.start is not None:
            bounds.append(next(ticks.after(self.start - timedelta(microseconds=1)), None))
        if not bounds:
            bounds.append(next(ticks.after(deployed_at), None))
        if not self.catchup:
            bounds.append(latest(ticks, now) or bounds[0])
        found = [bound for bound in bounds if bound is not None]
        # If a bound is beyond the end of the calendar, there is no next tick.
        return max(found) if len(found) == len(bounds) else None

    def _from(self, ticks: Ticks, now: datetime) -> Iterator[datetime]:
        if self.start is None or self.start <= now:
            return ticks.after(now)
        return ticks.after(self.start - timedelta(microseconds=1))

    @staticmethod
    def _until(ticks: Iterator[datetime], last: datetime | None) -> Iterator[datetime]:
        for tick in ticks:
            if last is not None and tick > last:
                return
            yield tick


def _aware(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)


def _condition(schedule: str) -> tuple[Condition, str | None]:
    try:
        condition, by_time = parse(schedule)
    except ValueError as invalid:
        problem, _, advice = str(invalid).partition("; ")
        raise ScheduleError(f"schedule {schedule!r}", problem, advice) from None
    if by_time is not None and by_time.lower() in (ONCE, CONTINUOUS):
        raise ScheduleError(
            f"schedule {schedule!r}", f"combines assets with {by_time}", "write a time, such as or at 06:00"
        )
    return condition, by_time


def _ticks(schedule: str, zone: ZoneInfo, start: datetime | None) -> Ticks | None:
    subject = f"schedule {schedule!r}"
    word = schedule.lower()
    if word in (ONCE, CONTINUOUS):
        return None
    if word.startswith("@"):
        if word not in CRON_PRESETS:
            similar = nearest(word, PRESETS)
            advice = f"did you mean {similar}?" if similar else f"expected one of {', '.join(PRESETS)}"
            raise ScheduleError(subject, "is an unknown preset", advice)
        return Cron(CRON_PRESETS[word], zone)
    if word.split()[0] == "every":
        return _interval(subject, "".join(word.split()[1:]), zone, start)
    return _cron(subject, schedule, zone)


def _interval(subject: str, text: str, zone: ZoneInfo, start: datetime | None) -> Ticks:
    try:
        seconds = read_duration(text)
    except ValueError:
        raise ScheduleError(
            subject, "is not an interval", "write every 30s, every 15m, every 1h30m or every 1d"
        ) from None
    if seconds < 1:
        raise ScheduleError(subject, "is shorter than a second", "write every 1s or longer, or @continuous")
    anchor = start or ANCHOR.replace(tzinfo=zone)
    if re.fullmatch(r"\d+d", text):  # 24h is real time, 1d is a calendar day
        return Days(int(text[:-1]), anchor, zone)
    return Seconds(seconds, anchor)


def _cron(subject: str, expression: str, zone: ZoneInfo) -> Ticks:
    fields = expression.split()
    if len(fields) != 5:
        raise ScheduleError(
            subject,
            f"has {len(fields)} field{'s' * (len(fields) != 1)}; a cron expression has five",
            "write minute, hour, day of the month, month and day of the week, such as 0 6 * * mon-fri, or every 15m",
        )
    for field, (name, values) in zip(fields, FIELDS, strict=True):
        if re.search(r"(^|,)[hr]($|[/,(])", field, re.IGNORECASE):
            raise ScheduleError(subject, f"has a random {name} ({field})", f"write a value from {values}")
    day, weekday = fields[2].lower(), fields[4].lower()
    special = re.search("[#l]", weekday) or "w" in day
    if special and day not in ("*", "?") and weekday not in ("*", "?"):
        problem = f"restricts its day by both {fields[2]} and {fields[4]}, which cron programs interpret differently"
        raise ScheduleError(subject, problem, "write * for one of them")
    try:
        ticks = Cron(expression, zone)
    except CroniterError:
        raise ScheduleError(subject, *_invalid_field(fields)) from None
    if next(ticks.days(date(2000, 1, 1)), None) is None:
        raise ScheduleError(
            subject, "has no tick, because no such day exists", "correct its day of the month, month or day of the week"
        )
    return ticks


def _invalid_field(fields: list[str]) -> tuple[str, str]:
    for n, (field, (name, values)) in enumerate(zip(fields, FIELDS, strict=True)):
        alone = ["*"] * len(FIELDS)
        alone[n] = field
        try:
            croniter.expand(" ".join(alone))
        except CroniterError:
            return f"has {field!r} as its {name}", f"write values from {values}"
    return "is not a cron expression", "write five fields, such as 0 6 * * mon-fri"
