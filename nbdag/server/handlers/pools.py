"""Pools, and the tasks that use them."""

from __future__ import annotations

from ... import runs
from ..requests import PoolBody, PoolName
from ..responses import PoolList, PoolState
from .base import ROUTES, Call


@ROUTES.get("pools")
def list_pools(call: Call) -> PoolList:
    """List the pools by name."""
    return {"items": [pool_state(each) for each in runs.list_pools(call.home)]}


@ROUTES.put("pools/{pool}")
def set_pool(call: Call, pool: PoolName, body: PoolBody) -> PoolState:
    """Create a pool, or change its size. Running tasks keep their slots."""
    return pool_state(runs.set_pool(pool, body.slots, home=call.home))


@ROUTES.delete("pools/{pool}", statuses=(204,), mime="")
def delete_pool(call: Call, pool: PoolName) -> None:
    """Delete a pool. Tasks that name a deleted pool run one at a time."""
    runs.delete_pool(pool, home=call.home)


def pool_state(pool: runs.Pool) -> PoolState:
    """Convert a pool to the form that the API sends."""
    return {"name": pool.name, "slots": pool.slots, "used": pool.used, "tasks": list(pool.tasks)}
