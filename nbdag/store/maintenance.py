"""Maintenance of the store: deleting old runs, finding files in use, and checking the database itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import Connection, delete, func, or_, select, text

from ..core.model.states import RunState, TaskState
from . import schema as t
from .database import Database, revision_of
from .mapping import from_row
from .rows import RunRow

_UNFINISHED = (RunState.QUEUED, RunState.RUNNING)


class Maintenance:
    """The part of the `Store` for maintenance."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ended_before(self, at: float) -> list[RunRow]:
        """Return the runs that ended before this time, except runs whose values a remaining run uses."""
        lent = select(t.borrowed.c.from_run_id).join(t.runs, t.runs.c.id == t.borrowed.c.run_id).where(
            or_(t.runs.c.ended.is_(None), t.runs.c.ended >= at)
        )  # fmt: skip
        query = select(t.runs).where(t.runs.c.state.not_in(_UNFINISHED), t.runs.c.ended < at, t.runs.c.id.not_in(lent))
        with self._database.reading() as connection:
            return [from_row(RunRow, row) for row in connection.execute(query.order_by(t.runs.c.id))]

    def delete_runs(self, runs: Sequence[int]) -> list[int]:
        """Delete these runs, and records that only these runs need; return the record ids of the deleted runs.

        A run is kept if it was cleared in the meantime, or if a remaining run uses its values.
        """
        with self._database.writing() as connection:
            over = _deletable(connection, runs)
            for some in _portions(over):
                connection.execute(delete(t.borrowed).where(t.borrowed.c.run_id.in_(some)))
            for some in _portions(over):
                connection.execute(delete(t.runs).where(t.runs.c.id.in_(some)))
            needed = select(t.runs.c.dag_id, t.runs.c.digest)
            deployed = select(t.dags.c.id, t.dags.c.digest).where(t.dags.c.digest.is_not(None))
            for row in connection.execute(
                select(t.versions.c.dag_id, t.versions.c.digest).except_(needed, deployed)
            ).all():
                connection.execute(
                    delete(t.versions).where(t.versions.c.dag_id == row.dag_id, t.versions.c.digest == row.digest)
                )
            used = select(t.attempts.c.scheduler_id).union(
                select(t.runs.c.scheduler_id).where(t.runs.c.scheduler_id.is_not(None))
            )
            connection.execute(
                delete(t.schedulers).where(t.schedulers.c.ended.is_not(None), t.schedulers.c.id.not_in(used))
            )
        return over

    def files_in_use(self, without: Collection[int] = ()) -> tuple[set[str], set[str], set[tuple[str, str]]]:
        """Return the needed files: digests of values, digests of notebooks, and (DAG, run id) of runs with a folder.

        Runs in `without` are treated as deleted.
        """
        values = select(t.instances.c.run_id, t.outputs.c.digest).join(
            t.instances, t.instances.c.id == t.outputs.c.instance_id
        )
        elements = select(t.instances.c.run_id, t.instances.c.element).where(t.instances.c.element.is_not(None))
        with self._database.reading() as connection:
            digests = {row.digest for row in connection.execute(values.distinct()) if row.run_id not in without}
            for row in connection.execute(elements):
                digests |= set() if row.run_id in without else set((row.element or {}).values())
            rows = connection.execute(select(t.runs.c.id, t.runs.c.dag_id, t.runs.c.name, t.runs.c.digest)).all()
            kept = [row for row in rows if row.id not in without]
            books = {row.digest for row in kept}
            books |= set(connection.execute(select(t.dags.c.digest).where(t.dags.c.digest.is_not(None))).scalars())
        return digests, books, {(row.dag_id, row.name) for row in kept}

    def earliest_running(self) -> float | None:
        """Return the start of the unfinished attempt that started first, or None if all attempts have ended."""
        query = select(func.min(t.attempts.c.started)).where(
            t.attempts.c.state.in_((TaskState.RUNNING, TaskState.UP_FOR_RESCHEDULE))
        )
        with self._database.reading() as connection:
            found = connection.execute(query).scalar()
            return None if found is None else float(found)

    # The database itself

    def revision(self) -> str:
        """Return the newest migration that the database has."""
        with self._database.reading() as connection:
            return revision_of(connection) or ""

    def integrity_errors(self) -> list[str]:
        """Return descriptions of the errors that the database's own check finds, usually none."""
        with self._database.reading() as connection:
            if not self._database.sqlite:
                connection.execute(select(func.count()).select_from(t.runs)).scalar_one()
                return []
            errors = [str(row[0]) for row in connection.execute(text("PRAGMA integrity_check")) if row[0] != "ok"]
            for row in connection.execute(text("PRAGMA foreign_key_check")):
                errors.append(f"row {row[1]} of {row[0]} refers to a missing row of {row[2]}")
            return errors

    def counts(self) -> dict[str, int]:
        """Return the number of rows of each table; a key is a name that messages show, such as "runs"."""
        tables = {"dags": t.dags, "runs": t.runs, "tasks": t.instances, "attempts": t.attempts, "values": t.outputs}
        with self._database.reading() as connection:
            return {
                name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
                for name, table in tables.items()
            }

    def compact(self) -> None:
        """Give the disk space of deleted rows back to the file system."""
        if self._database.sqlite:
            with self._database.engine.connect() as connection:
                raw = connection.connection.driver_connection
                raw.execute("VACUUM")  # type: ignore[union-attr]


def _deletable(connection: Connection, runs: Sequence[int]) -> list[int]:
    """Lock and return the runs that may be deleted: ended runs whose values no remaining run uses."""
    over: set[int] = set()
    for some in _portions(runs):
        ended = select(t.runs.c.id).where(t.runs.c.id.in_(some), t.runs.c.state.not_in(_UNFINISHED))
        # The lock prevents other processes from clearing these runs or using their values.
        # On SQLite, the write lock of the transaction already prevents this.
        over |= set(connection.execute(ended.with_for_update()).scalars())
    lent = connection.execute(select(t.borrowed.c.run_id, t.borrowed.c.from_run_id).distinct()).all()
    while needed := {row.from_run_id for row in lent if row.run_id not in over} & over:
        over -= needed  # runs whose values a needed run uses are needed too
    return sorted(over)


def _portions(runs: Sequence[int]) -> Iterator[list[int]]:
    """Yield the ids in lists, each short enough for one SQL statement."""
    for n in range(0, len(runs), 500):
        yield list(runs[n : n + 500])
