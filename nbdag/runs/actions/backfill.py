"""`backfill`: runs for ticks of the past.

One run for each tick of the schedule between two dates, but for those before its start and after its end date: those
that have no run yet, or with `reprocess` also those whose latest run failed, or ended in whatever way. Earlier runs
stay on record. A DAG has one backfill at a time, with a limit of its own on the runs at once. A scheduler drives them
where one is alive; otherwise they are driven here.
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
from ...errors import NbdagError
from ...home import Home, the_home
from ...scheduler import new_instance, new_run, scheduled_name, timetable_of
from ...store.rows import DagRow, NewRun, RunRow
from ..creation.build import pin_built
from ..creation.partial_runs import borrow
from ..creation.prepare import choose, plain_parameters, record_parameters
from ..execution.foreground import execute_runs
from ..execution.recovery import fail_orphans, recover
from ..queries.deployments import opened_dag
from ..queries.liveness import live_schedulers
from ..queries.pinned import pinned
from ..queries.records import Run
from ..queries.runs import read_runs

if TYPE_CHECKING:
    from ...store.store import Store

REPROCESS: Mapping[str, frozenset[RunState]] = {
    "none": frozenset(),
    "failed": frozenset({RunState.FAILED, RunState.CANCELLED}),
    "completed": frozenset({RunState.FAILED, RunState.CANCELLED, RunState.SUCCESS}),
}


class BackfillError(NbdagError):
    """A backfill that cannot be made as it was asked for."""

    exit_code = 2

    def __init__(self, dag: str, why: str) -> None:
        super().__init__(dag, why)
        self.dag = dag
        self.why = why

    def __str__(self) -> str:
        return f"{self.dag} cannot be backfilled so: {self.why}"


class BackfillRunningError(NbdagError):
    """A second backfill of one DAG."""

    def __init__(self, dag: str) -> None:
        super().__init__(dag)
        self.dag = dag

    def __str__(self) -> str:
        return (
            f"a backfill of {self.dag} is under way: wait for it (`nbdag runs --dag {self.dag}`), or cancel its runs "
            "with `nbdag cancel`"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """One tick of a backfill."""

    date: datetime  # the logical date, in the schedule's zone
    made: bool  # whether a run is, or would be, made
    reason: str  # such as "its run succeeded"
    run: str = ""  # the id of the run that is made


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """What a backfill made, or would make."""

    dag: str
    ticks: tuple[Filled, ...]  # in the order in which they run
    owner: str = ""  # the process that executes the runs, for people; "": this one
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
    max_active_runs: int = 10,
    dry_run: bool = False,
    jobs: int | None = None,
    executor: str = "local",
    on_plan: Callable[[Backfill], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
    home: Home | None = None,
) -> Backfill:
    """Make a run for each tick from `first` to `last`, both included; dates without a zone are in the schedule's.

    `reprocess`: "none" leaves dates alone that have a run, "failed" makes a new one where the latest failed,
    "completed" where it ended in whatever way. `tasks` limits it to these, with the values of that date's latest run
    for what is left out. `on_plan` is told what was made before it is driven here. `dry_run` makes nothing.
    """
    here = the_home(home)
    with opened_dag(here, dag, to_change=not dry_run) as (store, row):
        now = datetime.now(UTC)
        timetable = timetable_of(row)
        if timetable.ticks is None:
            raise BackfillError(dag, f"its schedule is {row.schedule or 'none'}, which has no ticks in the past")
        start, end = (each if each.tzinfo else each.replace(tzinfo=timetable.zone) for each in (first, last))
        if end < start:
            raise BackfillError(dag, "the end is before the beginning; exchange --from and --to")
        if start > now:
            raise BackfillError(dag, "the beginning is in the future; only ticks already past can be filled")
        if reprocess not in REPROCESS:
            raise BackfillError(dag, f"reprocess is {reprocess!r}; it may be {', '.join(REPROCESS)}")
        if max_active_runs < 1:
            raise BackfillError(dag, f"{max_active_runs} runs at once are none; give 1 or more")
        asked = _Asked(store, here, row, timetable, tasks, parameters or {}, now)
        if backwards and any(
            task.options.depends_on_past or task.options.wait_for_downstream for task in asked.notebook.tasks.values()
        ):
            raise BackfillError(dag, "a task depends on the run before, so it cannot go backwards")
        ticks = asked.ticks(start, min(end, now), REPROCESS[reprocess])
        if not ticks:
            raise BackfillError(dag, f"its schedule has no tick of the past between these dates{_bounds(timetable)}")
        if backwards:
            ticks.reverse()
        wanted = [each for each in ticks if each.made]
        if dry_run or not wanted:
            return Backfill(dag=dag, ticks=tuple(ticks))
        lent = {each.date: asked.lent(each.date) for each in wanted}
        fail_orphans(store, here)  # an orphaned run would keep its backfill unfinished
        rows = store.backfills.begin(
            dag,
            [asked.new(each, lent[each.date]) for each in wanted],
            [new_instance(asked.notebook, task) for task in asked.choice.tasks],
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
        if not owner:
            recover(store, here)
            execute_runs(store, here, rows, jobs=jobs, executor=executor, most=max_active_runs, on_event=on_event)
        return replace(done, runs=tuple(read_runs(store, here, [store.run(made.id) for made in rows])))


def _bounds(timetable: Timetable) -> str:
    said = (("begins", timetable.start), ("ends", timetable.end))
    told = [f"{does} on {at.astimezone(timetable.zone):%Y-%m-%d %H:%M}" for does, at in said if at is not None]
    return f"; it {' and '.join(told)}" if told else ""


class _Asked:
    def __init__(
        self, store: Store, home: Home, row: DagRow, timetable: Timetable, tasks: Sequence[str],
        parameters: Mapping[str, Any], now: datetime,
    ) -> None:  # fmt: skip
        # One shape for all its runs, since it depends on the parameters alone: so it is known which tasks there are.
        digest, self.notebook = pin_built(home, row.digest, row.path, row.cwd, plain_parameters(parameters))
        self.store, self.home, self.timetable, self.now = store, home, timetable, now
        self.row = replace(row, digest=digest)
        self.choice = choose(self.notebook, only=tasks)
        self.values, self.notes = record_parameters(self.notebook, parameters)
        self.there: dict[float, list[RunRow]] = {}

    def ticks(self, first: datetime, last: datetime, again: frozenset[RunState]) -> list[Filled]:
        for run in self.store.backfills.runs_between(self.row.id, first.timestamp(), last.timestamp()):
            self.there.setdefault(run.logical_date, []).append(run)
        found = []
        for tick in self.timetable.between(first, last):
            latest = next(reversed(self.there.get(tick.timestamp(), [])), None)
            made = latest is None or latest.state in again
            reason = "it has no run" if latest is None else f"its run {latest.name} is {latest.state.value}"
            found.append(Filled(date=tick.astimezone(self.timetable.zone), made=made, reason=reason))
        return found

    def lent(self, date: datetime) -> tuple[Mapping[str, int], tuple[Note, ...]]:
        """The runs that give the values of tasks that are left out."""
        if not self.choice.partial:
            return {}, ()
        earlier = self.there.get(date.timestamp(), [])
        found = borrow(
            self.store,
            self.notebook,
            self.choice.tasks,
            self.values,
            values_from=earlier[-1] if earlier else None,
            read=lambda run: pinned(self.home, run),
        )
        if not earlier and found.runs:
            raise BackfillError(
                self.row.id,
                f"{date:%Y-%m-%d %H:%M} has no run that could give the values of {', '.join(found.runs)}; backfill it "
                "whole first, or name these in --tasks too",
            )
        return {task: run.id for task, run in found.runs.items()}, found.notes

    def new(self, tick: Filled, lent: tuple[Mapping[str, int], tuple[Note, ...]]) -> NewRun:
        date = tick.date.astimezone(UTC)
        start, _ = self.timetable.data_interval(date)
        name = scheduled_name(date, "backfill")
        taken = {run.name for run in self.there.get(date.timestamp(), [])}
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
