"""A run that this scheduler owns, with the states and outputs of its tasks, as last loaded or saved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from ..core.model.dag import Dag
from ..core.model.job import Key, Note
from ..core.model.states import RUN_FINISHED, TaskState
from ..core.planning.assemble import StoredOutputs
from ..core.planning.deadlines import MissedDeadline
from ..core.planning.plan_types import Instance, InstanceKey
from ..store.rows import AttemptRow, InstanceRow, RunRow

MISSED = "NB480"  # problem code of the note about a missed deadline
# Key: task; value: stored outputs of the task's instances by map index.
TaskOutputs = dict[str, dict[int, StoredOutputs]]


@dataclass
class OwnedRun:
    """A run, its notebook and the states of its tasks, as last loaded or saved."""

    row: RunRow
    dag: Dag
    instances: dict[InstanceKey, InstanceRow]
    outputs: TaskOutputs  # outputs that tasks of this run stored
    borrowed: TaskOutputs  # outputs that other runs stored, for tasks that this partial run does not contain
    # Key: instance of a sensor that waits for its next poll; value: start of its attempt.
    paused: dict[InstanceKey, float] = field(default_factory=dict)
    # Tasks whose missed deadline is recorded; None stands for the run itself.
    missed: frozenset[str | None] = frozenset()
    missed_now: tuple[MissedDeadline, ...] = ()  # deadlines that the last saved step recorded as missed
    most: int | None = None  # limit on running runs of the DAG and kind of this run, while the run is queued
    planned: dict[InstanceKey, tuple[InstanceRow, Instance]] = field(
        default_factory=dict
    )  # results of `planning_instance`
    # Whether a step before `wake` would change nothing, unless an attempt ends or another process saves.
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


def task_outputs(attempts: Iterable[AttemptRow]) -> TaskOutputs:
    """Return the outputs of each instance's last successful attempt."""
    found: TaskOutputs = {}
    for attempt in attempts:
        if attempt.state is TaskState.SUCCESS:
            digests = {output.name: output.digest for output in attempt.outputs}
            found.setdefault(attempt.task, {})[attempt.map_index] = StoredOutputs(attempt.map_index, digests)
    return found
