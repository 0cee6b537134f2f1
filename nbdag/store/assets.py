"""Events of assets. An event records a new version of an asset.

Each pipeline that is scheduled on the asset uses the event once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Table, and_, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from . import schema as t
from .database import Database
from .mapping import from_row
from .rows import AssetEvent, NewInstance, NewRun, RunRow
from .saving import add_events, add_runs

_FILES_LOCK = 7236355  # key of an advisory lock; the number itself has no meaning
_OVERLAP = 3600.0  # maximum duration in seconds of a transaction that records an event


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetRow:
    """An asset, with its events and the deployed pipelines that produce or need it."""

    name: str
    events: int  # number of recorded events
    latest: AssetEvent | None
    producers: tuple[tuple[str, str], ...]  # tasks of deployed pipelines that produce the asset, each as (DAG, task)
    consumers: tuple[str, ...]  # deployed DAGs whose schedules name the asset
    readers: tuple[tuple[str, str], ...] = ()  # tasks of deployed pipelines that read the asset, each as (DAG, task)


class Assets:
    """The part of the `Store` for assets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, events: Sequence[AssetEvent]) -> None:
        """Record events."""
        with self._database.writing() as connection:
            add_events(connection, events)

    def all(self) -> list[AssetRow]:
        """Return every asset that has an event, a producer or a consumer, by name."""
        last = select(func.max(t.asset_events.c.id).label("id"), func.count().label("number")).group_by(
            t.asset_events.c.asset
        )
        with self._database.reading() as connection:
            newest = last.subquery()
            query = select(t.asset_events, newest.c.number).join(newest, newest.c.id == t.asset_events.c.id)
            events = {row.asset: (row.number, from_row(AssetEvent, row)) for row in connection.execute(query)}
            needs = _needs(connection)
            producers, readers = _tasks(connection, t.asset_producers), _tasks(connection, t.asset_readers)
        return [
            AssetRow(
                name=name,
                events=events[name][0] if name in events else 0,
                latest=events[name][1] if name in events else None,
                producers=tuple(producers.get(name, ())),
                consumers=tuple(needs.get(name, ())),
                readers=tuple(readers.get(name, ())),
            )
            for name in sorted({*events, *needs, *producers, *readers})
        ]

    def events(self, asset: str | None = None, limit: int | None = None) -> list[tuple[AssetEvent, dict[str, str]]]:
        """Return events, newest first, each with the runs that it started (key: DAG; value: run id)."""
        query = select(t.asset_events).order_by(t.asset_events.c.at.desc(), t.asset_events.c.id.desc()).limit(limit)
        if asset is not None:
            query = query.where(t.asset_events.c.asset == asset)
        with self._database.reading() as connection:
            found = [from_row(AssetEvent, row) for row in connection.execute(query)]
            uses = select(t.asset_uses).where(t.asset_uses.c.event_id.in_([each.id for each in found]))
            runs: dict[int, dict[str, str]] = {}
            for row in connection.execute(uses):
                runs.setdefault(row.event_id, {})[row.dag_id] = row.run
        return [(each, runs.get(each.id, {})) for each in found]

    def needed(self) -> dict[str, list[tuple[str, float]]]:
        """Return the assets that schedules need, as keys.

        A value has an entry for each schedule: (working directory, time from which events count).
        """
        query = select(t.asset_needs.c.asset, t.dags.c.cwd, t.dags.c.events_since).join(
            t.dags, t.dags.c.id == t.asset_needs.c.dag_id
        )
        found: dict[str, list[tuple[str, float]]] = {}
        with self._database.reading() as connection:
            for row in connection.execute(query.where(t.dags.c.digest.is_not(None), ~t.dags.c.paused)):
                found.setdefault(row.asset, []).append((row.cwd, row.events_since))
        return found

    def add_changed(self, events: Sequence[AssetEvent]) -> None:
        """Record events of watched files.

        If the last event of an asset has the same facts, another scheduler has recorded the change, and the new event
        is left out.
        """
        with self._database.writing() as connection:
            if not self._database.sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(_FILES_LOCK)))
            latest = _latest(connection, [each.asset for each in events])
            add_events(
                connection,
                [each for each in events if each.asset not in latest or latest[each.asset].extra != each.extra],
            )

    def latest(self, assets: Collection[str]) -> dict[str, AssetEvent]:
        """Return the newest event of each of these assets, by asset."""
        with self._database.reading() as connection:
            return _latest(connection, assets)

    def unused(self, dag: str | None = None) -> dict[str, list[AssetEvent]]:
        """Return the events that have not started a run of a DAG yet, by DAG, oldest first.

        Only deployed DAGs that are not paused are included.
        """
        query = (
            select(t.asset_events, t.asset_needs.c.dag_id.label("needed_by"))
            .join(t.asset_needs, t.asset_needs.c.asset == t.asset_events.c.asset)
            .join(t.dags, t.dags.c.id == t.asset_needs.c.dag_id)
            .outerjoin(
                t.asset_uses,
                and_(t.asset_uses.c.event_id == t.asset_events.c.id, t.asset_uses.c.dag_id == t.asset_needs.c.dag_id),
            )
            .where(
                t.asset_uses.c.run.is_(None),
                t.asset_events.c.at >= t.dags.c.events_since,
                t.dags.c.digest.is_not(None),
                ~t.dags.c.paused,
            )
            .order_by(t.asset_events.c.at, t.asset_events.c.id)
        )
        if dag is not None:
            query = query.where(t.asset_needs.c.dag_id == dag)
        found: dict[str, list[AssetEvent]] = {}
        with self._database.reading() as connection:
            for row in connection.execute(query):
                found.setdefault(row.needed_by, []).append(from_row(AssetEvent, row))
        return found

    def create_run(self, new: NewRun, instances: Sequence[NewInstance], events: Sequence[AssetEvent]) -> RunRow | None:
        """Record a run that these events start; return None if another scheduler has already used one of the events."""
        try:
            with self._database.writing() as connection:
                uses = [{"dag_id": new.dag, "event_id": each.id, "run": new.name} for each in events]
                connection.execute(insert(t.asset_uses), uses)
                since = min(max(each.at for each in events) - _OVERLAP, new.created)
                connection.execute(
                    t.dags.update()
                    .where(t.dags.c.id == new.dag, t.dags.c.events_since < since)
                    .values(events_since=since)
                )
                return add_runs(connection, [new], instances, self._database.files_id())[0]
        except IntegrityError:
            return None

    def delete_before(self, at: float) -> int:
        """Delete the events before this time; return the number of deleted events.

        The newest event of each asset and the events that a schedule has not used yet are kept.
        """
        newest = select(func.max(t.asset_events.c.id)).group_by(t.asset_events.c.asset)
        used = (t.asset_uses.c.event_id == t.asset_events.c.id) & (t.asset_uses.c.dag_id == t.asset_needs.c.dag_id)
        awaited = (
            select(t.asset_needs.c.asset)
            .join(t.dags, t.dags.c.id == t.asset_needs.c.dag_id)
            .where(
                t.asset_needs.c.asset == t.asset_events.c.asset,
                t.dags.c.events_since <= t.asset_events.c.at,
                ~select(t.asset_uses.c.run).where(used).exists(),
            )
            .exists()
        )
        old = select(t.asset_events.c.id).where(t.asset_events.c.at < at, t.asset_events.c.id.not_in(newest), ~awaited)
        with self._database.writing() as connection:
            return connection.execute(delete(t.asset_events).where(t.asset_events.c.id.in_(old))).rowcount


