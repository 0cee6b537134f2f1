"""Queries about pools: their sizes, and the tasks that use them."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.model.text import task_label
from ...core.planning.pools import DEFAULT_POOLS
from ...home import Home, the_home
from .runs import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool and the tasks that use its slots."""

    name: str
    slots: int  # number of slots; -1 means no limit
    used: int = 0  # slots that queued and running tasks occupy
    tasks: tuple[str, ...] = ()  # queued and running tasks of the pool, such as `churn.train`


def list_pools(home: Home | None = None) -> list[Pool]:
    """Return every pool, sorted by name."""
    with open_store(the_home(home)) as store:
        if store is None:
            return [Pool(name=name, slots=slots) for name, slots in sorted(DEFAULT_POOLS.items())]
        active = store.active_instances()
        found = store.pools()
    return [
        Pool(
            name=name,
            slots=slots,
            used=sum(each.slots for each in active if each.pool == name),
            tasks=tuple(f"{each.dag}.{task_label(each.task, each.map_index)}" for each in active if each.pool == name),
        )
        for name, slots in sorted(found.items())
    ]
