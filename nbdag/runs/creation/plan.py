"""Plan a run: which tasks it would execute and why, which values it borrows, and which pools it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from ...building import BuiltNotebook
from ...core.model.job import Note
from ...core.planning.pools import DEFAULT_POOLS, INFINITE
from ...core.planning.resources import Offers
from ...errors import NbdagError, error
from ...executors.host_resources import ADVICE
from ...home import Home, the_home
from ..queries.pinned import run_dag
from ..queries.runs import UnknownRunError, find_row, open_store
from .partial_runs import Borrowed, borrow
from .prepare import Prepared, prepare

if TYPE_CHECKING:
    from ...store.store import Store


@error
class PoolTooSmallError(NbdagError):
    """A task needs more slots than its pool provides."""

    task: str
    pool: str
    slots: int
    size: int
    template = (
        "{task} needs {slots} slots of pool {pool}, which has only {size}, so the task could never run; lower its "
        "--slots, or enlarge the pool with `nbdag pools set {pool} {slots}`"
    )


@error
class ResourcesMissingError(NbdagError):
    """A task needs resources that no host offers."""

    task: str
    lacks: str
    template = "{task} {lacks}, so the task could never run; {advice}"
    advice = ADVICE


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A task in the plan of a run."""

    task: str
    runs: bool
    reason: str  # why the task would be executed or not, in one sentence
    after: tuple[str, ...]  # selected tasks that this task waits for


def plan_run(
    notebook: str | PurePath,
    *,
    parameters: Mapping[str, Any] | None = None,
    allow_unknown: bool = False,
    only: Sequence[str] | None = None,
    upto: Sequence[str] | None = None,
    from_: Sequence[str] | None = None,
    values_from: str | None = None,
    output: str | PurePath | None = None,
    overwrite: bool = False,
    cwd: str | PurePath | None = None,
    kernel_name: str | None = None,
    cache: bool = True,
    on_note: Callable[[Note], None] | None = None,
    home: Home | None = None,
    built: BuiltNotebook | None = None,
) -> list[Planned]:
    """Return the tasks in run order. Each says whether `run` would execute it, and why. Nothing is written.

    Errors that `run` would raise before it starts are raised here too; `on_note` receives each warning.
    """
    here = the_home(home)
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
    dag, chosen = prepared.dag, prepared.choice.tasks
    with open_store(here) as store:
        borrowed = borrow_values(store, here, prepared, values_from)
        sizes = DEFAULT_POOLS if store is None else store.pools()
    for note in (*prepared.notes, *borrowed.notes, *pool_notes(sizes, prepared)):
        if on_note is not None:
            on_note(note)
    notes = {task: "; ".join(note.message for note in borrowed.notes if note.name == task) for task in borrowed.runs}
    lines = []
    for task in dag.order:
        if task in chosen:
            reason = chosen[task]
            if cache and dag.tasks[task].options.cache:
                reason += "; the result of an earlier run is reused if nothing has changed"
        elif task in borrowed.runs:
            reason = notes[task] or f"the values of this task come from run {borrowed.runs[task].name}"
        else:
            reason = "not selected"
        after = tuple(other for other in dag.upstream[task] if other in chosen)
        lines.append(Planned(task=task, runs=task in chosen, reason=reason, after=after))
    return lines


def borrow_values(store: Store | None, home: Home, prepared: Prepared, values_from: str | None) -> Borrowed:
    """Find the values that a partial run takes from earlier runs. In a new home, `store` is None."""
    named = None
    if values_from is not None:
        if store is None:
            raise UnknownRunError(values_from, prepared.dag.id, home.root)
        named = find_row(store, home, values_from, prepared.dag.id)
    if not prepared.choice.partial:
        return Borrowed({}, ())
    return borrow(
        store,
        prepared.dag,
        prepared.choice.tasks,
        prepared.parameters,
        values_from=named,
        read=lambda row: run_dag(home, row),
    )


def pool_notes(sizes: Mapping[str, int], prepared: Prepared) -> Iterator[Note]:
    """Yield a note for each missing pool. A pool that is too small for a task raises `PoolTooSmallError`."""
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
            message=f"unknown pool {pool}, so its tasks run one at a time; `nbdag pools set {pool} N` creates it",
        )


def resource_notes(offers: Offers | None, prepared: Prepared, *, may_grow: bool) -> Iterator[Note]:
    """Yield a note for each task that no host of a cluster can execute now.

    If no other host may join the cluster (`may_grow=False`), raise `ResourcesMissingError` instead.
    """
    for name in prepared.choice.tasks if offers is not None else ():
        assert offers is not None
        lacks = offers.why_never(prepared.dag.tasks[name].options.resources)
        if lacks and not may_grow:
            raise ResourcesMissingError(name, lacks)
        if lacks:
            message = f"task {name} {lacks}; it starts when a worker with these resources joins the cluster"
            yield Note(code="NB417", name=name, message=message)
