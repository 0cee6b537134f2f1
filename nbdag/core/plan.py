"""What a run should do next.

Given a notebook, where each of its task instances stands, and the time, `plan` says which instances change state and
why, which may be queued and in what order, and whether the run has ended. It is asked again after every change; asked
twice of the same, it says the same. Which of the ready ones get a slot is `core.slots`' to say. Nothing here touches
a file, a clock or a database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .dag import Dag
from .states import RunState, TaskState

InstanceKey = tuple[str, int]  # task, map index


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A task of a run, or one element of a mapped task.

    A mapped task begins as one instance with map index -1, whose attempt works out the elements; `expanded` says
    which instances take its place.
    """

    task: str
    map_index: int = -1  # from 0 for an element of a mapped task
    state: TaskState = TaskState.NONE
    tries: int = 0  # attempts begun since it was last cleared
    ready_at: datetime | None = None  # up_for_retry, up_for_reschedule: not before this
    short_circuit: bool = False  # skipped in such a way that every descendant is skipped

    @property
    def key(self) -> InstanceKey:
        return (self.task, self.map_index)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """What planning needs to know of a run."""

    run_id: str
    dag_id: str
    logical_date: datetime | None  # None: a run of no date in particular
    state: RunState
    started: datetime | None = None  # when it went to running; its timeout counts from here
    kind: str = "manual"  # scheduled, manual or backfill
    selection: frozenset[str] | None = None  # a partial run: the tasks that take part; None: all


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """An instance goes to another state."""

    task: str
    map_index: int
    old: TaskState
    state: TaskState
    reason: str  # such as "train failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to record, in this order: missing, moves, verdict; then what to cancel and what may start."""

    missing: tuple[Instance, ...] = ()  # tasks of which the run had no instance: to be added, in state none
    moves: tuple[Move, ...] = ()
    ready: tuple[Instance, ...] = ()  # scheduled (after the moves); in queue order
    expand: frozenset[str] = frozenset()  # mapped tasks among `ready` whose elements are to be worked out
    cancel: tuple[Instance, ...] = ()  # attempts to end; their instances are already among the moves
    verdict: RunState | None = None  # the run has ended so
    reason: str = ""  # of the verdict, in words; "" for a success
    deadlock: Mapping[InstanceKey, tuple[str, ...]] = field(default_factory=dict)  # why none of these can run
    waiting: Mapping[InstanceKey, tuple[str, ...]] = field(default_factory=dict)  # with explain=True: unmet conditions
    wake: datetime | None = None  # look again then, though nothing has happened


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """What takes the place of a mapped task's instance -1, once its length is known."""

    add: tuple[Instance, ...]  # elements to be added, in state none
    drop: tuple[InstanceKey, ...]  # the placeholder, unless there is no element
    moves: tuple[Move, ...]  # elements that are no more are removed; a placeholder without elements is skipped


def plan(
    dag: Dag,
    run: RunView,
    instances: Sequence[Instance],
    *,
    now: datetime,
    previous: Mapping[str, Sequence[TaskState]] | None = None,
    explain: bool = False,
) -> Plan:
    """What a running (or just cancelled) run should do next.

    `previous` is the run before, for `depends_on_past`: its instances' states by task, or None for a first run.
    """
    raise NotImplementedError


def expanded(task: str, length: int, instances: Sequence[Instance]) -> Expansion:
    """What becomes of a mapped task's instances now that it has `length` elements."""
    raise NotImplementedError
