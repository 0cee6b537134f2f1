"""Check the deadlines of queued runs: a run can miss a deadline before it starts.

The deadlines of runs that have started are checked in each step; see `run_step`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ..core.model.dag import Dag
from ..core.model.job import Note
from ..core.planning.dag_layout import layout
from ..core.planning.deadlines import MissedDeadline, deadlines
from ..errors import NbdagError
from ..store.rows import DagRow, RunRow
from .owned_run import MISSED
from .planning_views import run_view

if TYPE_CHECKING:
    from ..store.store import Store

OnMissed = Callable[[RunRow, Dag, Sequence[MissedDeadline]], None]


class QueuedDeadlines:
    """The deadlines that one scheduler checks."""

    def __init__(self, store: Store, *, read: Callable[[RunRow | DagRow], Dag], on_missed: OnMissed) -> None:
        self._store = store
        self._read = read
        self._on_missed = on_missed
        self._known: set[tuple[int, str | None]] = set()  # missed deadlines, as (number of the run, task)

    def poll(self, waiting: Iterable[RunRow], now: datetime) -> datetime | None:
        """Record and report the deadlines that these queued runs have missed. Return the time of the next deadline."""
        coming = []
        for row in waiting:
            try:
                dag = self._read(row)
            except NbdagError:
                continue  # the error is reported when the run starts
            if not layout(dag).has_deadlines:
                continue
            tasks = {each.task for each in self._store.instances([row.id])[row.id]}
            missed, later = deadlines(dag, run_view(row).due, tasks & dag.tasks.keys(), now)
            coming += later
            new = [each for each in missed if (row.id, each.task) not in self._known]
            self._known.update((row.id, each.task) for each in new)
            recorded = [each for each in new if self._record(row, dag, each, now)]
            if recorded:
                self._on_missed(row, dag, recorded)
        return min(coming, default=None)

    def _record(self, row: RunRow, dag: Dag, missed: MissedDeadline, now: datetime) -> bool:
        """Record a missed deadline; return False if another scheduler has already recorded it."""
        note = Note(code=MISSED, name=missed.task or "", message=missed.describe(dag, now))
        return self._store.add_note(row.id, note, once=True)
