"""Who drives runs: which processes are there, and whose a run is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..scheduler import is_gone
from ..store.rows import RunRow, SchedulerRow

if TYPE_CHECKING:
    from ..store.store import Store


def schedulers(store: Store, now: float | None = None) -> list[SchedulerRow]:
    """The schedulers that are alive, the newest first."""
    at = time.time() if now is None else now
    return [row for row in store.schedulers.unended() if not is_gone(row, at)]


def driver_of(store: Store, run: RunRow) -> str:
    """Who drives this run, in words; "" where nobody does."""
    if run.scheduler is not None:
        return next((f"process {by.pid}" for row, by in store.driven() if row.id == run.id), "")
    alive = schedulers(store)
    return f"the scheduler (process {alive[0].pid})" if alive else ""
