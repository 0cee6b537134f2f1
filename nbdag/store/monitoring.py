"""Numbers about all runs and tasks, for monitoring."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select

from ..core.model.states import RunState, TaskState
from . import schema as t
from .database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNumbers:
    """The runs of one DAG in one state."""

    dag: str
    state: RunState
    number: int
    ended: int  # number of runs with a start and an end
    duration: float  # seconds from start to end, summed over these runs
    started: int  # number of runs with a start
    delay: float  # seconds from creation to start, summed over these runs


class Metrics:
    """The part of the `Store` for monitoring."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def runs(self) -> list[RunNumbers]:
        """Return the number of runs and their durations by DAG and state."""
        run = t.runs.c
        query = select(
            run.dag_id.label("dag"),
            run.state,
            func.count().label("number"),
            func.count(run.ended - run.started).label("ended"),
            func.coalesce(func.sum(run.ended - run.started), 0.0).label("duration"),
            func.count(run.started).label("started"),
            func.coalesce(func.sum(run.started - run.created), 0.0).label("delay"),
        ).group_by(run.dag_id, run.state)
        with self._database.reading() as connection:
            return [RunNumbers(**row._mapping) for row in connection.execute(query)]

    def tasks(self) -> dict[TaskState, int]:
        """Return the number of task instances by state."""
        query = select(t.instances.c.state, func.count().label("number")).group_by(t.instances.c.state)
        with self._database.reading() as connection:
            return {row.state: row.number for row in connection.execute(query)}

    def attempts(self) -> tuple[int, float]:
        """Return the number of ended attempts, and their total duration in seconds."""
        length = t.attempts.c.ended - t.attempts.c.started
        with self._database.reading() as connection:
            row = connection.execute(select(func.count(length), func.coalesce(func.sum(length), 0.0))).one()
            return int(row[0]), float(row[1])
