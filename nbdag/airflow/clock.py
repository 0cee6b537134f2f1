"""Airflow's sensors and branch operators for times and days of the week, and the functions that their cells call.

    TimeDeltaSensor(task_id="an_hour_later", delta=timedelta(hours=1))
    BranchDayOfWeekOperator(task_id="weekend", week_day={WeekDay.SATURDAY, WeekDay.SUNDAY}, …)

A time of day without a date is in the pipeline's time zone, as in Airflow.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum
from typing import Any
from zoneinfo import ZoneInfo

from ..operators import OperatorError
from ..operators.tasks import Builder
from ..task_api.context import DagRun
from .base import AirflowTask
from .classic import SensorTask
from .keywords import seconds


class WeekDay(IntEnum):
    """The days of the week, with the numbers of ISO 8601."""

    MONDAY = 1
    TUESDAY = 2
    WEDNESDAY = 3
    THURSDAY = 4
    FRIDAY = 5
    SATURDAY = 6
    SUNDAY = 7


def _days(value: Any, task: AirflowTask) -> list[int]:
    """Return the numbers of one or several days, given by name or as `WeekDay`. Raise `OperatorError`."""
    given = [value] if isinstance(value, str | WeekDay) else value
    if not isinstance(given, Iterable):
        raise OperatorError(f"{task.id} has no week_day", hint="write week_day='Monday'")
    found = set()
    for each in given:
        name = str(getattr(each, "name", each)).upper()
        if name not in WeekDay.__members__:
            raise OperatorError(f"{each!r} of {task.id} is not a day of the week", hint="write week_day='Monday'")
        found.add(WeekDay[name].value)
    return sorted(found)


def _zone(build: Builder) -> str:
    return str(build.header.options.get("tz", "UTC")) if build.header is not None else "UTC"


# -- sensors -----------------------------------------------------------------------------------------------------------


class _ClockSensor(SensorTask):
    keyword = ""

    def prepare(self, build: Builder) -> None:
        super().prepare(build)
        self.value = self.arguments.get(self.keyword)

    def statements(self, build: Builder) -> list[str]:
        return [f"{build.writer.require('time_has_come', 'nbdag.airflow')}(dag_run, {self.target(build)})"]

    @abstractmethod
    def target(self, build: Builder) -> str:
        """Return the arguments of `time_has_come` as source."""


class TimeDeltaSensor(_ClockSensor):
    """Wait until some time after the end of the run's data interval."""

    keyword = "delta"
    own = SensorTask.sensor_own | {"delta", "end_from_trigger"}

    def prepare(self, build: Builder) -> None:
        super().prepare(build)
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            self.value = timedelta(minutes=self.value)
        if not isinstance(self.value, timedelta):
            raise OperatorError(f"the delta of {self.id} is not a duration", hint="write delta=timedelta(hours=1)")

    def target(self, build: Builder) -> str:
        return f"delay={seconds(self.value):g}"


class DateTimeSensor(_ClockSensor):
    """Wait until a date and time, which may be a template."""

    keyword = "target_time"
    own = SensorTask.sensor_own | {"target_time", "start_from_trigger", "end_from_trigger", "trigger_kwargs"}

    def prepare(self, build: Builder) -> None:
        super().prepare(build)
        if isinstance(self.value, datetime):
            self.value = self.value.isoformat()
        if not isinstance(self.value, str):
            hint = "write target_time=datetime(2026, 1, 31, 6), or a template of it"
            raise OperatorError(f"the target_time of {self.id} is not a date", hint=hint)

    def target(self, build: Builder) -> str:
        return f"at={self.written(self.value)}"


class TimeSensor(_ClockSensor):
    """Wait until a time of day, on the current date."""

    keyword = "target_time"
    own = DateTimeSensor.own

    def prepare(self, build: Builder) -> None:
        super().prepare(build)
        if not isinstance(self.value, time):
            raise OperatorError(f"the target_time of {self.id} is not a time", hint="write target_time=time(6, 30)")
        self._time = self.value.isoformat()

    def target(self, build: Builder) -> str:
        return f"at={self._time!r}, zone={_zone(build)!r}"


class DayOfWeekSensor(SensorTask):
    """Wait for one of the given days of the week."""

    own = SensorTask.sensor_own | {"week_day", "use_task_logical_date", "use_task_execution_day"}

    def prepare(self, build: Builder) -> None:
        super().prepare(build)
        self._days = _days(self.arguments.get("week_day"), self)

    def statements(self, build: Builder) -> list[str]:
        is_day = build.writer.require("is_day", "nbdag.airflow")
        return [f"{is_day}(dag_run, {self._days}{_of_run(self)})"]


def _of_run(task: AirflowTask) -> str:
    given = task.arguments
    chosen = given.get("use_task_logical_date") or given.get("use_task_execution_day")
    return ", of_run=True" if chosen else ""


