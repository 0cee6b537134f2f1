"""What is deployed, and which runs are due or wait to be driven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, func, insert, or_, select, update

from ..core.model.states import RunState
from . import schema as t
from .database import Database
from .inserts import add_runs, existing_names, record_version
from .mapping import from_row, to_row
from .rows import DagRow, NewInstance, NewRun, RunRow

_UNFINISHED = (RunState.QUEUED, RunState.RUNNING)
_QUEUE_WINDOW = 100  # waiting runs of each DAG: a queue of thousands is not read anew whenever one of them ends


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """The newest run of a DAG."""

    name: str
    state: RunState
    created: float


class Deployments:
    """All that is asked of deployed notebooks. A part of the `Store`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, dag: DagRow, now: float) -> None:
        """Deploy a version."""
        values = to_row(dag)
        with self._database.writing() as connection:
            if not connection.execute(update(t.dags).where(t.dags.c.id == dag.id).values(values)).rowcount:
                connection.execute(insert(t.dags).values(values))
            record_version(connection, dag.id, dag.digest, now)

    def remove(self, dag: str) -> None:
        """Deploy it no more; its runs stay."""
        with self._database.writing() as connection:
            connection.execute(update(t.dags).where(t.dags.c.id == dag).values(digest=None, next_date=None))

    def set_paused(self, dag: str, paused: bool, next_date: float | None) -> None:
        """Whether its schedule makes runs, and the next of them."""
        with self._database.writing() as connection:
            connection.execute(update(t.dags).where(t.dags.c.id == dag).values(paused=paused, next_date=next_date))

    def get(self, dag: str) -> DagRow | None:
        """A deployed notebook; None where it is not deployed."""
        with self._database.reading() as connection:
            row = connection.execute(_deployed().where(t.dags.c.id == dag)).first()
            return None if row is None else from_row(DagRow, row)

    def all(self) -> list[DagRow]:
        """All that is deployed, by id."""
        with self._database.reading() as connection:
            return [from_row(DagRow, row) for row in connection.execute(_deployed().order_by(t.dags.c.id))]

    def versions(self) -> dict[str, int]:
        """DAG → how many versions of it there have been."""
        count = func.count().label("number")
        query = select(t.versions.c.dag_id, count).where(~t.versions.c.built).group_by(t.versions.c.dag_id)
        with self._database.reading() as connection:
            return {row.dag_id: row.number for row in connection.execute(query)}

    def last_runs(self) -> dict[str, LastRun]:
        """DAG → its newest run."""
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
        with self._database.reading() as connection:
            return {
                row.dag: LastRun(name=row.name, state=row.state, created=row.created)
                for row in connection.execute(query)
            }

    # For whoever drives

    def due(self, now: float) -> list[DagRow]:
        """What may have to run by now."""
        query = _deployed().where(t.dags.c.next_date <= now, ~t.dags.c.paused).order_by(t.dags.c.next_date)
        with self._database.reading() as connection:
            return [from_row(DagRow, row) for row in connection.execute(query)]

    def next_date_after(self, now: float) -> float | None:
        """When something is due next, what is overdue left out."""
        query = select(func.min(t.dags.c.next_date)).where(
            t.dags.c.next_date > now, t.dags.c.digest.is_not(None), ~t.dags.c.paused
        )
        with self._database.reading() as connection:
            found = connection.execute(query).scalar()
            return None if found is None else float(found)

    def count_scheduled(self, dag: str) -> int:
        """How many of its scheduled runs have not ended."""
        query = (
            select(func.count())
            .select_from(t.runs)
            .where(t.runs.c.dag_id == dag, t.runs.c.kind == "scheduled", t.runs.c.state.in_(_UNFINISHED))
        )
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def advance(self, seen: DagRow, next_date: float | None) -> None:
        """The next date has turned out to be another."""
        with self._database.writing() as connection:
            _advance(connection, seen, seen.last_date, next_date)

    def create_due(
        self, seen: DagRow, new: Sequence[NewRun], instances: Sequence[NewInstance], next_date: float | None
    ) -> list[RunRow] | None:
        """Record the runs that are due, and that the schedule goes on to its next date: all of it, or nothing.

        Answers with the runs, without those that there were already; None when somebody else was quicker.
        """
        with self._database.writing() as connection:
            if not _advance(connection, seen, new[-1].logical_date, next_date):
                return None
            # Made for the schedule as it was deployed before.
            there = existing_names(connection, seen.id, (each.name for each in new))
            missing = [each for each in new if each.name not in there]
            return add_runs(connection, missing, instances) if missing else []

    def unfinished(self, scheduler: str) -> list[RunRow]:
        """Runs that this scheduler may drive: its own, and those that are nobody's.

        Of those that wait in a long queue, the first: so many of each DAG, of a backfill apart, in the order in which
        they are to start.
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
        """How many runs there are that nobody has for their own, and that have not ended."""
        query = (
            select(func.count())
            .select_from(t.runs)
            .where(t.runs.c.state.in_(_UNFINISHED), t.runs.c.scheduler_id.is_(None))
        )
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def count_running(self) -> dict[tuple[str, bool], int]:
        """How many runs are running, by DAG and whether they are of a backfill."""
        is_backfill = t.runs.c.kind == "backfill"
        query = (
            select(t.runs.c.dag_id, is_backfill.label("backfill"), func.count().label("number"))
            .where(t.runs.c.state == RunState.RUNNING)
            .group_by(t.runs.c.dag_id, is_backfill)
        )
        with self._database.reading() as connection:
            return {(row.dag_id, bool(row.backfill)): row.number for row in connection.execute(query)}

    def max_active_runs(self, dags: Sequence[str]) -> dict[str, int]:
        """DAG → its max_active_runs, where it was ever deployed."""
        query = select(t.dags.c.id, t.dags.c.max_active_runs).where(
            t.dags.c.id.in_(dags), t.dags.c.max_active_runs.is_not(None)
        )
        with self._database.reading() as connection:
            return {row.id: row.max_active_runs for row in connection.execute(query)}

    def previous_run(self, run: RunRow) -> RunRow | None:
        """The run before this one by the schedule's dates: a scheduled or a backfilled one, of several the newest."""
        query = (
            select(t.runs)
            .where(
                t.runs.c.dag_id == run.dag,
                t.runs.c.kind.in_(("scheduled", "backfill")),
                t.runs.c.logical_date < run.logical_date,
            )
            .order_by(t.runs.c.logical_date.desc(), t.runs.c.created.desc(), t.runs.c.id.desc())
            .limit(1)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).first()
            return None if row is None else from_row(RunRow, row)


def _advance(connection: Connection, seen: DagRow, last_date: float | None, next_date: float | None) -> bool:
    """The schedule goes on, if nobody was quicker."""
    as_seen = (
        (t.dags.c.id == seen.id)
        & (t.dags.c.digest == seen.digest)
        & (t.dags.c.last_date.is_not_distinct_from(seen.last_date))
    )
    values = {"last_date": last_date, "next_date": next_date}
    return connection.execute(update(t.dags).where(as_seen).values(values)).rowcount > 0


def has_room(connection: Connection, run: RunRow, most: int) -> bool:
    """Whether no more than `most` runs of this one's DAG and kind are running."""
    count = connection.execute(_RUNNING[run.kind == "backfill"], {"dag": run.dag}).scalar_one()
    return int(count) <= most


_RUNNING = {
    backfill: select(func.count())
    .select_from(t.runs)
    .where(
        t.runs.c.state == RunState.RUNNING,
        t.runs.c.dag_id == bindparam("dag"),
        (t.runs.c.kind == "backfill") if backfill else (t.runs.c.kind != "backfill"),
    )
    for backfill in (False, True)
}


def _deployed() -> Any:
    return select(t.dags).where(t.dags.c.digest.is_not(None))
