"""Write the report of a run while the run executes, and once more at its end.

A separate thread writes the report, so that no task waits. The thread pauses after each write, so that writing uses
only a small share of its time. The report is written to the home, and also to the output path if the user gave one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import reports
from ...core.model.dag import Dag
from ...core.model.job import Key
from ...errors import NbdagError
from ...home import Home, HomeError
from ...reports import TaskOutcome
from ...scheduler import OwnedRun
from ...storage import StorageError, local_copy, upload_copy
from ...store.rows import AttemptRow, InstanceRow, RunRow
from ...writing import make_private_folder
from ..creation.prepare import OutputError
from ..queries.pinned import run_text
from .report_graph import outputs

if TYPE_CHECKING:
    from ...store.store import Store

PAUSE_FACTOR = 5  # the pause after a write lasts this many times as long as the write
MIN_PAUSE = 0.5  # shortest pause after a write, in seconds


class Reporter:
    """Writes the report of one run."""

    def __init__(self, store: Store, home: Home) -> None:
        self._store = store
        self._home = home
        self.run: OwnedRun | None = None  # the run in its latest state
        self._changed = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="nbdag-report", daemon=True)
        self.error: NbdagError | None = None  # why the last write failed

    def on_change(self, run: OwnedRun) -> None:
        """Schedule a write of the run after a change."""
        self.run = run
        if not self._thread.ident:
            self._thread.start()
        self._changed.set()

    def close(self) -> None:
        """Write the report a last time, and stop the thread."""
        self._closing.set()
        self._changed.set()
        if self._thread.ident:
            self._thread.join()
        if self.run is not None:
            self._write(self.run)
            try:
                upload_copy(self._home, self._home.report(self.run.row.dag, self.run.row.name))
            except NbdagError as error:
                self.error = error

    def _work(self) -> None:
        while self._changed.wait() and not self._closing.is_set():
            self._changed.clear()
            assert self.run is not None
            began = time.monotonic()
            if any(left for left in self.run.outputs.values()) or self.run.finished:
                self._write(self.run)
            self._closing.wait(max(MIN_PAUSE, PAUSE_FACTOR * (time.monotonic() - began)))

    def _write(self, run: OwnedRun) -> None:
        try:
            self._write_all(run)
        except NbdagError as error:  # NbdagError: the store cannot be read, or the pinned notebook is missing
            self.error = error

    def _write_all(self, run: OwnedRun) -> None:
        row = run.row
        notebook = report_notebook(self._store, self._home, row, run.dag, run.instances.values())
        self.error = None
        for path in (self._home.report(row.dag, row.name), *([Path(row.output)] if row.output else [])):
            requested = row.output == str(path)
            try:
                if requested:
                    path.parent.mkdir(parents=True, exist_ok=True)
                else:
                    make_private_folder(path.parent)
                reports.write(notebook, path, private=not requested)
            except OSError as error:
                why = (error.strerror or str(error)).lower()
                self.error = OutputError(path, why) if requested else HomeError(self._home.root, error)


def report_notebook(
    store: Store, home: Home, row: RunRow, dag: Dag, instances: Iterable[InstanceRow] | None = None
) -> dict[str, Any]:
    """Return the report of a run, as a dict of nbformat. By default, the task instances are read from the store."""
    text = run_text(home, row).decode("utf-8-sig")
    found = store.instances([row.id])[row.id] if instances is None else instances
    shown = sorted((each for each in found if each.task in dag.tasks), key=lambda each: (each.position, each.map_index))
    attempts = {attempt.instance: attempt for attempt in store.attempts([row.id])[row.id]}
    outcomes = [_task_outcome(home, row, each, attempts.get(each.id)) for each in shown]
    about = {
        "dag": row.dag,
        "run_id": row.name,
        "state": row.state.value,
        "started": row.started,
        "ended": row.ended,
    }
    return reports.report(text, dag, outcomes, parameters=row.parameters, about=about, displays=outputs(dag, outcomes))


class Reports:
    """Writes the reports of many runs."""

    def __init__(self, store: Store, home: Home, on_error: Callable[[RunRow, NbdagError], None]) -> None:
        self._store = store
        self._home = home
        self._on_error = on_error
        self._reporters: dict[int, Reporter] = {}
        self._finishing = ThreadPoolExecutor(1, thread_name_prefix="nbdag-reports")

    def on_change(self, run: OwnedRun) -> None:
        """Schedule a write of a run's report after a change."""
        reporter = self._reporters.get(run.row.id)
        if reporter is None:
            reporter = self._reporters[run.row.id] = Reporter(self._store, self._home)
        reporter.on_change(run)
        if run.finished:
            self._finishing.submit(self._finish, self._reporters.pop(run.row.id))

    def close(self) -> None:
        """Write every report a last time."""
        for reporter in self._reporters.values():
            self._finishing.submit(self._finish, reporter)
        self._finishing.shutdown()

    def _finish(self, reporter: Reporter) -> None:
        reporter.close()
        if reporter.error is not None and reporter.run is not None:
            self._on_error(reporter.run.row, reporter.error)


def _task_outcome(home: Home, row: RunRow, instance: InstanceRow, attempt: AttemptRow | None) -> TaskOutcome:
    if attempt is None:
        return TaskOutcome(task=instance.task, state=instance.state, map_index=instance.map_index)
    key = Key(
        dag=row.dag,
        run=row.name,
        task=instance.task,
        map_index=instance.map_index,
        try_number=attempt.try_number,
    )
    return TaskOutcome(
        task=instance.task,
        state=instance.state,
        map_index=instance.map_index,
        try_number=attempt.try_number,
        notebook=str(_notebook(home, key, has_ended=attempt.ended is not None)),
        started=attempt.started,
        ended=attempt.ended,
        error=attempt.error,
        traceback=attempt.traceback,
        cached=attempt.cached,
    )


def _notebook(home: Home, key: Key, *, has_ended: bool) -> Path:
    """Return the path of an attempt's notebook; if the attempt has ended on another host, download the notebook.

    If the storage does not respond, the report lacks the notebook's outputs.
    """
    path = home.attempt(key)
    if has_ended:
        with contextlib.suppress(StorageError):
            local_copy(home, path)
    return path
