"""Lists of runs for people: pages of runs by several conditions, and counts of their tasks.

These queries read only the columns that a list shows, so their cost depends on the length of the page.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Integer, bindparam, case, cast, func, select, tuple_, type_coerce

from ..core.model.job import StoredOutput
from ..core.model.metrics import MetricPoint
from ..core.model.states import ACTIVE, RunState, TaskState
from . import schema as t
from .database import Database
from .mapping import from_row, row_reader
from .rows import RunRow

_HUGE = 1e140  # larger numbers count as infinite in a mean
_UNFINISHED = (RunState.QUEUED, RunState.RUNNING)
_IN_QUEUE = (*ACTIVE, TaskState.SCHEDULED, TaskState.UP_FOR_RETRY, TaskState.UP_FOR_RESCHEDULE)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """A recorded version of a notebook. Versions that %%dag has built for a run are not included."""

    digest: str
    created: float
    runs: int  # number of runs of this version
    last_run: str | None  # id of the newest run of this version


class TaskStateRow(NamedTuple):
    """A task instance and the outcome of its last attempt. It is a tuple, for speed: runs have thousands of these."""

    task: str
    map_index: int
    state: TaskState
    tries: int
    tries_before_reset: int
    chosen: tuple[str, ...] | None
    outcome: TaskState | None  # state of the last attempt; None: no attempt has begun
    started: float | None
    ended: float | None
    error: str | None
    cached: str | None


class RecentRun(NamedTuple):
    """One of the latest runs of a DAG. It is a tuple, for speed: a list of DAGs has thousands of these runs."""

    id: str
    state: RunState
    created: float
    started: float | None
    ended: float | None


class MetricRow(NamedTuple):
    """A metric of a task in a run."""

    run: int  # id of the run's record
    task: str
    name: str
    marked: bool  # whether --metric names it
    point: MetricPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRow:
    """A task instance that waits for a slot or has one."""

    dag: str
    run: str
    task: str
    map_index: int
    state: TaskState
    tries: int
    pool: str
    slots: int
    wake: float | None  # earliest time of the next retry or poll
    started: float | None  # start of the current attempt; None if it has not begun


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

        `since` (inclusive) and `until` (exclusive) limit the creation times. The page begins after the run `before`,
        which is given as (creation time, record id).
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

    def latest_runs(self, dags: Sequence[str], limit: int) -> dict[str, list[RecentRun]]:
        """Return the newest runs of each of these DAGs, oldest first."""
        query = (
            select(t.runs.c.name, t.runs.c.state, t.runs.c.created, t.runs.c.started, t.runs.c.ended)
            .where(t.runs.c.dag_id == bindparam("dag"))
            .order_by(t.runs.c.created.desc(), t.runs.c.id.desc())
            .limit(limit)
        )
        found: dict[str, list[RecentRun]] = {}
        with self._database.reading() as connection:
            for dag in dags:  # one query for each DAG, because such a query reads only `limit` rows of an index
                rows = connection.execute(query, {"dag": dag}).all()
                found[dag] = [RecentRun(*row) for row in reversed(rows)]
        return found

    def task_states(self, runs: Sequence[int], tasks: Collection[str] | None = None) -> dict[int, list[TaskStateRow]]:
        """Return the task instances of these runs with the outcomes of their last attempts, by run, in notebook order.

        With `tasks`, return only the instances of these tasks.
        """
        last = (t.attempts.c.instance_id == t.instances.c.id) & (t.attempts.c.try_number == t.instances.c.tries)
        query = (
            select(
                t.instances.c.run_id,
                t.instances.c.task,
                t.instances.c.map_index,
                t.instances.c.state,
                t.instances.c.tries,
                t.instances.c.forgiven,
                t.instances.c.chosen,
                t.attempts.c.state.label("outcome"),
                t.attempts.c.started,
                t.attempts.c.ended,
                t.attempts.c.error,
                t.attempts.c.cached,
            )
            .outerjoin(t.attempts, last)
            .where(t.instances.c.run_id.in_(runs))
            .order_by(t.instances.c.position, t.instances.c.map_index)
        )
        if tasks is not None:
            query = query.where(t.instances.c.task.in_(tasks))
        found: dict[int, list[TaskStateRow]] = {run: [] for run in runs}
        with self._database.reading() as connection:
            for run, *values in connection.execute(query).all():
                found[run].append(TaskStateRow(*values))
        return found

    def outputs(self, run: int) -> list[tuple[str, int, StoredOutput]]:
        """Return the values that the last attempts of a run stored, in notebook order.

        Each value is returned as a tuple of the task, the map index and the output.
        """
        last = (t.outputs.c.instance_id == t.instances.c.id) & (t.outputs.c.try_number == t.instances.c.tries)
        query = (
            select(t.outputs, t.instances.c.task, t.instances.c.map_index)
            .join(t.instances, last)
            .where(t.instances.c.run_id == run, t.instances.c.forgiven != t.instances.c.tries)
            .order_by(t.instances.c.position, t.instances.c.map_index, t.outputs.c.name)
        )
        with self._database.reading() as connection:
            result = connection.execute(query)
            read = row_reader(StoredOutput, result)
            return [(row[-2], row[-1], read(row)) for row in result.all()]

    def metrics(self, runs: Sequence[int]) -> list[MetricRow]:
        """Return the metrics of the last attempts of these runs, in the order in which a list shows them.

        The metrics of --metric come first, then all others; both in notebook order of their tasks.
        """
        value, instance = t.metrics.c.value, t.instances.c
        # For a mean, PostgreSQL squares the numbers, and raises an error if a square is too large for a float.
        bounded = case((value > _HUGE, math.inf), (value < -_HUGE, -math.inf), else_=value)
        last = (t.metrics.c.instance_id == instance.id) & (t.metrics.c.try_number == instance.tries)
        marked = func.max(cast(t.metrics.c.marked, Integer)).label("marked")
        query = (
            select(
                instance.run_id,
                instance.task,
                t.metrics.c.name,
                marked,
                type_coerce(func.avg(bounded), t.NotANumberAsNull),
                func.min(value),
                func.max(value),
                func.count(),
            )
            .join(t.instances, last)
            .where(instance.run_id.in_(runs), instance.forgiven != instance.tries)
            .group_by(instance.run_id, instance.task, t.metrics.c.name)
            .order_by(marked.desc(), func.min(instance.position), func.min(t.metrics.c.position), t.metrics.c.name)
        )
        with self._database.reading() as connection:
            return [
                MetricRow(run, task, name, bool(named), MetricPoint(value=mean, lowest=low, highest=high, count=count))
                for run, task, name, named, mean, low, high, count in connection.execute(query)
            ]

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

    def task_counts(self, runs: Sequence[int]) -> dict[int, dict[str, int]]:
        """Return the number of task instances by run and state.

        As in `Run.task_counts`, instances that ended because their run was cancelled count as "cancelled".
        """
        by_state = (
            select(t.instances.c.run_id, t.instances.c.state, func.count().label("number"))
            .where(t.instances.c.run_id.in_(runs))
            .group_by(t.instances.c.run_id, t.instances.c.state)
        )
        last = (t.attempts.c.instance_id == t.instances.c.id) & (t.attempts.c.try_number == t.instances.c.tries)
        in_time = (t.attempts.c.ended < t.runs.c.ended, 1)  # the attempt failed before the run was cancelled
        stopped = (
            select(t.instances.c.run_id, func.sum(case(in_time, else_=0)).label("failed"))
            .select_from(t.instances.join(t.runs).outerjoin(t.attempts, last))
            .where(t.instances.c.run_id.in_(runs), t.instances.c.state == TaskState.FAILED)
            .where(t.runs.c.state == RunState.CANCELLED)
            .group_by(t.instances.c.run_id)
        )
        found: dict[int, dict[str, int]] = {run: {} for run in runs}
        with self._database.reading() as connection:
            for row in connection.execute(by_state):
                found[row.run_id][row.state.value] = row.number
            for row in connection.execute(stopped):
                counts = found[row.run_id]
                counts["cancelled"] = counts.pop(TaskState.FAILED.value) - row.failed
                counts |= {TaskState.FAILED.value: row.failed} if row.failed else {}
        return found

    def queue(self, limit: int) -> list[QueuedRow]:
        """Return the task instances that are active or ready, or that wait for their next try, the oldest run first."""
        current = (t.attempts.c.instance_id == t.instances.c.id) & (t.attempts.c.try_number == t.instances.c.tries)
        running = (t.attempts.c.state == TaskState.RUNNING) & (t.instances.c.state == TaskState.RUNNING)
        query = (
            select(
                t.runs.c.dag_id.label("dag"),
                t.runs.c.name.label("run"),
                t.instances.c.task,
                t.instances.c.map_index,
                t.instances.c.state,
                t.instances.c.tries,
                t.instances.c.pool,
                t.instances.c.slots,
                t.instances.c.wake,
                t.attempts.c.started,
            )
            .join(t.runs, t.runs.c.id == t.instances.c.run_id)
            .outerjoin(t.attempts, current & running)
            .where(t.instances.c.state.in_(_IN_QUEUE))
            .order_by(t.runs.c.created, t.runs.c.id, t.instances.c.position, t.instances.c.map_index)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [QueuedRow(**row._mapping) for row in connection.execute(query)]

    def unfinished_tasks(self) -> dict[TaskState, int]:
        """Return the number of task instances of unfinished runs by state."""
        query = (
            select(t.instances.c.state, func.count().label("number"))
            .join(t.runs, t.runs.c.id == t.instances.c.run_id)
            .where(t.runs.c.state.in_(_UNFINISHED))
            .group_by(t.instances.c.state)
        )
        with self._database.reading() as connection:
            return {row.state: row.number for row in connection.execute(query)}

    def unfinished_runs(self) -> dict[RunState, int]:
        """Return the number of unfinished runs by state."""
        query = select(t.runs.c.state, func.count().label("number")).where(t.runs.c.state.in_(_UNFINISHED))
        with self._database.reading() as connection:
            return {row.state: row.number for row in connection.execute(query.group_by(t.runs.c.state))}

    def running_by_scheduler(self) -> dict[str, int]:
        """Return the number of running attempts by scheduler."""
        query = (
            select(t.attempts.c.scheduler_id, func.count().label("number"))
            .where(t.attempts.c.state == TaskState.RUNNING)
            .group_by(t.attempts.c.scheduler_id)
        )
        with self._database.reading() as connection:
            return {row.scheduler_id: row.number for row in connection.execute(query)}

    def count_deployed(self) -> tuple[int, int]:
        """Return the number of deployed DAGs, and how many of them are paused."""
        query = select(t.dags.c.paused, func.count().label("number")).where(t.dags.c.digest.is_not(None))
        with self._database.reading() as connection:
            found = {bool(row.paused): row.number for row in connection.execute(query.group_by(t.dags.c.paused))}
        return sum(found.values()), found.get(True, 0)

    def dated_runs(self, dag: str, since: float, until: float) -> list[tuple[float, RunState]]:
        """Return the logical dates and states of a DAG's runs from `since` (inclusive) to `until` (exclusive)."""
        query = select(t.runs.c.logical_date, t.runs.c.state).where(
            t.runs.c.dag_id == dag, t.runs.c.logical_date >= since, t.runs.c.logical_date < until
        )
        with self._database.reading() as connection:
            return [(row.logical_date, row.state) for row in connection.execute(query)]
