"""Who drives runs: which processes are there, and whose a run is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ... import store as stores
from ...home import Home, the_home
from ...scheduler import is_dead
from ...store.rows import RunRow, SchedulerRow
from .records import Run
from .runs import opened, the_row

if TYPE_CHECKING:
    from ...store.store import Store


def schedulers(store: Store, now: float | None = None) -> list[SchedulerRow]:
    """The schedulers that are alive, the newest first."""
    at = time.time() if now is None else now
    return [row for row in store.schedulers.unended() if not is_dead(row, at)]


def driver_of(store: Store, run: RunRow) -> str:
    """Who drives this run, in words; "" where nobody does."""
    if run.scheduler is not None:
        return next((f"process {by.pid}" for row, by in store.owned_runs() if row.id == run.id), "")
    alive = schedulers(store)
    return f"the scheduler (process {alive[0].pid})" if alive else ""


def driver(run: Run) -> str:
    """Who drives this run, in words; "" where nobody does."""
    with opened(run.home) as store:
        return "" if store is None else driver_of(store, the_row(store, run.home, run.id, run.dag))


def jobs_of(store: Store, run: RunRow) -> tuple[int, int] | None:
    """How many tasks whoever drives this run makes at once, and how many they are making; None where nobody does."""
    own = {row.id: by for row, by in store.owned_runs()}
    if run.scheduler is not None:
        drivers, busy = (
            [own[run.id]] if run.id in own else [],
            [each for each in store.active_instances() if each.number == run.id],
        )
    else:
        drivers, busy = schedulers(store), [each for each in store.active_instances() if each.number not in own]
    if not drivers or any(each.jobs is None for each in drivers):
        return None
    return sum(each.jobs or 0 for each in drivers), len(busy)


LATE = 60.0  # seconds after its tick that a run is overdue


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How it stands with what is deployed."""

    alive: tuple[SchedulerRow, ...]  # the newest first
    deployed: int  # DAGs
    waiting: int  # runs that nobody has for their own, and that have not ended
    overdue: tuple[tuple[str, float], ...]  # DAG, and when it was to run


def standing(*, home: Home | None = None) -> Standing:
    """Whether a scheduler is alive, and what should have run by now."""
    here, now = the_home(home), time.time()
    if not here.exists:
        return Standing(alive=(), deployed=0, waiting=0, overdue=())
    store = stores.open(here)
    try:
        due = store.deployments.due(now - LATE)
        return Standing(
            alive=tuple(schedulers(store, now)),
            deployed=len(store.deployments.all()),
            waiting=store.deployments.count_unowned(),
            overdue=tuple((row.id, row.next_date) for row in due if row.next_date is not None),
        )
    finally:
        store.close()