def _latest(connection: Connection, assets: Collection[str]) -> dict[str, AssetEvent]:
    last = select(func.max(t.asset_events.c.id)).where(t.asset_events.c.asset.in_(assets))
    query = select(t.asset_events).where(t.asset_events.c.id.in_(last.group_by(t.asset_events.c.asset)))
    return {row.asset: from_row(AssetEvent, row) for row in connection.execute(query)}


def set_needs(
    connection: Connection,
    dag: str,
    needs: Collection[str],
    produces: Mapping[str, Collection[str]],
    reads: Mapping[str, Collection[str]],
) -> None:
    """Record which assets a deployed DAG needs, and which assets its tasks produce and read (by task)."""
    for table in (t.asset_needs, t.asset_producers, t.asset_readers):
        connection.execute(delete(table).where(table.c.dag_id == dag))
    if needs:
        connection.execute(insert(t.asset_needs), [{"dag_id": dag, "asset": asset} for asset in needs])
    for table, assets_of in ((t.asset_producers, produces), (t.asset_readers, reads)):
        rows = [{"dag_id": dag, "task": task, "asset": asset} for task, names in assets_of.items() for asset in names]
        if rows:
            connection.execute(insert(table), rows)


def _needs(connection: Connection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in connection.execute(select(t.asset_needs).order_by(t.asset_needs.c.dag_id)):
        found.setdefault(row.asset, []).append(row.dag_id)
    return found


def _tasks(connection: Connection, table: Table) -> dict[str, list[tuple[str, str]]]:
    """Return the tasks in a table by asset, each as (DAG, task)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in connection.execute(select(table).order_by(table.c.dag_id, table.c.task)):
        found.setdefault(row.asset, []).append((row.dag_id, row.task))
    return found
