"""Noticing when any run of a DAG moves, whoever drives it: this notebook, a terminal, a scheduler.

A thread of its own looks whether the database has changed, which costs next to nothing, and reads what moved only
then. What it finds it tells from that thread, in order.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Hashable

from .. import store as stores
from ..errors import NbdagError
from ..home import Home
from ..runs import Run
from ..runs.ask import told
from ..runs.gone import bury
from ..store.rows import RunRow
from ..store.store import Store
from .history import LATEST

POLL = 0.2  # seconds between two looks at whether anything changed
_AT_LEAST = 5.0  # seconds between two looks for runs whose process is gone


class Watch:
    """A living look at one DAG's latest runs."""

    def __init__(
        self, home: Callable[[], Home], dag: Callable[[], str], tell: Callable[[Run], None], *, poll: float = POLL
    ) -> None:
        self._home = home
        self._dag = dag
        self._tell = tell
        self._poll = poll
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="nbdag-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._ended.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)

    def _watch(self) -> None:
        while not self._ended.is_set():
            home = self._home()
            if home.exists:
                # A database that is locked, full or being made is asked again.
                with contextlib.suppress(NbdagError, OSError):
                    self._follow(home)
            self._ended.wait(self._poll)

    def _follow(self, home: Home) -> None:
        store = stores.open(home)
        try:
            seen: dict[int, int] = {}
            changes: Hashable | None = None
            dag = ""
            buried = 0.0
            while not self._ended.is_set() and self._home() == home:
                at = time.monotonic()
                if at - buried >= _AT_LEAST:
                    buried = at
                    bury(store, home)
                    changes = None
                now, named = store.changes(), self._dag()
                if now is None or now != changes or named != dag:
                    changes, dag = now, named
                    self._look(store, home, dag, seen)
                self._ended.wait(self._poll)
        finally:
            store.close()

    def _look(self, store: Store, home: Home, dag: str, seen: dict[int, int]) -> None:
        rows: list[RunRow] = store.runs(dag=dag, limit=LATEST)
        moved = [row for row in reversed(rows) if seen.get(row.id) != row.revision]
        for row, run in zip(moved, told(store, home, moved) if moved else (), strict=True):
            seen[row.id] = row.revision
            self._tell(run)
        for gone in seen.keys() - {row.id for row in rows}:
            del seen[gone]
