"""Find the runs whose process is dead, fail them, and reset the tasks of dead schedulers.

`nbdag run` owns its run, so no other process continues the run if `nbdag run` is killed. A later command finds the
unfinished run with a dead owner and fails it: every attempt gets an outcome, and slots of pools are released. An owner
on another host counts as dead if its heartbeat has timed out.

Runs that a scheduler executes have no owner, so the next scheduler continues them. The next scheduler first records an
outcome for each running attempt, then terminates the attempts' remaining processes, and then resets the tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.model.job import Key, Result
from ..core.model.states import ACTIVE, FINISHED, RunState, TaskState, move
from ..home import Home
from ..processes.identity import Process, is_alive
from ..store.rows import Change, InstanceRow, RunRow, SchedulerRow

if TYPE_CHECKING:
    from ..store.store import Store

HEARTBEAT_TIMEOUT = 30.0  # seconds without a heartbeat after which a process on another host counts as dead


# A function that kills the remaining processes of a dead scheduler's attempt.
# Arguments: the scheduler, and the arguments of `Executor.terminate_leftovers`.
Terminate = Callable[[SchedulerRow, Path, str], None]


def fail_dead_runs(store: Store, now: float, home: Home, terminate: Terminate) -> list[RunRow]:
    """Fail every unfinished run whose process is dead; return these runs in their new state.

    Before a run is recorded as failed, `terminate` kills the run's remaining processes.
    """
    return [
        store.run(row.id)
        for row, scheduler in store.owned_runs()
        if is_dead(scheduler, now) and _fail_dead_run(store, row, scheduler, now, home, terminate)
    ]


def is_dead(scheduler: SchedulerRow, now: float) -> bool:
    """Return whether a process has ended. A process on another host counts as ended if its heartbeat has timed out."""
    alive = is_alive(Process(scheduler.host, scheduler.pid, scheduler.birth))
    return now - scheduler.heartbeat > HEARTBEAT_TIMEOUT if alive is None else not alive


def _fail_dead_run(
    store: Store, row: RunRow, scheduler: SchedulerRow, now: float, home: Home, terminate: Terminate
) -> bool:
    instances = {each.id: each for each in store.instances([row.id])[row.id]}
    for attempt in store.attempts([row.id])[row.id]:
        if attempt.state is TaskState.RUNNING:
            key = _key(row, replace(instances[attempt.instance], tries=attempt.try_number))
            terminate(scheduler, home.attempt(key), home.mark(key))
    return fail_run(
        store, row, f"the process that executed the run has ended (`nbdag run`, process {scheduler.pid})", now
    )


def fail_run(store: Store, row: RunRow, why: str, now: float) -> bool:
    """Fail a run that cannot continue. Return False if another process has changed the run since it was read.

    If a user has asked to cancel the run, the run becomes cancelled instead of failed.
    """
    instances = {each.id: each for each in store.instances([row.id])[row.id]}
    ended = [
        (instances[attempt.instance], _interrupted(row, instances[attempt.instance], attempt.started, now, why))
        for attempt in store.attempts([row.id])[row.id]
        if attempt.state is TaskState.RUNNING
    ]
    moved = [
        replace(
            each, state=move(each.state, TaskState.FAILED if each.state in ACTIVE else TaskState.SKIPPED), wake=None
        )
        for each in instances.values()
        if each.state not in FINISHED
    ]
    state = RunState.FAILED if row.cancel_asked is None else RunState.CANCELLED
    run = replace(row, state=move(row.state, state), ended=max(now, row.created), error=why)
    return store.save(Change(run=run, instances=moved, ended=ended, at=now)) is not None


def reset_attempts(
    store: Store, home: Home, terminate: Callable[[Path, str], None], scheduler: str, now: float, why: str
) -> list[str]:
    """Fail every running attempt of a dead scheduler, and reset the tasks of these attempts.

    Return the names of the tasks. `terminate` has the arguments of `Executor.terminate_leftovers`, and kills the
    remaining processes of an attempt.
    """
    tasks = []
    for number in store.schedulers.runs_in_progress(scheduler):
        while True:  # repeat if another process saves first
            row = store.run(number)
            found = _reset(store, home, terminate, row, scheduler, now, why)
            if found is not None:
                tasks += found
                break
    store.schedulers.end(scheduler, now)
    return tasks


def _reset(
    store: Store,
    home: Home,
    terminate: Callable[[Path, str], None],
    row: RunRow,
    scheduler: str,
    now: float,
    why: str,
) -> list[str] | None:
    instances = {each.id: each for each in store.instances([row.id])[row.id]}
    ended, moved = [], []
    for attempt in store.attempts([row.id])[row.id]:
        if attempt.state is not TaskState.RUNNING or attempt.scheduler != scheduler:
            continue
        instance = instances[attempt.instance]
        result = _interrupted(row, replace(instance, tries=attempt.try_number), attempt.started, now, why)
        terminate(home.attempt(result.key), home.mark(result.key))
        ended.append((instance, result))
        if instance.state in ACTIVE and instance.tries == attempt.try_number:
            state = TaskState.NONE if instance.state is TaskState.RESTARTING else TaskState.SCHEDULED
            # The task itself did not fail, so this attempt does not count as a retry.
            tries_before_reset = instance.tries if state is TaskState.NONE else instance.tries_before_reset + 1
            moved.append(
                replace(instance, state=move(instance.state, state), wake=None, tries_before_reset=tries_before_reset)
            )
    saved = store.save(Change(run=row, instances=moved, ended=ended, at=now))
    return None if saved is None else [f"{row.dag}.{instance.task}" for instance, _ in ended]


def _interrupted(row: RunRow, instance: InstanceRow, started: float, now: float, why: str) -> Result:
    key = _key(row, instance)
    return Result(key=key, state=TaskState.FAILED, started=started, ended=max(now, started), error=why, final=True)


def _key(row: RunRow, instance: InstanceRow) -> Key:
    return Key(dag=row.dag, run=row.name, task=instance.task, map_index=instance.map_index, try_number=instance.tries)
