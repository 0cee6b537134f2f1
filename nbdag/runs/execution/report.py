"""The report, kept up to date while the run goes on.

Written from a thread of its own, so that no task waits for it, and not so often that writing it would be most of what
the machine does; at the end once more, for good. It goes to the home and, where the run was given an output, there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from ... import reports
from ...core.model.job import Key
from ...errors import NbdagError
from ...home import Home, HomeError
from ...reports import Shown
from ...scheduler import OwnedRun
from ...store.rows import AttemptRow, InstanceRow, RunRow
from ..creation.prepare import OutputError
from ..queries.pinned import source
from .report_graph import outputs

if TYPE_CHECKING:
    from ...store.store import Store

SHARE = 5  # it rests for so many times as long as the last writing took
LEAST = 0.5  # seconds


class Reporter:
    """Writes one run's report."""

    def __init__(self, store: Store, home: Home) -> None:
        self._store = store
        self._home = home
        self.run: OwnedRun | None = None  # as it was when it changed last
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="nbdag-report", daemon=True)
        self.error: NbdagError | None = None  # why the last writing failed

    def take(self, run: OwnedRun) -> None:
        """The run has changed."""
        self.run = run
        if not self._thread.ident:
            self._thread.start()
        self._news.set()

    def close(self) -> None:
        """Write the report for the last time."""
        self._closing.set()
        self._news.set()
        if self._thread.ident:
            self._thread.join()
        if self.run is not None:
            self._write(self.run)

    def _work(self) -> None:
        while self._news.wait() and not self._closing.is_set():
            self._news.clear()
            assert self.run is not None
            began = time.monotonic()
            if any(left for left in self.run.outputs.values()) or self.run.finished:
                self._write(self.run)
            self._closing.wait(max(LEAST, SHARE * (time.monotonic() - began)))

    def _write(self, run: OwnedRun) -> None:
        try:
            self._write_all(run)
        except NbdagError as error:  # the store's, or of a source that is gone
            self.error = error

    def _write_all(self, run: OwnedRun) -> None:
        row, instances = run.row, [each for each in run.instances.values() if each.task in run.dag.tasks]
        text = source(self._home, row).decode("utf-8-sig")
        attempts = {attempt.instance: attempt for attempt in self._store.attempts([row.id])[row.id]}
        instances.sort(key=lambda each: (each.position, each.map_index))
        shown = [_shown(self._home, row, each, attempts.get(each.id)) for each in instances]
        about = {
            "dag": row.dag,
            "run_id": row.name,
            "state": row.state.value,
            "started": row.started,
            "ended": row.ended,
        }
        drawn = outputs(run.dag, shown)
        self.error = None
        for path in (self._home.report(row.dag, row.name), *([Path(row.output)] if row.output else [])):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                reports.write(text, run.dag, shown, path, parameters=row.parameters, about=about, displays=drawn)
            except OSError as error:
                why = (error.strerror or str(error)).lower()
                self.error = OutputError(path, why) if row.output == str(path) else HomeError(self._home.root, error)


class Reports:
    """Writes the reports of many runs."""

    def __init__(self, store: Store, home: Home, on_error: Callable[[RunRow, NbdagError], None]) -> None:
        self._store = store
        self._home = home
        self._on_error = on_error
        self._of: dict[int, Reporter] = {}
        self._last = ThreadPoolExecutor(1, thread_name_prefix="nbdag-reports")

    def take(self, run: OwnedRun) -> None:
        """A run has changed."""
        reporter = self._of.get(run.row.id)
        if reporter is None:
            reporter = self._of[run.row.id] = Reporter(self._store, self._home)
        reporter.take(run)
        if run.finished:
            self._last.submit(self._finish, self._of.pop(run.row.id))

    def close(self) -> None:
        """Write what is unwritten."""
        for reporter in self._of.values():
            self._last.submit(self._finish, reporter)
        self._last.shutdown()

    def _finish(self, reporter: Reporter) -> None:
        reporter.close()
        if reporter.error is not None and reporter.run is not None:
            self._on_error(reporter.run.row, reporter.error)


def _shown(home: Home, row: RunRow, instance: InstanceRow, attempt: AttemptRow | None) -> Shown:
    if attempt is None:
        return Shown(task=instance.task, state=instance.state, map_index=instance.map_index)
    key = Key(
        dag=row.dag,
        run=row.name,
        task=instance.task,
        map_index=instance.map_index,
        try_number=attempt.try_number,
    )
    return Shown(
        task=instance.task,
        state=instance.state,
        map_index=instance.map_index,
        try_number=attempt.try_number,
        notebook=str(home.attempt(key)),
        started=attempt.started,
        ended=attempt.ended,
        error=attempt.error,
        traceback=attempt.traceback,
        cached=attempt.cached,
    )
