"""Cancel a run."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.model.states import ACTIVE, FINISHED, RUN_FINISHED, RunState, TaskState, move
from ...errors import NbdagError, error
from ...home import Home
from ...store.rows import Change
from ..execution.recovery import open_recovered_store
from ..queries.liveness import owner_of
from ..queries.records import Run
from ..queries.runs import UnknownRunError, find_row, home_of, id_of, read_runs

if TYPE_CHECKING:
    from ...store.store import Store


@error
class RunEndedError(NbdagError):
    """A run that has ended cannot be cancelled."""

    run: str
    state: str
    template = "run {run} has already ended ({state}), so it cannot be cancelled"


def cancel(run: Run | str, dag: str | None = None, *, home: Home | None = None) -> Run:
    """Request the cancellation of a run, and return the run in its current state.

    The process that owns the run terminates the running tasks first, so the returned run may still be running. A run
    without an owner and without running tasks is cancelled immediately.
    """
    here = home_of(run, home)
    with open_recovered_store(here) as store:
        if store is None:
            raise UnknownRunError(id_of(run), dag, here.root)
        row = find_row(store, here, id_of(run), run.dag if isinstance(run, Run) else dag)
        if not store.request_cancel(row.id, time.time()):
            raise RunEndedError(row.name, row.state.value)
        if not owner_of(store, row):
            _cancel_at_once(store, row.id)
        return read_runs(store, here, [store.run(row.id)])[0]


def _cancel_at_once(store: Store, run: int) -> None:
    row = store.run(run)
    while row.state not in RUN_FINISHED:
        instances = store.instances([run])[run]
        if any(each.state in ACTIVE for each in instances):
            # The running tasks belong to a dead scheduler. The next scheduler kills the tasks and cancels the run.
            return
        skipped = [
            replace(each, state=move(each.state, TaskState.SKIPPED), wake=None)
            for each in instances
            if each.state not in FINISHED
        ]
        now = time.time()
        ended = replace(row, state=move(row.state, RunState.CANCELLED), ended=now)
        store.save(Change(run=ended, instances=skipped, at=now))
        row = store.run(run)
