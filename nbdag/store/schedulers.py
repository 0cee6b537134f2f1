"""Queries and changes of the records of processes that execute runs, and of their heartbeats.

Heartbeats are stored in the time of the database server's clock and returned in the time of the local clock, so that
hosts with different clocks do not treat each other as dead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, insert, select, update

from ..core.model.states import TaskState
from . import schema as t
from .database import Database
from .mapping import from_row, to_row
from .rows import SchedulerRow


class Schedulers:
    """The part of the `Store` for schedulers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(
        self, scheduler: SchedulerRow, alive: Callable[[SchedulerRow], bool] | None = None
    ) -> SchedulerRow | None:
        """Register a process that executes runs, and return None.

        If `alive` is given and returns true for another scheduler, register nothing and return that scheduler.
        """
        with self._database.writing() as connection:
            if alive is not None:
                others = select(t.schedulers).where(t.schedulers.c.kind == "scheduler", t.schedulers.c.ended.is_(None))
                for row in connection.execute(others):
                    other = self.of(row)
                    if alive(other):
                        return other
            by_server = replace(scheduler, heartbeat=scheduler.heartbeat + self._database.clock_offset)
            connection.execute(insert(t.schedulers).values(to_row(by_server)))
        return None

    def record_heartbeat(
        self, scheduler: str, now: float, hosts: Sequence[Mapping[str, Any]] | None = None, jobs: int | None = None
    ) -> None:
        """Record a heartbeat of the process; if known, also its hosts and its maximum number of tasks at once."""
        values: dict[str, Any] = {"heartbeat": now + self._database.clock_offset, "ended": None}
        if hosts is not None:
            values["hosts"] = hosts
        if jobs is not None:
            values["jobs"] = jobs
        with self._database.writing(quietly=True) as connection:
            connection.execute(update(t.schedulers).where(t.schedulers.c.id == scheduler).values(values))

    def find(self, scheduler: str) -> SchedulerRow | None:
        """Return the record of a process, or None if there is none."""
        with self._database.reading() as connection:
            row = connection.execute(select(t.schedulers).where(t.schedulers.c.id == scheduler)).first()
        return None if row is None else self.of(row)

    def end(self, scheduler: str, now: float) -> None:
        """Record that the process shut down cleanly."""
        with self._database.writing() as connection:
            connection.execute(update(t.schedulers).where(t.schedulers.c.id == scheduler).values(ended=now))

    def unended(self) -> list[SchedulerRow]:
        """Return the schedulers that have not shut down cleanly, newest first. Some of them may be dead."""
        query = (
            select(t.schedulers)
            .where(t.schedulers.c.kind == "scheduler", t.schedulers.c.ended.is_(None))
            .order_by(t.schedulers.c.started.desc())
        )
        with self._database.reading() as connection:
            return [self.of(row) for row in connection.execute(query)]

    def runs_in_progress(self, scheduler: str) -> list[int]:
        """Return the record ids of the runs in which this scheduler has a running attempt."""
        query = (
            select(t.instances.c.run_id)
            .join(t.attempts, t.attempts.c.instance_id == t.instances.c.id)
            .where(t.attempts.c.state == TaskState.RUNNING, t.attempts.c.scheduler_id == scheduler)
            .distinct()
        )
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def of(self, row: Row[Any], prefix: str = "") -> SchedulerRow:
        """Convert a row into a `SchedulerRow`; the names of the columns of the row begin with `prefix`."""
        found = from_row(SchedulerRow, row, prefix)
        return replace(found, heartbeat=found.heartbeat - self._database.clock_offset)
