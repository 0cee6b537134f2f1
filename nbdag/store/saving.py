"""Insert runs, task instances and notes, and save the change that a step of a run makes.

The caller opens the transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, bindparam, delete, func, insert, or_, select, update

from ..core.model.job import Note, Result
from ..core.model.states import ACTIVE, RunState, TaskState
from ..core.planning.pools import INFINITE
from ..errors import NbdagError, error
from . import schema as t
from .mapping import NEW, from_row, to_row, update_values, updates
from .rows import AssetEvent, AttemptRow, Change, InstanceRow, NewInstance, NewRun, RunRow

_POOLS_LOCK = 7236353  # key of an advisory lock; the number itself has no meaning
_RUNS_LOCK = 7236354


@error
class RunExistsError(NbdagError):
    """The DAG already has a run with this id."""

    dag: str
    name: str
    template = "{dag} already has a run {name}; give the new run another id"


def existing_names(connection: Connection, dag: str, names: Iterable[str]) -> set[str]:
    """Return which of these run ids the DAG already has."""
    query = select(t.runs.c.name).where(t.runs.c.dag_id == dag, t.runs.c.name.in_(list(names)))
    return set(connection.execute(query).scalars())


def create_runs(
    connection: Connection, new: Sequence[NewRun], instances: Sequence[NewInstance], files: str | None
) -> list[RunRow]:
    """Record runs as `add_runs` does. Raise `RunExistsError` if the DAG already has a run with one of the ids."""
    if taken := existing_names(connection, new[0].dag, [each.name for each in new]):
        raise RunExistsError(new[0].dag, min(taken))
    return add_runs(connection, new, instances, files)


def add_runs(
    connection: Connection, new: Sequence[NewRun], instances: Sequence[NewInstance], files: str | None
) -> list[RunRow]:
    """Record queued runs of one notebook version, each with these task instances. Return the recorded runs.

    `files` is the result of `Database.files_id`.
    """
    record_version(connection, new[0].dag, new[0].digest, new[0].created, built=new[0].built)
    rows = connection.execute(
        insert(t.runs).returning(t.runs, sort_by_parameter_order=True),
        [{**to_row(each), "state": RunState.QUEUED, "files": files, "revision": 0} for each in new],
    ).all()
    add_instances(connection, [(row.id, instance) for row in rows for instance in instances])
    notes = [note_values(row.id, note) for row, each in zip(rows, new, strict=True) for note in each.notes]
    if notes:
        connection.execute(insert(t.notes), notes)
    borrowed = [
        {"run_id": row.id, "task": task, "from_run_id": run}
        for row, each in zip(rows, new, strict=True)
        for task, run in each.borrowed.items()
    ]
    if borrowed:
        connection.execute(insert(t.borrowed), borrowed)
    return [from_row(RunRow, row) for row in rows]


def record_version(connection: Connection, dag: str, digest: str, at: float, *, built: bool = False) -> None:
    """Record a notebook version of a DAG, unless the version is already recorded."""
    if not connection.execute(select(t.dags.c.id).where(t.dags.c.id == dag)).first():
        connection.execute(insert(t.dags).values(id=dag))
    version = (t.versions.c.dag_id == dag) & (t.versions.c.digest == digest)
    if not connection.execute(select(t.versions.c.digest).where(version)).first():
        connection.execute(insert(t.versions).values(dag_id=dag, digest=digest, created=at, built=built))


def add_instances(connection: Connection, new: Sequence[tuple[int, NewInstance]]) -> list[InstanceRow]:
    """Record task instances and return them as recorded. `new` has pairs of (id of the run's record, instance)."""
    if not new:
        return []
    rows = connection.execute(
        insert(t.instances).returning(t.instances, sort_by_parameter_order=True),
        [{**to_row(instance), "run_id": run, "tries": 0, "short_circuit": False} for run, instance in new],
    )
    return [from_row(InstanceRow, row) for row in rows]


def note_values(run: int, note: Note, instance: int | None = None, try_number: int | None = None) -> dict[str, Any]:
    """Return the column values of a note about a whole run, or about one attempt."""
    return {
        "run_id": run,
        "instance_id": instance,
        "try_number": try_number,
        **to_row(note),
    }


# These statements are built once, because building one takes longer than executing it in SQLite.
_UPDATE_RUN = (
    update(t.runs)
    .where(t.runs.c.id == bindparam("which"), t.runs.c.revision == bindparam("seen"))
    .values(**updates(RunRow), revision=t.runs.c.revision + 1)
)
_UPDATE_INSTANCE = update(t.instances).where(t.instances.c.id == bindparam("which")).values(updates(InstanceRow))
_THE_ATTEMPT: ColumnElement[bool] = (t.attempts.c.instance_id == bindparam("which")) & (
    t.attempts.c.try_number == bindparam("try_")
)
_END = (
    update(t.attempts)
    # The outcome of an ended attempt never changes.
    .where(
        _THE_ATTEMPT,
        or_(t.attempts.c.state == TaskState.RUNNING, t.attempts.c.state == TaskState.UP_FOR_RESCHEDULE),
    )
    .values({**updates(AttemptRow), "host": func.coalesce(bindparam(f"{NEW}host"), t.attempts.c.host)})
)
_LOCATE = update(t.attempts).where(_THE_ATTEMPT, t.attempts.c.ended.is_(None)).values(host=bindparam("at"))
_USED = (
    select(t.instances.c.pool, func.sum(t.instances.c.slots).label("slots"))
    .where(t.instances.c.state.in_(ACTIVE), t.instances.c.pool.in_(bindparam("limited", expanding=True)))
    .group_by(t.instances.c.pool)
)
CURRENT = (t.attempts.c.instance_id == t.instances.c.id) & (t.attempts.c.try_number == t.instances.c.tries)
_HELD_HERE = (
    select(t.instances.c.resources, t.schedulers.c.offers)
    .join(t.attempts, CURRENT)
    .join(t.schedulers, t.schedulers.c.id == t.attempts.c.scheduler_id)
    .where(
        t.instances.c.state.in_(ACTIVE),
        t.instances.c.resources.is_not(None),
        t.schedulers.c.host
        == select(t.schedulers.c.host).where(t.schedulers.c.id == bindparam("by")).scalar_subquery(),
    )
)
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
_RESUME = (
    update(t.attempts).where(_THE_ATTEMPT).values(state=TaskState.RUNNING, ended=None, scheduler_id=bindparam("by"))
)


def add_events(connection: Connection, events: Sequence[AssetEvent]) -> None:
    """Record events in an open transaction."""
    rows = [to_row(each) for each in events]
    for row in rows:
        row.pop("id")
    if rows:
        connection.execute(insert(t.asset_events), rows)


def save(connection: Connection, change: Change) -> list[InstanceRow] | None:
    """Save a change and return the added instances. If the change is outdated, roll back and return None."""
    run = change.run
    if change.built:
        record_version(connection, run.dag, run.digest, change.at, built=True)
    values = {"which": run.id, "seen": run.revision, **update_values(RunRow, run)}
    if not connection.execute(_UPDATE_RUN, values).rowcount:
        return None
    if change.most is not None and not _may_start(connection, run, change.most):
        connection.rollback()
        return None
    if change.begun:
        _begin(connection, change)
    if change.hosts:
        connection.execute(_LOCATE, [{"which": each.id, "try_": each.tries, "at": host} for each, host in change.hosts])
    if change.ended:
        _end(connection, run.id, change)
    if change.instances:
        connection.execute(
            _UPDATE_INSTANCE,
            [{"which": each.id, **update_values(InstanceRow, each)} for each in change.instances],
        )
    if change.dropped:
        connection.execute(delete(t.instances).where(t.instances.c.id.in_([i.id for i in change.dropped])))
    if change.resumed:
        by = change.scheduler
        connection.execute(_RESUME, [{"which": i.id, "try_": number, "by": by} for i, number in change.resumed])
    if (change.begun or change.resumed) and not _fits(connection, change):
        connection.rollback()
        return None
    add_events(connection, change.events)
    if change.notes:
        connection.execute(insert(t.notes), [note_values(run.id, note) for note in change.notes])
    return add_instances(connection, [(run.id, each) for each in change.added])


def _begin(connection: Connection, change: Change) -> None:
    connection.execute(
        insert(t.attempts),
        [
            {
                **to_row(each),
                "instance_id": each.instance.id,
                "state": TaskState.RUNNING,
                "started": change.at,
                "scheduler_id": change.scheduler,
                "host": None if each.cached else change.host,
            }
            for each in change.begun
        ],
    )


def _fits(connection: Connection, change: Change) -> bool:
    """Return whether pools and resources suffice after a change was applied in this transaction."""
    begun = [each.instance for each in change.begun if each.cached is None]
    if not _fits_host(connection, change, begun):
        return False
    wanted = {instance.pool for instance in (*begun, *(each for each, _ in change.resumed))}
    limited = {pool for pool in wanted if change.pools.get(pool, INFINITE) != INFINITE}
    if not limited:
        return True
    if connection.dialect.name == "postgresql":  # SQLite has only one writer at a time
        connection.execute(select(func.pg_advisory_xact_lock(_POOLS_LOCK)))
    used = connection.execute(_USED, {"limited": sorted(limited)})
    return all(row.slots <= change.pools[row.pool] for row in used)


def _fits_host(connection: Connection, change: Change, begun: Sequence[InstanceRow]) -> bool:
    """Return whether the machine has enough resources for all its attempts, including the attempts of the change."""
    limits = change.resources
    if not limits or not any(each.resources for each in begun):
        return True
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_POOLS_LOCK)))
    used = dict.fromkeys(limits, 0.0)
    for needs, offers in connection.execute(_HELD_HERE, {"by": change.scheduler}):
        if offers and offers.get("may_grow"):
            continue  # the attempt runs on a host of a cluster
        # The executor fails an attempt that needs more than its host has, so such an attempt holds nothing.
        if all(amount <= limits.get(name, 0.0) for name, amount in needs.items()):
            for name, amount in needs.items():
                used[name] += amount
    # Check only resources that the new attempts need: another scheduler, with larger limits, may use more of any other
    # resource.
    wanted = {name for each in begun for name in each.resources}
    return all(used[name] <= limits[name] for name in used if name in wanted)


