"""`resume`: go on with a run in the foreground, where no scheduler does.

A run that was queued again by `clear`, or that its scheduler left behind, is driven as it stands. Of one that failed
or was cancelled, all that did not succeed runs anew first. `drive` is for many runs: so many at once, in this order.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ...core.model.dag import Dag
from ...core.model.events import Event
from ...core.model.states import RUN_FINISHED, RunState
from ...core.model.text import join_names, run_selector
from ...errors import NbdagError
from ...home import Home
from ...scheduler import HEARTBEAT_INTERVAL, Scheduler, is_dead, reset_attempts
from ...store.rows import Change, RunRow
from ..creation.build import build_run
from ..execution.foreground import JobsError, cores, local_executor
from ..execution.notify import Notifier, both
from ..execution.recovery import bury
from ..execution.report import Reports
from ..execution.signals import pass_on, stopped_by_signals
from ..queries.liveness import driver_of
from ..queries.pinned import pinned
from ..queries.records import Run
from ..queries.runs import NoSuchRunError, home_of, id_of, opened, the_row, told
from .clear import TooBusyError, clear_unsuccessful

if TYPE_CHECKING:
    from ...store.store import Store


class DrivenError(NbdagError):
    """A run was to be driven that somebody drives already."""

    def __init__(self, dag: str, run: str, driver: str) -> None:
        super().__init__(dag, run, driver)
        self.dag = dag
        self.run = run
        self.driver = driver

    def __str__(self) -> str:
        watch = f"nbdag status {run_selector(self.run, self.dag)} --watch"
        return f"run {self.run} is driven by {self.driver}; `{watch}` shows how it goes"


class HeldError(NbdagError):
    """Nothing that is driven here can go on, as each run waits for the one before."""

    def __init__(self, dag: str, runs: Sequence[str], before: str, state: str) -> None:
        super().__init__(dag, tuple(runs), before, state)
        self.dag = dag
        self.runs = tuple(runs)
        self.before = before
        self.state = state

    def __str__(self) -> str:
        before, first = (run_selector(run, self.dag) for run in (self.before, self.runs[0]))
        return (
            f"{join_names(self.runs)} cannot go on, since a task depends on the past and the run before, "
            f"{self.before}, is {self.state}: `nbdag resume {before}`, then `nbdag resume {first}`"
        )


class SucceededError(NbdagError):
    """A run was to be resumed in which nothing is left to do."""

    def __init__(self, dag: str, run: str) -> None:
        super().__init__(dag, run)
        self.dag = dag
        self.run = run

    def __str__(self) -> str:
        clear = f"nbdag clear {run_selector(self.run, self.dag)} TASK --run"
        return f"run {self.run} succeeded, so nothing is left of it; `{clear}` runs a task anew"


def resume(
    run: Run | str = "latest",
    *,
    jobs: int | None = None,
    kernels: str = "warm",
    on_event: Callable[[Event], None] | None = None,
    dag: str | None = None,
    home: Home | None = None,
) -> Run:
    """Drive a run that nobody drives, here, until it ends.

    Of one that has ended without success, all that did not succeed runs anew.
    """
    here = home_of(run, home)
    with opened(here) as store:
        if store is None:
            raise NoSuchRunError(id_of(run), dag, here.root)
        clear_away(store, here)
        row = the_row(store, here, id_of(run), run.dag if isinstance(run, Run) else dag)
        if row.state is RunState.SUCCESS:
            raise SucceededError(row.dag, row.name)
        if row.state in RUN_FINISHED:
            clear_unsuccessful(store, here, row)
        elif driver := driver_of(store, row):
            raise DrivenError(row.dag, row.name, driver)
        drive(store, here, [store.run(row.id)], jobs=jobs, kernels=kernels, on_event=on_event)
        return told(store, here, [store.run(row.id)])[0]


def clear_away(store: Store, home: Home) -> None:
    """Give an outcome to every attempt that a scheduler left behind when it was killed."""
    now = datetime.now(UTC).timestamp()
    bury(store, home)
    dead = [scheduler for scheduler in store.schedulers.unended() if is_dead(scheduler, now)]
    if not dead:
        return
    with local_executor(1) as executor:
        for scheduler in dead:
            reset_attempts(store, home, executor, scheduler.id, now, f"its scheduler is gone (process {scheduler.pid})")


def drive(
    store: Store,
    home: Home,
    rows: Iterable[RunRow],
    *,
    jobs: int | None = None,
    kernels: str = "warm",
    on_event: Callable[[Event], None] | None = None,
    most: int | None = None,
) -> None:
    """Drive these runs here, `most` at once, in this order, until each has ended. Ctrl-C cancels them all."""
    if jobs is not None and jobs < 1:
        raise JobsError(jobs)
    waiting = deque(rows)
    errors: list[NbdagError] = []
    held: HeldError | None = None
    reports = Reports(store, home, lambda row, error: errors.append(error))
    notifier = Notifier(store)
    with local_executor(jobs or cores()) as executor:
        on_saved = both(reports.take, notifier.take)
        scheduler = Scheduler(
            store,
            executor,
            home=home,
            read=_reader(home),
            kernels=kernels,
            on_event=on_event,
            on_saved=on_saved,
        )
        with stopped_by_signals(scheduler) as caught:
            scheduler.register()
            with _beating(store, scheduler.id):
                taken = deque(build_run(store, home, _take(store, row.id, scheduler.id)) for row in waiting)
            try:
                held = _until_all_end(store, scheduler, taken, most or len(taken), caught)
                if held is not None:
                    scheduler.stop()
                for row in taken:
                    store.request_cancel(row.id, datetime.now(UTC).timestamp())
                    scheduler.own(store.run(row.id))
                scheduler.run_until_done()
            except BaseException:
                scheduler.terminate()
                raise
            finally:
                reports.close()
                notifier.close()
    if caught:
        pass_on(caught[0])
    if held is not None:
        raise held
    if errors:
        raise errors[0]


def _until_all_end(
    store: Store, scheduler: Scheduler, waiting: deque[RunRow], most: int, caught: Sequence[int]
) -> HeldError | None:
    """Drive until nothing is left to do; what is held by a run that has ended would wait for ever."""
    while True:
        while waiting and scheduler.unfinished < most and not caught:
            scheduler.own(waiting.popleft())
        wake = scheduler.tick_now()
        if scheduler.done and (not waiting or caught):
            return None
        if held := scheduler.blocked:
            first = min(held, key=lambda row: row.logical_date)
            before = store.deployments.previous_run(first)
            if before is not None and before.state in RUN_FINISHED:
                scheduler.tick_now()  # it may have ended, and well, since it was looked at
                if scheduler.blocked:
                    return HeldError(
                        first.dag, [row.name for row in (*held, *waiting)], before.name, before.state.value
                    )
                continue
        if scheduler.unfinished >= most or not waiting or caught:
            scheduler.wait(wake)


def _take(store: Store, run: int, scheduler: str) -> RunRow:
    for _ in range(20):
        row = store.run(run)
        if row.state in RUN_FINISHED or store.save(Change(run=replace(row, scheduler=scheduler))) is not None:
            return store.run(run)
    raise TooBusyError(row.name)


@contextlib.contextmanager
def _beating(store: Store, scheduler: str) -> Iterator[None]:
    """Others hear that this process is alive, though its loop has not begun."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT_INTERVAL):
            with contextlib.suppress(NbdagError):  # whoever needs the database says so
                store.schedulers.record_heartbeat(scheduler, datetime.now(UTC).timestamp())

    thread = threading.Thread(target=beat, name="nbdag-beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _reader(home: Home) -> Callable[[RunRow], Dag]:
    known: dict[str, Dag] = {}

    def read(row: RunRow) -> Dag:
        if row.digest not in known:
            known[row.digest] = pinned(home, row)
        return known[row.digest]

    return read
