"""`run`: a notebook, now, in the foreground, by the same store and scheduler as everything else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from ... import store as stores
from ...building import BuiltNotebook
from ...core.model.dag import Dag
from ...core.model.events import Event
from ...core.model.job import Note
from ...core.planning.pools import INFINITE
from ...errors import NbdagError
from ...executors import Executor
from ...home import Home, the_home
from ...scheduler import Scheduler, new_instance
from ...store.rows import NewRun, RunRow
from ..creation.partial_runs import Borrowed, borrow
from ..creation.prepare import Prepared, new_name, prepare
from ..queries.pinned import pinned
from ..queries.records import Run
from ..queries.runs import the_row, told
from .notify import Notifier, both
from .recovery import bury
from .report import Reporter
from .signals import pass_on, stopped_by_signals

if TYPE_CHECKING:
    from ...store.store import Store


class JobsError(NbdagError):
    """A number of jobs below one."""

    exit_code = 2

    def __init__(self, jobs: int) -> None:
        super().__init__(jobs)
        self.jobs = jobs

    def __str__(self) -> str:
        return f"{self.jobs} jobs cannot run anything: give 1 or more, or leave it out to use every core"


class PoolTooSmallError(NbdagError):
    """A task that needs more slots than its pool has."""

    def __init__(self, task: str, pool: str, slots: int, size: int) -> None:
        super().__init__(task, pool, slots, size)
        self.task = task
        self.pool = pool
        self.slots = slots
        self.size = size

    def __str__(self) -> str:
        return (
            f"{self.task} needs {self.slots} slots of pool {self.pool}, which has {self.size} in all, so it could "
            f"never run: lower its --slots, or make the pool larger with `nbdag pools set {self.pool} {self.slots}`"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A line of a dry run."""

    task: str
    runs: bool
    reason: str  # one sentence
    after: tuple[str, ...]  # tasks of the run that come before it


def run(
    notebook: str | PurePath,
    *,
    parameters: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    only: Sequence[str] = (),
    upto: Sequence[str] = (),
    from_: Sequence[str] = (),
    values_from: str | None = None,
    output: str | PurePath | None = None,
    overwrite: bool = False,
    kernels: str = "warm",
    kernel_name: str | None = None,
    cwd: str | PurePath | None = None,
    fail_fast: bool | None = None,
    cache: bool = True,
    on_event: Callable[[Event], None] | None = None,
    home: Home | None = None,
    built: BuiltNotebook | None = None,
) -> Run:
    """Run a notebook and wait for it.

    The whole of it, or the tasks that `only`, `upto` and `from_` name, with the values of earlier runs (of run
    `values_from`, where it is given) for what is left out. `jobs` is how many tasks run at once (default: one for each
    core), `output` a second place for the report (where a file is no report, only `overwrite` lets it be replaced),
    `kernels` "warm" or "fresh", `kernel_name` the kernel to use instead of the notebook's, `cwd` the tasks' working
    directory (default: the notebook's folder). Without `cache` tasks with --cache run anew. `on_event` is told what
    happens, in order, from one thread: this one. `built` is the notebook as `building.read_built` has just read it with
    the same parameters, folder and kernel: its %%dag cell runs once.

    A run that fails is no exception: see `Run.state`. Ctrl-C stops all tasks, records the run as cancelled and then
    raises KeyboardInterrupt. What keeps the run from starting is an `NbdagError`.
    """
    if jobs is not None and jobs < 1:
        raise JobsError(jobs)
    here = the_home(home)
    # What the executor needs takes longest to get ready, and does so in the background: it comes first.
    with local_executor(jobs or cores()) as executor:
        prepared = prepare(
            notebook,
            parameters=parameters,
            only=only,
            upto=upto,
            from_=from_,
            output=output,
            overwrite=overwrite,
            cwd=cwd,
            kernel_name=kernel_name,
            built=built,
        )
        store = stores.open(here)
        try:
            now = datetime.now(UTC)
            bury(store, here)
            borrowed = _borrowed(store, here, prepared, values_from)
            prepared = replace(prepared, notes=(*prepared.notes, *pool_notes(store, prepared)))
            here.pin(prepared.digest, prepared.text)
            return _drive(store, here, executor, prepared, borrowed, now, kernels, fail_fast, cache, on_event)
        finally:
            store.close()


