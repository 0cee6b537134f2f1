"""Watch everything that a page shows: runs, deployments, schedulers, pools and assets.

While no process writes to the database, a poll costs one cheap query. After a write, the revisions of unfinished and of
the latest runs are compared. Older runs change seldom, so they are compared only every few seconds. Each poll compares
the current state with the state at the previous poll. So no change is missed, even if the time between two polls is
long.
"""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .... import store as stores
from ....core.model.states import RunState
from ....home import Home
from ..liveness import dead_owners, live_schedulers

if TYPE_CHECKING:
    from ....store.changes import RunMark
    from ....store.store import Store

_LATEST = 200  # number of latest runs that every poll compares
_SLOWLY = 5.0  # seconds between two comparisons of all runs, and between two checks for dead processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A run, pipeline, scheduler or asset that has changed. The new values are not included; a query returns them."""

    kind: Literal["run", "dag", "scheduler", "asset"]
    dag: str = ""  # id of the DAG, if a run or a pipeline has changed
    run: str = ""  # id of the run
    state: RunState | None = None  # state of the run; None for other kinds, and for a run that was deleted
    asset: str = ""  # name of an asset with a new version


class ChangeWatcher:
    """Reports what has changed since the last poll. The first poll only records the state, and reports nothing."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._store: Store | None = None
        self._counter: Hashable | None = None
        self._began = False
        self._runs: dict[int, RunMark] = {}
        self._orphans: frozenset[int] = frozenset()
        self._dags: dict[str, Hashable] = {}
        self._others: Hashable = None  # pools and live schedulers
        self._newest_event: int | None = None
        self._slow = float("-inf")  # monotonic time of the last slow comparison
        self._unread = False  # whether the database has changed since the last slow comparison

    def poll(self) -> list[Change]:
        """Return what has changed. If the database raises an error, no change is lost: the next poll reports it."""
        if self._store is None:
            if not self._home.exists:
                self._began, self._newest_event = True, 0  # if a home is created later, everything in it is new
                return []
            self._store = stores.open(self._home, read_only=True)
            self._store.listen()
        store = self._store
        try:
            return self._compare(store)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the database. A later poll opens the database again, and misses no change."""
        if self._store is not None:
            self._store.close()
        self._store, self._counter = None, None

    def _compare(self, store: Store) -> list[Change]:
        counter = store.changes()
        written = counter is None or counter != self._counter
        is_slow = time.monotonic() - self._slow >= _SLOWLY
        if not (written or is_slow):
            return []
        every_run = is_slow and (written or self._unread)
        # All records are read before this object is updated. So no change is lost if the database fails.
        orphans = frozenset(dead_owners(store)) if is_slow else self._orphans
        marks = store.changed.runs(None if every_run else _LATEST)
        dags = store.changed.deployments()
        others = store.changed.pools(), frozenset(each.id for each in live_schedulers(store))
        newest, assets = store.changed.asset_events(self._newest_event)
        found = self._changed_runs(marks, orphans, every_run)
        found += [
            Change(kind="dag", dag=name) for name in sorted({name for name, _ in dags.items() ^ self._dags.items()})
        ]
        found += [Change(kind="scheduler")] if others != self._others else []
        found += [Change(kind="asset", asset=each) for each in assets]
        self._counter, self._orphans, self._dags, self._others, self._newest_event = (
            counter,
            orphans,
            dags,
            others,
            newest,
        )
        self._unread = not every_run and (written or self._unread)
        if is_slow:
            self._slow = time.monotonic()
        began, self._began = self._began, True
        return found if began else []

    def _changed_runs(self, marks: list[RunMark], orphans: frozenset[int], every_run: bool) -> list[Change]:
        """Return the changed runs, and remember `marks`. With `every_run`, a run without a mark has been deleted."""
        now = {mark.id: mark for mark in marks}
        changed = {mark.id: mark for mark in marks if self._runs.get(mark.id) != mark}
        changed |= {id: now[id] for id in orphans ^ self._orphans if id in now}
        deleted = [mark for id, mark in self._runs.items() if id not in now] if every_run else []
        self._runs = now if every_run else {**self._runs, **now}
        found = [Change(kind="run", dag=each.dag, run=each.name, state=each.state) for each in changed.values()]
        return found + [Change(kind="run", dag=each.dag, run=each.name) for each in deleted]
