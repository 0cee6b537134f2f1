"""Telling somebody how a run ended, or that a task is tried again.

`%dag --on-failure`, `--on-success` and `--on-retry` name whom: an apprise URL, or `module:function`, which is called
with a mapping (`event`, `dag`, `run_id`, `state`, `task`, `title`, `message`). Each is told in a process of its own, in
the run's folder, from a thread of ours: no task waits for it, it has a time limit, and whatever it does leaves the
run as it is. One that fails is a note on the run.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...core.model.job import Note
from ...core.model.states import ACTIVE, RunState, TaskState
from ...core.model.text import task_label
from ...errors import NbdagError
from ...home import Home
from ...scheduler import OwnedRun
from ...store.rows import RunRow
from ..queries.pinned import pinned

if TYPE_CHECKING:
    from ...store.store import Store

LIMIT = 30.0  # seconds for one to be told
Told = Mapping[str, Any]


class Notifier:
    """Tells of runs that are driven here."""

    def __init__(self, store: Store, limit: float = LIMIT) -> None:
        self._store = store
        self._limit = limit
        self._pool: ThreadPoolExecutor | None = None
        self._retries: dict[int, set[tuple[str, int, int]]] = {}  # by run, those told of

    def take(self, run: OwnedRun) -> None:
        """A run has changed."""
        options = run.dag.options
        if not (options.on_failure or options.on_success or options.on_retry):
            return
        for whom, what in self._news(run):
            self._pool = self._pool or ThreadPoolExecutor(4, thread_name_prefix="nbdag-notify")
            self._pool.submit(self._tell, run.row.id, run.row.cwd, whom, what)

    def has_ended(self, run: RunRow, home: Home) -> None:
        """A run has ended that nobody drives."""
        with contextlib.suppress(NbdagError):  # its notebook is gone, and with it whom to tell
            self.take(OwnedRun.of(run, pinned(home, run), (), (), {}))

    def close(self) -> None:
        """Wait until all are told, each for no longer than its limit."""
        if self._pool is not None:
            self._pool.shutdown()

    def _news(self, run: OwnedRun) -> Iterator[tuple[str, Told]]:
        row, options = run.row, run.dag.options
        about: dict[str, Any] = {"dag": row.dag, "run_id": row.name}
        seen = self._retries.setdefault(row.id, set())
        for each in run.instances.values() if options.on_retry else ():
            # One that does not wait is running again by the time that it is saved.
            failed = each.tries if each.state is TaskState.UP_FOR_RETRY else each.tries - 1
            again = each.state is TaskState.UP_FOR_RETRY or (each.state in ACTIVE and failed > each.forgiven)
            key = (each.task, each.map_index, failed)
            if again and key not in seen:
                seen.add(key)
                task = task_label(each.task, each.map_index)
                said = f"{task} of {row.dag} failed (try {failed}) and is tried again"
                what = {"event": "retry", **about, "state": each.state.value, "task": task, "title": said}
                yield from ((whom, {**what, "message": f"run {row.name}"}) for whom in options.on_retry)
        if not run.finished:
            return
        self._retries.pop(row.id, None)
        whom_all = {RunState.FAILED: options.on_failure, RunState.SUCCESS: options.on_success}.get(row.state, ())
        event = "failure" if row.state is RunState.FAILED else "success"
        title = f"{row.dag}: run {row.name} {'failed' if event == 'failure' else 'succeeded'}"
        what = {"event": event, **about, "state": row.state.value, "task": None, "title": title}
        yield from ((whom, {**what, "message": row.error or title}) for whom in whom_all)

    def _tell(self, run: int, cwd: str, whom: str, what: Told) -> None:
        why = tell(whom, what, cwd=cwd, limit=self._limit)
        if why:
            named = whom.partition("://")[0] if "://" in whom else whom  # the rest of a URL may be a password
            note = Note(code="NB415", name=named, message=f"{named} could not be told of the {what['event']}: {why}")
            with contextlib.suppress(NbdagError):
                self._store.add_note(run, note)


def tell(whom: str, what: Told, *, cwd: str, limit: float = LIMIT) -> str:
    """Tell one; why it could not be told, or ""."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            input=json.dumps({"whom": whom, "what": dict(what)}),
            cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=limit, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"it took more than {limit:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[-1][:300] if lines else f"exit code {done.returncode}"


def both(*listeners: Callable[[OwnedRun], None]) -> Callable[[OwnedRun], None]:
    """One listener that tells several."""

    def take(run: OwnedRun) -> None:
        for each in listeners:
            each(run)

    return take


def _main() -> None:
    """In the process of its own."""
    sys.path.insert(0, "")
    said = json.load(sys.stdin)
    whom, what = said["whom"], said["what"]
    if "://" not in whom:
        module, _, name = whom.partition(":")
        getattr(import_module(module), name)(what)
        return
    try:
        apprise = import_module("apprise")
    except ImportError:
        sys.exit("apprise is not installed: pip install 'nbdag[notify]'")
    service = apprise.Apprise()
    if not service.add(whom):
        sys.exit("apprise does not know this kind of URL")
    if not service.notify(title=what["title"], body=what["message"]):
        sys.exit("apprise could not deliver it")


if __name__ == "__main__":
    _main()
