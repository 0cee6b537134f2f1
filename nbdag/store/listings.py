"""Lists of runs for people: pages of runs by several conditions, and counts of their tasks.

These queries read only the columns that a list shows, so their cost follows from the length of the page.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import func, select, tuple_

from ..core.model.states import RunState, TaskState
from . import schema as t
from .database import Database
from .mapping import from_row
from .rows import RunRow


class Listings:
    """The part of the `Store` for lists."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def runs(
        self,
        *,
        dag: str | None = None,
        states: Collection[RunState] = (),
        since: float | None = None,
        until: float | None = None,
        before: tuple[float, int] | None = None,
        limit: int,
    ) -> list[RunRow]:
        """Return the runs that meet all given conditions, newest first.

        `since` (inclusive) and `until` (exclusive) limit the creation times; `before` is the (creation time, record id)
        of the run after which the page begins.
        """
        query = select(t.runs).order_by(t.runs.c.created.desc(), t.runs.c.id.desc()).limit(limit)
        if dag is not None:
            query = query.where(t.runs.c.dag_id == dag)
        if states:
            query = query.where(t.runs.c.state.in_(states))
        if since is not None:
            query = query.where(t.runs.c.created >= since)
        if until is not None:
            query = query.where(t.runs.c.created < until)
        if before is not None:
            query = query.where(t.runs.c.created <= before[0], tuple_(t.runs.c.created, t.runs.c.id) < before)
        with self._database.reading() as connection:
            return [from_row(RunRow, row) for row in connection.execute(query)]

    def latest_runs(self, dags: Sequence[str], limit: int) -> dict[str, list[RunRow]]:
        """Return the newest runs of each of these DAGs, newest first."""
        query = select(t.runs).order_by(t.runs.c.created.desc(), t.runs.c.id.desc()).limit(limit)
        found: dict[str, list[RunRow]] = {}
        with self._database.reading() as connection:
            for dag in dags:  # one query for each, because each then reads only `limit` rows of an index
                rows = connection.execute(query.where(t.runs.c.dag_id == dag))
                found[dag] = [from_row(RunRow, row) for row in rows]
        return found

    def task_counts(self, runs: Sequence[int]) -> dict[int, dict[TaskState, int]]:
        """Return the numbers of task instances by run and state."""
        query = (
            select(t.instances.c.run_id, t.instances.c.state, func.count().label("number"))
            .where(t.instances.c.run_id.in_(runs))
            .group_by(t.instances.c.run_id, t.instances.c.state)
        )
        found: dict[int, dict[TaskState, int]] = {run: {} for run in runs}
        with self._database.reading() as connection:
            for row in connection.execute(query):
                found[row.run_id][row.state] = row.number
        return found