# -- branches ----------------------------------------------------------------------------------------------------------


class _ClockBranch(AirflowTask):
    _both = frozenset({"follow_task_ids_if_true", "follow_task_ids_if_false"})

    def prepare(self, build: Builder) -> None:
        for name in sorted(self._both):
            if self.arguments.get(name) is None:
                raise OperatorError(f"{self.id} has no {name}", hint=f"write {name}='train'")
        self.options |= build.read_options({"branch": True}, type(self).__name__)
        self.result_names = (self.result,)

    def statements(self, build: Builder) -> list[str]:
        yes, no = (
            self.written(each if isinstance(each, str) else list(each))
            for each in (self.arguments["follow_task_ids_if_true"], self.arguments["follow_task_ids_if_false"])
        )
        return [f"{self.result} = {yes} if {self.condition(build)} else {no}", *self.result_names]

    @abstractmethod
    def condition(self, build: Builder) -> str:
        """Return the source of the condition."""


class BranchDayOfWeekOperator(_ClockBranch):
    """Choose downstream tasks, depending on the day of the week."""

    own = _ClockBranch._both | {"week_day", "use_task_logical_date", "use_task_execution_day"}

    def prepare(self, build: Builder) -> None:
        super().prepare(build)
        self._days = _days(self.arguments.get("week_day"), self)

    def condition(self, build: Builder) -> str:
        is_day = build.writer.require("is_day", "nbdag.airflow")
        return f"{is_day}(dag_run, {self._days}{_of_run(self)}, zone={_zone(build)!r})"


class BranchDateTimeOperator(_ClockBranch):
    """Choose downstream tasks, depending on whether the time is between two dates or two times of day."""

    own = _ClockBranch._both | {
        "target_lower",
        "target_upper",
        "use_task_logical_date",
        "use_task_execution_date",
    }

    def prepare(self, build: Builder) -> None:
        super().prepare(build)
        self._limits = [self.arguments.get(name) for name in ("target_lower", "target_upper")]
        if self._limits == [None, None] or not all(isinstance(each, datetime | time | None) for each in self._limits):
            hint = "write target_lower=time(8), target_upper=time(12), or two dates"
            raise OperatorError(f"{self.id} has no times to compare with", hint=hint)

    def condition(self, build: Builder) -> str:
        lower, upper = (None if each is None else each.isoformat() for each in self._limits)
        chosen = self.arguments.get("use_task_logical_date") or self.arguments.get("use_task_execution_date")
        of_run = ", of_run=True" if chosen else ""
        is_between = build.writer.require("is_between", "nbdag.airflow")
        return f"{is_between}(dag_run, {lower!r}, {upper!r}{of_run}, zone={_zone(build)!r})"


# -- what the cells call -----------------------------------------------------------------------------------------------


def time_has_come(
    dag_run: DagRun, *, delay: float | None = None, at: str = "", zone: str = "UTC", now: datetime | None = None
) -> bool:
    """Return whether a time has passed: the ISO date or time `at`, or `delay` seconds after the data interval's end."""
    now = now or datetime.now(UTC)
    if delay is not None:
        return now > dag_run.data_interval_end + timedelta(seconds=delay)
    return now > _moment(_read(at), now, zone)


def is_day(
    dag_run: DagRun, days: Sequence[int], *, of_run: bool = False, zone: str = "UTC", now: datetime | None = None
) -> bool:
    """Return whether today, or the date of the run, is one of these days of the week."""
    moment = dag_run.logical_date if of_run else (now or datetime.now(UTC)).astimezone(ZoneInfo(zone))
    return moment.isoweekday() in days


def is_between(
    dag_run: DagRun,
    lower: str | None,
    upper: str | None,
    *,
    of_run: bool = False,
    zone: str = "UTC",
    now: datetime | None = None,
) -> bool:
    """Return whether the current time, or the date of the run, is between two ISO dates or times of the day."""
    now = dag_run.logical_date if of_run else now or datetime.now(UTC)
    first, last = (None if each is None else _moment(_read(each), now, zone) for each in (lower, upper))
    if first is not None and last is not None and last < first:
        last += timedelta(days=1)  # as in Airflow: a range such as 22:00 to 06:00 ends on the next day
    return (first is None or first <= now) and (last is None or now <= last)


def _read(text: str) -> datetime | time:
    try:
        return time.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(text)


def _moment(given: datetime | time, now: datetime, zone: str) -> datetime:
    """Return a given date or time as a date with a time zone; a time of day gets the date of `now`."""
    if isinstance(given, datetime):
        return given if given.tzinfo is not None else given.replace(tzinfo=ZoneInfo(zone))
    today: date = now.astimezone(ZoneInfo(zone)).date()
    return datetime.combine(today, given, tzinfo=given.tzinfo or ZoneInfo(zone))