def _may_start(connection: Connection, run: RunRow, most: int) -> bool:
    """Return whether at most `most` runs of the same DAG and kind as `run` are running."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_RUNS_LOCK)))
    count = connection.execute(_RUNNING[run.kind == "backfill"], {"dag": run.dag}).scalar_one()
    return int(count) <= most


def _end(connection: Connection, run: int, change: Change) -> None:
    connection.execute(
        _END,
        [
            {"which": instance.id, "try_": result.key.try_number, **update_values(AttemptRow, result)}
            for instance, result in change.ended
        ],
    )
    # A poll runs the cell from its beginning, so only the outputs, notes and files of a try's last poll are recorded.
    _add_results(connection, run, [each for each in change.ended if each[1].state is not TaskState.UP_FOR_RESCHEDULE])


def _add_results(connection: Connection, run: int, ended: Iterable[tuple[InstanceRow, Result]]) -> None:
    """Record the outputs, metrics, notes and used files of ended attempts of a run."""
    rows: dict[Table, list[dict[str, Any]]] = {t.outputs: [], t.metrics: [], t.notes: [], t.files: []}
    for instance, result in ended:
        of_attempt = {"instance_id": instance.id, "try_number": result.key.try_number}
        rows[t.outputs] += [{**of_attempt, **to_row(each)} for each in result.outputs]
        rows[t.metrics] += [{**of_attempt, **to_row(each)} for each in result.metrics]
        rows[t.notes] += [note_values(run, each, instance.id, result.key.try_number) for each in result.notes]
        rows[t.files] += [{**of_attempt, "uses": result.files}] if result.files else []
    for table, values in rows.items():
        if values:
            connection.execute(insert(table), values)
