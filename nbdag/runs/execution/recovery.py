"""Recovery: the one place that gives an outcome to runs and attempts whose process has ended.

`run`, `resume`, `backfill`, `scheduler` and `doctor` recover; so do actions that could not change an orphaned run
otherwise (`clear`, `mark`, `cancel`, `gc`). Questions never do: they report such a run as it is recorded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ... import executors, scheduler
from ...home import Home
from ...store.rows import RunRow
from ..queries.runs import opened
from .notify import Notifier

if TYPE_CHECKING:
    from ...store.store import Store


def fail_orphans(store: Store, home: Home, notifier: Notifier | None = None) -> list[RunRow]:
    """Record every orphaned run as failed, notify as its notebook asks, and return these runs.

    Without a `notifier` of the caller's, the call waits for the notifications, each within its time limit.
    """
    failed = scheduler.fail_dead_runs(store, time.time(), home)
    if failed:
        by = notifier or Notifier(store)
        for row in failed:
            by.has_ended(row, home)
        if notifier is None:
            by.close()
    return failed


def recover(store: Store, home: Home) -> tuple[list[RunRow], list[str]]:
    """Record orphaned runs as failed, and reset the tasks that ended schedulers were executing.

    Return these runs, and these tasks (as `churn.train`), which the next scheduler executes again.
    """
    failed = fail_orphans(store, home)
    now = time.time()
    reset = []
    dead = [row for row in store.schedulers.unended() if scheduler.is_dead(row, now)]
    if dead:
        executor = executors.create("local", 1)  # it kills what the attempts left on this machine
        for row in dead:
            why = f"its scheduler (process {row.pid}) has ended"
            reset += scheduler.reset_attempts(store, home, executor, row.id, now, why)
    return failed, reset


@contextmanager
def opened_recovered(home: Home) -> Iterator[Store | None]:
    """Open the home's store for an action, with orphaned runs recorded as failed; None if nothing was ever recorded."""
    with opened(home, to_change=True) as store:
        if store is not None:
            fail_orphans(store, home)
        yield store
