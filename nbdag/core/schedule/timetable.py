"""When a pipeline runs by itself.

A schedule is a cron expression, a preset, an interval, or none. A run fires at the tick, which is its logical date;
its data interval is the time from the tick before up to it. `core.ticks` says which instants an expression means in a
time zone; here it is said which of them make a run: between a start and an end date, after the last run and after
the deploy, and whether missed ones are caught up with. Whatever is wrong with a schedule is said when it is declared.

Every instant given is in UTC; every one taken must be aware. Nothing here looks at a clock: now is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter

from ...errors import NbdagError
from ..options.option_types import PRESETS, ZONE, nearest, read_duration
from ..options.options import DagOptions
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


class ScheduleError(NbdagError):
    """A schedule, a date or a time zone makes no sense."""

    def __init__(self, subject: str, problem: str, advice: str) -> None:
        super().__init__(subject, problem, advice)
        self.subject, self.problem, self.advice = subject, problem, advice

    def __str__(self) -> str:
        return f"{self.subject} {self.problem}; {self.advice}"


@dataclass(frozen=True, kw_only=True)
class Timetable:
    """When a pipeline runs by itself."""

    schedule: str | None  # as it was written; None: only on demand
    zone: ZoneInfo
    start: datetime | None  # UTC; no tick before it makes a run
    end: datetime | None  # UTC; nor one after it
    catchup: bool  # whether every tick that was missed makes a run, or only the last
    ticks: Ticks | None  # None: only on demand, @once or @continuous

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
        """A timetable, or a ScheduleError. Dates without a zone are read in `tz`."""
        try:
            zone = ZoneInfo(ZONE.read(tz))
        except ValueError as problem:
            what, _, advice = str(problem).partition("; ")
            raise ScheduleError(f"tz {tz!r}", what, advice) from None
        said = None if schedule is None or schedule.strip().lower() in NONE else " ".join(schedule.split())
        start, end = (None if moment is None else _aware(moment, zone) for moment in (start_date, end_date))
        utc = [None if moment is None else moment.astimezone(UTC) for moment in (start, end)]
        if utc[0] and utc[1] and utc[1] < utc[0]:
            raise ScheduleError("the end date", "is before the start date", "let the end date be the later one")
        ticks = None if said is None else _ticks(said, zone, start)
        if catchup and ticks is not None and start is None:
            raise ScheduleError("catchup", "needs a date to begin at", "give one, such as --start-date 2026-01-01")
        return cls(schedule=said, zone=zone, start=utc[0], end=utc[1], catchup=catchup, ticks=ticks)

    @classmethod
    def of(cls, options: DagOptions) -> Timetable:
        """The timetable that a notebook's header declares."""
        return cls.parse(
            options.schedule,
            tz=options.tz,
            start_date=options.start_date,
            end_date=options.end_date,
            catchup=options.catchup,
        )

    @property
    def max_active_runs(self) -> int | None:
        """How many runs the schedule itself allows at once; None: as many as the pipeline does."""
        return 1 if self._is(CONTINUOUS) else None

    def next_run(self, last_run: datetime | None, now: datetime, deployed_at: datetime) -> datetime | None:
        """The logical date of the next scheduled run, due if it is not later than `now`; None: there is none.

        `last_run` is the logical date of the last scheduled run. Of `@continuous`, it is asked when no run is active.
        """
        if self.ticks is not None:
            tick = self._next_tick(self.ticks, last_run, now, deployed_at)
        elif self._is(ONCE):
            tick = None if last_run else self.start or deployed_at
        elif self._is(CONTINUOUS):
            tick = max(now, self.start or now)
            if last_run and tick <= last_run:  # the clock was set back; two runs must not have one date
                tick = last_run + timedelta(microseconds=1)
        else:
            tick = None
        if tick is None or (self.end and tick > self.end):
            return None
        return tick.astimezone(UTC)

    def due(self, last_run: datetime | None, now: datetime, deployed_at: datetime) -> Iterator[datetime]:
        """The logical dates of all scheduled runs that are due, in order."""
        tick = self.next_run(last_run, now, deployed_at)
        if tick is None or tick > now:
            return
        yield tick
        if self.ticks is not None:
            yield from self._until(self.ticks.after(tick), min(now, self.end or now))

    def next_ticks(self, now: datetime, n: int) -> tuple[datetime, ...]:
        """The next `n` ticks after `now`, fewer where the schedule ends."""
        if self.ticks is None:
            once = [self.start] if self._is(ONCE) and self.start and self.start > now else []
            return tuple(once[:n])
        return tuple(islice(self._until(self._from(self.ticks, now), self.end), n))

    def between(self, first: datetime, last: datetime) -> Iterator[datetime]:
        """The ticks from `first` to `last`, both included, that its start and end dates let make a run."""
        if self.ticks is not None:
            begin = max(first, self.start or first) - timedelta(microseconds=1)
            yield from self._until(self.ticks.after(begin), min(last, self.end or last))

    def data_interval(self, tick: datetime, last_run: datetime | None = None) -> tuple[datetime, datetime]:
        """From the tick before (of `@continuous`, from the last run) up to, and not including, this one."""
        before = last_run if self.ticks is None else latest(self.ticks, tick, inclusive=False)
        end = tick.astimezone(UTC)
        return (end if before is None else before.astimezone(UTC), end)

    def clock_change(self, tick: datetime) -> str:
        """What daylight saving does to this tick, in words; mostly nothing."""
        local = tick.astimezone(self.zone)
        wall = local.replace(tzinfo=None, fold=0)
        told = [] if self.ticks is None else self.ticks.wall_times(tick.astimezone(UTC))
        if told and wall not in told:
            return (
                f"{told[0]:%H:%M} does not exist on {told[0]:%Y-%m-%d}, when the clocks go forward: it is {wall:%H:%M}"
            )
        twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
        if twice and self.ticks is not None:
            return f"{wall:%H:%M} comes twice, as the clocks go back: this is the {'second' if local.fold else 'first'}"
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
        return max(found) if len(found) == len(bounds) else None  # a bound beyond the calendar: never

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


