"""What schedulers do now: which processes are alive, which tasks wait or run, and which runs are overdue."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....core.model.states import RunState, TaskState
from ....home import Home, the_home
from ....scheduler import is_dead
from ..runs import open_store

if TYPE_CHECKING:
    from ....store.listings import QueuedRow
    from ....store.store import Store

LATE = 60.0  # seconds after a tick, when a missing run counts as overdue


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerProcess:
    """A process that executes runs and has not shut down cleanly."""

    pid: int
    host: str  # name of the machine
    kind: str  # "scheduler": it executes all runs without an owner; "run": it executes only its own run
    started: float
    heartbeat: float  # time of the last heartbeat
    alive: bool  # False: the process was killed, or its host does not answer
    jobs: int | None  # how many tasks it executes at once
    running: int  # number of tasks that it executes now


@dataclass(frozen=True, slots=True, kw_only=True)
class OverdueDag:
    """A DAG whose schedule should have created a run."""

    dag: str
    since: float  # due time of the run


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The state of all schedulers of a home."""

    processes: tuple[SchedulerProcess, ...]  # the newest first
    queue: tuple[QueuedRow, ...]  # the tasks that wait for a slot or run, the oldest run first
    states: dict[TaskState, int]  # number of task instances of unfinished runs by state
    runs: dict[RunState, int]  # number of unfinished runs by state
    unowned: int  # number of unfinished runs that wait for a scheduler
    overdue: tuple[OverdueDag, ...]
    deployed: int  # number of deployed DAGs
    paused: int  # number of deployed DAGs whose schedules are paused


def overview(*, limit: int = 500, home: Home | None = None) -> Overview:
    """Return the state of all schedulers; `limit` is the maximum length of the queue."""
    with open_store(the_home(home)) as store:
        if store is None:
            return Overview(processes=(), queue=(), states={}, runs={}, unowned=0, overdue=(), deployed=0, paused=0)
        now = time.time()
        deployed, paused = store.listings.count_deployed()
        return Overview(
            processes=_processes(store, now),
            queue=tuple(store.listings.queue(limit)),
            states=store.listings.unfinished_tasks(),
            runs=store.listings.unfinished_runs(),
            unowned=store.deployments.count_unowned(),
            overdue=tuple(
                OverdueDag(dag=row.id, since=row.next_date)
                for row in store.deployments.due(now - LATE)
                if row.next_date is not None
            ),
            deployed=deployed,
            paused=paused,
        )


def _processes(store: Store, now: float) -> tuple[SchedulerProcess, ...]:
    running = store.listings.running_by_scheduler()
    owners = {owner.id: owner for _, owner in store.owned_runs()}
    rows = {row.id: row for row in store.schedulers.unended()} | owners
    return tuple(
        SchedulerProcess(
            pid=row.pid,
            host=row.host.partition("/")[0],
            kind=row.kind,
            started=row.started,
            heartbeat=row.heartbeat,
            alive=not is_dead(row, now),
            jobs=row.jobs,
            running=running.get(row.id, 0),
        )
        for row in sorted(rows.values(), key=lambda row: -row.started)
    )
