"""Noticing when any run of a DAG moves, whoever drives it: this notebook, a terminal, a scheduler.

A thread of its own looks whether the database has changed, which costs next to nothing, and reads what moved only
then. What it finds it tells from that thread, in order.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from ..errors import NbdagError
from ..home import Home
from ..runs import Run, watch_runs
from .history import LATEST

POLL = 0.2  # seconds between two looks at whether anything changed


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
        with contextlib.closing(watch_runs(self._dag, limit=LATEST, home=home)) as looks:
            for moved in looks:
                for run in moved:
                    self._tell(run)
                if self._ended.wait(self._poll) or self._home() != home:
                    return
