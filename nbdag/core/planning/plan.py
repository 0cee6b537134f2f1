"""What a run should do next.

Given a notebook, where each of its task instances stands, and the time, `plan` says which instances change state and
why, which may be queued and in what order, and whether the run has ended. It is asked again after every change; asked
twice of the same, it says the same. Tasks are looked at in run order, so what follows from a move (a failure that
settles all that comes after it) is part of the same plan. Which of the ready ones get a slot is `core.slots`' to say,
and how a condition is put into words `core.reasons`'. Nothing here touches a file, a clock or a database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from ..model.dag import Dag, Task
from ..model.states import ACTIVE, FINISHED, WAITING, RunState, TaskState
from ..model.text import join_names, local_time, plural, state_phrase, task_label
from ..model.weights import weights
from ..options.option_types import write_duration
from .explain import unmet_rule, unmet_upstream
from .triggers import CONTENT_WITH_SUCCESS, Counts, Decision, Go, decide

NO_ELEMENT = "there is no element to map over"
InstanceKey = tuple[str, int]  # task, map index


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A task of a run, or one element of a mapped task.

    A mapped task begins as one instance with map index -1, whose attempt works out the elements; `expanded` says
    which instances take its place.
    """

    task: str
    map_index: int = -1  # from 0 for an element of a mapped task
    state: TaskState = TaskState.NONE
    tries: int = 0  # attempts begun since it was last cleared
    ready_at: datetime | None = None  # up_for_retry, up_for_reschedule: not before this
    short_circuit: bool = False  # skipped in such a way that every descendant is skipped

    @property
    def key(self) -> InstanceKey:
        return (self.task, self.map_index)

    @property
    def label(self) -> str:
        """How a person calls it: `train`, `train[3]`."""
        return task_label(self.task, self.map_index)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """What planning needs to know of a run."""

    run_id: str
    dag_id: str
    logical_date: datetime | None  # None: a run of no date in particular
    state: RunState
    started: datetime | None = None  # when it went to running; its timeout counts from here
    kind: str = "manual"  # scheduled, manual or backfill
    selection: frozenset[str] | None = None  # a partial run: the tasks that take part; None: all


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """An instance goes to another state."""

    task: str
    map_index: int
    old: TaskState
    state: TaskState
    reason: str  # such as "train failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to record, in this order: missing, moves, verdict; then what to cancel and what may start."""

    missing: tuple[Instance, ...] = ()  # tasks of which the run had no instance: to be added, in state none
    moves: tuple[Move, ...] = ()
    ready: tuple[Instance, ...] = ()  # scheduled (after the moves); in queue order
    expand: frozenset[str] = frozenset()  # mapped tasks among `ready` whose elements are to be worked out
    cancel: tuple[Instance, ...] = ()  # attempts to end; their instances are already among the moves
    verdict: RunState | None = None  # the run has ended so
    reason: str = ""  # of the verdict, in words; "" for a success
    deadlock: Mapping[InstanceKey, tuple[str, ...]] = field(default_factory=dict)  # why none of these can run
    waiting: Mapping[InstanceKey, tuple[str, ...]] = field(default_factory=dict)  # with explain=True: unmet conditions
    wake: datetime | None = None  # look again then, though nothing has happened
    held: bool = False  # nothing goes on until something becomes of the run before


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """What takes the place of a mapped task's instance -1, once its length is known."""

    add: tuple[Instance, ...]  # elements to be added, in state none
    drop: tuple[InstanceKey, ...]  # the placeholder, unless there is no element
    moves: tuple[Move, ...]  # elements that are no more are removed; a placeholder without elements is skipped


def plan(
    dag: Dag,
    run: RunView,
    instances: Sequence[Instance],
    *,
    now: datetime,
    previous: Mapping[str, Sequence[TaskState]] | None = None,
    explain: bool = False,
) -> Plan:
    """What a running (or just cancelled) run should do next.

    `previous` is the run before, for `depends_on_past`: its instances' states by task, or None for a first run.
    """
    if run.state not in (RunState.RUNNING, RunState.CANCELLED):
        return Plan()
    board = _Board(dag, run, instances)
    question = _Question(now=now, previous=previous, explain=explain)
    answer = _Pass(dag, run, board, _halt(dag, run, board, now), question).plan()
    if answer.deadlock and not explain:  # words are made only where somebody reads them
        told = plan(dag, run, instances, now=now, previous=previous, explain=True)
        return replace(told, waiting={})
    return answer


