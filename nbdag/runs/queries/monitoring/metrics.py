"""Numbers for monitoring: runs and tasks by state, the queue, delays and durations."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....core.model.states import ACTIVE, TaskState
from ....home import Home, the_home
from ..liveness import live_schedulers
from ..runs import open_store
from .overview import LATE

if TYPE_CHECKING:
    from ....store.monitoring import RunNumbers

_WAITING = (TaskState.SCHEDULED, TaskState.QUEUED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Numbers about one home. Sums shrink only if runs are deleted."""

    runs: tuple[RunNumbers, ...]
    tasks: dict[TaskState, int]  # number of task instances by state
    waiting: int  # number of task instances that wait for a slot
    active: int  # number of task instances that have a slot
    attempts: int  # number of ended attempts
    attempts_duration: float  # seconds that all ended attempts took together
    schedulers: int  # number of schedulers that are alive
    overdue: int  # number of DAGs whose schedule should have created a run


def metrics(*, home: Home | None = None) -> Metrics | None:
    """Return numbers for monitoring, or None if the home has no database yet."""
    with open_store(the_home(home)) as store:
        if store is None:
            return None
        tasks = store.metrics.tasks()
        attempts, duration = store.metrics.attempts()
        return Metrics(
            runs=tuple(store.metrics.runs()),
            tasks=tasks,
            waiting=sum(tasks.get(state, 0) for state in _WAITING),
            active=sum(tasks.get(state, 0) for state in ACTIVE),
            attempts=attempts,
            attempts_duration=duration,
            schedulers=len(live_schedulers(store)),
            overdue=len(store.deployments.due(time.time() - LATE)),
        )
