"""Events of assets: recorded when a new version exists, and used once by each pipeline whose schedule needs them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from . import schema as t
from .database import Database
from .inserts import add_runs
from .mapping import from_row, to_row
from .rows import AssetEvent, NewInstance, NewRun, RunRow

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
            needs, producers = _needs(connection), _producers(connection)
        return [
            AssetRow(
                name=name,
                events=events[name][0] if name in events else 0,
                latest=events[name][1] if name in events else None,
                producers=tuple(producers.get(name, ())),
                consumers=tuple(needs.get(name, ())),
            )
            for name in sorted({*events, *needs, *producers})
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
        """Return the assets that schedules need, by name, as (working directory, time since which events count)."""
        query = select(t.asset_needs.c.asset, t.dags.c.cwd, t.dags.c.events_since).join(
            t.dags, t.dags.c.id == t.asset_needs.c.dag_id
        )
        found: dict[str, list[tuple[str, float]]] = {}
        with self._database.reading() as connection:
            for row in connection.execute(query.where(t.dags.c.digest.is_not(None), ~t.dags.c.paused)):
                found.setdefault(row.asset, []).append((row.cwd, row.events_since))
        return found

    def add_changed(self, events: Sequence[AssetEvent]) -> None:
        """Record events of watched files, unless the asset's last event has the same facts: another scheduler has
        recorded the same change.
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
        """Return the newest events of these assets."""
        with self._database.reading() as connection:
            return _latest(connection, assets)

    def unused(self, dag: str | None = None) -> dict[str, list[AssetEvent]]:
        """Return, by DAG, the events that may start runs of deployed DAGs that are not paused.

        The oldest event is first.
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
        """Record a run that these events start; return None if another scheduler has already used one of them."""
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
                return add_runs(connection, [new], instances)[0]
        except IntegrityError:
            return None

    def delete_before(self, at: float) -> int:
        """Delete the events before this time; return their number.

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


def add_events(connection: Connection, events: Sequence[AssetEvent]) -> None:
    """Record events in an open transaction."""
    rows = [to_row(each) for each in events]
    for row in rows:
        row.pop("id")
    if rows:
        connection.execute(insert(t.asset_events), rows)


def set_needs(
    connection: Connection, dag: str, needs: Collection[str], produces: Mapping[str, Collection[str]]
) -> None:
    """Record which assets a deployed DAG needs, and which assets its tasks produce (by task)."""
    for table in (t.asset_needs, t.asset_producers):
        connection.execute(delete(table).where(table.c.dag_id == dag))
    if needs:
        connection.execute(insert(t.asset_needs), [{"dag_id": dag, "asset": asset} for asset in needs])
    made = [{"dag_id": dag, "task": task, "asset": asset} for task, assets in produces.items() for asset in assets]
    if made:
        connection.execute(insert(t.asset_producers), made)


def _needs(connection: Connection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in connection.execute(select(t.asset_needs).order_by(t.asset_needs.c.dag_id)):
        found.setdefault(row.asset, []).append(row.dag_id)
    return found


def _producers(connection: Connection) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    query = select(t.asset_producers).order_by(t.asset_producers.c.dag_id, t.asset_producers.c.task)
    for row in connection.execute(query):
        found.setdefault(row.asset, []).append((row.dag_id, row.task))
    return found
