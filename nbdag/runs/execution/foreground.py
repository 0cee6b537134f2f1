"""Execute runs in the foreground: `run` creates and executes a run, `execute_runs` executes recorded runs.

Both functions use the same store and loop as `nbdag scheduler`. This process owns the runs, so no other process
executes them.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from ... import environments, executors
from ... import store as stores
from ...building import BuiltNotebook
from ...core.cells.imports import imports
from ...core.model import text
from ...core.model.dag import Dag
from ...core.model.events import Event
from ...core.model.states import RUN_FINISHED
from ...errors import NbdagError, error
from ...executors import Choice, Executor
from ...home import Home, the_home
from ...scheduler import HEARTBEAT_INTERVAL, Scheduler, new_instance
from ...storage import files_at
from ...storage.owners import record_owner
from ...store.rows import Change, NewRun, RunRow
from ..creation.build import build_run
from ..creation.partial_runs import Borrowed
from ..creation.plan import borrow_values, pool_notes, resource_notes
from ..creation.prepare import Prepared, new_name, prepare, with_environment
from ..queries.pinned import pin, run_dag
from ..queries.records import Run
from ..queries.runs import RunBusyError, read_runs
from .notify import Notifier, combine_listeners
from .recovery import fail_orphans
from .report import Reporter, Reports
from .signals import pass_on, stopped_by_signals

if TYPE_CHECKING:
    from ...store.store import Store


MAX_JOBS = 100_000


@error
class JobsError(NbdagError):
    """The number of jobs is below one or too large."""

    exit_code = 2

    jobs: int
    template = "invalid number of jobs {jobs}; expected a number from 1 to {most} (the default is the number of cores)"

    @property
    def most(self) -> int:
        return MAX_JOBS


@error
class PreviousRunError(NbdagError):
    """A run depends on a previous run that did not succeed, so it cannot start."""

    dag: str
    runs: tuple[str, ...]
    before: str
    state: str
    template = (
        "{blocked} cannot start: a task has --depends-on-past, and the previous run {before} did not succeed "
        "({state}); use `nbdag resume {resume_before}`, then `nbdag resume {resume_first}`"
    )

    @property
    def blocked(self) -> str:
        return text.join_names(self.runs)

    @property
    def resume_before(self) -> str:
        return text.run_selector(self.before, self.dag)

    @property
    def resume_first(self) -> str:
        return text.run_selector(self.runs[0], self.dag)


def run(
    notebook: str | PurePath,
    *,
    parameters: Mapping[str, Any] | None = None,
    allow_unknown: bool = False,
    jobs: int | None = None,
    only: Sequence[str] | None = None,
    upto: Sequence[str] | None = None,
    from_: Sequence[str] | None = None,
    values_from: str | None = None,
    output: str | PurePath | None = None,
    overwrite: bool = False,
    kernels: str = "warm",
    kernel_name: str | None = None,
    cwd: str | PurePath | None = None,
    fail_fast: bool | None = None,
    cache: bool = True,
    executor: str | Choice = "local",
    on_event: Callable[[Event], None] | None = None,
    home: Home | None = None,
    built: BuiltNotebook | None = None,
) -> Run:
    """Run a notebook, wait until the run ends, and return it.

    Without `allow_unknown`, a parameter that the parameters cell does not set is an error. All tasks are
    executed, or only the tasks that `only`, `upto` and `from_` select. The values of other tasks come from earlier
    runs, or from the run `values_from`. `jobs` is the number of tasks at once (default: the number of cores). `output`
    is a second path for the report. An existing file that is not a report is replaced only with `overwrite`. `kernels`
    is "warm" or "fresh". `kernel_name` replaces the notebook's kernel. `cwd` is the tasks' working directory (default:
    the notebook's folder). With `cache=False`, tasks with --cache are executed even if unchanged. `executor` is the
    name of an executor, or its name with options. `on_event` receives every event in order, in this thread. `built` is
    the result of `building.read_built` with the same parameters, folder and kernel, if the caller has just called it;
    then the %%dag cell is not executed again.

    A failed run raises no exception; its `Run.state` is `failed`. Ctrl-C stops all tasks, records the run as cancelled
    and then raises KeyboardInterrupt. If the run cannot start, an `NbdagError` is raised.
    """
    here = the_home(home)
    # The executor is created first, because it starts in the background and takes the longest time.
    with executor_ready(executor, jobs, here) as ready:
        prepared = prepare(
            notebook,
            parameters=parameters,
            allow_unknown=allow_unknown,
            only=only,
            upto=upto,
            from_=from_,
            output=output,
            overwrite=overwrite,
            cwd=cwd,
            kernel_name=kernel_name,
            built=built,
        )
        prepared = with_environment(prepared)
        if prepared.dag.packages and ready.host:
            environments.ensure(prepared.dag.packages)
        ready.check_hosts(() if prepared.dag.packages else imports(prepared.dag))
        store = stores.open(here)
        try:
            now = datetime.now(UTC)
            fail_orphans(store, here)
            borrowed = borrow_values(store, here, prepared, values_from)
            lacking = resource_notes(ready.offers, prepared, may_grow=ready.may_grow)
            notes = (*pool_notes(store.pools(), prepared), *lacking)
            prepared = replace(prepared, notes=(*prepared.notes, *notes))
            pin(here, prepared.digest, prepared.text, prepared.path.name, len(prepared.dag.tasks))
            return _execute_new(
                store,
                here,
                ready,
                executors.choice_of(executor),
                prepared,
                borrowed,
                now,
                kernels,
                fail_fast,
                cache,
                on_event,
            )
        finally:
            store.close()


def execute_runs(
    store: Store,
    home: Home,
    rows: Iterable[RunRow],
    *,
    jobs: int | None = None,
    kernels: str = "warm",
    executor: str | Choice = "local",
    on_event: Callable[[Event], None] | None = None,
    most: int | None = None,
) -> None:
    """Execute recorded runs in this order, at most `most` at once, until all have ended. Ctrl-C cancels all of them."""
    waiting = list(rows)
    errors: list[NbdagError] = []
    blocked: PreviousRunError | None = None
    reports = Reports(store, home, lambda row, error: errors.append(error))
    notifier = Notifier(store, home)
    with executor_ready(executor, jobs, home) as ready:
        scheduler = Scheduler(
            store,
            ready,
            home=home,
            read=_cached_reader(home),
            kernels=kernels,
            on_event=on_event,
            on_saved=combine_listeners(reports.on_change, notifier.on_change),
            choice=executors.choice_of(executor),
        )
        with stopped_by_signals(scheduler) as caught:
            scheduler.register()
            with _heartbeat(store, scheduler.id):
                queue = deque(build_run(store, home, _claim(store, row.id, scheduler.id)) for row in waiting)
            try:
                blocked = _until_all_end(store, scheduler, queue, most or len(queue), caught)
                if blocked is not None:
                    scheduler.stop()
                for row in queue:
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
    if blocked is not None:
        raise blocked
    if errors:
        raise errors[0]


@contextlib.contextmanager
def executor_ready(choice: str | Choice, jobs: int | None, home: Home, *, owner: str = "") -> Iterator[Executor]:
    """Yield an executor for `jobs` tasks at once (None: as many as it chooses), and stop it at the end.

    `owner` is recorded as the owner of the files in the storage (default: the database of the home).

    Raises `UnwritableStorageError` or `HomeError` if nothing can be written to the storage.
    """
    if jobs is not None and not 1 <= jobs <= MAX_JOBS:
        raise JobsError(jobs)
    executor = executors.create(choice, jobs)
    try:
        if home.remote is not None:
            files_at(home.remote).check()
        elif home.storage is not None:
            home.make_folder(home.values)
        record_owner(home, owner)
        yield executor
    finally:
        executor.stop()


def _execute_new(
    store: Store,
    home: Home,
    executor: Executor,
    choice: Choice,
    prepared: Prepared,
    borrowed: Borrowed,
    now: datetime,
    kernels: str,
    fail_fast: bool | None,
    cache: bool,
    on_event: Callable[[Event], None] | None,
) -> Run:
    reporter, notifier = Reporter(store, home), Notifier(store, home)

    def read(row: RunRow) -> Dag:
        return prepared.dag

    scheduler = Scheduler(
        store,
        executor,
        home=home,
        read=read,
        kernels=kernels,
        on_event=on_event,
        on_saved=combine_listeners(reporter.on_change, notifier.on_change),
        choice=choice,
    )
    with stopped_by_signals(scheduler) as caught:
        scheduler.register()
        row = _create(store, scheduler.id, prepared, borrowed, now, fail_fast, cache)
        for note in (*prepared.notes, *borrowed.notes):
            if on_event is not None:
                on_event(Event(kind="run", run_id=row.name, state=row.state, at=now.timestamp(), message=note.message))
        scheduler.own(row)
        try:
            scheduler.run_until_done()
        except BaseException:
            scheduler.terminate()
            raise
        finally:
            reporter.close()
            notifier.close()
    if caught:
        pass_on(caught[0])
    if reporter.error is not None:
        raise reporter.error
    return read_runs(store, home, [store.run(row.id)])[0]


def _create(
    store: Store,
    scheduler: str,
    prepared: Prepared,
    borrowed: Borrowed,
    now: datetime,
    fail_fast: bool | None,
    cache: bool,
) -> RunRow:
    dag, at = prepared.dag, now.timestamp()
    new = NewRun(
        dag=dag.id,
        name=new_name(now),
        digest=prepared.digest,
        built=dag.built,
        path=str(prepared.path),
        cwd=str(prepared.cwd),
        created=at,
        logical_date=at,
        interval_start=at,
        interval_end=at,
        output=None if prepared.output is None else str(prepared.output),
        parameters=prepared.parameters,
        tasks=tuple(prepared.choice.tasks) if prepared.choice.partial else None,
        fail_fast=dag.options.fail_fast if fail_fast is None else fail_fast,
        cache=cache,
        kernel=prepared.kernel,
        scheduler=scheduler,
        notes=(*prepared.notes, *borrowed.notes),
        borrowed={task: run.id for task, run in borrowed.runs.items()},
    )
    return store.create_run(new, [new_instance(dag, task) for task in prepared.choice.tasks])


def _until_all_end(
    store: Store, scheduler: Scheduler, waiting: deque[RunRow], most: int, caught: Sequence[int]
) -> PreviousRunError | None:
    """Execute runs until all have ended. If a run waits for a previous run that did not succeed, return an error."""
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
                scheduler.tick_now()  # tick once more, because the previous run may have succeeded since the last tick
                if scheduler.blocked:
                    runs = tuple(row.name for row in (*held, *waiting))
                    return PreviousRunError(first.dag, runs, before.name, before.state.value)
                continue
        if scheduler.unfinished >= most or not waiting or caught:
            scheduler.wait(wake)


def _claim(store: Store, run: int, scheduler: str) -> RunRow:
    """Record this process as the owner of an unfinished run."""
    for _ in range(20):
        row = store.run(run)
        if row.state in RUN_FINISHED or store.save(Change(run=replace(row, scheduler=scheduler))) is not None:
            return store.run(run)
    raise RunBusyError(row.name)


@contextlib.contextmanager
def _heartbeat(store: Store, scheduler: str) -> Iterator[None]:
    """Record heartbeats until the scheduler's loop starts, because building the tasks may take long."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT_INTERVAL):
            with contextlib.suppress(NbdagError):  # errors are ignored, because the main thread gets the same error
                store.schedulers.record_heartbeat(scheduler, datetime.now(UTC).timestamp())

    thread = threading.Thread(target=beat, name="nbdag-beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _cached_reader(home: Home) -> Callable[[RunRow], Dag]:
    known: dict[str, Dag] = {}

    def read(row: RunRow) -> Dag:
        if row.digest not in known:
            known[row.digest] = run_dag(home, row)
        return known[row.digest]

    return read
