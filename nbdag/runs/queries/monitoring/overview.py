"""The current state of schedulers: the processes that are alive, waiting and running tasks, and overdue runs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....core.model.states import RunState, TaskState
from ....home import Home, the_home
from ....scheduler import is_dead
from ..runs import open_store

if TYPE_CHECKING:
    from ....store.listings import QueuedRow
    from ....store.rows import SchedulerRow
    from ....store.store import Store

LATE = 60.0  # seconds after a tick from which a missing run counts as overdue


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerProcess:
    """A process that executes runs and has not shut down cleanly."""

    pid: int
    host: str  # name of the machine
    kind: str  # "scheduler": it executes all runs without an owner; "run": it executes only its own run
    started: float
    heartbeat: float  # time of the last heartbeat
    alive: bool  # False: the process was killed, or its host does not answer
    jobs: int | None  # maximum number of tasks at once; None if unknown
    running: int  # number of tasks that it executes now


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host that executes attempts, or a cluster's worker on a host. The state is that of the last heartbeat."""

    name: str
    address: str  # address of the worker; "" for the host of the scheduler itself
    executor: str  # name of the executor
    slots: int  # maximum number of attempts at once
    running: int  # number of attempts that the host executes
    load: float  # load average of the host's last minute
    cores: int  # number of cores; 0 if it is unknown
    problem: str  # why the host cannot execute attempts; "" if it can


@dataclass(frozen=True, slots=True, kw_only=True)
class OverdueDag:
    """A DAG whose schedule should have created a run."""

    dag: str
    since: float  # due time of the run


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The state of all schedulers of a home."""

    processes: tuple[SchedulerProcess, ...]  # the newest first
    hosts: tuple[Host, ...]  # the hosts of all processes that are alive, by name
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
            return Overview(
                processes=(), hosts=(), queue=(), states={}, runs={}, unowned=0, overdue=(), deployed=0, paused=0
            )
        now = time.time()
        deployed, paused = store.listings.count_deployed()
        owners = {owner.id: owner for _, owner in store.owned_runs()}
        rows = {row.id: row for row in store.schedulers.unended()} | owners
        return Overview(
            processes=_processes(store, rows.values(), now),
            hosts=_hosts([row for row in rows.values() if not is_dead(row, now)]),
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


def _hosts(rows: Iterable[SchedulerRow]) -> tuple[Host, ...]:
    found = {}
    for row in sorted(rows, key=lambda row: row.heartbeat):
        for host in row.hosts or ():
            # Several processes may use the same cluster; the latest state of the cluster counts.
            found[host["address"] or row.id] = Host(executor=row.executor.get("name", "local"), **host)
    return tuple(sorted(found.values(), key=lambda each: (each.name, each.address)))


def _processes(store: Store, rows: Iterable[SchedulerRow], now: float) -> tuple[SchedulerProcess, ...]:
    running = store.listings.running_by_scheduler()
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
        for row in sorted(rows, key=lambda row: -row.started)
    )
