"""`nbdag scheduler`: execute every run that is due, triggered or waiting, until it is asked to stop.

The daemon uses the same `Scheduler` as `nbdag run`, and a `DueRuns` finds the next runs. After a database or disk
error, the operation is retried; no attempt is lost, because each is recorded before it starts. After the first SIGTERM
(or Ctrl-C), running tasks finish and no task starts. A second signal terminates the running tasks, and the next
scheduler executes them again.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from queue import SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Any

from ... import store as stores
from ...core.model.dag import Dag
from ...core.model.events import Event
from ...core.model.states import RUN_FINISHED, TaskState
from ...core.model.text import join_names, plural
from ...core.options.option_types import write_duration
from ...core.planning.deadlines import MissedDeadline
from ...errors import NbdagError, error
from ...executors import Choice, Executor, choice_of
from ...home import Home, the_home
from ...processes.identity import Process, is_alive
from ...scheduler import (
    HEARTBEAT_INTERVAL,
    HEARTBEAT_TIMEOUT,
    DueRuns,
    OwnedRun,
    Scheduler,
    fail_run,
    is_dead,
    reset_attempts,
)
from ...storage import local_copy
from ...storage.owners import has_files
from ...store.rows import DagRow, RunRow, SchedulerRow
from ..creation.build import Builder
from ..queries.pinned import pinned_dag
from .foreground import executor_ready
from .notify import Notifier, combine_listeners
from .recovery import Leftovers, fail_orphans
from .report import Reports

if TYPE_CHECKING:
    from ...store.store import Store

POLL = 0.05  # seconds between two reads of SQLite's change counter; a triggered run starts with at most this delay
RETRY_DELAY = 1.0  # seconds after which a failed database operation is retried
SLOW_TURN = 2.0  # seconds; a turn of the loop that takes longer is logged
CLOCK_TOLERANCE = 60.0  # seconds; if the clock was set back by more, a line is logged
# If no heartbeat was saved for these seconds, tasks are terminated, because other schedulers take them over after 30 s.
RELEASE_AFTER = 20.0
_UNREPORTED = (TaskState.NONE, TaskState.SCHEDULED)


@error
class SchedulerRunningError(NbdagError):
    """A SQLite database cannot have a second scheduler."""

    where: str
    other: SchedulerRow
    template = (
        "a scheduler already uses {where} (process {other.pid} on {host}, since {since}); stop it first, or set "
        "NBDAG_DB_URL to a PostgreSQL database, which allows several schedulers"
    )

    @property
    def host(self) -> str:
        return self.other.host.partition("/")[0]

    @property
    def since(self) -> str:
        return datetime.fromtimestamp(self.other.started).strftime("%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the scheduler's log: an action and its reason."""

    at: float  # time of the log line, in seconds since the epoch
    message: str
    dag: str = ""
    run: str = ""
    task: str = ""
    map_index: int = -1
    try_number: int = 0  # number of the attempt, from 1; 0 for a line that is not about an attempt
    state: str = ""  # new state of the run or the task; "" for a line without a change of state


def schedule(
    *,
    jobs: int | None = None,
    kernels: str = "warm",
    on_line: Callable[[Line], None] | None = None,
    executor: str | Choice = "local",
    home: Home | None = None,
) -> None:
    """Execute due, triggered and waiting runs in the foreground, until SIGTERM or Ctrl-C.

    `jobs` is the number of tasks at once (default: the number of cores), `kernels` is "warm" or "fresh", and
    `executor` the name of an executor. `on_line` receives every line of the log, in this thread. If another scheduler
    uses the same SQLite database, a `SchedulerRunningError` is raised.
    """
    here = the_home(home)
    store = stores.open(here)
    try:
        with executor_ready(executor, jobs, here) as ready:
            said = on_line or (lambda line: None)
            Daemon(store, here, ready, kernels=kernels, on_line=said, choice=choice_of(executor)).serve()
    finally:
        store.close()


