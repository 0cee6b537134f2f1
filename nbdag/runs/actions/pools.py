"""Create, resize and delete pools."""

from __future__ import annotations

import re

from ... import store as stores
from ...core.options.option_types import LARGEST_INTEGER
from ...core.planning.pools import DEFAULT_POOLS, INFINITE
from ...errors import NbdagError, error
from ...home import Home, the_home
from ..queries.pools import Pool, list_pools


@error
class PoolNameError(NbdagError):
    """A pool cannot have this name."""

    exit_code = 2

    name: str
    template = (
        "invalid pool name {short!r}; use at most 250 letters, digits, '_', '.' and '-', beginning with a letter or '_'"
    )

    @property
    def short(self) -> str:
        return self.name[:60]


@error
class PoolSizeError(NbdagError):
    """A pool cannot have this number of slots."""

    exit_code = 2

    slots: int
    template = "invalid number of slots {slots}; expected 0 to 2147483647, or -1 for no limit"


@error
class UnknownPoolError(NbdagError):
    """No pool has this name."""

    name: str
    pools: tuple[str, ...]
    template = "unknown pool {name!r}; the pools are {known}"

    @property
    def known(self) -> str:
        return ", ".join(self.pools)


@error
class DefaultPoolError(NbdagError):
    """The default pool cannot be deleted."""

    name: str
    template = (
        "{name} cannot be deleted, because every task without --pool uses it; resize it with `nbdag pools set {name} N`"
    )


def set_pool(name: str, slots: int, *, home: Home | None = None) -> Pool:
    """Create a pool or change its size, and return the pool.

    Running tasks keep their slots, even if they exceed the new size.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,249}", name):
        raise PoolNameError(name)
    if not INFINITE <= slots <= LARGEST_INTEGER:
        raise PoolSizeError(slots)
    here = the_home(home)
    store = stores.open(here)
    try:
        store.set_pool(name, slots)
    finally:
        store.close()
    return next(pool for pool in list_pools(here) if pool.name == name)


def delete_pool(name: str, *, home: Home | None = None) -> Pool:
    """Delete a pool, and return the deleted pool. Tasks that name a deleted pool run one at a time."""
    here = the_home(home)
    known = {pool.name: pool for pool in list_pools(here)}
    if name not in known:
        raise UnknownPoolError(name, tuple(known))
    if name in DEFAULT_POOLS:
        raise DefaultPoolError(name)
    store = stores.open(here)
    try:
        store.delete_pool(name)
    finally:
        store.close()
    return known[name]
