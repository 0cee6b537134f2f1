"""What a person does to a run that goes on."""

from __future__ import annotations

import time

from ..errors import NbdagError
from ..home import Home
from .ask import _id, _none, home_of, opened, the_row, told
from .records import Run


class EndedError(NbdagError):
    """A run that has ended cannot be cancelled."""

    def __init__(self, run: str, state: str) -> None:
        super().__init__(run, state)
        self.run = run
        self.state = state

    def __str__(self) -> str:
        return f"run {self.run} has ended already ({self.state}), so there is nothing to cancel"


def cancel(run: Run | str, dag: str | None = None, *, home: Home | None = None) -> Run:
    """Ask whoever drives the run to stop it. It ends its tasks first, so the run is cancelled a moment later."""
    here = home_of(run, home)
    with opened(here) as store:
        if store is None:
            return _none(_id(run), dag, here)
        row = the_row(store, here, _id(run), run.dag if isinstance(run, Run) else dag)
        if not store.ask_to_cancel(row.id, time.time()):
            raise EndedError(row.name, row.state.value)
        return told(store, here, [store.run(row.id)])[0]
