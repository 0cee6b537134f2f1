"""Pools: how many slots there are for tasks that share something scarce."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ... import store as stores
from ...core.model.text import task_label
from ...core.planning.pools import DEFAULT_POOLS, INFINITE
from ...errors import NbdagError
from ...home import Home, the_home


class PoolNameError(NbdagError):
    """A name that no pool can have."""

    exit_code = 2

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"{self.name[:60]!r} cannot be a pool: use at most 250 letters, digits, '_', '.' and '-', beginning with a "
            "letter or '_'"
        )


class PoolSizeError(NbdagError):
    """A number of slots that makes no sense."""

    exit_code = 2

    def __init__(self, slots: int) -> None:
        super().__init__(slots)
        self.slots = slots

    def __str__(self) -> str:
        return f"a pool cannot have {self.slots} slots: give 0 or more, or -1 for no limit"


class NoSuchPoolError(NbdagError):
    """A pool that nobody has made."""

    def __init__(self, name: str, pools: Iterable[str]) -> None:
        super().__init__(name)
        self.name = name
        self.pools = tuple(pools)

    def __str__(self) -> str:
        return f"there is no pool {self.name!r}; there are {', '.join(self.pools)}"


class PoolNeededError(NbdagError):
    """The default pool was to be deleted."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"tasks that name no pool need {self.name}, so it stays: resize it with `nbdag pools set {self.name} N`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool and who is in it."""

    name: str
    slots: int  # -1: no limit
    used: int = 0  # slots of tasks that are queued or running
    tasks: tuple[str, ...] = ()  # that use them, as `churn.train`


def pools(home: Home | None = None) -> list[Pool]:
    """Every pool, by name."""
    here = the_home(home)
    if not here.exists:
        return [Pool(name=name, slots=slots) for name, slots in sorted(DEFAULT_POOLS.items())]
    store = stores.open(here)
    try:
        active = store.active_instances()
        found = store.pools()
    finally:
        store.close()
    return [
        Pool(
            name=name,
            slots=slots,
            used=sum(each.slots for each in active if each.pool == name),
            tasks=tuple(f"{each.dag}.{task_label(each.task, each.map_index)}" for each in active if each.pool == name),
        )
        for name, slots in sorted(found.items())
    ]


def set_pool(name: str, slots: int, *, home: Home | None = None) -> Pool:
    """Make a pool, or change its size. Tasks that hold more than that now go on."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,249}", name):
        raise PoolNameError(name)
    if slots < INFINITE:
        raise PoolSizeError(slots)
    here = the_home(home)
    store = stores.open(here)
    try:
        store.set_pool(name, slots)
    finally:
        store.close()
    return next(pool for pool in pools(here) if pool.name == name)


def delete_pool(name: str, *, home: Home | None = None) -> Pool:
    """Delete a pool. Tasks that name it then run one at a time."""
    here = the_home(home)
    there = {pool.name: pool for pool in pools(here)}
    if name not in there:
        raise NoSuchPoolError(name, there)
    if name in DEFAULT_POOLS:
        raise PoolNeededError(name)
    store = stores.open(here)
    try:
        store.delete_pool(name)
    finally:
        store.close()
    return there[name]
