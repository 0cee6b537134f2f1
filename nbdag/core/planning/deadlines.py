"""Deadlines of runs and tasks.

A deadline is a time of day or a duration. A time of day is in the DAG's time zone, and means the first such time at or
after the time when the run was due. A duration begins when the run was due. A deadline is missed if the run or the task
has not ended by then. A missed deadline does not end the run or the task.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from ..model.dag import Dag
from ..model.text import local_time
from ..options.option_types import read_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedDeadline:
    """A deadline that has passed before the run or the task ended."""

    task: str | None  # the task with the deadline; None for the deadline of the whole run
    at: datetime
    option: str  # the deadline as in the header, such as 08:00 or +2h

    def describe(self, dag: Dag, now: datetime) -> str:
        """Return the sentence for a notice: `load missed its deadline 08:00 (2026-01-01 08:00:00 CET)`."""
        when = local_time(self.at, now, ZoneInfo(dag.options.tz))
        return f"{self.task or 'the run'} missed its deadline {self.option} ({when})"


def deadline_of(option: str, due: datetime, tz: str) -> datetime:
    """Return the time of a deadline for a run that was due at `due`."""
    if option.startswith("+"):
        return due + timedelta(seconds=read_duration(option[1:]))
    hour, minute = map(int, option.split(":"))
    zone = ZoneInfo(tz)
    local = due.astimezone(zone)
    at = local.replace(hour=hour, minute=minute, second=0, microsecond=0, fold=0)
    if at.astimezone(due.tzinfo) < due:
        at = (local.replace(tzinfo=None) + timedelta(days=1)).replace(
            hour=hour, minute=minute, second=0, microsecond=0, tzinfo=zone
        )
    return at.astimezone(due.tzinfo)


def deadlines(
    dag: Dag, due: datetime | None, unfinished: Collection[str], now: datetime
) -> tuple[tuple[MissedDeadline, ...], list[datetime]]:
    """Return the missed deadlines of a run that has not ended, and the times of its future deadlines."""
    if due is None:
        return (), []
    wanted: list[tuple[str | None, str | None]] = [(None, dag.options.deadline)]
    wanted += [(task, dag.tasks[task].options.deadline) for task in unfinished]
    missed, coming = [], []
    for task, option in wanted:
        if option is None:
            continue
        at = deadline_of(option, due, dag.options.tz)
        if at <= now:
            missed.append(MissedDeadline(task=task, at=at, option=option))
        else:
            coming.append(at)
    return tuple(missed), coming
