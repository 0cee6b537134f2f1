"""Functions that insert runs, task instances and notes. The caller opens the transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select

from ..core.model.job import Note
from ..core.model.states import RunState
from ..errors import NbdagError, error
from . import schema as t
from .mapping import from_row, to_row
from .rows import InstanceRow, NewInstance, NewRun, RunRow


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


def create_runs(connection: Connection, new: Sequence[NewRun], instances: Sequence[NewInstance]) -> list[RunRow]:
    """Record runs as `add_runs` does. Raise `RunExistsError` if the DAG already has a run with one of the ids."""
    if taken := existing_names(connection, new[0].dag, [each.name for each in new]):
        raise RunExistsError(new[0].dag, min(taken))
    return add_runs(connection, new, instances)


def add_runs(connection: Connection, new: Sequence[NewRun], instances: Sequence[NewInstance]) -> list[RunRow]:
    """Record queued runs of one notebook version, each with these task instances. Return the recorded runs."""
    record_version(connection, new[0].dag, new[0].digest, new[0].created, built=new[0].built)
    rows = connection.execute(
        insert(t.runs).returning(t.runs, sort_by_parameter_order=True),
        [{**to_row(each), "state": RunState.QUEUED, "revision": 0} for each in new],
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
    """Record task instances and return the recorded instances. Each is given as (id of the run's record, instance)."""
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
