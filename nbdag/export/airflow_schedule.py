"""Write the schedule of a pipeline as Airflow's argument `schedule`."""

from __future__ import annotations

from typing import Any

from ..core.options.option_types import read_duration
from ..core.options.options import DagOptions
from ..core.schedule.assets import DAG_PREFIX, FILE_PREFIX, Condition, parse
from ..core.schedule.cron import Days
from ..core.schedule.timetable import Timetable
from .python_text import Code, call, duration


class NoEqualError(Exception):
    """Airflow has no equivalent; the message is a sentence with the next step."""


def schedule(options: DagOptions) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """Return the value of `schedule`, the names to import from `airflow.sdk`, and comments. Raise `NoEqualError`."""
    table = Timetable.of(options)
    if table.schedule is None:
        return None, (), ()
    if table.condition is not None:
        return _of_assets(options, table)
    if table.schedule.lower().startswith("every "):
        keeps_time_of_day = isinstance(table.ticks, Days) and options.tz != "UTC"
        comments = ("nbdag keeps the time of day when the clocks change, Airflow keeps the interval",)
        return _interval(table.schedule), (), comments if keeps_time_of_day else ()
    if options.start_date is None and options.tz != "UTC" and table.schedule.lower() not in ("@once", "@continuous"):
        return call("CronTriggerTimetable", [table.schedule], {"timezone": options.tz}), ("CronTriggerTimetable",), ()
    return table.schedule, (), ()


def asset(name: str) -> Code:
    """Return the source of an asset."""
    return call("Asset", [name], {})


def _of_assets(options: DagOptions, table: Timetable) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    assert table.condition is not None and table.schedule is not None
    for name in table.condition.assets:
        if name.startswith(DAG_PREFIX):
            other = name.removeprefix(DAG_PREFIX)
            raise NoEqualError(
                f"--schedule 'after {other}' has no equivalent in Airflow; let a task of {other} declare "
                "--produces ASSET, and write --schedule 'on ASSET'"
            )
        if name.startswith(FILE_PREFIX):
            raise NoEqualError(
                f"--schedule 'on {name}' has no equivalent, because Airflow watches no files; let a task declare "
                "--produces ASSET, and write --schedule 'on ASSET'"
            )
    condition = _condition(table.condition)
    if table.ticks is None:
        return (Code(f"[{condition}]") if table.condition.name else condition), ("Asset",), ()
    by_time = str(parse(table.schedule)[1])
    if by_time.lower().startswith("every "):
        kind, tick = "DeltaTriggerTimetable", call("DeltaTriggerTimetable", [_interval(by_time)], {})
    else:
        kind, tick = "CronTriggerTimetable", call("CronTriggerTimetable", [by_time], {"timezone": options.tz})
    return (
        call("AssetOrTimeSchedule", [], {"timetable": tick, "assets": condition}),
        ("Asset", "AssetOrTimeSchedule", kind),
        (),
    )


def _interval(schedule: str) -> Code:
    return duration(read_duration("".join(schedule.split()[1:])))


def _condition(condition: Condition) -> Code:
    if condition.name:
        return asset(condition.name)
    sign = " | " if condition.any else " & "
    parts = [f"({_condition(part)})" if part.parts else str(_condition(part)) for part in condition.parts]
    return Code(sign.join(parts))
