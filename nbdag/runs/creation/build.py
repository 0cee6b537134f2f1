"""Build the tasks of a run before it starts.

A deployment pins only the source of a notebook. A triggered or scheduled run begins with that source and its
parameters; the process that owns the run builds the tasks, pins the built notebook, and records both. A run whose tasks
cannot be built fails with the reason. A scheduler builds in threads, because the code of a `%%dag` cell may take long
and other runs should not wait for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...building import build
from ...core.model.dag import Dag
from ...core.model.states import RUN_FINISHED
from ...errors import NbdagError
from ...home import Home
from ...scheduler import fail_run, new_instance
from ...store.rows import Change, RunRow
from ..queries.pinned import pinned_text, run_dag
from .prepare import NotebookProblemsError, digest_of

if TYPE_CHECKING:
    from ...store.store import Store

MAX_BUILDS = 2  # at once, in one scheduler
RETRY_DELAY = 5.0  # seconds until a build is retried after an error of the database or the disk


def pin_built(
    home: Home, digest: str, path: str, cwd: str, parameters: Mapping[str, Any], kernel: str | None = None
) -> tuple[str, Dag]:
    """Build the tasks of a pinned source, pin the built notebook, and return its digest and DAG."""
    source = pinned_text(home, digest, Path(path).name)
    built = build(source, name=Path(path).name, cwd=Path(cwd), parameters=parameters, kernel_name=kernel)
    if built.dag.errors:
        raise NotebookProblemsError(Path(path), tuple(built.dag.errors))
    if built.text == source:
        return digest, built.dag
    new = digest_of(built.text)
    home.pin(new, built.text)
    return new, built.dag


def build_run(store: Store, home: Home, row: RunRow) -> RunRow:
    """Build the tasks of a run unless they are built already, and return the run as it is recorded then."""
    if row.state in RUN_FINISHED or not run_dag(home, row).unbuilt:
        return row
    at = time.time()
    try:
        digest, dag = pin_built(home, row.digest, row.path, row.cwd, row.parameters, row.kernel)
    except NotebookProblemsError as error:
        fail_run(store, row, error.sentence, time.time())
    else:
        added = [new_instance(dag, task) for task in dag.tasks]
        # A rejected save means that another process has built the run, or ended it.
        store.save(Change(run=replace(row, digest=digest), added=added, built=True, at=at))
    return store.run(row.id)


class Builder:
    """Build the runs of one scheduler, each in its own thread; everything else happens in the scheduler's thread."""

    def __init__(
        self,
        store: Store,
        home: Home,
        *,
        read: Callable[[RunRow], Dag],
        later: Callable[[Callable[[], None]], None],
        done: Callable[[RunRow], None],
        on_trouble: Callable[[RunRow, str], None],
    ) -> None:
        self._store = store
        self._home = home
        self._read = read
        self._later = later  # calls a function in the scheduler's thread
        self._done = done  # receives each run that was built, or failed
        self._on_trouble = on_trouble  # receives, once, the reason why a run cannot be built now
        self._building: set[int] = set()
        self._trouble: dict[int, tuple[str, float]] = {}  # by run: reason, and time of the retry (monotonic)

    def is_ready(self, row: RunRow) -> bool:
        """Return whether the run has its tasks. If not, start building them: `done` is called at the end."""
        try:
            if row.cancel_asked is not None or not self._read(row).unbuilt:
                return True
        except NbdagError:
            return True  # executing the run reports this error
        _, retry_at = self._trouble.get(row.id, ("", 0.0))
        if row.id not in self._building and len(self._building) < MAX_BUILDS and time.monotonic() >= retry_at:
            self._building.add(row.id)
            threading.Thread(target=self._build, args=(row,), name="nbdag-build-run", daemon=True).start()
        return False

    def _build(self, row: RunRow) -> None:
        trouble = "its tasks could not be built"
        try:
            row = build_run(self._store, self._home, row)
            trouble = ""
        except NbdagError as error:  # of the database or the disk
            trouble = str(error)
        finally:
            self._later(lambda: self._finish(row, trouble))

    def _finish(self, row: RunRow, trouble: str) -> None:
        self._building.discard(row.id)
        reported, _ = self._trouble.pop(row.id, ("", 0.0))
        if not trouble:
            self._done(row)
            return
        self._trouble[row.id] = (trouble, time.monotonic() + RETRY_DELAY)
        if trouble != reported:
            self._on_trouble(row, trouble)
