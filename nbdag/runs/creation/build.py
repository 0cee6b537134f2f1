"""Build the tasks of a run before it starts.

A deployment pins the notebook as the user wrote it, before any tasks are built. For a triggered or scheduled run, the
process that owns the run executes the `%%dag` cell of the pinned notebook with the run's parameters. The same process
pins the built notebook, and records the digest and tasks of the built notebook. If building fails, the run fails with
the reason. A scheduler builds in threads, because a `%%dag` cell may take long and other runs should not wait.
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
from ..queries.pinned import pin, pinned_text, run_dag
from .prepare import NotebookProblemsError, digest_of

if TYPE_CHECKING:
    from ...store.store import Store

MAX_BUILDS = 2  # maximum number of runs that one scheduler builds at once
RETRY_DELAY = 5.0  # seconds after which building is retried if the database or disk reported an error


def pin_built(
    home: Home, digest: str, path: str, cwd: str, parameters: Mapping[str, Any], kernel: str | None = None
) -> tuple[str, Dag]:
    """Build the tasks of a pinned notebook, pin the result, and return its digest and DAG."""
    source = pinned_text(home, digest, Path(path).name)
    built = build(source, name=Path(path).name, cwd=Path(cwd), parameters=parameters, kernel_name=kernel)
    if built.dag.errors:
        raise NotebookProblemsError(Path(path), tuple(built.dag.errors))
    if built.text == source:
        return digest, built.dag
    new = digest_of(built.text)
    pin(home, new, built.text, Path(path).name, len(built.dag.tasks))
    return new, built.dag


def build_run(store: Store, home: Home, row: RunRow) -> RunRow:
    """Build the tasks of a run unless they are already built, and return the updated record of the run."""
    if row.state in RUN_FINISHED or not run_dag(home, row).unbuilt:
        return row
    at = time.time()
    try:
        digest, dag = pin_built(home, row.digest, row.path, row.cwd, row.parameters, row.kernel)
    except NotebookProblemsError as error:
        fail_run(store, row, error.sentence, time.time())
    else:
        added = [new_instance(dag, task) for task in dag.tasks]
        # The save is rejected if another process has built or ended the run in the meantime.
        store.save(Change(run=replace(row, digest=digest), added=added, built=True, at=at))
    return store.run(row.id)


class Builder:
    """Builds the tasks of a scheduler's runs, one thread per run. All callbacks run in the scheduler's thread."""

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
        self._done = done  # called with each run, whether its tasks could be built or not
        self._on_trouble = on_trouble  # called once for each run and reason, if the run cannot be built for now
        self._building: set[int] = set()
        # Key: run number; value: (why building failed, monotonic time of the retry).
        self._trouble: dict[int, tuple[str, float]] = {}

    def is_ready(self, row: RunRow) -> bool:
        """Return whether the run's tasks are built. If not, start building them; after that, `done` is called."""
        try:
            if row.cancel_asked is not None or not self._read(row).unbuilt:
                return True
        except NbdagError:
            return True  # count the run as ready: the same error is reported when the run is executed
        _, retry_at = self._trouble.get(row.id, ("", 0.0))
        if row.id not in self._building and len(self._building) < MAX_BUILDS and time.monotonic() >= retry_at:
            self._building.add(row.id)
            threading.Thread(target=self._build, args=(row,), name="nbdag-build-run", daemon=True).start()
        return False

    def _build(self, row: RunRow) -> None:
        trouble = "the tasks of the run could not be built"
        try:
            row = build_run(self._store, self._home, row)
            trouble = ""
        except NbdagError as error:  # NbdagError: the database or disk reports an error
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
