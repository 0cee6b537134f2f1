"""Convert records of the store into the forms that planning needs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..core.model.dag import Dag
from ..core.model.states import TaskState
from ..core.planning.dag_layout import layout
from ..core.planning.plan_types import Instance, RunView
from ..core.planning.pools import Claim
from ..store.rows import ActiveRow, InstanceRow, NewInstance, RunRow

if TYPE_CHECKING:
    from ..store.store import Store


def planning_instance(row: InstanceRow) -> Instance:
    """Convert a recorded task instance into the form that planning needs."""
    return Instance(
        task=row.task,
        map_index=row.map_index,
        state=row.state,
        tries=row.tries - row.tries_before_reset,
        ready_at=None if row.wake is None else utc_datetime(row.wake),
        short_circuit=row.short_circuit,
        question=str(row.answer["question"]) if row.asks else "",
        chosen=row.chosen,
    )


def claim_of(active: ActiveRow, here: str = "") -> Claim:
    """Return the slots of a pool that a queued or running task instance occupies.

    The claim includes the instance's resources only if the instance runs on the machine `here`, and not on a cluster.
    """
    is_here = bool(here) and active.host == here and not active.offers.get("may_grow")
    return Claim(
        dag_id=active.dag,
        run_id=active.run,
        task=active.task,
        map_index=active.map_index,
        weight=0,
        logical_date=None,
        position=0,
        pool=active.pool,
        slots=active.slots,
        resources=tuple(active.resources.items()) if is_here else (),
    )


def previous_states(store: Store, row: RunRow) -> dict[str, list[TaskState]] | None:
    """Return the states of each task's instances in the previous scheduled run, or None if this is the first run."""
    before = store.deployments.previous_run(row)
    if before is None:
        return None
    states: dict[str, list[TaskState]] = {}
    for each in store.instances([before.id])[before.id]:
        states.setdefault(each.task, []).append(each.state)
    return states


def new_instance(dag: Dag, task: str) -> NewInstance:
    """Return a new instance of a task, to be recorded."""
    options = dag.tasks[task].options
    return NewInstance(
        task=task,
        position=layout(dag).position[task],
        pool=options.pool,
        slots=options.slots,
        resources=dict(options.resources),
    )


def run_view(row: RunRow) -> RunView:
    """Convert a recorded run into the form that planning needs."""
    return RunView(
        run_id=row.name,
        dag_id=row.dag,
        logical_date=utc_datetime(row.logical_date),
        state=row.state,
        created=utc_datetime(row.created),
        started=None if row.started is None else utc_datetime(row.started),
        kind=row.kind,
        selection=None if row.tasks is None else frozenset(row.tasks),
    )


def utc_datetime(at: float) -> datetime:
    """Convert seconds since the epoch into a datetime in UTC."""
    return datetime.fromtimestamp(at, UTC)