def _ticks(schedule: str, zone: ZoneInfo, start: datetime | None) -> Ticks | None:
    subject = f"schedule {schedule!r}"
    word = schedule.lower()
    if word in (ONCE, CONTINUOUS):
        return None
    if word.startswith("@"):
        if word not in CRON_PRESETS:
            like = nearest(word, PRESETS)
            advice = f"did you mean {like}?" if like else f"take one of {', '.join(PRESETS)}"
            raise ScheduleError(subject, "is no preset", advice)
        return Cron(CRON_PRESETS[word], zone)
    if word.split()[0] == "every":
        return _interval(subject, "".join(word.split()[1:]), zone, start)
    return _cron(subject, schedule, zone)


def _interval(subject: str, text: str, zone: ZoneInfo, start: datetime | None) -> Ticks:
    try:
        seconds = read_duration(text)
    except ValueError:
        raise ScheduleError(subject, "is no interval", "write every 30s, every 15m, every 1h30m or every 1d") from None
    if seconds < 1:
        raise ScheduleError(subject, "would run without a pause", "write every 1s or longer, or @continuous")
    anchor = start or ANCHOR.replace(tzinfo=zone)
    if re.fullmatch(r"\d+d", text):  # 24h is real time, 1d is a day on the calendar
        return Days(int(text[:-1]), anchor, zone)
    return Seconds(seconds, anchor)


def _cron(subject: str, expression: str, zone: ZoneInfo) -> Ticks:
    fields = expression.split()
    if len(fields) != 5:
        raise ScheduleError(
            subject,
            f"has {len(fields)} field{'s' * (len(fields) != 1)}, and a cron expression five",
            "write minute, hour, day of the month, month and day of the week, such as 0 6 * * mon-fri, or every 15m",
        )
    for field, (name, values) in zip(fields, FIELDS, strict=True):
        if re.search(r"(^|,)[hr]($|[/,(])", field, re.IGNORECASE):
            raise ScheduleError(subject, f"leaves the {name} to chance ({field})", f"say when, from {values}")
    day, weekday = fields[2].lower(), fields[4].lower()
    special = re.search("[#l]", weekday) or "w" in day
    if special and day not in ("*", "?") and weekday not in ("*", "?"):
        problem = f"has both {fields[2]} and {fields[4]} as its day, which programs read in different ways"
        raise ScheduleError(subject, problem, "write * for one of the two")
    try:
        ticks = Cron(expression, zone)
    except CroniterError:
        raise ScheduleError(subject, *_culprit(fields)) from None
    if next(ticks.days(date(2000, 1, 1)), None) is None:
        raise ScheduleError(
            subject, "never comes, as no such day exists", "mend its day of the month, month or day of the week"
        )
    return ticks


def _culprit(fields: list[str]) -> tuple[str, str]:
    for n, (field, (name, values)) in enumerate(zip(fields, FIELDS, strict=True)):
        alone = ["*"] * len(FIELDS)
        alone[n] = field
        try:
            croniter.expand(" ".join(alone))
        except CroniterError:
            return f"has {field!r} as its {name}", f"take values from {values}"
    return "is no cron expression", "write five fields, such as 0 6 * * mon-fri"
