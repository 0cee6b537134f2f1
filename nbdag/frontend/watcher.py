"""Report changes of all runs of a DAG, even of runs that another process (in a terminal, or a scheduler) executes.

A thread polls a change counter of the database, which is cheap, and reads the runs only if the counter has
changed. The thread then calls `report` with each changed run, in order.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from ..errors import NbdagError
from ..home import Home
from ..runs import Run, watch_runs
from .history import LATEST

POLL = 0.2  # seconds between two polls


class RunWatcher:
    """Calls `report`, from a separate thread, with each run of a DAG that has changed."""

    def __init__(
        self, home: Callable[[], Home], dag: Callable[[], str], report: Callable[[Run], None], *, poll: float = POLL
    ) -> None:
        self._home = home
        self._dag = dag
        self._report = report
        self._poll = poll
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="nbdag-watch", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and wait until it has ended. If the thread itself calls this method, do not wait."""
        self._stopped.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)

    def _watch(self) -> None:
        while not self._stopped.is_set():
            home = self._home()
            if home.exists:
                # If the database is locked, full or still being created, the next poll tries again.
                with contextlib.suppress(NbdagError, OSError):
                    self._follow(home)
            self._stopped.wait(self._poll)

    def _follow(self, home: Home) -> None:
        with contextlib.closing(watch_runs(self._dag, limit=LATEST, home=home)) as polls:
            for changed in polls:
                for run in changed:
                    self._report(run)
                if self._stopped.wait(self._poll) or self._home() != home:
                    return
