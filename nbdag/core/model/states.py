"""The states of runs and tasks, and the moves between them.

nbdag has the states of Airflow 3, with the same meanings. There are two kinds of moves: moves of the scheduler, and
moves that only a user can request (clear, mark, run again). All other moves are rejected, so a finished task stays
finished unless a user requests another state. A move from a state to itself is rejected, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import TypeVar

from ...errors import NbdagError, error


class RunState(StrEnum):
    """State of a run."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskState(StrEnum):
    """State of one task instance of a run."""

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
ACTIVE = frozenset({T.QUEUED, T.RUNNING, T.RESTARTING})  # an executor has an attempt of the task, or soon gets one
WAITING = frozenset(T) - FINISHED - ACTIVE  # the task can still run, but no executor has an attempt of it

# The instances of a mapped task are shown with one state: the first in this list that any instance has.
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
    # A task without an attempt can only succeed if a user marks it.
    T.NONE: frozenset({T.SCHEDULED, T.SKIPPED, T.UPSTREAM_FAILED, T.REMOVED}),
    T.SCHEDULED: frozenset({T.QUEUED, T.SKIPPED, T.UPSTREAM_FAILED, T.REMOVED}),
    # "scheduled" follows "queued" if the scheduler that queued the task died. A final state follows "queued" if the
    # result arrives before the report that the attempt started.
    T.QUEUED: frozenset({T.RUNNING, T.SCHEDULED, T.SUCCESS, T.FAILED, T.SKIPPED, T.UP_FOR_RETRY, T.UP_FOR_RESCHEDULE}),
    T.RUNNING: frozenset({T.SUCCESS, T.FAILED, T.SKIPPED, T.UP_FOR_RETRY, T.UP_FOR_RESCHEDULE, T.SCHEDULED}),
    T.UP_FOR_RETRY: frozenset({T.SCHEDULED, T.FAILED, T.SKIPPED, T.UPSTREAM_FAILED, T.REMOVED}),
    T.UP_FOR_RESCHEDULE: frozenset({T.SCHEDULED, T.FAILED, T.SKIPPED, T.UPSTREAM_FAILED, T.REMOVED}),
    # The state "none" follows "restarting" once the attempt has ended: then the task can run again.
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
    # A user requests "none" or "restarting" by clearing a task, and the other states by marking the task.
    requests = {T.SUCCESS, T.FAILED, T.SKIPPED, T.NONE}
    if state in ACTIVE:  # the attempt must end before the task can run again
        requests = requests - {T.NONE} | {T.RESTARTING}
    return frozenset(requests - {state})


TASK_REQUESTS: Mapping[TaskState, frozenset[TaskState]] = {state: _requests(state) for state in T}

State = TypeVar("State", RunState, TaskState)


def combined_state(states: Collection[TaskState]) -> TaskState:
    """Return the one state that is shown for several instances."""
    return next(state for state in STATE_PRECEDENCE if state in states)


@error
class IllegalMoveError(NbdagError):
    """The requested state cannot follow the current state of the run or task."""

    old: RunState | TaskState
    new: RunState | TaskState
    template = "{problem}; `nbdag status` shows its current state{advice}"

    @property
    def problem(self) -> str:
        """The rejected move as the beginning of the message."""
        subject = "run" if isinstance(self.old, RunState) else "task"
        if self.old is self.new:
            return f"the {subject} is already {self.old.value}"
        return f"a {subject} in state {self.old.value} cannot become {self.new.value}"

    @property
    def advice(self) -> str:
        """The command that resets the run or task, or "" if a reset would not help."""
        return "" if self.old is self.new else ", `nbdag clear` resets it so that it runs again"


def move(old: State, new: State, *, by_user: bool = False) -> State:
    """Return `new` if it may follow `old`; `by_user` also allows clearing and marking. Raise `IllegalMoveError`."""
    if isinstance(old, RunState):
        allowed = RUN_MOVES[old] | (RUN_REQUESTS[old] if by_user else frozenset())
    else:
        allowed = TASK_MOVES[old] | (TASK_REQUESTS[old] if by_user else frozenset())
    if new not in allowed:
        raise IllegalMoveError(old, new)
    return new
