"""Detect changes of the database by queries that are cheap enough to repeat several times per second."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from sqlalchemy import func, select

from ..core.model.states import RunState
from . import schema as t
from .database import Database

_UNFINISHED = (RunState.QUEUED, RunState.RUNNING)


@dataclass(frozen=True, slots=True)
class RunMark:
    """The revision of a run, without its other columns."""

    id: int
    dag: str
    name: str
    state: RunState
    revision: int


class Changes:
    """The part of the `Store` for detecting changes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def runs(self, latest: int | None = None) -> list[RunMark]:
        """Return the revisions of all runs.

        With `latest`, return only the revisions of the unfinished runs and of this number of newest runs.
        """
        columns = (t.runs.c.id, t.runs.c.dag_id, t.runs.c.name, t.runs.c.state, t.runs.c.revision)
        with self._database.reading() as connection:
            if latest is None:
                return [RunMark(*row) for row in connection.execute(select(*columns))]
            newest = select(*columns).order_by(t.runs.c.created.desc()).limit(latest)
            found = {row.id: RunMark(*row) for row in connection.execute(newest)}
            unfinished = select(*columns).where(t.runs.c.state.in_(_UNFINISHED))
            found |= {row.id: RunMark(*row) for row in connection.execute(unfinished)}
            return list(found.values())

    def deployments(self) -> dict[str, Hashable]:
        """Return a value for each deployed DAG, which changes whenever the deployment changes."""
        columns = (t.dags.c.id, t.dags.c.digest, t.dags.c.deployed, t.dags.c.paused, t.dags.c.next_date)
        query = select(*columns).where(t.dags.c.digest.is_not(None))
        with self._database.reading() as connection:
            return {row.id: tuple(row[1:]) for row in connection.execute(query)}

    def pools(self) -> Hashable:
        """Return a value that changes whenever a pool changes."""
        with self._database.reading() as connection:
            return frozenset(tuple(row) for row in connection.execute(select(t.pools.c.name, t.pools.c.slots)))

    def asset_events(self, after: int | None) -> tuple[int, list[str]]:
        """Return the id of the newest asset event, and the assets that have events with ids above `after`."""
        event = t.asset_events.c
        with self._database.reading() as connection:
            newest = connection.execute(select(func.max(event.id))).scalar() or 0
            if after is None or newest == after:
                return newest, []
            query = select(event.asset).where(event.id > after).distinct().order_by(event.asset)
            return newest, [row.asset for row in connection.execute(query)]
