"""One look at one run: what came in, what moves, what may start.

A `Driven` is a run as this scheduler last saw it. A `Look` begins as a copy of that, takes in results, moves the
tasks as `core.plan` says, starts those that got a slot, and ends as one `Change` for the store. Nothing is kept of a
look whose change the store refused, so a look may always be made anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from ..core.model.dag import Dag
from ..core.model.events import Event
from ..core.model.job import Key, Result
from ..core.model.states import ACTIVE, FINISHED, RUN_FINISHED, RunState, TaskState, move
from ..core.options.option_types import write_duration
from ..core.planning.assemble import StoredOutputs
from ..core.planning.plan import Instance, InstanceKey, Plan, RunView, expansion_of, layout, plan
from ..core.planning.pools import Claim, claims
from ..core.planning.retries import retry_at
from ..store.rows import AttemptRow, Begun, Change, Earlier, InstanceRow, NewInstance, RunRow

if TYPE_CHECKING:
    from ..store.store import Store

Leavings = dict[str, dict[int, StoredOutputs]]  # task → map index → what it left


@dataclass
class Driven:
    """A run, its notebook, and where its tasks stand, as last seen or saved."""

    row: RunRow
    dag: Dag
    instances: dict[InstanceKey, InstanceRow]
    left: Leavings  # of tasks of the run
    lent: Leavings  # of tasks that are not in it, from other runs
    paused: dict[InstanceKey, float] = field(default_factory=dict)  # sensors between two looks → when they began
    most: int | None = None  # how many of its DAG and kind may run at once, while it waits for its turn
    planned: dict[InstanceKey, tuple[InstanceRow, Instance]] = field(default_factory=dict)  # as planning saw them last
    rests: bool = False  # nothing can come of a look, until `wake` or until something changes
    wake: datetime | None = None
    held: bool = False  # nothing goes on until something becomes of the run before

    @classmethod
    def of(
        cls, row: RunRow, dag: Dag, instances: Iterable[InstanceRow], attempts: Iterable[AttemptRow], lent: Leavings
    ) -> Driven:
        """The run as the store has it."""
        run = cls(
            row=row,
            dag=replace(
                dag,
                options=replace(dag.options, fail_fast=row.fail_fast),
                kernel_name=row.kernel or dag.kernel_name,
            ),
            instances={(each.task, each.map_index): each for each in instances},
            left=leavings(attempts),
            lent=lent,
        )
        for attempt in attempts:
            key = (attempt.task, attempt.map_index)
            if attempt.state is TaskState.UP_FOR_RESCHEDULE:
                run.paused[key] = attempt.started
        return run

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        return self.row.state in RUN_FINISHED

    @cached_property
    def looks_back(self) -> bool:
        """Whether a task of it waits for the run before."""
        return any(task.options.depends_on_past or task.options.wait_for_downstream for task in self.dag.tasks.values())

    def key(self, instance: InstanceRow) -> Key:
        """The attempt that this instance is at."""
        return Key(
            dag=self.row.dag,
            run=self.row.name,
            task=instance.task,
            map_index=instance.map_index,
            try_number=instance.tries,
        )


def leavings(attempts: Iterable[AttemptRow]) -> Leavings:
    """What succeeded attempts left; a later one counts, where there are several."""
    found: Leavings = {}
    for attempt in attempts:
        if attempt.state is TaskState.SUCCESS:
            digests = {output.name: output.digest for output in attempt.outputs}
            found.setdefault(attempt.task, {})[attempt.map_index] = StoredOutputs(attempt.map_index, digests)
    return found


class Look:
    """What is about to become of a run."""

    def __init__(self, run: Driven, now: datetime) -> None:
        self.run = run
        self.now = now
        self.row = run.row
        self.instances = dict(run.instances)
        self.left = {task: dict(each) for task, each in run.left.items()}
        self.paused = dict(run.paused)
        self.plan = Plan()
        self.ended: list[tuple[InstanceRow, Result]] = []
        self.begun: list[Begun] = []
        self.resumed: list[tuple[InstanceRow, int]] = []
        self.added: list[NewInstance] = []
        self.dropped: list[InstanceRow] = []
        self._said: dict[InstanceKey, str] = {}

    # What came in

    def take_in(self, results: Iterable[Result]) -> None:
        """Attempts have ended."""
        for result in results:
            key = (result.key.task, result.key.map_index)
            instance = self.instances.get(key)
            if instance is None or instance.tries != result.key.try_number:
                continue  # an attempt that nobody waits for any more
            if key in self.paused:
                result = replace(result, started=self.paused.pop(key))
            if result.ended < result.started:  # the clock was set back meanwhile
                result = replace(result, ended=result.started)
            self.ended.append((instance, result))
            if instance.state in ACTIVE:
                self._settle(key, instance, result)

    def _settle(self, key: InstanceKey, instance: InstanceRow, result: Result) -> None:
        if instance.state is TaskState.RESTARTING:
            self._move(key, TaskState.NONE)
            return
        task = self.run.dag.tasks[instance.task]
        match result.state:
            case TaskState.SUCCESS if task.options.map and instance.map_index < 0:
                self._expand(key, result)
            case TaskState.SUCCESS:
                self._move(key, TaskState.SUCCESS)
                digests = {output.name: output.digest for output in result.outputs}
                self.left.setdefault(instance.task, {})[instance.map_index] = StoredOutputs(instance.map_index, digests)
            case TaskState.SKIPPED:
                self._move(key, TaskState.SKIPPED, result.error or "", short_circuit=result.short_circuit)
            case TaskState.UP_FOR_RESCHEDULE:
                self.paused[key] = result.started
                self._move(key, TaskState.UP_FOR_RESCHEDULE, wake=result.ended + task.options.poke)
            case _:
                again = retry_at(
                    task.options,
                    dag=self.row.dag,
                    task=instance.task,
                    logical_date=when(self.row.logical_date),
                    tries=instance.tries - instance.forgiven,
                    ended=when(result.ended),
                    final=result.final,
                )
                if again is None:
                    self._move(key, TaskState.FAILED, result.error or "")
                else:
                    wait = f"it is tried again in {write_duration(round((again - when(result.ended)).total_seconds()))}"
                    said = f"{result.error} ({wait})" if result.error else wait
                    self._move(key, TaskState.UP_FOR_RETRY, said, wake=again.timestamp())

    def _expand(self, key: InstanceKey, result: Result) -> None:
        placeholder = self.instances[key]
        outcome = expansion_of(key[0], result.length or 0, [as_planned(each) for each in self.instances.values()])
        for gone in outcome.drop:
            self.dropped.append(self.instances.pop(gone))
        for there in [each for each in self.instances.values() if each.task == key[0]]:
            # One from before a clear: its element may be another now.
            if 0 <= there.map_index < len(result.elements) and there.state not in FINISHED:
                element = result.elements[there.map_index]
                self.instances[there.task, there.map_index] = replace(there, element=element)
        for step in outcome.moves:
            self._move((step.task, step.map_index), step.state, step.reason)
        for new in outcome.add:
            self.added.append(
                NewInstance(
                    task=new.task,
                    position=placeholder.position,
                    map_index=new.map_index,
                    pool=placeholder.pool,
                    slots=placeholder.slots,
                    element=result.elements[new.map_index],
                )
            )

    # What moves

    def decide(self, *, cancelled: bool, previous: Mapping[str, Sequence[TaskState]] | None = None) -> None:
        """Move the tasks, and end the run, as the rules say."""
        if self.row.state in RUN_FINISHED or self.added:
            return  # the new instances have no number yet: they are planned in the next look, which follows at once
        now = max(self.now.timestamp(), self.row.started or 0.0)  # the clock may have been set back since
        if cancelled:
            self.row = replace(self.row, state=move(self.row.state, RunState.CANCELLED), ended=now)
        elif self.row.state is RunState.QUEUED:
            self.row = replace(self.row, state=move(self.row.state, RunState.RUNNING), started=now)
        self.plan = plan(
            self.run.dag,
            view(self.row),
            [self._planned(key, each) for key, each in self.instances.items()],
            now=self.now,
            previous=previous,
        )
        for new in self.plan.missing:
            self.added.append(new_instance(self.run.dag, new.task))
        for step in self.plan.moves:
            self._move((step.task, step.map_index), step.state, step.reason)
        verdict = self.plan.verdict
        if verdict is not None and verdict is not self.row.state:
            self.row = replace(self.row, state=move(self.row.state, verdict), ended=now, error=self._why())

    def _planned(self, key: InstanceKey, row: InstanceRow) -> Instance:
        known = self.run.planned.get(key)
        if known is None or known[0] is not row:
            known = self.run.planned[key] = (row, as_planned(row))
        return known[1]

    def _why(self) -> str | None:
        stuck = "; ".join(
            f"{task if index < 0 else f'{task}[{index}]'} {' and '.join(why)}"
            for (task, index), why in self.plan.deadlock.items()
        )
        return (f"{self.plan.reason}: {stuck}" if stuck else self.plan.reason) or self.row.error

    def ready(self) -> tuple[Claim, ...]:
        """What could start now."""
        return claims(self.run.dag, view(self.row), self.plan.ready)

    def active(self) -> tuple[Claim, ...]:
        """What has a slot."""
        busy = [as_planned(each) for each in self.instances.values() if each.state in ACTIVE]
        return claims(self.run.dag, view(self.row), busy)

    def start(self, claim: Claim, cache_key: str | None = None, earlier: Earlier | None = None) -> None:
        """A task has been given a slot; where an earlier outcome stands for its own, it has ended already."""
        key = (claim.task, claim.map_index)
        instance = self.instances[key]
        move(instance.state, TaskState.QUEUED)
        if key in self.paused:
            instance = replace(instance, state=TaskState.RUNNING, wake=None)
            self.resumed.append((instance, instance.tries))
        else:
            instance = replace(instance, state=TaskState.RUNNING, wake=None, tries=instance.tries + 1)
            cached = None if earlier is None else earlier.made_in
            self.begun.append(Begun(instance, instance.tries, cache_key, cached))
        self.instances[key] = instance
        self._said.pop(key, None)  # why it was free to run
        if earlier is not None:
            at = self.now.timestamp()
            result = Result(
                key=self.run.key(instance),
                state=TaskState.SUCCESS,
                started=at,
                ended=at,
                outputs=earlier.outputs,
                notes=earlier.notes,
            )
            self.ended.append((instance, result))
            self._settle(key, instance, result)
            self._said[key] = f"cached: as in run {earlier.made_in}"

    def _move(
        self,
        key: InstanceKey,
        state: TaskState,
        reason: str = "",
        *,
        wake: float | None = None,
        short_circuit: bool = False,
    ) -> None:
        instance = self.instances[key]
        forgiven = instance.tries if state is TaskState.NONE else instance.forgiven
        self.instances[key] = replace(
            instance, state=move(instance.state, state), wake=wake, forgiven=forgiven, short_circuit=short_circuit
        )
        if reason:
            self._said[key] = reason

    # What comes of it

    @property
    def starts(self) -> bool:
        """Whether the run itself begins now."""
        return self.run.row.state is RunState.QUEUED and self.row.state is not RunState.QUEUED

    def left_by(self, task: str) -> list[StoredOutputs]:
        """What a task of the run, or one that it borrows from, has left."""
        # What an attempt left counts no more once its task has been cleared.
        if task not in self.left:
            return list(self.run.lent.get(task, {}).values())
        return [left for index, left in self.left[task].items() if self._succeeded((task, index))]

    def _succeeded(self, key: InstanceKey) -> bool:
        return key in self.instances and self.instances[key].state is TaskState.SUCCESS

    @property
    def starting(self) -> list[InstanceRow]:
        """The instances whose attempts begin or go on, and are to be made."""
        return [*(each.instance for each in self.begun if each.cached is None), *(each for each, _ in self.resumed)]

    @property
    def spared(self) -> bool:
        """Whether a task ended without being made, so that what follows it may run at once."""
        return any(each.cached is not None for each in self.begun)

    def change(self, scheduler: str, pools: Mapping[str, int]) -> Change | None:
        """What to save, if these pools still have room for it; None when nothing changes."""
        moved = [each for _, each in self._moved()]
        if self.row is self.run.row and not (moved or self.ended or self.added or self.dropped):
            return None
        return Change(
            run=self.row,
            instances=moved,
            begun=self.begun,
            resumed=self.resumed,
            ended=self.ended,
            added=self.added,
            dropped=self.dropped,
            pools=pools,
            at=self.now.timestamp(),
            scheduler=scheduler,
            most=self.run.most if self.row.state is RunState.RUNNING and self.starts else None,
        )

    def events(self) -> list[Event]:
        """What there is to tell."""
        before, at, name = self.run.instances, self.now.timestamp(), self.row.name
        told = []
        if self.row.state is not self.run.row.state and self.row.state not in RUN_FINISHED:
            told.append(Event(kind="run", run_id=name, state=self.row.state, at=at, dag=self.row.dag))
        moved = [(key, each) for key, each in self._moved() if _differs(each, before.get(key))]
        # What has ended comes before what begins because of it.
        for key, each in sorted(moved, key=lambda pair: pair[1].state not in FINISHED):
            told.append(
                Event(
                    kind="task",
                    run_id=name,
                    state=each.state,
                    at=at,
                    task=each.task,
                    map_index=each.map_index,
                    try_number=each.tries,
                    message=self._said.get(key, ""),
                    dag=self.row.dag,
                )
            )
        if self.row.state is not self.run.row.state and self.row.state in RUN_FINISHED:
            why = self.row.error or ""
            told.append(Event(kind="run", run_id=name, state=self.row.state, at=at, message=why, dag=self.row.dag))
        return told

    def keep(self, added: Iterable[InstanceRow]) -> None:
        """The change has been saved: the run now stands so."""
        run = self.run
        run.row = replace(self.row, revision=self.row.revision + 1)
        run.instances = self.instances | {(each.task, each.map_index): each for each in added}
        run.left, run.paused = self.left, self.paused
        self.rest()

    def rest(self) -> None:
        """Nothing more can be done now."""
        # What waits for a slot, or for another run, has to be looked at whenever one ends.
        self.run.rests = not self.plan.ready and not self.added and not self.run.looks_back
        self.run.wake = self.plan.next_check
        self.run.held = self.plan.waits_for_previous

    def _moved(self) -> list[tuple[InstanceKey, InstanceRow]]:
        before = self.run.instances
        return [(key, each) for key, each in self.instances.items() if each is not before.get(key)]


def as_planned(row: InstanceRow) -> Instance:
    """A task instance, as planning sees it."""
    return Instance(
        task=row.task,
        map_index=row.map_index,
        state=row.state,
        tries=row.tries - row.forgiven,
        ready_at=None if row.wake is None else when(row.wake),
        short_circuit=row.short_circuit,
    )


def states_before(store: Store, row: RunRow) -> dict[str, list[TaskState]] | None:
    """The states of the scheduled run before, by task; None for a first run."""
    before = store.deployments.before(row)
    if before is None:
        return None
    states: dict[str, list[TaskState]] = {}
    for each in store.instances([before.id])[before.id]:
        states.setdefault(each.task, []).append(each.state)
    return states


def new_instance(dag: Dag, task: str) -> NewInstance:
    """A task of a run that has not begun."""
    options = dag.tasks[task].options
    return NewInstance(task=task, position=layout(dag).position[task], pool=options.pool, slots=options.slots)


def view(row: RunRow) -> RunView:
    """A run, as planning sees it."""
    return RunView(
        run_id=row.name,
        dag_id=row.dag,
        logical_date=when(row.logical_date),
        state=row.state,
        started=None if row.started is None else when(row.started),
        kind=row.kind,
        selection=None if row.tasks is None else frozenset(row.tasks),
    )


def when(at: float) -> datetime:
    """An instant of the store's."""
    return datetime.fromtimestamp(at, UTC)


def _differs(instance: InstanceRow, before: InstanceRow | None) -> bool:
    return before is None or (instance.state, instance.tries) != (before.state, before.tries)
