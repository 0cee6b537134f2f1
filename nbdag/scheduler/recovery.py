"""Processes that are gone, and what they have left.

`nbdag run` drives its own run, so when it is killed nobody goes on with it. The next command that looks finds the run
unfinished and its process no longer there, and records that: every attempt gets an outcome, and nothing keeps a
pool's slots. A process on another host is judged by its heartbeat.

A scheduler's runs are everybody's, so the next one goes on with them: attempts that were under way get an outcome, what
is left of their processes is ended, and only then do their tasks begin anew.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..core.model.job import Key, Result
from ..core.model.states import ACTIVE, FINISHED, RunState, TaskState, move
from ..executors import Executor
from ..home import Home
from ..processes.identity import Process, is_alive
from ..store.rows import Change, InstanceRow, RunRow, SchedulerRow

if TYPE_CHECKING:
    from ..store.store import Store

SILENT = 30.0  # seconds without a heartbeat after which a process elsewhere counts as gone


def bury(store: Store, now: float) -> list[RunRow]:
    """Record the end of every run whose process is gone; answers with these, as they stand then."""
    return [
        store.run(row.id)
        for row, scheduler in store.driven()
        if is_gone(scheduler, now) and _bury(store, row, scheduler, now)
    ]


def is_gone(scheduler: SchedulerRow, now: float) -> bool:
    """Whether the process has ended; of one elsewhere, whether it is silent."""
    alive = is_alive(Process(scheduler.host, scheduler.pid, scheduler.birth))
    return now - scheduler.heartbeat > SILENT if alive is None else not alive


def _bury(store: Store, row: RunRow, scheduler: SchedulerRow, now: float) -> bool:
    return give_up(store, row, f"its process is gone (`nbdag run`, process {scheduler.pid})", now)


def give_up(store: Store, row: RunRow, why: str, now: float) -> bool:
    """Record that a run cannot go on; False when somebody else has changed it meanwhile."""
    instances = {each.id: each for each in store.instances([row.id])[row.id]}
    ended = [
        (instances[attempt.instance], _cut_off(row, instances[attempt.instance], attempt.started, now, why))
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


def take_over(store: Store, home: Home, executor: Executor, scheduler: str, now: float, why: str) -> list[str]:
    """Give every attempt of this scheduler an outcome, and let its tasks begin anew; answers with the tasks."""
    tasks = []
    for number in store.schedulers.left_by(scheduler):
        while True:  # until nobody was quicker
            row = store.run(number)
            found = _reset(store, home, executor, row, scheduler, now, why)
            if found is not None:
                tasks += found
                break
    store.schedulers.end(scheduler, now)
    return tasks


def _reset(
    store: Store, home: Home, executor: Executor, row: RunRow, scheduler: str, now: float, why: str
) -> list[str] | None:
    instances = {each.id: each for each in store.instances([row.id])[row.id]}
    ended, moved = [], []
    for attempt in store.attempts([row.id])[row.id]:
        if attempt.state is not TaskState.RUNNING or attempt.scheduler != scheduler:
            continue
        instance = instances[attempt.instance]
        result = _cut_off(row, replace(instance, tries=attempt.try_number), attempt.started, now, why)
        executor.terminate_leftovers(home.attempt(result.key))
        ended.append((instance, result))
        if instance.state in ACTIVE and instance.tries == attempt.try_number:
            again = TaskState.NONE if instance.state is TaskState.RESTARTING else TaskState.SCHEDULED
            # It was not the task that failed: the try costs no retry.
            forgiven = instance.tries if again is TaskState.NONE else instance.forgiven + 1
            moved.append(replace(instance, state=move(instance.state, again), wake=None, forgiven=forgiven))
    saved = store.save(Change(run=row, instances=moved, ended=ended, at=now))
    return None if saved is None else [f"{row.dag}.{instance.task}" for instance, _ in ended]


def _cut_off(row: RunRow, instance: InstanceRow, started: float, now: float, why: str) -> Result:
    key = Key(dag=row.dag, run=row.name, task=instance.task, map_index=instance.map_index, try_number=instance.tries)
    return Result(key=key, state=TaskState.FAILED, started=started, ended=max(now, started), error=why, final=True)