class Daemon:
    """A running scheduler."""

    def __init__(
        self,
        store: Store,
        home: Home,
        executor: Executor,
        *,
        kernels: str = "warm",
        on_line: Callable[[Line], None] = lambda line: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        choice: Choice | None = None,
    ) -> None:
        self._store = store
        self._home = home
        self._executor = executor
        self._leftovers = Leftovers((choice or Choice(), executor))
        self._on_line = on_line
        self._clock = clock
        self._read = lru_cache(maxsize=256)(lambda digest, path: pinned_dag(home, digest, path))
        # Function calls that other threads have queued for this thread.
        self._passed: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._reports = Reports(
            store, home, on_error=lambda run, why: self._later(lambda: self._say(str(why), run.dag, run.name))
        )
        self._notifier = Notifier(store, home)
        self._builder = Builder(
            store,
            home,
            read=self._notebook,
            later=self._later,
            done=self._was_built,
            on_trouble=lambda run, why: self._say(f"{why} (building its tasks is retried)", run.dag, run.name),
        )
        self._scheduler = Scheduler(
            store,
            executor,
            home=home,
            read=self._notebook,
            kernels=kernels,
            on_event=self._report_event,
            on_saved=combine_listeners(self._reports.on_change, self._notifier.on_change),
            clock=clock,
            due_runs=DueRuns(store, read=self._notebook, report=self._say, on_missed=self._report_missed),
            on_error=self._fail_run,
            is_ready=self._is_ready,
            poll_interval=POLL,
            choice=choice,
        )
        # Difference between wall clock and monotonic clock at the last turn, in seconds.
        self._offset: float | None = None
        self._stops = 0  # number of requests to stop
        self._stop_requested = threading.Event()
        self._trouble = ""  # the last database error that was reported; "" when the database responds again
        self._checked: float | None = None  # monotonic time of the last check of other processes
        self._answered = time.monotonic()  # monotonic time of the database's last response
        self._released = False  # whether attempts were terminated because other schedulers may have taken them over
        self._foreign: set[int] = set()  # runs whose files are not in this home
        self._silent: dict[
            str, tuple[float, int]
        ] = {}  # key: another scheduler; value: (its last heartbeat, number of checks since that heartbeat)

    def ask_to_end(self) -> None:
        """Stop when the running tasks have finished; a second call terminates these tasks. Callable from any thread."""
        self._stops += 1
        self._scheduler.drain()
        self._stop_requested.set()

    def serve(self) -> None:
        """Execute runs until `ask_to_end` is called or a signal arrives."""
        now = self._clock().timestamp()
        only = (lambda row: not is_dead(row, now)) if self._store.is_sqlite else None
        other = self._scheduler.register(only)
        if other is not None:
            raise SchedulerRunningError(self._store.where, other)
        self._store.listen()
        self._say(f"the scheduler starts: {self._executor.slots} tasks at once, {self._store.where}")
        why = "the scheduler was stopped; the next scheduler executes the task again"
        # Signals are handled until all results are recorded, so that a second signal cannot interrupt the recording.
        with self._stop_on_signals():
            try:
                self._work()
            finally:
                self._executor.stop()
                self._reports.close()
                self._call_passed()
                self._notifier.close()
                # Errors are ignored, because the next scheduler records results that cannot be saved now.
                with contextlib.suppress(NbdagError):
                    at, kill = self._clock().timestamp(), self._executor.terminate_leftovers
                    again = reset_attempts(self._store, self._home, kill, self._scheduler.id, at, why)
                    if again:
                        self._say(f"terminated all tasks: the next scheduler executes {join_names(again)} again")
            self._say("the scheduler has ended")

    def _work(self) -> None:
        from ...store.database import StoreError

        reported = 0
        while True:
            stops = self._stops
            if stops != reported:
                reported = stops
                self._report_stop(stops)
            try:
                if self._turn(stops):
                    return
            except StoreError as error:
                self._wait_for_database(error)
                if stops > 1:
                    return

    def _turn(self, stops: int) -> bool:
        """Execute one turn of the loop; return whether it was the last turn. `stops`: number of requests to stop."""
        began = time.monotonic()
        now = self._clock()
        self._call_passed()
        self._check_clock(now)
        self._recover(now)
        self._recover_others(now)
        wake = self._scheduler.tick(now)
        took = time.monotonic() - began
        if took > SLOW_TURN:
            self._say(f"the database is slow: this step took {took:.1f} s")
        self._answered = time.monotonic()
        if stops and (stops > 1 or not self._scheduler.busy):
            return True
        self._scheduler.wait(wake)
        return False

    def _report_stop(self, stops: int) -> None:
        if stops > 1:
            self._say("second request to stop: terminating all tasks")
        elif self._scheduler.busy:
            self._say(
                f"request to stop: waiting for {plural(self._scheduler.busy, 'running task')} and starting no more; "
                "a second request terminates running tasks"
            )
        else:
            self._say("request to stop: no task is running")

    # Database errors and clock changes

    def _wait_for_database(self, error: NbdagError) -> None:
        """Report a database error, unless the same error was reported last, and wait before the retry."""
        if str(error) != self._trouble:
            self._trouble = str(error)
            self._say(f"{error} (retried every {RETRY_DELAY:g} s)")
        silent = time.monotonic() - self._answered
        if not self._store.is_sqlite and silent > RELEASE_AFTER and self._scheduler.busy and not self._released:
            self._released = True
            self._scheduler.cancel_attempts()
            self._say(
                f"the database has not responded for {silent:.0f} s: terminating running tasks, because other "
                "schedulers may take them over"
            )
        self._stop_requested.wait(RETRY_DELAY)
        self._stop_requested.clear()

    def _check_clock(self, now: datetime) -> None:
        offset = now.timestamp() - time.monotonic()
        if self._offset is not None and self._offset - offset > CLOCK_TOLERANCE:
            self._say(
                f"the clock was set back by {write_duration(round(self._offset - offset))}: no tick runs twice, and "
                "retries and polls start when the clock reaches their time"
            )
        self._offset = offset

    def _recover(self, now: datetime) -> None:
        if self._released:
            reset_attempts(
                self._store,
                self._home,
                self._executor.terminate_leftovers,
                self._scheduler.id,
                now.timestamp(),
                "the task's scheduler lost the connection to the database",
            )
            self._store.schedulers.record_heartbeat(self._scheduler.id, now.timestamp())
            self._scheduler.refresh()
            self._released = False
        if self._trouble:
            self._store.schedulers.record_heartbeat(self._scheduler.id, now.timestamp())
            self._trouble = ""
            self._say("the database responds again")

    def _fail_run(self, row: RunRow, error: NbdagError) -> None:
        fail_run(self._store, row, str(error), self._clock().timestamp())
        self._say(f"the run cannot be executed: {error}", row.dag, row.name)

    def _is_ready(self, row: RunRow) -> bool:
        """Return whether this scheduler can execute the run: the run's files must be in this home."""
        why = self._reason_to_leave_alone(row)
        if not why:
            return self._builder.is_ready(row)
        if row.id not in self._foreign:
            self._foreign.add(row.id)
            self._say(
                f"{why}, so another scheduler must execute the run; to avoid this, give all schedulers that share this "
                "database the same NBDAG_HOME or NBDAG_STORAGE",
                row.dag,
                row.name,
            )
        return False

    def _reason_to_leave_alone(self, row: RunRow) -> str:
        """Return why only a scheduler with another home can execute the run; "" if this scheduler can."""
        if not has_files(self._home, row.files):
            return f"the run's values are not in {self._home.remote or self._home.files}"
        notebook = local_copy(self._home, self._home.notebook(row.digest))
        if self._store.is_sqlite or notebook.exists():
            return ""
        return f"the run's notebook is not at {notebook}"

    def _report_missed(self, row: RunRow, dag: Dag, missed: Sequence[MissedDeadline]) -> None:
        """Report the missed deadlines of a queued run."""
        for each in missed:
            self._say(f"{each.describe(dag, self._clock())}, and the run is queued", row.dag, row.name)
        run = OwnedRun.of(row, dag, (), (), {})
        run.missed_now = tuple(missed)
        self._notifier.on_change(run)

    def _was_built(self, row: RunRow) -> None:
        """Report a run whose tasks could not be built."""
        if row.state in RUN_FINISHED:
            self._say(f"the tasks of the run cannot be built: {row.error}", row.dag, row.name)
            self._notifier.has_ended(row)

    def _recover_others(self, now: datetime) -> None:
        """Recover the runs and tasks of processes that have ended."""
        if self._checked is not None and time.monotonic() - self._checked < HEARTBEAT_INTERVAL:
            return
        self._checked = time.monotonic()
        at = now.timestamp()
        for run in fail_orphans(self._store, self._home, self._notifier, self._leftovers):
            self._say(
                "the process that executed the run has ended, so the run is recorded as failed", run.dag, run.name
            )
        for other in self._store.schedulers.unended():
            if other.id == self._scheduler.id or not self._has_ended(other):
                continue
            why = f"the task's scheduler (process {other.pid}) has ended; the task is executed again"
            kill = partial(self._leftovers.terminate, other)
            again = reset_attempts(self._store, self._home, kill, other.id, at, why)
            self._scheduler.refresh()
            tasks = f"{join_names(again)} will be executed again" if again else "no task was running"
            self._say(f"the scheduler of process {other.pid} has ended: {tasks}")
        self._leftovers.close()

    def _has_ended(self, other: SchedulerRow) -> bool:
        if is_alive(Process(other.host, other.pid, other.birth)) is False:
            return True
        # Count the checks since the last new heartbeat, not the seconds: clocks of hosts differ and can be changed.
        last, checks = self._silent.get(other.id, (other.heartbeat, -1))
        checks = checks + 1 if last == other.heartbeat else 0
        self._silent[other.id] = (other.heartbeat, checks)
        return checks * HEARTBEAT_INTERVAL > HEARTBEAT_TIMEOUT

    # Calls from other threads

    def _later(self, do: Callable[[], None]) -> None:
        self._passed.put(do)
        self._scheduler.wake()

    def _call_passed(self) -> None:
        while not self._passed.empty():
            self._passed.get()()

    # Notebooks and log lines

    def _notebook(self, row: RunRow | DagRow) -> Dag:
        found: Dag = self._read(row.digest, row.path)
        return found

    def _say(self, message: str, dag: str = "", run: str = "") -> None:
        self._on_line(Line(at=self._clock().timestamp(), message=message, dag=dag, run=run))

    def _report_event(self, event: Event) -> None:
        if event.state in _UNREPORTED and not event.try_number:
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
    def _stop_on_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def request_stop(number: int, frame: FrameType | None) -> None:
            self.ask_to_end()

        before: dict[int, Any] = {}
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None:
                before[number] = signal.signal(number, request_stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
