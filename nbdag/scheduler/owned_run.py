"""A run that this scheduler owns, with the states and outputs of its tasks, as last loaded from the store or saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..core.model.dag import Dag
from ..core.model.job import Key, Note
from ..core.model.states import RUN_FINISHED, TaskState
from ..core.planning.assemble import StoredOutputs
from ..core.planning.deadlines import MissedDeadline
from ..core.planning.plan_types import Instance, InstanceKey
from ..core.planning.pools import Claim
from ..store.rows import AttemptRow, InstanceRow, RunRow
from .planning_views import utc_datetime

if TYPE_CHECKING:
    from ..store.store import Store

MISSED = "NB480"  # problem code of the note about a missed deadline
# Key: task; value: stored outputs of the task's instances by map index.
TaskOutputs = dict[str, dict[int, StoredOutputs]]
# A run in the store: its instances, its attempts, and the tasks that it borrows (value: id of the run with the values).
StoredState = tuple[list[InstanceRow], list[AttemptRow], dict[str, int]]


@dataclass
class OwnedRun:
    """A run, its notebook and the states of its tasks, as last loaded or saved."""

    row: RunRow
    dag: Dag
    instances: dict[InstanceKey, InstanceRow]
    outputs: TaskOutputs  # outputs that tasks of this run stored
    borrowed: TaskOutputs  # outputs of tasks that this partial run does not contain, from other runs
    # Key: instance of a sensor that waits for its next poll; value: start of its attempt.
    paused: dict[InstanceKey, float] = field(default_factory=dict)
    # Tasks whose missed deadline is recorded; None stands for the run itself.
    missed: frozenset[str | None] = frozenset()
    missed_now: tuple[MissedDeadline, ...] = ()  # deadlines that the last saved step recorded as missed
    most: int | None = None  # only for a queued run: how many runs of the same DAG and kind may run at once
    planned: dict[InstanceKey, tuple[InstanceRow, Instance]] = field(
        default_factory=dict
    )  # results of `planning_instance`
    claims: dict[InstanceKey, Claim] = field(default_factory=dict)  # claims of slots, which never change during a run
    # If true, the next step is due at the time `wake`, or as soon as an attempt ends or another process saves.
    idle: bool = False
    wake: datetime | None = None
    blocked: bool = False  # whether every remaining task waits for the previous run

    @classmethod
    def of(
        cls,
        row: RunRow,
        dag: Dag,
        instances: Iterable[InstanceRow],
        attempts: Iterable[AttemptRow],
        borrowed: TaskOutputs,
        notes: Iterable[Note] = (),
    ) -> OwnedRun:
        """Return a run from its records in the store. `notes` are the notes about the run as a whole."""
        run = cls(
            row=row,
            dag=replace(
                dag,
                options=replace(dag.options, fail_fast=row.fail_fast),
                kernel_name=row.kernel or dag.kernel_name,
            ),
            instances={(each.task, each.map_index): each for each in instances},
            outputs=task_outputs(attempts),
            borrowed=borrowed,
            missed=frozenset(note.name or None for note in notes if note.code == MISSED),
        )
        for attempt in attempts:
            key = (attempt.task, attempt.map_index)
            instance = run.instances.get(key)
            if (
                attempt.state is TaskState.UP_FOR_RESCHEDULE
                and instance is not None
                and instance.tries == attempt.try_number
                and not instance.is_reset
            ):
                run.paused[key] = attempt.started
        return run

    @property
    def finished(self) -> bool:
        """Return whether the run has ended."""
        return self.row.state in RUN_FINISHED

    @cached_property
    def depends_on_previous(self) -> bool:
        """Return whether any task may have to wait for the previous run."""
        return any(task.options.depends_on_past or task.options.wait_for_downstream for task in self.dag.tasks.values())

    def key(self, instance: InstanceRow) -> Key:
        """Return the key of an instance's current attempt."""
        return Key(
            dag=self.row.dag,
            run=self.row.name,
            task=instance.task,
            map_index=instance.map_index,
            try_number=instance.tries,
        )

    def context(self, instance: InstanceRow) -> dict[str, Any]:
        """Return the attributes of the run and of a task's current attempt: `dag_run` and `ti` in the task's code."""
        row = self.row
        return {
            "dag_id": row.dag,
            "run_id": row.name,
            "task_id": instance.task,
            "map_index": instance.map_index,
            "try_number": instance.tries,
            "max_tries": instance.tries_before_reset + (self.dag.tasks[instance.task].options.retries or 0),
            "logical_date": utc_datetime(row.logical_date).isoformat(),
            "data_interval_start": utc_datetime(row.interval_start).isoformat(),
            "data_interval_end": utc_datetime(row.interval_end).isoformat(),
            "params": dict(row.parameters),
            "asset_events": list(row.events or ()),
            "answer": dict(instance.answer),
        }


def task_outputs(attempts: Iterable[AttemptRow]) -> TaskOutputs:
    """Return the outputs of each instance's last successful attempt."""
    found: TaskOutputs = {}
    for attempt in attempts:
        if attempt.state is TaskState.SUCCESS:
            digests = {output.name: output.digest for output in attempt.outputs}
            found.setdefault(attempt.task, {})[attempt.map_index] = StoredOutputs(attempt.map_index, digests)
    return found


def load_states(store: Store, rows: Sequence[RunRow]) -> dict[int, StoredState]:
    """Return the recorded state of each of these runs, read with few queries."""
    if not rows:
        return {}
    numbers = [row.id for row in rows]
    instances, attempts, borrowed = store.instances(numbers), store.attempts(numbers), store.borrowed(numbers)
    return {number: (instances[number], attempts[number], borrowed[number]) for number in numbers}


def borrowed_outputs(store: Store, borrowed: Mapping[str, int]) -> TaskOutputs:
    """Return the outputs of borrowed tasks. `borrowed` maps each task to the id of the run that has its outputs."""
    if not borrowed:
        return {}
    attempts = store.attempts(sorted(set(borrowed.values())))
    return {task: task_outputs(attempts[run]).get(task, {}) for task, run in borrowed.items()}
