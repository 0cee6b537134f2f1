"""`nbdag scheduler`: drive all that is due, triggered or waiting, until told to end.

The same `Scheduler` as `nbdag run` has, with `DueRuns` that says whose turn it is. What the database or the disk
cannot do for a while is said, and tried again; nothing is lost by it, since what is on record is never less than what
was begun. The first SIGTERM (or Ctrl-C) drains: what runs may end, nothing new begins. The second stops at once: what
ran begins anew under the next scheduler.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from queue import SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Any

from ... import store as stores
from ...core.model.dag import Dag
from ...core.model.events import Event
from ...core.model.states import RUN_FINISHED, TaskState
from ...core.options.option_types import write_duration
from ...core.planning.explain import listed, several
from ...errors import NbdagError
from ...executors import Executor
from ...home import Home, the_home
from ...processes.identity import Process, is_alive
from ...scheduler import (
    HEARTBEAT_INTERVAL,
    HEARTBEAT_TIMEOUT,
    DueRuns,
    Scheduler,
    fail_dead_runs,
    fail_run,
    is_dead,
    reset_attempts,
)
from ...store.rows import DagRow, RunRow, SchedulerRow
from ..creation.build import Builder
from ..queries.pinned import notebook_of
from .foreground import JobsError, cores, local_executor
from .notify import Notifier, both
from .report import Reports

if TYPE_CHECKING:
    from ...store.store import Store

GLANCE = 0.05  # seconds between two looks at SQLite's count of changes: what is triggered starts that soon
PATIENCE = 1.0  # seconds before the database is tried again
SLOW = 2.0  # seconds that a look may take before a word is said of it
SET_BACK = 60.0  # seconds by which the clock may be set back without a word
LETS_GO = 20.0  # seconds without a heartbeat, elsewhere than on SQLite: others take over at 30
_UNTOLD = (TaskState.NONE, TaskState.SCHEDULED)


class SchedulerRunningError(NbdagError):
    """A second scheduler on one SQLite database."""

    def __init__(self, where: str, other: SchedulerRow) -> None:
        super().__init__(where, other)
        self.where = where
        self.other = other

    def __str__(self) -> str:
        host = self.other.host.partition("/")[0]
        since = datetime.fromtimestamp(self.other.started).strftime("%Y-%m-%d %H:%M:%S")
        return (
            f"a scheduler already drives {self.where} (process {self.other.pid} on {host}, since {since}): end that "
            "one first, or set NBDAG_DB_URL to a PostgreSQL database, which takes several"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something that the scheduler did, and why."""

    at: float  # seconds since the epoch
    message: str
    dag: str = ""
    run: str = ""
    task: str = ""
    map_index: int = -1
    try_number: int = 0  # from 1; 0 where none has begun
    state: str = ""  # that the run or the task came to


def schedule(
    *,
    jobs: int | None = None,
    kernels: str = "warm",
    on_line: Callable[[Line], None] | None = None,
    home: Home | None = None,
    executor: Executor | None = None,
) -> None:
    """Drive what is deployed here, in the foreground, until SIGTERM or Ctrl-C.

    `jobs` is how many tasks run at once (default: one for each core), `kernels` "warm" or "fresh"; `on_line` is told
    what happens, from this thread. Another scheduler on the same SQLite database is a `SchedulerRunningError`.
    """
    if jobs is not None and jobs < 1:
        raise JobsError(jobs)
    here = the_home(home)
    store = stores.open(here)
    try:
        with local_executor(jobs or cores(), executor) as ready:
            Daemon(store, here, ready, kernels=kernels, on_line=on_line or (lambda line: None)).serve()
    finally:
        store.close()


