"""Queries and changes of backfills and of their runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import insert, select, text

from ..core.model.states import RunState
from . import schema as t
from .database import Database
from .mapping import from_row
from .rows import BackfillRow, NewInstance, NewRun, RunRow
from .saving import create_runs

_UNFINISHED = (RunState.QUEUED, RunState.RUNNING)


class Backfills:
    """The part of the `Store` for backfills."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        dag: str,
        runs: Sequence[NewRun],
        instances: Sequence[NewInstance],
        *,
        now: float,
        first: float,
        last: float,
        backwards: bool,
        max_active_runs: int,
    ) -> list[RunRow] | None:
        """Record a backfill and its queued runs; return the runs, or None if the DAG has an unfinished backfill."""
        values = {
            "dag_id": dag, "created": now, "first": first, "last": last, "backwards": backwards,
            "max_active_runs": max_active_runs,
        }  # fmt: skip
        with self._database.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("LOCK TABLE backfills IN EXCLUSIVE MODE"))
            unfinished = select(t.runs.c.id).where(
                t.runs.c.dag_id == dag, t.runs.c.kind == "backfill", t.runs.c.state.in_(_UNFINISHED)
            )
            if connection.execute(unfinished.limit(1)).first():
                return None
            number = connection.execute(insert(t.backfills).values(values).returning(t.backfills.c.id)).scalar_one()
            numbered = [replace(each, backfill=number) for each in runs]
            return create_runs(connection, numbered, instances, self._database.files_id())

    def newest(self, dags: Iterable[str]) -> dict[str, BackfillRow]:
        """Return the newest backfill of each of these DAGs, by DAG; DAGs without a backfill are omitted."""
        query = select(t.backfills).where(t.backfills.c.dag_id.in_(list(dags))).order_by(t.backfills.c.id)
        with self._database.reading() as connection:
            return {row.dag_id: from_row(BackfillRow, row) for row in connection.execute(query)}

    def max_active_runs(self, backfill: int) -> int:
        """Return how many runs of a backfill may run at once."""
        query = select(t.backfills.c.max_active_runs).where(t.backfills.c.id == backfill)
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def runs_between(self, dag: str, first: float, last: float) -> list[RunRow]:
        """Return the scheduled runs and the runs of backfills between these dates, oldest first."""
        query = (
            select(t.runs)
            .where(
                t.runs.c.dag_id == dag,
                t.runs.c.kind.in_(("scheduled", "backfill")),
                t.runs.c.logical_date.between(first, last),
            )
            .order_by(t.runs.c.created, t.runs.c.id)
        )
        with self._database.reading() as connection:
            return [from_row(RunRow, row) for row in connection.execute(query)]