def expanded(task: str, length: int, instances: Iterable[Instance]) -> Expansion:
    """What becomes of a mapped task's instances now that it has `length` elements.

    Elements that are there already, from before a clear, keep their place; those beyond the end are removed.
    (Airflow removes by the number of upstream successes; that says nothing of the elements of a product.)
    """
    mine = [instance for instance in instances if instance.task == task]
    there = {instance.map_index for instance in mine}
    moves = [
        _move(instance, TaskState.REMOVED, f"{task} has {plural(length, 'element')} now")
        for instance in mine
        if instance.map_index >= length and instance.state in WAITING
    ]
    placeholder = next((instance for instance in mine if instance.map_index < 0), None)
    if placeholder is not None and length == 0:
        moves.append(_move(placeholder, TaskState.SKIPPED, NO_ELEMENT))
    return Expansion(
        add=tuple(Instance(task=task, map_index=n) for n in range(length) if n not in there),
        drop=(placeholder.key,) if placeholder is not None and length else (),
        moves=tuple(moves),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    now: datetime
    previous: Mapping[str, Sequence[TaskState]] | None
    explain: bool


def _move(instance: Instance, state: TaskState, reason: str) -> Move:
    return Move(task=instance.task, map_index=instance.map_index, old=instance.state, state=state, reason=reason)


@dataclass(frozen=True, slots=True)
class Layout:
    """What planning asks of a notebook again and again."""

    position: Mapping[str, int]  # in the notebook, from 0
    weights: Mapping[str, int]


def layout(dag: Dag) -> Layout:
    """A notebook's layout, worked out once."""
    # kept where the Dag keeps its own cached properties, so that it is gone when the notebook is
    known = vars(dag)
    if "layout" not in known:
        known["layout"] = Layout({task: n for n, task in enumerate(dag.tasks)}, weights(dag))
    found: Layout = known["layout"]
    return found


def _ended(states: Sequence[TaskState]) -> Counts:
    return Counts(
        len(states),
        success=states.count(TaskState.SUCCESS),
        skipped=states.count(TaskState.SKIPPED),
        failed=states.count(TaskState.FAILED),
        upstream_failed=states.count(TaskState.UPSTREAM_FAILED),
        removed=states.count(TaskState.REMOVED),
    )


_ONE = {state: _ended([state]) for state in TaskState}  # most tasks are not mapped


def _cuts_short(mine: Sequence[Instance]) -> bool:
    """Whether all that follows is to be skipped, because every instance said so."""
    kept = [instance for instance in mine if instance.state is not TaskState.REMOVED]
    return bool(kept) and all(one.short_circuit and one.state is TaskState.SKIPPED for one in kept)


class _Board:
    """Where every instance stands, while a plan is made."""

    def __init__(self, dag: Dag, run: RunView, instances: Iterable[Instance]) -> None:
        part = run.selection
        self.of: dict[str, list[Instance]] = {task: [] for task in dag.order if part is None or task in part}
        self.strangers: list[Instance] = []  # of tasks that the notebook has no more
        self.moves: list[Move] = []
        for instance in instances:
            if instance.task in self.of:
                self.of[instance.task].append(instance)
            elif instance.task not in dag.tasks:
                self.strangers.append(instance)
        self.missing = tuple(Instance(task=task) for task, mine in self.of.items() if not mine)
        for instance in self.missing:
            self.of[instance.task].append(instance)

    def move(self, place: list[Instance], n: int, state: TaskState, reason: str) -> Instance:
        """Move `place[n]`, and say so."""
        self.moves.append(_move(place[n], state, reason))
        place[n] = replace(place[n], state=state, ready_at=None)
        return place[n]

    def everything(self) -> Iterator[Instance]:
        for mine in self.of.values():
            yield from mine
        yield from self.strangers

    def unfinished(self) -> bool:
        return any(instance.state not in FINISHED for instance in self.everything())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Halt:
    """The whole run stops here."""

    reason: str
    verdict: RunState | None  # None: it has been given already
    active: TaskState  # what becomes of the tasks that are running
    settles: bool = False  # tasks that their trigger rules settle go by these; the rest is skipped


def _halt(dag: Dag, run: RunView, board: _Board, now: datetime) -> _Halt | None:
    if run.state is RunState.CANCELLED:
        return _Halt(reason="the run was cancelled", verdict=None, active=TaskState.FAILED)
    deadline = _deadline(dag, run)
    if deadline is not None and deadline <= now and board.unfinished():
        reason = f"the run did not end within its timeout of {write_duration(dag.options.timeout or 0)}"
        return _Halt(reason=reason, verdict=RunState.FAILED, active=TaskState.SKIPPED)
    failed = _failed(board) if dag.options.fail_fast else []
    if failed:
        reason = f"{failed[0].label} failed, and the run fails fast"
        return _Halt(reason=reason, verdict=RunState.FAILED, active=TaskState.FAILED, settles=True)
    return None


def _deadline(dag: Dag, run: RunView) -> datetime | None:
    if dag.options.timeout is None or run.started is None:
        return None
    return run.started + timedelta(seconds=dag.options.timeout)


def _failed(board: _Board) -> list[Instance]:
    return [instance for mine in board.of.values() for instance in mine if instance.state is TaskState.FAILED]


class _Pass:
    """One pass over the tasks, in run order."""

    def __init__(self, dag: Dag, run: RunView, board: _Board, halt: _Halt | None, question: _Question) -> None:
        self.dag, self.run, self.board, self.halt, self.question = dag, run, board, halt, question
        self.zone = ZoneInfo(dag.options.tz)
        self.ends: dict[str, Counts] = {}  # of the instances of each task passed
        self.cut: dict[str, str] = {}  # tasks that are skipped whatever their rule says, and which task it was
        self.ready: list[Instance] = []
        self.cancel: list[Instance] = []
        self.waiting: dict[InstanceKey, tuple[str, ...]] = {}
        self.times: list[datetime] = []  # when something is to be tried again
        self.held_by_past = False
        for task in dag.order:
            self._pass(task)
        for n, instance in enumerate(board.strangers):
            if instance.state in ACTIVE:
                self._stop(board.strangers, n)
            elif instance.state in WAITING:
                board.move(board.strangers, n, TaskState.REMOVED, "the notebook has no such task any more")

    def _pass(self, task: str) -> None:
        if self.cut:
            for other in self.dag.upstream[task]:
                if other in self.cut:
                    self.cut[task] = self.cut[other]
        mine = self.board.of.get(task)
        if mine is None:
            return
        alone = len(mine) == 1  # most tasks are not mapped, and most of a long run are over or far away
        if mine[0].state not in FINISHED or (not alone and any(one.state not in FINISHED for one in mine)):
            self._look_at(self.dag.tasks[task], mine)
        self.ends[task] = _ONE[mine[0].state] if alone else _ended([instance.state for instance in mine])
        if (mine[0].short_circuit or not alone) and _cuts_short(mine):
            self.cut.update(dict.fromkeys(self.dag.downstream[task], task))

    def _look_at(self, task: Task, mine: list[Instance]) -> None:
        counts = self._counts(task)
        decision = decide(task.options.trigger, counts)
        settled = self._settled(task, counts, decision)
        held = self._held(task, counts, decision) if settled is None else None
        # the placeholder of a mapped task stands first; elements beside it are from before a clear
        mine.sort(key=lambda instance: instance.map_index)
        for n, instance in enumerate(mine):
            stale = n > 0 and mine[0].map_index < 0
            if instance.state in ACTIVE:
                self._stop(mine, n)
            elif instance.state in FINISHED:
                continue
            elif settled is not None:
                self.board.move(mine, n, *settled)
            elif stale and mine[0].state in FINISHED:
                self.board.move(mine, n, TaskState.REMOVED, "it has no such element any more")
            elif stale:
                self.waiting[instance.key] = ("waits until its elements have been worked out anew",)
            elif held is not None:
                self.waiting[instance.key] = held
            else:
                self._free(task, mine, n)

    def _counts(self, task: Task) -> Counts:
        total = success = skipped = failed = upstream_failed = removed = 0
        for other in self.dag.upstream[task.id]:
            ends = self.ends.get(other)
            if ends is None:  # takes no part in this run
                if task.options.trigger not in CONTENT_WITH_SUCCESS:
                    continue
                ends = _ONE[TaskState.SUCCESS]
            total += ends.all
            success += ends.success
            skipped += ends.skipped
            failed += ends.failed
            upstream_failed += ends.upstream_failed
            removed += ends.removed
        return Counts(total, success, skipped, failed, upstream_failed, removed)

    def _settled(self, task: Task, counts: Counts, decision: Decision) -> tuple[TaskState, str] | None:
        """The state that a task comes to without running, and why."""
        if task.id in self.cut:
            return TaskState.SKIPPED, f"{self.cut[task.id]} cut the run short"
        if isinstance(decision, TaskState) and (self.halt is None or self.halt.settles):
            return decision, self._blame(task, counts, decision)
        if self.halt is not None:
            return TaskState.SKIPPED, self.halt.reason
        return None

    def _blame(self, task: Task, counts: Counts, decision: TaskState) -> str:
        culprits: tuple[TaskState, ...] = ()
        if decision is TaskState.UPSTREAM_FAILED:
            culprits = (TaskState.FAILED, TaskState.UPSTREAM_FAILED)
        elif task.options.trigger in ("all_success", "none_skipped", "all_done_min_one_success"):
            culprits = (TaskState.SKIPPED,)
        for state in culprits:
            for other in self.dag.upstream[task.id]:
                for instance in self.board.of.get(other, ()):
                    if instance.state is state:
                        return f"{instance.label} {state_phrase(state)}"
        return unmet_rule(task.options.trigger, counts)

    def _held(self, task: Task, counts: Counts, decision: Decision) -> tuple[str, ...] | None:
        """What keeps a task from running, in words if asked for; None if nothing does."""
        if decision is Go.WAIT:
            return self._unmet(task, counts) if self.question.explain else ()
        unmet = self._unmet_in_the_past(task)
        self.held_by_past = self.held_by_past or bool(unmet)
        return unmet or None

    def _unmet(self, task: Task, counts: Counts) -> tuple[str, ...]:
        pending = []
        for other in self.dag.upstream[task.id]:
            mine = self.board.of.get(other, ())
            still = [instance for instance in mine if instance.state not in FINISHED]
            if still:
                pending.append((other, still[0].state, len(still), len(mine)))
        if not pending:
            return (unmet_rule(task.options.trigger, counts),)
        return unmet_upstream(pending, task.options.trigger)

    def _unmet_in_the_past(self, task: Task) -> tuple[str, ...]:
        options, previous = task.options, self.question.previous
        if previous is None or not (options.depends_on_past or options.wait_for_downstream):
            return ()
        after = self.dag.downstream[task.id] if options.wait_for_downstream else ()
        return tuple(
            f"waits for {other} in the run before, which {state_phrase(state)}"
            for other in (task.id, *after)
            for state in previous.get(other, ())
            if state not in (TaskState.SUCCESS, TaskState.SKIPPED, TaskState.REMOVED)
        )

    def _free(self, task: Task, mine: list[Instance], n: int) -> None:
        """Nothing but time keeps this instance from being queued."""
        instance, now = mine[n], self.question.now
        if instance.state in (TaskState.UP_FOR_RETRY, TaskState.UP_FOR_RESCHEDULE):
            if instance.ready_at is not None and instance.ready_at > now:
                self.times.append(instance.ready_at)
                when = local_time(instance.ready_at, now, self.zone)
                if instance.state is TaskState.UP_FOR_RETRY:
                    words = f"is tried again at {when} (try {instance.tries + 1} of {task.options.retries + 1})"
                else:
                    words = f"looks again at {when}"
                self.waiting[instance.key] = (words,)
                return
            reason = "its time has come"
        else:
            reason = "it is free to run"
        if instance.state is not TaskState.SCHEDULED:
            instance = self.board.move(mine, n, TaskState.SCHEDULED, reason)
        self.ready.append(instance)

    def _stop(self, place: list[Instance], n: int) -> None:
        if self.halt is not None:
            self.cancel.append(place[n])
            self.board.move(place, n, self.halt.active, self.halt.reason)

    def plan(self) -> Plan:
        """What the pass has come to."""
        order = layout(self.dag)
        self.ready.sort(key=lambda one: (-order.weights[one.task], order.position[one.task], one.map_index))
        verdict, reason, deadlock = self._verdict()
        times = self.times if verdict is None and self.halt is None else []
        deadline = _deadline(self.dag, self.run)
        if deadline is not None and verdict is None and self.halt is None:
            times.append(deadline)
        mapped = {one.task for one in self.ready if one.map_index < 0 and self.dag.tasks[one.task].options.map}
        return Plan(
            missing=self.board.missing,
            moves=tuple(self.board.moves),
            ready=tuple(self.ready),
            expand=frozenset(mapped),
            cancel=tuple(self.cancel),
            verdict=verdict,
            reason=reason,
            deadlock=deadlock,
            waiting=self.waiting if self.question.explain else {},
            wake=min(times, default=None),
            held=verdict is None and self.held_by_past and not (self.ready or self.times or self._any_active()),
        )

    def _any_active(self) -> bool:
        return any(instance.state in ACTIVE for instance in self.board.everything())

    def _verdict(self) -> tuple[RunState | None, str, Mapping[InstanceKey, tuple[str, ...]]]:
        if self.halt is not None:
            return self.halt.verdict, self.halt.reason, {}
        if self.board.unfinished():
            if self.ready or self.times or self.held_by_past or self._any_active():
                return None, "", {}
            return RunState.FAILED, "no task that is left can ever run", self.waiting
        leaves = [
            instance
            for task, mine in self.board.of.items()
            if not any(other in self.board.of for other in self.dag.downstream[task])
            for instance in mine
        ]
        bad = [one.label for one in leaves if one.state in (TaskState.FAILED, TaskState.UPSTREAM_FAILED)]
        if bad:
            # a leaf that could not run is not the cause
            failed = [instance.label for instance in _failed(self.board)]
            return RunState.FAILED, f"{join_names(failed)} failed" if failed else f"{bad[0]} could not run", {}
        return RunState.SUCCESS, "", {}
