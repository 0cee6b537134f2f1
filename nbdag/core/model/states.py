"""The states of runs and tasks, and the moves between them.

Airflow 3's words, so that a pipeline means the same here and there. Two kinds of moves: those that nbdag makes while
it drives a run, and those that only a person asks for (clearing, marking, running again). Any other is refused, so a
finished task stays finished unless somebody says otherwise. A state is no move to itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import TypeVar

from ...errors import NbdagError


class RunState(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskState(StrEnum):
    """Where one task instance of a run stands."""

    NONE = "none"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"
    UPSTREAM_FAILED = "upstream_failed"
    UP_FOR_RETRY = "up_for_retry"
    UP_FOR_RESCHEDULE = "up_for_reschedule"
    RESTARTING = "restarting"
    REMOVED = "removed"


R, T = RunState, TaskState

RUN_FINISHED = frozenset({R.SUCCESS, R.FAILED, R.CANCELLED})
FINISHED = frozenset({T.SUCCESS, T.FAILED, T.SKIPPED, T.UPSTREAM_FAILED, T.REMOVED})
ACTIVE = frozenset({T.QUEUED, T.RUNNING, T.RESTARTING})  # an executor has, or will have, an attempt at it
WAITING = frozenset(T) - FINISHED - ACTIVE  # nothing of it runs; what may run next is looked for among these

# Of several that are shown as one, such as a mapped task's instances, the state that is told: the first that any is in.
STATE_PRECEDENCE = (
    T.FAILED, T.RUNNING, T.RESTARTING, T.UP_FOR_RETRY, T.UP_FOR_RESCHEDULE, T.QUEUED, T.SCHEDULED, T.UPSTREAM_FAILED,
    T.NONE, T.SUCCESS, T.SKIPPED, T.REMOVED,
)  # fmt: skip

RUN_MOVES: Mapping[RunState, frozenset[RunState]] = {
    R.QUEUED: frozenset({R.RUNNING, R.FAILED, R.CANCELLED}),
    R.RUNNING: frozenset({R.SUCCESS, R.FAILED, R.CANCELLED}),
    R.SUCCESS: frozenset(),
    R.FAILED: frozenset(),
    R.CANCELLED: frozenset(),
}
TASK_MOVES: Mapping[TaskState, frozenset[TaskState]] = {
    # success is not here: without an attempt, only a person can say that a task succeeded
    T.NONE: frozenset({T.SCHEDULED, T.SKIPPED, T.UPSTREAM_FAILED, T.REMOVED}),
    T.SCHEDULED: frozenset({T.QUEUED, T.SKIPPED, T.UPSTREAM_FAILED, T.REMOVED}),
    # back to scheduled: the scheduler that had queued it is gone. A result may come before word that it had begun
    T.QUEUED: frozenset({T.RUNNING, T.SCHEDULED, T.SUCCESS, T.FAILED, T.SKIPPED, T.UP_FOR_RETRY, T.UP_FOR_RESCHEDULE}),
    T.RUNNING: frozenset({T.SUCCESS, T.FAILED, T.SKIPPED, T.UP_FOR_RETRY, T.UP_FOR_RESCHEDULE, T.SCHEDULED}),
    T.UP_FOR_RETRY: frozenset({T.SCHEDULED, T.FAILED, T.SKIPPED, T.UPSTREAM_FAILED, T.REMOVED}),
    T.UP_FOR_RESCHEDULE: frozenset({T.SCHEDULED, T.FAILED, T.SKIPPED, T.UPSTREAM_FAILED, T.REMOVED}),
    # none: its attempt has ended, so it begins anew
    T.RESTARTING: frozenset({T.NONE, T.FAILED, T.SKIPPED}),
    T.SUCCESS: frozenset(),
    T.FAILED: frozenset(),
    T.SKIPPED: frozenset(),
    T.UPSTREAM_FAILED: frozenset(),
    T.REMOVED: frozenset(),
}
RUN_REQUESTS: Mapping[RunState, frozenset[RunState]] = {
    R.QUEUED: frozenset({R.SUCCESS, R.FAILED, R.CANCELLED}),
    R.RUNNING: frozenset({R.SUCCESS, R.FAILED, R.CANCELLED, R.QUEUED}),
    R.SUCCESS: frozenset({R.QUEUED, R.FAILED}),
    R.FAILED: frozenset({R.QUEUED, R.SUCCESS}),
    R.CANCELLED: frozenset({R.QUEUED, R.SUCCESS, R.FAILED}),
}


def _requests(state: TaskState) -> frozenset[TaskState]:
    requests = {T.SUCCESS, T.FAILED, T.SKIPPED, T.NONE}  # marked, or cleared
    if state in ACTIVE:  # its attempt has to be ended before it can begin anew
        requests = requests - {T.NONE} | {T.RESTARTING}
    return frozenset(requests - {state})


TASK_REQUESTS: Mapping[TaskState, frozenset[TaskState]] = {state: _requests(state) for state in T}

State = TypeVar("State", RunState, TaskState)


def combined_state(states: Collection[TaskState]) -> TaskState:
    """How these stand, where they are shown as one."""
    return next(state for state in STATE_PRECEDENCE if state in states)


class IllegalMoveError(NbdagError):
    """A run or task was to go to a state that cannot follow the one it is in."""

    def __init__(self, old: RunState | TaskState, new: RunState | TaskState) -> None:
        super().__init__(old, new)
        self.old, self.new = old, new

    def __str__(self) -> str:
        what = "run" if isinstance(self.old, RunState) else "task"
        if self.old is self.new:
            return f"the {what} is {self.old.value} already; look at it again with `nbdag status`"
        return (
            f"a {what} that is {self.old.value} cannot become {self.new.value}; "
            "look at it again with `nbdag status`, or clear it to run it anew"
        )


def move(old: State, new: State, *, by_user: bool = False) -> State:
    """`new`, if a run or task may go there from `old`; `by_user` allows clearing and marking as well."""
    if isinstance(old, RunState):
        allowed = RUN_MOVES[old] | (RUN_REQUESTS[old] if by_user else frozenset())
    else:
        allowed = TASK_MOVES[old] | (TASK_REQUESTS[old] if by_user else frozenset())
    if new not in allowed:
        raise IllegalMoveError(old, new)
    return new
