"""Queries and changes of deployed notebooks, and of the runs that are due or waiting."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, and_, case, cast, func, insert, or_, select, update

from ..core.model.states import RunState
from . import schema as t
from .assets import set_needs
from .database import Database
from .mapping import from_row, to_row
from .rows import DagRow, NewInstance, NewRun, RunRow
from .saving import add_runs, existing_names, record_version

_UNFINISHED = (RunState.QUEUED, RunState.RUNNING)
# At most this number of queued runs is read per DAG, because they are read whenever a run ends and may be thousands.
_QUEUE_WINDOW = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """The newest run of a DAG."""

    name: str
    state: RunState
    created: float


class Deployments:
    """The part of the `Store` for deployed notebooks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self,
        dag: DagRow,
        now: float,
        *,
        needs: Collection[str] = (),
        produces: Mapping[str, Collection[str]] | None = None,
        reads: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Record that a version of a notebook is deployed.

        `needs` are the assets in the notebook's schedule; `produces` and `reads` are the assets that its tasks produce
        and read, by task.
        """
        values = to_row(dag)
        with self._database.writing() as connection:
            if not connection.execute(update(t.dags).where(t.dags.c.id == dag.id).values(values)).rowcount:
                connection.execute(insert(t.dags).values(values))
            record_version(connection, dag.id, dag.digest, now)
            set_needs(connection, dag.id, needs, produces or {}, reads or {})

    def remove(self, dag: str) -> None:
        """Record that a DAG is no longer deployed; its runs are kept."""
        with self._database.writing() as connection:
            connection.execute(update(t.dags).where(t.dags.c.id == dag).values(digest=None, next_date=None))
            set_needs(connection, dag, (), {}, {})

    def set_paused(self, dag: str, paused: bool, next_date: float | None, now: float | None = None) -> None:
        """Set whether the schedule of a DAG is paused, and the date of its next run.

        When a DAG is unpaused, events of assets before `now` start no run: as in Airflow, events that arrive while a
        DAG is paused are ignored.
        """
        values: dict[str, Any] = {"paused": paused, "next_date": next_date}
        if now is not None and not paused:
            paused_here = t.dags.c.paused & t.dags.c.events_since.is_not(None)
            values["events_since"] = case((paused_here, now), else_=t.dags.c.events_since)
        with self._database.writing() as connection:
            connection.execute(update(t.dags).where(t.dags.c.id == dag).values(values))

    def get(self, dag: str) -> DagRow | None:
        """Return a deployed notebook, or None if the DAG is not deployed."""
        with self._database.reading() as connection:
            row = connection.execute(_deployed().where(t.dags.c.id == dag)).first()
            return None if row is None else from_row(DagRow, row)

    def all(self) -> list[DagRow]:
        """Return all deployed notebooks, by id."""
        with self._database.reading() as connection:
            return [from_row(DagRow, row) for row in connection.execute(_deployed().order_by(t.dags.c.id))]

    def page(
        self,
        *,
        search: str = "",
        tags: Collection[str] = (),
        paused: bool | None = None,
        last_states: Collection[RunState] = (),
        after: str = "",
        limit: int,
    ) -> tuple[list[DagRow], int]:
        """Return one page of the matching deployed notebooks, sorted by id, and the number of all matching notebooks.

        The page begins after the id `after`. A notebook matches if each word of `search` occurs in its id, owner, tags
        or description, all `tags` are among its tags, and its newest run has one of `last_states`.
        """
        conditions: list[ColumnElement[bool]] = []
        text = func.lower(
            t.dags.c.id + " " + func.coalesce(t.dags.c.owner, "") + " " + func.coalesce(cast(t.dags.c.tags, Text), "")
            + " " + func.coalesce(t.dags.c.description, "")
        )  # fmt: skip
        conditions += [text.contains(word, autoescape=True) for word in search.lower().split()]
        conditions += [
            cast(t.dags.c.tags, Text).contains(json.dumps(tag, ensure_ascii=False), autoescape=True) for tag in tags
        ]
        if paused is not None:
            conditions.append(t.dags.c.paused == paused)
        if last_states:
            newest = (
                select(t.runs.c.state)
                .where(t.runs.c.dag_id == t.dags.c.id)
                .order_by(t.runs.c.created.desc(), t.runs.c.id.desc())
                .limit(1)
                .scalar_subquery()
            )
            conditions.append(newest.in_(last_states))
        query = _deployed().where(*conditions)
        count = select(func.count()).select_from(query.order_by(None).subquery())
        with self._database.reading() as connection:
            rows = connection.execute(query.where(t.dags.c.id > after).order_by(t.dags.c.id).limit(limit))
            return [from_row(DagRow, row) for row in rows], connection.execute(count).scalar_one()

    def versions(self, dags: Collection[str] | None = None) -> dict[str, int]:
        """Return the version number of each of these deployed notebooks, or of all.

        The versions of a DAG are numbered from 1, in the order in which they were recorded.
        """
        own = t.versions.alias()
        query = (
            select(t.versions.c.dag_id, func.count().label("number"))
            .join(t.dags, t.dags.c.id == t.versions.c.dag_id)
            .join(own, (own.c.dag_id == t.dags.c.id) & (own.c.digest == t.dags.c.digest))
            .where(~t.versions.c.built, t.versions.c.created <= own.c.created)
            .group_by(t.versions.c.dag_id)
        )
        if dags is not None:
            query = query.where(t.dags.c.id.in_(dags))
        with self._database.reading() as connection:
            return {row.dag_id: row.number for row in connection.execute(query)}

    def last_runs(self, dags: Collection[str] | None = None) -> dict[str, LastRun]:
        """Return the newest run of each of these DAGs, or of all."""
        newest = (
            select(t.runs.c.id)
            .where(t.runs.c.dag_id == t.dags.c.id)
            .order_by(t.runs.c.created.desc(), t.runs.c.id.desc())
            .limit(1)
            .correlate(t.dags)
            .scalar_subquery()
        )
        query = select(t.dags.c.id.label("dag"), t.runs.c.name, t.runs.c.state, t.runs.c.created).join(
            t.runs, t.runs.c.id == newest
        )
        if dags is not None:
            query = query.where(t.dags.c.id.in_(dags))
        with self._database.reading() as connection:
            return {
                row.dag: LastRun(name=row.name, state=row.state, created=row.created)
                for row in connection.execute(query)
            }

    # For schedulers

    def due(self, now: float) -> list[DagRow]:
        """Return the notebooks whose next run may be due."""
        query = _deployed().where(t.dags.c.next_date <= now, ~t.dags.c.paused).order_by(t.dags.c.next_date)
        with self._database.reading() as connection:
            return [from_row(DagRow, row) for row in connection.execute(query)]

    def next_date_after(self, now: float) -> float | None:
        """Return the next date after `now` on which a run is due, or None if no run is due."""
        query = select(func.min(t.dags.c.next_date)).where(
            t.dags.c.next_date > now, t.dags.c.digest.is_not(None), ~t.dags.c.paused
        )
        with self._database.reading() as connection:
            found = connection.execute(query).scalar()
            return None if found is None else float(found)

    def count_scheduled(self, dag: str) -> int:
        """Return the number of unfinished runs that the schedule of a DAG has created."""
        query = (
            select(func.count())
            .select_from(t.runs)
            .where(t.runs.c.dag_id == dag, t.runs.c.kind == "scheduled", t.runs.c.state.in_(_UNFINISHED))
        )
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def advance(self, seen: DagRow, next_date: float | None) -> None:
        """Record a new date of the next run, unless the deployment has changed since `seen` was read."""
        with self._database.writing() as connection:
            _advance(connection, seen, seen.last_date, next_date)

    def create_due(
        self, seen: DagRow, new: Sequence[NewRun], instances: Sequence[NewInstance], next_date: float | None
    ) -> list[RunRow] | None:
        """Record the runs that are due and the next date of the schedule, in one transaction.

        Return the runs that are new. If another process has changed the deployment, record nothing and return None.
        """
        with self._database.writing() as connection:
            if not _advance(connection, seen, new[-1].logical_date, next_date):
                return None
            # Some of these runs may exist, because an earlier deployment created them.
            existing = existing_names(connection, seen.id, (each.name for each in new))
            missing = [each for each in new if each.name not in existing]
            return add_runs(connection, missing, instances, self._database.files_id()) if missing else []

    def unfinished(self, scheduler: str) -> list[RunRow]:
        """Return the unfinished runs that this scheduler may execute: its own runs, and runs without an owner.

        If many runs of a DAG are queued, return only the runs that start first. The runs of backfills are counted
        separately from other runs.
        """
        may = or_(t.runs.c.scheduler_id.is_(None), t.runs.c.scheduler_id == scheduler)
        turn = func.row_number().over(
            partition_by=[t.runs.c.dag_id, t.runs.c.kind == "backfill"],
            order_by=[
                case((t.backfills.c.backwards, -t.runs.c.logical_date), else_=t.runs.c.logical_date),
                t.runs.c.id,
            ],
        )
        waiting = (
            select(t.runs.c.id, turn.label("turn"))
            .outerjoin(t.backfills, t.backfills.c.id == t.runs.c.backfill)
            .where(t.runs.c.state == RunState.QUEUED, t.runs.c.cancel_asked.is_(None), may)
            .subquery()
        )
        first = select(waiting.c.id).where(waiting.c.turn <= _QUEUE_WINDOW)
        under_way = or_(t.runs.c.state == RunState.RUNNING, t.runs.c.cancel_asked.is_not(None))
        query = select(t.runs).where(t.runs.c.state.in_(_UNFINISHED), or_(and_(under_way, may), t.runs.c.id.in_(first)))
        with self._database.reading() as connection:
            return [
                from_row(RunRow, row) for row in connection.execute(query.order_by(t.runs.c.logical_date, t.runs.c.id))
            ]

    def count_unowned(self) -> int:
        """Return the number of unfinished runs without an owner."""
        query = (
            select(func.count())
            .select_from(t.runs)
            .where(t.runs.c.state.in_(_UNFINISHED), t.runs.c.scheduler_id.is_(None))
        )
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def count_running(self) -> dict[tuple[str, bool], int]:
        """Return how many runs are running. A key is (DAG, whether the runs belong to a backfill)."""
        is_backfill = t.runs.c.kind == "backfill"
        query = (
            select(t.runs.c.dag_id, is_backfill.label("backfill"), func.count().label("number"))
            .where(t.runs.c.state == RunState.RUNNING)
            .group_by(t.runs.c.dag_id, is_backfill)
        )
        with self._database.reading() as connection:
            return {(row.dag_id, bool(row.backfill)): row.number for row in connection.execute(query)}

    def max_active_runs(self, dags: Sequence[str]) -> dict[str, int]:
        """Return `max_active_runs` of each of these DAGs; DAGs that were never deployed are omitted."""
        query = select(t.dags.c.id, t.dags.c.max_active_runs).where(
            t.dags.c.id.in_(dags), t.dags.c.max_active_runs.is_not(None)
        )
        with self._database.reading() as connection:
            return {row.id: row.max_active_runs for row in connection.execute(query)}

    def previous_run(self, run: RunRow) -> RunRow | None:
        """Return the run with the latest date before this run's date; manual runs are ignored.

        If several runs have that date, return the newest of them.
        """
        query = (
            select(t.runs)
            .where(
                t.runs.c.dag_id == run.dag,
                t.runs.c.kind.in_(("scheduled", "backfill", "asset")),
                t.runs.c.logical_date < run.logical_date,
            )
            .order_by(t.runs.c.logical_date.desc(), t.runs.c.created.desc(), t.runs.c.id.desc())
            .limit(1)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).first()
            return None if row is None else from_row(RunRow, row)


def _advance(connection: Connection, seen: DagRow, last_date: float | None, next_date: float | None) -> bool:
    """Update the dates of the schedule; return False if the deployment has changed since `seen` was read."""
    as_seen = (
        (t.dags.c.id == seen.id)
        & (t.dags.c.digest == seen.digest)
        & (t.dags.c.last_date.is_not_distinct_from(seen.last_date))
    )
    values = {"last_date": last_date, "next_date": next_date}
    return connection.execute(update(t.dags).where(as_seen).values(values)).rowcount > 0


def _deployed() -> Any:
    return select(t.dags).where(t.dags.c.digest.is_not(None))
