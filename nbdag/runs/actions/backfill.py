"""`backfill`: create runs for past ticks of a schedule.

Each tick between two dates gets a run if it has none. `reprocess` adds runs for ticks whose latest run failed, or for
all ticks whose latest run has ended. Ticks outside the schedule's start and end dates are ignored. Earlier runs are
kept. A DAG can have only one backfill at a time. A backfill has its own maximum number of running runs. A live
scheduler executes the runs; without a live scheduler, this process executes them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ...core.model.events import Event
from ...core.model.job import Note
from ...core.model.states import RunState
from ...core.schedule.timetable import Timetable
from ...errors import NbdagError, error
from ...executors import Choice
from ...home import Home, the_home
from ...scheduler import new_instance, new_run, scheduled_name, timetable_of
from ...store.rows import DagRow, NewRun, RunRow
from ..creation.build import pin_built
from ..creation.partial_runs import borrow
from ..creation.prepare import choose, plain_parameters, record_parameters
from ..execution.foreground import execute_runs
from ..execution.recovery import fail_orphans, recover
from ..queries.deployments import open_store_and_dag
from ..queries.liveness import live_schedulers
from ..queries.pinned import run_dag
from ..queries.records import Run
from ..queries.runs import read_runs

if TYPE_CHECKING:
    from ...store.store import Store

REPROCESS: Mapping[str, frozenset[RunState]] = {
    "none": frozenset(),
    "failed": frozenset({RunState.FAILED, RunState.CANCELLED}),
    "completed": frozenset({RunState.FAILED, RunState.CANCELLED, RunState.SUCCESS}),
}


@error
class BackfillError(NbdagError):
    """A backfill was requested with invalid dates or options."""

    exit_code = 2

    dag: str
    why: str
    template = "cannot backfill {dag}: {why}"


@error
class BackfillRunningError(NbdagError):
    """A DAG cannot have a second backfill at the same time."""

    dag: str
    template = (
        "a backfill of {dag} is already running; wait for it (`nbdag runs --dag {dag}`), or cancel its runs with "
        "`nbdag cancel`"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillTick:
    """A tick of a backfill."""

    date: datetime  # the logical date, in the schedule's time zone
    made: bool  # whether the backfill creates a run for the tick (or would create it, in a dry run)
    reason: str  # why a run is created or not, such as "it has no run"
    run: str = ""  # the id of the new run; "" if none was created


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """The ticks and runs of a backfill, or of its dry run."""

    dag: str
    ticks: tuple[BackfillTick, ...]  # the ticks, in the order in which their runs start
    # Describes the process that executes the runs; "" if this process does, or if no process does yet.
    owner: str = ""
    runs: tuple[Run, ...] = ()


def backfill(
    dag: str,
    first: datetime,
    last: datetime,
    *,
    reprocess: str = "none",
    backwards: bool = False,
    tasks: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    allow_unknown: bool = False,
    max_active_runs: int = 10,
    dry_run: bool = False,
    jobs: int | None = None,
    executor: str | Choice = "local",
    on_plan: Callable[[Backfill], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
    execute: bool = True,
    home: Home | None = None,
) -> Backfill:
    """Create a run for each tick from `first` to `last`, both included.

    A date without a time zone is in the schedule's zone. `reprocess` selects ticks that already have a run: "none"
    skips them, "failed" adds a run if the latest one failed, "completed" adds a run if the latest one has ended.
    `tasks` limits the runs to these tasks; the values of all other tasks come from the latest run of the same tick.
    `on_plan` receives the plan before this process executes the runs. Without `execute`, the runs wait for a scheduler
    even if none is alive. `dry_run` creates no runs.
    """
    here = the_home(home)
    with open_store_and_dag(here, dag, to_change=not dry_run) as (store, row):
        now = datetime.now(UTC)
        timetable = timetable_of(row)
        if timetable.ticks is None:
            raise BackfillError(dag, f"the DAG's schedule is {row.schedule or 'none'}, which has no ticks in the past")
        start, end = (each if each.tzinfo else each.replace(tzinfo=timetable.zone) for each in (first, last))
        if end < start:
            raise BackfillError(dag, "the end is before the start; swap --from and --to")
        if start > now:
            raise BackfillError(dag, "the start is in the future; only past ticks can be backfilled")
        if reprocess not in REPROCESS:
            raise BackfillError(
                dag, f"unknown value {reprocess!r} of reprocess; expected one of {', '.join(REPROCESS)}"
            )
        if max_active_runs < 1:
            raise BackfillError(dag, f"invalid number of runs at once {max_active_runs}; expected 1 or more")
        planner = _Planner(store, here, row, timetable, tasks, parameters or {}, allow_unknown, now)
        if backwards and any(
            task.options.depends_on_past or task.options.wait_for_downstream for task in planner.notebook.tasks.values()
        ):
            raise BackfillError(dag, "a task depends on the previous run, so the ticks cannot run backwards")
        ticks = planner.ticks(start, min(end, now), REPROCESS[reprocess])
        if not ticks:
            raise BackfillError(dag, f"the DAG's schedule has no past tick between these dates{_bounds(timetable)}")
        if backwards:
            ticks.reverse()
        wanted = [each for each in ticks if each.made]
        if dry_run or not wanted:
            return Backfill(dag=dag, ticks=tuple(ticks))
        lent = {each.date: planner.borrowed(each.date) for each in wanted}
        fail_orphans(store, here)  # otherwise an orphaned run would keep an earlier backfill unfinished
        rows = store.backfills.create(
            dag,
            [planner.new(each, lent[each.date]) for each in wanted],
            [new_instance(planner.notebook, task) for task in planner.choice.tasks],
            now=now.timestamp(),
            first=start.timestamp(),
            last=end.timestamp(),
            backwards=backwards,
            max_active_runs=max_active_runs,
        )
        if rows is None:
            raise BackfillRunningError(dag)
        alive = live_schedulers(store)
        names = dict(zip((each.date for each in wanted), (made.name for made in rows), strict=True))
        owner = f"the scheduler (process {alive[0].pid})" if alive else ""
        done = Backfill(
            dag=dag,
            ticks=tuple(replace(each, run=names.get(each.date, "")) for each in ticks),
            owner=owner,
        )
        if on_plan is not None:
            on_plan(done)
        if execute and not owner:
            recover(store, here)
            execute_runs(store, here, rows, jobs=jobs, executor=executor, most=max_active_runs, on_event=on_event)
        return replace(done, runs=tuple(read_runs(store, here, [store.run(made.id) for made in rows])))


def _bounds(timetable: Timetable) -> str:
    bounds = (("begins", timetable.start), ("ends", timetable.end))
    parts = [f"{does} on {at.astimezone(timetable.zone):%Y-%m-%d %H:%M}" for does, at in bounds if at is not None]
    return f"; it {' and '.join(parts)}" if parts else ""


class _Planner:
    """Decides which ticks get a run, and builds the new runs."""

    def __init__(
        self, store: Store, home: Home, row: DagRow, timetable: Timetable, tasks: Sequence[str],
        parameters: Mapping[str, Any], allow_unknown: bool, now: datetime,
    ) -> None:  # fmt: skip
        # The tasks are built only once: they depend only on the parameters, which are the same for all runs.
        digest, self.notebook = pin_built(home, row.digest, row.path, row.cwd, plain_parameters(parameters))
        self.store, self.home, self.timetable, self.now = store, home, timetable, now
        self.row = replace(row, digest=digest)
        self.choice = choose(self.notebook, only=tasks or None)
        self.values, self.notes = record_parameters(self.notebook, parameters, allow_unknown=allow_unknown)
        self.earlier: dict[float, list[RunRow]] = {}

    def ticks(self, first: datetime, last: datetime, again: frozenset[RunState]) -> list[BackfillTick]:
        for run in self.store.backfills.runs_between(self.row.id, first.timestamp(), last.timestamp()):
            self.earlier.setdefault(run.logical_date, []).append(run)
        found = []
        for tick in self.timetable.between(first, last):
            latest = next(reversed(self.earlier.get(tick.timestamp(), [])), None)
            made = latest is None or latest.state in again
            reason = "it has no run" if latest is None else f"its run {latest.name} is {latest.state.value}"
            found.append(BackfillTick(date=tick.astimezone(self.timetable.zone), made=made, reason=reason))
        return found

    def borrowed(self, date: datetime) -> tuple[Mapping[str, int], tuple[Note, ...]]:
        """Return the runs (key: task) that lend values to a partial run for this tick, and notes about these runs."""
        if not self.choice.partial:
            return {}, ()
        earlier = self.earlier.get(date.timestamp(), [])
        found = borrow(
            self.store,
            self.notebook,
            self.choice.tasks,
            self.values,
            values_from=earlier[-1] if earlier else None,
            read=lambda run: run_dag(self.home, run),
        )
        if not earlier and found.runs:
            raise BackfillError(
                self.row.id,
                f"{date:%Y-%m-%d %H:%M} has no run to borrow the values of {', '.join(found.runs)} from; backfill "
                "all of its tasks first, or add these to --tasks",
            )
        return {task: run.id for task, run in found.runs.items()}, found.notes

    def new(self, tick: BackfillTick, lent: tuple[Mapping[str, int], tuple[Note, ...]]) -> NewRun:
        date = tick.date.astimezone(UTC)
        start, _ = self.timetable.data_interval(date)
        name = scheduled_name(date, "backfill")
        taken = {run.name for run in self.earlier.get(date.timestamp(), [])}
        number = 2
        free = name
        while free in taken:
            free, number = f"{name}.{number}", number + 1
        return replace(
            new_run(self.row, name=free, kind="backfill", at=self.now, date=date, start=start),
            created=time.time(),
            parameters=self.values,
            tasks=tuple(self.choice.tasks) if self.choice.partial else None,
            notes=(*self.notes, *lent[1]),
            borrowed=dict(lent[0]),
            built=self.notebook.built,
        )
