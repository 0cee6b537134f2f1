"""What a person does to a run that goes on."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.model.states import ACTIVE, FINISHED, RUN_FINISHED, RunState, TaskState, move
from ...errors import NbdagError
from ...home import Home
from ...store.rows import Change
from ..queries.liveness import driver_of
from ..queries.records import Run
from ..queries.runs import NoSuchRunError, home_of, id_of, opened, the_row, told

if TYPE_CHECKING:
    from ...store.store import Store


class EndedError(NbdagError):
    """A run that has ended cannot be cancelled."""

    def __init__(self, run: str, state: str) -> None:
        super().__init__(run, state)
        self.run = run
        self.state = state

    def __str__(self) -> str:
        return f"run {self.run} has ended already ({self.state}), so there is nothing to cancel"


def cancel(run: Run | str, dag: str | None = None, *, home: Home | None = None) -> Run:
    """Ask whoever drives the run to stop it. It ends its tasks first, so the run is cancelled a moment later.

    A run that nobody drives, and of which nothing is under way, is cancelled at once.
    """
    here = home_of(run, home)
    with opened(here) as store:
        if store is None:
            raise NoSuchRunError(id_of(run), dag, here.root)
        row = the_row(store, here, id_of(run), run.dag if isinstance(run, Run) else dag)
        if not store.request_cancel(row.id, time.time()):
            raise EndedError(row.name, row.state.value)
        if not driver_of(store, row):
            _cancel_at_once(store, row.id)
        return told(store, here, [store.run(row.id)])[0]


def _cancel_at_once(store: Store, run: int) -> None:
    row = store.run(run)
    while row.state not in RUN_FINISHED:
        instances = store.instances([run])[run]
        if any(each.state in ACTIVE for each in instances):
            return  # left by a scheduler that is gone: the next one ends what is left of it, and the run
        skipped = [
            replace(each, state=move(each.state, TaskState.SKIPPED), wake=None)
            for each in instances
            if each.state not in FINISHED
        ]
        now = time.time()
        ended = replace(row, state=move(row.state, RunState.CANCELLED), ended=now)
        store.save(Change(run=ended, instances=skipped, at=now))
        row = store.run(run)
