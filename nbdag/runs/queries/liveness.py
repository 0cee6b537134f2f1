"""Find the processes that own runs, and whether these processes are alive.

An `nbdag run` process owns the run that it created. `nbdag scheduler` owns all other runs. An unfinished run is
*orphaned* if its `nbdag run` process has died: no process continues the run until a user resumes it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ...core.model import text
from ...core.planning.resources import Offers
from ...scheduler import is_dead
from ...store.rows import RunRow, SchedulerRow

if TYPE_CHECKING:
    from ...store.store import Store


def live_schedulers(store: Store, now: float | None = None) -> list[SchedulerRow]:
    """Return the schedulers that are alive, the newest first."""
    at = time.time() if now is None else now
    return [row for row in store.schedulers.unended() if not is_dead(row, at)]


def dead_owners(store: Store, now: float | None = None) -> dict[int, SchedulerRow]:
    """Return the dead owner of every orphaned run, by the run's number."""
    at = time.time() if now is None else now
    dead = {row.id: owner for row, owner in store.owned_runs() if is_dead(owner, at)}
    if not dead:
        return {}
    # A second query leaves out runs that ended after the first query: the processes of these runs exited normally.
    return {row.id: owner for row, owner in store.owned_runs() if row.id in dead and dead[row.id].id == owner.id}


def describe_orphan(run: RunRow, owner: SchedulerRow) -> str:
    """Return one sentence that explains why a run is orphaned and how to continue it."""
    resume = f"nbdag resume {text.run_selector(run.name, run.dag)}"
    return (
        f"the process that executed it (pid {owner.pid}) has ended: `{resume}` continues the run, `nbdag doctor` "
        "records the run as failed"
    )


def owner_of(store: Store, run: RunRow) -> str:
    """Describe the process that owns this run; return "" if no process owns it."""
    if run.scheduler is not None:
        owner = next((by for row, by in store.owned_runs() if row.id == run.id), None)
        return "" if owner is None or is_dead(owner, time.time()) else f"process {owner.pid}"
    alive = live_schedulers(store)
    return f"the scheduler (process {alive[0].pid})" if alive else ""


def jobs_of(store: Store, run: RunRow) -> tuple[int, int] | None:
    """Return how many tasks the run's owners can execute at once, and how many they execute now.

    Return None if this is unknown.
    """
    owned = {row.id: by for row, by in store.owned_runs()}
    owners = _owners(store, run)
    if run.scheduler is not None:
        busy = [each for each in store.active_instances() if each.number == run.id]
    else:
        busy = [each for each in store.active_instances() if each.number not in owned]
    if not owners or any(each.jobs is None for each in owners):
        return None
    return sum(each.jobs or 0 for each in owners), len(busy)


def offers_of_owners(store: Store, run: RunRow) -> Offers | None:
    """Return the resources of the hosts that execute a run.

    Return None if a host has no limits, or if no live process owns the run.
    """
    offers = [Offers.of(each.offers) for each in _owners(store, run)]
    known = [each for each in offers if each is not None]
    if not known or len(known) < len(offers):
        return None
    return Offers(tuple(host for each in known for host in each.hosts), any(each.may_grow for each in known))


def _owners(store: Store, run: RunRow) -> list[SchedulerRow]:
    """Return the live processes that execute the tasks of a run."""
    if run.scheduler is None:
        return live_schedulers(store)
    mine = next((by for row, by in store.owned_runs() if row.id == run.id), None)
    return [] if mine is None or is_dead(mine, time.time()) else [mine]
