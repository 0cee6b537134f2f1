"""Record the outcome of runs and attempts whose process has died. No other module starts a recovery.

`scheduler.dead_runs` has the rules: which runs are orphaned, and what becomes of their attempts.

`run`, `resume`, `backfill`, `scheduler` and `doctor` recover orphaned runs. `clear`, `mark`, `cancel` and `gc` do so
too, because they cannot change an orphaned run. Queries never recover: they show the recorded state of an orphaned run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ... import executors, scheduler
from ...home import Home
from ...store.rows import RunRow
from ..queries.runs import open_store
from .notify import Notifier

if TYPE_CHECKING:
    from ...store.store import Store


def fail_orphans(store: Store, home: Home, notifier: Notifier | None = None) -> list[RunRow]:
    """Record every orphaned run as failed, notify its recipients, and return these runs.

    Without a `notifier`, the call waits until the notifications are sent or have reached their time limits.
    """
    failed = scheduler.fail_dead_runs(store, time.time(), home)
    if failed:
        by = notifier or Notifier(store, home)
        for row in failed:
            by.has_ended(row)
        if notifier is None:
            by.close()
    return failed


def recover(store: Store, home: Home) -> tuple[list[RunRow], list[str]]:
    """Record orphaned runs as failed, and reset the tasks of schedulers that have ended.

    Return the failed runs, and the names of the reset tasks, such as `churn.train`. The next scheduler executes these
    tasks.
    """
    failed = fail_orphans(store, home)
    now = time.time()
    reset = []
    dead = [row for row in store.schedulers.unended() if scheduler.is_dead(row, now)]
    if dead:
        # This executor is only used to kill processes of dead attempts on this machine.
        executor = executors.create("local", 1)
        for row in dead:
            why = f"the task's scheduler (process {row.pid}) has ended"
            reset += scheduler.reset_attempts(store, home, executor, row.id, now, why)
    return failed, reset


@contextmanager
def open_recovered_store(home: Home) -> Iterator[Store | None]:
    """Record orphaned runs as failed and yield the writable store, or None if the home has no store yet."""
    with open_store(home, to_change=True) as store:
        if store is not None:
            fail_orphans(store, home)
        yield store