def plan_of(
    notebook: str | PurePath,
    *,
    parameters: Mapping[str, Any] | None = None,
    only: Sequence[str] = (),
    upto: Sequence[str] = (),
    from_: Sequence[str] = (),
    values_from: str | None = None,
    cache: bool = True,
    home: Home | None = None,
    built: BuiltNotebook | None = None,
) -> list[Planned]:
    """What `run` would do, and why, in run order. Writes nothing."""
    here = the_home(home)
    prepared = prepare(notebook, parameters=parameters, only=only, upto=upto, from_=from_, built=built)
    dag, chosen = prepared.dag, prepared.choice.tasks
    store = stores.open(here) if here.exists else None
    try:
        borrowed = _borrowed(store, here, prepared, values_from)
    finally:
        if store is not None:
            store.close()
    said = {task: "; ".join(note.message for note in borrowed.notes if note.name == task) for task in borrowed.runs}
    lines = []
    for task in dag.order:
        if task in chosen:
            reason = chosen[task]
            if cache and dag.tasks[task].options.cache:
                reason += "; it takes the outcome of an earlier run where nothing has changed"
        elif task in borrowed.runs:
            reason = said[task] or f"its values come from run {borrowed.runs[task].name}"
        else:
            reason = "not asked for"
        after = tuple(other for other in dag.upstream[task] if other in chosen)
        lines.append(Planned(task=task, runs=task in chosen, reason=reason, after=after))
    return lines


def cores() -> int:
    """How many this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


@contextlib.contextmanager
def local_executor(slots: int, instead: Executor | None = None) -> Iterator[Executor]:
    """Attempts on this machine; it is stopped at the end."""
    from ...executors.local import LocalExecutor

    executor = LocalExecutor(slots) if instead is None else instead
    try:
        yield executor
    finally:
        executor.stop()


def _borrowed(store: Store | None, home: Home, prepared: Prepared, values_from: str | None) -> Borrowed:
    named = None
    if values_from is not None:
        if store is None:
            from ..queries.runs import find_run

            find_run(values_from, home=home)  # says that there is none
        else:
            named = the_row(store, home, values_from, prepared.dag.id)
    if not prepared.choice.partial:
        return Borrowed({}, ())
    return borrow(
        store,
        prepared.dag,
        prepared.choice.tasks,
        prepared.parameters,
        values_from=named,
        read=lambda row: pinned(home, row),
    )


def pool_notes(store: Store, prepared: Prepared) -> Iterator[Note]:
    """Say which pools are missing; one that is too small for a task is refused."""
    sizes = store.pools()
    missing = set()
    for name in prepared.choice.tasks:
        options = prepared.dag.tasks[name].options
        if options.pool not in sizes:
            missing.add(options.pool)
        elif sizes[options.pool] != INFINITE and options.slots > sizes[options.pool]:
            raise PoolTooSmallError(name, options.pool, options.slots, sizes[options.pool])
    for pool in sorted(missing):
        yield Note(
            code="NB414",
            name=pool,
            message=f"there is no pool {pool}, so its tasks run one at a time; `nbdag pools set {pool} N` makes it",
        )


def _drive(
    store: Store,
    home: Home,
    executor: Executor,
    prepared: Prepared,
    borrowed: Borrowed,
    now: datetime,
    kernels: str,
    fail_fast: bool | None,
    cache: bool,
    on_event: Callable[[Event], None] | None,
) -> Run:
    dag = prepared.dag
    reporter, notifier = Reporter(store, home), Notifier(store)

    def read(row: RunRow) -> Dag:
        return dag

    on_saved = both(reporter.take, notifier.take)
    scheduler = Scheduler(
        store,
        executor,
        home=home,
        read=read,
        kernels=kernels,
        on_event=on_event,
        on_saved=on_saved,
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
    return told(store, home, [store.run(row.id)])[0]


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
