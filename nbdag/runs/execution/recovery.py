"""Start the recovery of orphaned runs in the commands that need it. No other module starts a recovery.

A run is orphaned if its process has died. `scheduler.dead_runs` fails orphaned runs and ends their attempts.

`run`, `resume`, `backfill`, `scheduler` and `doctor` recover orphaned runs. `clear`, `mark`, `cancel` and `gc` also
recover them, because only a recovered run can be changed. Queries never recover: they show the recorded state of a run.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ... import executors, scheduler
from ...errors import NbdagError
from ...executors import Choice, Executor
from ...home import Home
from ...processes.leftovers import terminate_leftovers
from ...store.rows import RunRow, SchedulerRow
from ..queries.runs import open_store
from .notify import Notifier

if TYPE_CHECKING:
    from ...store.store import Store


class Leftovers:
    """Kills the remaining processes of attempts of dead schedulers, also on hosts of a cluster.

    `own` has an existing executor, and the choice from which it was created. Other executors are created when they are
    needed, and stopped by `close`.
    """

    def __init__(self, own: tuple[Choice, Executor] | None = None) -> None:
        self._own = own
        self._made: dict[str, Executor | None] = {}

    def terminate(self, by: SchedulerRow, notebook: Path, mark: str) -> None:
        """Kill the remaining processes of an attempt. `by` is the scheduler that has started the attempt."""
        if not by.executor:
            terminate_leftovers(notebook, mark)
            return
        executor = self._executor(Choice.from_dict(by.executor))
        if executor is not None:
            executor.terminate_leftovers(notebook, mark)

    def close(self) -> None:
        """Stop the executors that were created."""
        for executor in self._made.values():
            if executor is not None:
                executor.stop()
        self._made.clear()

    def _executor(self, choice: Choice) -> Executor | None:
        if self._own is not None and self._own[0] == choice:
            return self._own[1]
        if choice.options.get("address") is None:  # without an address, the cluster ended with its scheduler
            choice = Choice()
        name = repr(choice.to_dict())
        if name not in self._made:
            try:
                self._made[name] = executors.create(choice, 1)
            except NbdagError as failure:  # not an error, because hosts terminate attempts when the cluster ends
                logging.getLogger(__name__).warning("processes of an earlier attempt may still run: %s", failure)
                self._made[name] = None
        return self._made[name]


def fail_orphans(
    store: Store, home: Home, notifier: Notifier | None = None, leftovers: Leftovers | None = None
) -> list[RunRow]:
    """Record every orphaned run as failed, notify its recipients, and return these runs.

    Without a `notifier`, the call waits until the notifications are sent or have reached their time limits.
    """
    with contextlib.closing(Leftovers()) if leftovers is None else contextlib.nullcontext(leftovers) as killing:
        failed = scheduler.fail_dead_runs(store, time.time(), home, killing.terminate)
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
    with contextlib.closing(Leftovers()) as leftovers:
        failed = fail_orphans(store, home, leftovers=leftovers)
        now = time.time()
        reset = []
        for row in store.schedulers.unended():
            if scheduler.is_dead(row, now):
                why = f"the task's scheduler (process {row.pid}) has ended"
                terminate = partial(leftovers.terminate, row)
                reset += scheduler.reset_attempts(store, home, terminate, row.id, now, why)
    return failed, reset


@contextmanager
def open_recovered_store(home: Home) -> Iterator[Store | None]:
    """Record orphaned runs as failed and yield the writable store, or None if the home has no store yet."""
    with open_store(home, to_change=True) as store:
        if store is not None:
            fail_orphans(store, home)
        yield store
