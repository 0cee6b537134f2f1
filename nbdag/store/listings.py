"""Lists of runs for people: pages of runs by several conditions, and counts of their tasks.

These queries read only the columns that a list shows, so their cost follows from the length of the page.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, tuple_

from ..core.model.states import RunState, TaskState
from . import schema as t
from .database import Database
from .mapping import from_row
from .rows import AttemptRow, RunRow


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """A recorded version of a notebook, without the versions with built tasks that its runs have."""

    digest: str
    created: float
    runs: int  # number of runs of this version
    last_run: str | None  # id of the newest run of this version


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

    def last_attempts(self, runs: Sequence[int], task: str | None = None) -> dict[int, AttemptRow]:
        """Return the last attempt of each task instance of these runs, by instance, without outputs and notes.

        With `task`, consider only that task.
        """
        query = (
            select(t.attempts, t.instances.c.task, t.instances.c.map_index)
            .join(
                t.instances,
                (t.instances.c.id == t.attempts.c.instance_id) & (t.instances.c.tries == t.attempts.c.try_number),
            )
            .where(t.instances.c.run_id.in_(runs))
        )
        if task is not None:
            query = query.where(t.instances.c.task == task)
        with self._database.reading() as connection:
            return {row.instance_id: from_row(AttemptRow, row) for row in connection.execute(query)}

    def versions(self, dag: str) -> list[VersionRow]:
        """Return the recorded versions of a DAG's notebook, in the order in which they were recorded."""
        of_version = (t.runs.c.dag_id == t.versions.c.dag_id) & (t.runs.c.digest == t.versions.c.digest)
        count = select(func.count()).select_from(t.runs).where(of_version).correlate(t.versions).scalar_subquery()
        newest = (
            select(t.runs.c.name)
            .where(of_version)
            .order_by(t.runs.c.created.desc(), t.runs.c.id.desc())
            .limit(1)
            .correlate(t.versions)
            .scalar_subquery()
        )
        query = (
            select(t.versions.c.digest, t.versions.c.created, count.label("runs"), newest.label("last_run"))
            .where(t.versions.c.dag_id == dag, ~t.versions.c.built)
            .order_by(t.versions.c.created, t.versions.c.digest)
        )
        with self._database.reading() as connection:
            return [VersionRow(**row._mapping) for row in connection.execute(query)]

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
