"""The values that a plan gets and returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ..model.states import RunState, TaskState
from ..model.text import task_label
from .deadlines import MissedDeadline

InstanceKey = tuple[str, int]  # identifies an instance of a run: (task id, map index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A task of a run, or one element of a mapped task.

    A mapped task begins as one instance with map index -1, the placeholder. The placeholder's attempt computes the
    elements. `expansion_of` returns the instances that replace the placeholder.
    """

    task: str
    map_index: int = -1  # index of a mapped task's instance, from 0; -1 for a placeholder or a task that is not mapped
    state: TaskState = TaskState.NONE
    tries: int = 0  # number of attempts since the instance was last cleared
    ready_at: datetime | None = None  # earliest time of the next start, in state up_for_retry or up_for_reschedule
    question: str = ""  # the question of --approve that nobody has answered yet
    # Whether the condition of --short-circuit was false; if so, all descendants are skipped.
    short_circuit: bool = False
    chosen: tuple[str, ...] | None = None  # tasks and groups that a branch task chose; None before it has chosen

    @property
    def key(self) -> InstanceKey:
        return (self.task, self.map_index)

    @property
    def label(self) -> str:
        """Return the name of the instance for messages: `train` or `train[3]`."""
        return task_label(self.task, self.map_index)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """The part of a run that planning needs."""

    run_id: str
    dag_id: str
    logical_date: datetime | None  # logical date; None for a run without a date
    state: RunState
    created: datetime | None = None
    started: datetime | None = None  # start of the run, from which the run's timeout is measured
    kind: str = "manual"  # how the run was created: "scheduled", "manual" or "backfill"
    selection: frozenset[str] | None = None  # ids of the tasks that a partial run executes; None: all tasks

    @property
    def due(self) -> datetime | None:
        """Return when the run was due: its tick or, for a manual run, its creation. Deadlines count from this time."""
        return self.logical_date if self.kind == "scheduled" else self.created or self.started


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A change of an instance's state."""

    task: str
    map_index: int
    old: TaskState
    state: TaskState
    reason: str  # why the state changes, such as "train failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The next steps of a run. The caller records `missing`, `moves` and `verdict`, in this order, before it acts."""

    missing: tuple[Instance, ...] = ()  # new instances, in state none, for tasks that have no instance yet
    moves: tuple[Move, ...] = ()
    ready: tuple[Instance, ...] = ()  # instances that may be queued, in queue order; their state is scheduled
    expand: frozenset[str] = frozenset()  # mapped tasks among `ready` whose elements must be computed
    cancel: tuple[Instance, ...] = ()  # instances whose attempts must be terminated; their new states are in `moves`
    verdict: RunState | None = None  # the final state of the run; None: the run continues
    reason: str = ""  # why the run ends; "" for a success
    # Key: instance that can never run; value: the reasons.
    deadlock: Mapping[InstanceKey, tuple[str, ...]] = field(default_factory=dict)
    # Key: waiting instance; value: its unmet conditions; filled only with `explain`.
    waiting: Mapping[InstanceKey, tuple[str, ...]] = field(default_factory=dict)
    next_check: datetime | None = None  # time at which to plan again if no event happens before
    # All deadlines that were missed, including deadlines that an earlier plan reported.
    missed: tuple[MissedDeadline, ...] = ()
    waits_for_previous: bool = False  # whether the run must wait for tasks of the previous run


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """The instances that replace a mapped task's placeholder, once the number of elements is known."""

    add: tuple[Instance, ...]  # new instances, one for each element, in state none
    drop: tuple[InstanceKey, ...]  # the placeholder, which is deleted; empty if there are no elements
    # Instances without an element move to state removed. If there are no elements, the placeholder moves to state
    # skipped.
    moves: tuple[Move, ...]