class Daemon:
    """One scheduler at work."""

    def __init__(
        self,
        store: Store,
        home: Home,
        executor: Executor,
        *,
        kernels: str = "warm",
        on_line: Callable[[Line], None] = lambda line: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._home = home
        self._executor = executor
        self._on_line = on_line
        self._clock = clock
        self._read = lru_cache(maxsize=256)(lambda digest, path: notebook_of(home, digest, path))
        self._to_do: SimpleQueue[Callable[[], None]] = SimpleQueue()  # what other threads leave to this one
        self._reports = Reports(
            store, home, on_error=lambda run, why: self._later(lambda: self._say(str(why), run.dag, run.name))
        )
        self._notifier = Notifier(store)
        self._builder = Builder(
            store,
            home,
            read=self._notebook,
            later=self._later,
            done=self._was_built,
            on_trouble=lambda run, why: self._say(f"{why} (its tasks are built once that is over)", run.dag, run.name),
        )
        self._scheduler = Scheduler(
            store,
            executor,
            home=home,
            read=self._notebook,
            kernels=kernels,
            on_event=self._tell,
            on_saved=both(self._reports.take, self._notifier.take),
            clock=clock,
            due_runs=DueRuns(store, read=self._notebook, report=self._say),
            on_error=self._fail_run,
            is_ready=self._is_ready,
            poll_interval=GLANCE,
        )
        self._ahead: float | None = None  # the clock's time, less what has passed
        self._asked = 0  # how often it was asked to end
        self._nudge = threading.Event()
        self._trouble = ""  # what the database cannot do, as it was said last
        self._watched: float | None = None  # when the other schedulers were last looked at; monotonic
        self._well = time.monotonic()  # when the database last did what it was asked
        self._lost = False  # attempts were ended here, since others may make them now
        self._foreign: set[int] = set()  # runs whose notebook another home has
        self._silent: dict[str, tuple[float, int]] = {}  # others → last heartbeat, looks since that found the same

    def ask_to_end(self) -> None:
        """Drain; asked again, stop at once. May be called from a signal handler, or any thread."""
        self._asked += 1
        self._scheduler.drain()
        self._nudge.set()

    def serve(self) -> None:
        """Until it is asked to end."""
        now = self._clock().timestamp()
        only = (lambda row: not is_dead(row, now)) if self._store.is_sqlite else None
        other = self._scheduler.register(only)
        if other is not None:
            raise SchedulerRunningError(self._store.where, other)
        self._store.listen()
        self._say(f"the scheduler begins: {self._executor.slots} tasks at once, {self._store.where}")
        why = "the scheduler was stopped, so it begins anew under the next one"
        with self._asked_by_signals():  # until all is recorded: who asks twice does not ask for less than that
            try:
                self._work()
            finally:
                self._executor.stop()
                self._reports.close()
                self._do_what_is_left()
                self._notifier.close()
                with contextlib.suppress(NbdagError):  # what cannot be recorded now, the next scheduler does
                    again = reset_attempts(
                        self._store, self._home, self._executor, self._scheduler.id, self._clock().timestamp(), why
                    )
                    if again:
                        self._say(f"stopped at once: {listed(again)} will begin anew")
            self._say("the scheduler has ended")

    def _work(self) -> None:
        from ...store.database import StoreError

        told = 0
        while True:
            if self._asked != told:
                told = self._asked
                self._say_that_it_ends()
            try:
                if self._turn():
                    return
            except StoreError as error:
                self._bear(error)
                if self._asked > 1:
                    return

    def _turn(self) -> bool:
        """Once round; whether that was the last time."""
        began = time.monotonic()
        now = self._clock()
        self._do_what_is_left()
        self._mind_the_clock(now)
        self._recover(now)
        self._watch(now)
        wake = self._scheduler.tick(now)
        took = time.monotonic() - began
        if took > SLOW:
            self._say(f"the database kept others waiting: this look took {took:.1f} s")
        self._well = time.monotonic()
        if self._asked and (self._asked > 1 or not self._scheduler.busy):
            return True
        self._scheduler.wait(wake)
        return False

    def _say_that_it_ends(self) -> None:
        if self._asked > 1:
            self._say("asked again to end: it stops at once")
        elif self._scheduler.busy:
            self._say(
                f"asked to end: it waits for {several(self._scheduler.busy, 'running task')} and starts nothing; ask "
                "again to stop at once"
            )
        else:
            self._say("asked to end: nothing runs")

    # What goes wrong

    def _bear(self, error: NbdagError) -> None:
        """The database cannot do what it was asked: say so once, and try again in a moment."""
        if str(error) != self._trouble:
            self._trouble = str(error)
            self._say(f"{error} (it is tried again every {PATIENCE:g} s)")
        silent = time.monotonic() - self._well
        if not self._store.is_sqlite and silent > LETS_GO and self._scheduler.busy and not self._lost:
            self._lost = True
            self._scheduler.cancel_attempts()
            self._say(
                f"no word with the database for {silent:.0f} s: running tasks are ended, as others may take them over"
            )
        self._nudge.wait(PATIENCE)
        self._nudge.clear()

    def _mind_the_clock(self, now: datetime) -> None:
        ahead = now.timestamp() - time.monotonic()
        if self._ahead is not None and self._ahead - ahead > SET_BACK:
            self._say(
                f"the clock was set back by {write_duration(round(self._ahead - ahead))}: no tick runs twice, and what "
                "waits for a time waits until the clock is there"
            )
        self._ahead = ahead

    def _recover(self, now: datetime) -> None:
        if self._lost:
            reset_attempts(
                self._store,
                self._home,
                self._executor,
                self._scheduler.id,
                now.timestamp(),
                "its scheduler lost the database",
            )
            self._store.schedulers.record_heartbeat(self._scheduler.id, now.timestamp())
            self._scheduler.refresh()
            self._lost = False
        if self._trouble:
            self._store.schedulers.record_heartbeat(self._scheduler.id, now.timestamp())
            self._trouble = ""
            self._say("the database answers again")

    def _fail_run(self, row: RunRow, error: NbdagError) -> None:
        fail_run(self._store, row, str(error), self._clock().timestamp())
        self._say(f"it cannot run: {error}", row.dag, row.name)

    def _is_ready(self, row: RunRow) -> bool:
        """Return whether this scheduler can run it; leave a run alone whose notebook is kept in another home."""
        notebook = self._home.notebook(row.digest)
        if self._store.is_sqlite or notebook.exists():
            return self._builder.is_ready(row)
        if row.id not in self._foreign:
            self._foreign.add(row.id)
            self._say(
                f"its notebook is not at {notebook}, so it is left to the scheduler that has it: give all schedulers "
                "of one database the same NBDAG_HOME",
                row.dag,
                row.name,
            )
        return False

    def _was_built(self, row: RunRow) -> None:
        """Its tasks are on record, or it has failed."""
        if row.state in RUN_FINISHED:
            self._say(f"its tasks cannot be built: {row.error}", row.dag, row.name)
            self._notifier.has_ended(row, self._home)

    def _watch(self, now: datetime) -> None:
        """Go on with what those that are gone have left."""
        if self._watched is not None and time.monotonic() - self._watched < HEARTBEAT_INTERVAL:
            return
        self._watched = time.monotonic()
        at = now.timestamp()
        for run in fail_dead_runs(self._store, at, self._home):
            self._say("the process that drove it is gone", run.dag, run.name)
            self._notifier.has_ended(run, self._home)
        for other in self._store.schedulers.unended():
            if other.id == self._scheduler.id or not self._is_gone(other):
                continue
            why = f"its scheduler is gone (process {other.pid}), so it begins anew"
            again = reset_attempts(self._store, self._home, self._executor, other.id, at, why)
            self._scheduler.refresh()
            left = f": {listed(again)} will begin anew" if again else ", and left nothing undone"
            self._say(f"the scheduler of process {other.pid} is gone{left}")

    def _is_gone(self, other: SchedulerRow) -> bool:
        if is_alive(Process(other.host, other.pid, other.birth)) is False:
            return True
        # Clocks differ and are set: what counts is that nothing was heard over so many looks of our own.
        heard, looks = self._silent.get(other.id, (other.heartbeat, -1))
        looks = looks + 1 if heard == other.heartbeat else 0
        self._silent[other.id] = (other.heartbeat, looks)
        return looks * HEARTBEAT_INTERVAL > HEARTBEAT_TIMEOUT

    # What other threads leave to this one

    def _later(self, do: Callable[[], None]) -> None:
        self._to_do.put(do)
        self._scheduler.wake()

    def _do_what_is_left(self) -> None:
        while not self._to_do.empty():
            self._to_do.get()()

    # What it is told by, and tells

    def _notebook(self, row: RunRow | DagRow) -> Dag:
        found: Dag = self._read(row.digest, row.path)
        return found

    def _say(self, message: str, dag: str = "", run: str = "") -> None:
        self._on_line(Line(at=self._clock().timestamp(), message=message, dag=dag, run=run))

    def _tell(self, event: Event) -> None:
        if event.state in _UNTOLD and not event.try_number:
            return
        self._on_line(
            Line(
                at=event.at,
                message=event.message,
                dag=event.dag,
                run=event.run_id,
                task=event.task or "",
                map_index=event.map_index,
                try_number=event.try_number,
                state=event.state.value,
            )
        )

    @contextlib.contextmanager
    def _asked_by_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: FrameType | None) -> None:
            self.ask_to_end()

        before: dict[int, Any] = {}
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None:
                before[number] = signal.signal(number, ask)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
