"""Building the tasks of a run, when its turn comes.

What is deployed is a notebook's source. A run that is triggered or due begins as no more than that and its parameters;
whoever drives it builds the tasks first, pins what comes of it, and records them: from then on it is a run like any
other. One whose tasks cannot be built has failed, and says why. A scheduler has that done in threads, because the code
of `%%dag` may take a while, and other runs should not wait for it.
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
from ..queries.pinned import pinned, text_of
from .prepare import NotebookProblemsError, digest_of

if TYPE_CHECKING:
    from ...store.store import Store

AT_ONCE = 2  # builds of one scheduler
AGAIN = 5.0  # seconds before a build is begun again that the database or the disk did not allow


def pin_built(
    home: Home, digest: str, path: str, cwd: str, parameters: Mapping[str, Any], kernel: str | None = None
) -> tuple[str, Dag]:
    """The built notebook of a pinned source, pinned too: its digest, and what it holds. Raises `NbdagError`."""
    source = text_of(home, digest, Path(path).name)
    built = build(source, name=Path(path).name, cwd=Path(cwd), parameters=parameters, kernel_name=kernel)
    if built.dag.errors:
        raise NotebookProblemsError(Path(path), built.dag.errors)
    if built.text == source:
        return digest, built.dag
    new = digest_of(built.text)
    home.pin(new, built.text)
    return new, built.dag


def build_run(store: Store, home: Home, row: RunRow) -> RunRow:
    """Build the tasks of a run, if that has not been done; the run as it stands then."""
    if row.state in RUN_FINISHED or not pinned(home, row).unbuilt:
        return row
    at = time.time()
    try:
        digest, dag = pin_built(home, row.digest, row.path, row.cwd, row.parameters, row.kernel)
    except NotebookProblemsError as error:
        fail_run(store, row, error.sentence, time.time())
    else:
        added = [new_instance(dag, task) for task in dag.tasks]
        # Where it is refused, somebody else has built it, or has ended the run.
        store.save(Change(run=replace(row, digest=digest), added=added, built=True, at=at))
    return store.run(row.id)


class Builder:
    """Builds the runs of one scheduler, each in a thread of its own; all else is done in the scheduler's."""

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
        self._later = later  # has something done by the scheduler's thread
        self._done = done  # is told of a run that was built, or has failed
        self._on_trouble = on_trouble  # is told, once, what keeps a run from being built now
        self._under_way: set[int] = set()
        self._trouble: dict[int, tuple[str, float]] = {}  # by run: what kept it, and until when it rests; monotonic

    def is_ready(self, row: RunRow) -> bool:
        """Whether the run has its tasks. If not, that is begun; ask again when `done` has been told."""
        try:
            if row.cancel_asked is not None or not self._read(row).unbuilt:
                return True
        except NbdagError:
            return True  # who drives it says so
        _, rests = self._trouble.get(row.id, ("", 0.0))
        if row.id not in self._under_way and len(self._under_way) < AT_ONCE and time.monotonic() >= rests:
            self._under_way.add(row.id)
            threading.Thread(target=self._build, args=(row,), name="nbdag-build-run", daemon=True).start()
        return False

    def _build(self, row: RunRow) -> None:
        trouble = "its tasks could not be built"
        try:
            row = build_run(self._store, self._home, row)
            trouble = ""
        except NbdagError as error:  # the database or the disk cannot do it now
            trouble = str(error)
        finally:
            self._later(lambda: self._is_over(row, trouble))

    def _is_over(self, row: RunRow, trouble: str) -> None:
        self._under_way.discard(row.id)
        told, _ = self._trouble.pop(row.id, ("", 0.0))
        if not trouble:
            self._done(row)
            return
        self._trouble[row.id] = (trouble, time.monotonic() + AGAIN)
        if trouble != told:
            self._on_trouble(row, trouble)
