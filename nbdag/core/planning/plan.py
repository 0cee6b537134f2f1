"""The next steps of a run.

Given a notebook, the states of its task instances, and the time, `plan` returns the instances that change state, with
the reasons; the instances that may be queued, in order; and whether the run has ended. The scheduler calls `plan`
after every change. Equal arguments give an equal plan. Tasks are visited in run order, so one plan contains all
consequences of a move, such as the final states of all tasks after a failure. `pools` assigns slots to ready instances,
and `explain` describes unmet conditions. Nothing here touches a file, a clock or a database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from ..model.dag import Dag, Task
from ..model.states import ACTIVE, FINISHED, WAITING, RunState, TaskState
from ..model.text import join_names, local_time, plural, state_phrase
from .dag_layout import layout
from .deadlines import MissedDeadline, deadlines
from .early_end import EarlyEnd, failed_instances, find_early_end, find_leaves, run_timeout
from .explain import unmet_rule, unmet_upstream
from .instance_table import InstanceTable, new_move
from .plan_types import Expansion, Instance, InstanceKey, Plan, RunView
from .triggers import MET_BY_SUCCESS, Counts, Decision, NextStep, decide

NO_ELEMENT = "there is no element to map over"


def plan(
    dag: Dag,
    run: RunView,
    instances: Sequence[Instance],
    *,
    now: datetime,
    previous: Mapping[str, Sequence[TaskState]] | None = None,
    explain: bool = False,
) -> Plan:
    """Return the next steps of a run that is running or was just cancelled.

    `previous` maps each task to the states of its instances in the previous run, for `depends_on_past`; None if there
    is no previous run.
    """
    if run.state not in (RunState.RUNNING, RunState.CANCELLED):
        return Plan()
    table = InstanceTable(dag, run, instances)
    inputs = _PlanInputs(now=now, previous=previous, explain=explain)
    result = _TaskWalk(dag, run, table, find_early_end(dag, run, table, now), inputs).plan()
    if result.deadlock and not explain:  # explaining is slow, so reasons are computed only if a deadlock needs them
        explained = plan(dag, run, instances, now=now, previous=previous, explain=True)
        return replace(explained, waiting={})
    return result


def expansion_of(task: str, length: int, instances: Iterable[Instance]) -> Expansion:
    """Return the changes that give a mapped task one instance for each of `length` elements.

    If the task was cleared, it may already have instances. Those with a map index below `length` stay; other waiting
    instances move to state removed. Airflow compares the index with the number of upstream successes instead, which is
    wrong if several maps are combined.
    """
    mine = [instance for instance in instances if instance.task == task]
    existing = {instance.map_index for instance in mine}
    moves = [
        new_move(instance, TaskState.REMOVED, f"{task} now has {plural(length, 'element')}")
        for instance in mine
        if instance.map_index >= length and instance.state in WAITING
    ]
    placeholder = next((instance for instance in mine if instance.map_index < 0), None)
    if placeholder is not None and length == 0:
        moves.append(new_move(placeholder, TaskState.SKIPPED, NO_ELEMENT))
    return Expansion(
        add=tuple(Instance(task=task, map_index=n) for n in range(length) if n not in existing),
        drop=(placeholder.key,) if placeholder is not None and length else (),
        moves=tuple(moves),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _PlanInputs:
    """The arguments of `plan` other than the notebook, the run and its instances."""

    now: datetime
    previous: Mapping[str, Sequence[TaskState]] | None
    explain: bool


def _ended(states: Sequence[TaskState]) -> Counts:
    return Counts(
        len(states),
        success=states.count(TaskState.SUCCESS),
        skipped=states.count(TaskState.SKIPPED),
        failed=states.count(TaskState.FAILED),
        upstream_failed=states.count(TaskState.UPSTREAM_FAILED),
        removed=states.count(TaskState.REMOVED),
    )


_DECIDED = (TaskState.SUCCESS, TaskState.SKIPPED)
_ONE = {state: _ended([state]) for state in TaskState}  # counts for a task with one instance, by the instance's state


def _cuts_short(mine: Sequence[Instance]) -> bool:
    """Return whether the condition of --short-circuit was false for every instance. If so, descendants are skipped."""
    kept = [instance for instance in mine if instance.state is not TaskState.REMOVED]
    return bool(kept) and all(one.short_circuit and one.state in _DECIDED for one in kept)


def _as_leader(leading: Sequence[Instance]) -> tuple[TaskState, str] | None:
    """Return the final state, and the reason, of a task whose leader (the task that --in-step names) gets no instances.

    Return None if the leader has instances, or may still get some.
    """
    first = min(leading, key=lambda each: each.map_index)
    if first.map_index >= 0 or first.state not in FINISHED:
        return None
    state = TaskState.SKIPPED if first.state in (TaskState.SKIPPED, TaskState.REMOVED) else TaskState.UPSTREAM_FAILED
    return state, f"{first.task} {state_phrase(first.state)}"


class _TaskWalk:
    """Visits all tasks once, in run order, and collects the plan."""

    def __init__(
        self, dag: Dag, run: RunView, table: InstanceTable, early_end: EarlyEnd | None, inputs: _PlanInputs
    ) -> None:
        self.dag, self.run, self.table, self.early_end, self.inputs = dag, run, table, early_end, inputs
        self.zone = ZoneInfo(dag.options.tz)
        self.ends: dict[str, Counts] = {}  # key: task id; value: the number of instances with each outcome
        self.cut_short: dict[str, str] = {}  # key: task that --short-circuit skips; value: the reason, as a sentence
        self.not_chosen: dict[str, str] = {}  # key: task that a branch task skips; value: the reason, as a sentence
        # Key: task that a branch task chose. Value: its direct upstream tasks that were not chosen, and that it follows
        # only because of variables.
        self.ignored: dict[str, frozenset[str]] = {}
        self.indirect_setups = layout(dag).indirect_setups
        # If a partial run does not contain the leader of a task, the run evaluates its --map as without --in-step.
        self.leads = {task: lead for task, lead in layout(dag).leads.items() if lead in table.of}
        self.partners = {task: layout(dag).partners[task] for task in self.leads}
        # Key: task with which other tasks are in step; value: the task's instances by map index.
        self.by_index: dict[str, dict[int, Instance]] = {}
        self.ready: list[Instance] = []
        self.cancel: list[Instance] = []
        self.waiting: dict[InstanceKey, tuple[str, ...]] = {}
        self.times: list[datetime] = []  # times at which retries and polls are due
        self.waits_for_past = False
        for task in dag.order:
            self._visit(task)
        for n, instance in enumerate(table.orphans):
            if instance.state in ACTIVE:
                self._stop(table.orphans, n)
            elif instance.state in WAITING:
                table.move(table.orphans, n, TaskState.REMOVED, "the notebook no longer has this task")

    def _visit(self, task: str) -> None:
        if self.cut_short:
            for other in self.dag.upstream[task]:
                if other in self.cut_short:
                    self.cut_short[task] = self.cut_short[other]
        mine = self.table.of.get(task)
        if mine is None:
            return
        alone = len(mine) == 1  # a faster path for a task with one instance, as most tasks have
        if mine[0].state not in FINISHED or (not alone and any(one.state not in FINISHED for one in mine)):
            self._plan_task(self.dag.tasks[task], mine)
        self.ends[task] = _ONE[mine[0].state] if alone else _ended([instance.state for instance in mine])
        if (mine[0].short_circuit or not alone) and _cuts_short(mine):
            how = "was skipped" if mine[0].state is TaskState.SKIPPED else "is false"
            self.cut_short.update(dict.fromkeys(self.dag.downstream[task], f"{task} {how} with --short-circuit"))
        if self.dag.tasks[task].options.branch and self.ends[task].done:
            self._branch(task, mine)

    def _branch(self, task: str, mine: Sequence[Instance]) -> None:
        """Skip the direct downstream tasks that the choice of an ended branch task excludes."""
        told = [one.chosen for one in mine if one.state is TaskState.SUCCESS and one.chosen is not None]
        if not told:
            return
        chosen = tuple(dict.fromkeys(name for names in told for name in names))
        run = self.dag.followed(task, chosen)
        reason = f"{task} chose {join_names(chosen) if chosen else 'no task'}"
        skipped = [other for other in self.dag.downstream[task] if other not in run]
        self.not_chosen.update(dict.fromkeys(skipped, reason))
        for other in self.dag.members(*chosen) if skipped else ():
            self.ignored[other] = self.ignored.get(other, frozenset()) | self.dag.only_inferred(
                other, {*skipped, *self.dag.descendants(*skipped)}
            )

    def _plan_task(self, task: Task, mine: list[Instance]) -> None:
        if task.id in self.leads:
            self._plan_in_step(task, mine, self.table.of[self.leads[task.id]])
            return
        counts = self._counts(task)
        decision = self._decide(task, counts)
        settled = self._settled(task, counts, decision)
        held = self._blocked(task, counts, decision) if settled is None else None
        # The placeholder of a mapped task (map index -1) sorts first. Other instances beside it are older than a clear.
        mine.sort(key=lambda instance: instance.map_index)
        for n, instance in enumerate(mine):
            stale = n > 0 and mine[0].map_index < 0
            if instance.state in ACTIVE:
                self._stop(mine, n)
            elif instance.state in FINISHED:
                continue
            elif settled is not None:
                self.table.move(mine, n, *settled)
            elif stale and mine[0].state in FINISHED:
                self.table.move(mine, n, TaskState.REMOVED, "the task no longer has this element")
            elif stale:
                self.waiting[instance.key] = ("waits until the task's elements are known",)
            elif held is not None:
                self.waiting[instance.key] = held
            else:
                self._free(task, mine, n)

    def _plan_in_step(self, task: Task, mine: list[Instance], leading: Sequence[Instance]) -> None:
        """Plan the instances of a task with --in-step: each one follows the upstream instances with the same index.

        The placeholder waits until the leader (the task that --in-step names) has instances. Then the caller of `plan`
        replaces the placeholder.
        """
        mine.sort(key=lambda instance: instance.map_index)
        placeholder = mine[0].map_index < 0
        for n, instance in enumerate(mine):
            counts: Counts = Counts(0)
            decision: Decision = NextStep.WAIT
            if instance.map_index >= 0:
                counts = self._counts(task, instance.map_index)
                decision = self._decide(task, counts)
            settled = self._settled(task, counts, decision, instance.map_index)
            if instance.map_index < 0 and settled is None:
                settled = _as_leader(leading)
            if instance.state in ACTIVE:
                self._stop(mine, n)
            elif instance.state in FINISHED:
                continue
            elif settled is not None:
                self.table.move(mine, n, *settled)
            elif placeholder and n > 0 and mine[0].state in FINISHED:
                self.table.move(mine, n, TaskState.REMOVED, "the task no longer has this element")
            elif placeholder:
                self.waiting[instance.key] = (f"waits until the elements of {self.leads[task.id]} are known",)
            elif (held := self._blocked(task, counts, decision, instance.map_index)) is not None:
                self.waiting[instance.key] = held
            else:
                self._free(task, mine, n)

    def _decide(self, task: Task, counts: Counts) -> Decision:
        """Return the decision that follows from setup tasks further upstream, or else from the trigger rule."""
        states = [self.ends[setup] for setup in self.indirect_setups.get(task.id, ()) if setup in self.ends]
        if any(ends.bad for ends in states):
            return TaskState.UPSTREAM_FAILED
        if any(ends.skipped for ends in states):
            return TaskState.SKIPPED
        if any(ends.success + ends.removed < ends.all for ends in states):
            return NextStep.WAIT
        return decide(task.options.trigger, counts)

    def _counting(self, task: Task, index: int, other: str) -> Sequence[Instance]:
        """Return the instances of the upstream task `other` on which instance `index` of `task` depends."""
        mine = self.table.of.get(other, ())
        if index < 0 or not mine or other not in self.partners.get(task.id, ()):
            return mine
        if other not in self.by_index:
            self.by_index[other] = {each.map_index: each for each in mine}
        known = self.by_index[other]
        # An upstream task without this instance still has its placeholder, or gets the instance after this plan.
        return [known.get(index) or known.get(-1) or Instance(task=other, map_index=index)]

    def _counts(self, task: Task, index: int = -1) -> Counts:
        total = success = skipped = failed = upstream_failed = removed = 0
        setup = setup_success = setup_skipped = 0
        ignored = self.ignored.get(task.id, frozenset())
        in_step = self.partners.get(task.id, ()) if index >= 0 else ()
        for other in self.dag.upstream[task.id]:
            ends = self.ends.get(other)
            if ends is not None and other in in_step:
                ends = _ONE[self._counting(task, index, other)[0].state]
            # An upstream task that a branch task did not choose counts only if its own trigger rule lets it run.
            if other in ignored and ends is not None and ends.skipped == ends.all:
                continue
            if ends is None:  # a partial run may not contain the upstream task
                if task.options.trigger not in MET_BY_SUCCESS:
                    continue
                ends = _ONE[TaskState.SUCCESS]
            total += ends.all
            success += ends.success
            skipped += ends.skipped
            failed += ends.failed
            upstream_failed += ends.upstream_failed
            removed += ends.removed
            if self.dag.tasks[other].options.setup:
                setup += ends.all
                setup_success += ends.success
                setup_skipped += ends.skipped
        return Counts(total, success, skipped, failed, upstream_failed, removed, setup, setup_success, setup_skipped)

    def _settled(self, task: Task, counts: Counts, decision: Decision, index: int = -1) -> tuple[TaskState, str] | None:
        """Return the final state of a task that will not run, and the reason. Return None if the task may still run."""
        skipped_by = self.cut_short.get(task.id) or self.not_chosen.get(task.id)
        # A teardown is never skipped here, because it must release what setup has prepared.
        if skipped_by and not task.options.teardown_for:
            return TaskState.SKIPPED, skipped_by
        if isinstance(decision, TaskState) and (self.early_end is None or self.early_end.rules_apply):
            return decision, self._cause(task, counts, decision, index)
        if self.early_end is not None and not self._outlives_early_end(task):
            return TaskState.SKIPPED, self.early_end.reason
        return None

    def _outlives_early_end(self, task: Task) -> bool:
        """Return whether a task still runs although the run ends early.

        Only a teardown does, and only if the run fails fast: it must release what setup has prepared.
        """
        return bool(task.options.teardown_for) and self.early_end is not None and self.early_end.rules_apply

    def _cause(self, task: Task, counts: Counts, decision: TaskState, index: int) -> str:
        culprits: tuple[TaskState, ...] = ()
        if decision is TaskState.UPSTREAM_FAILED:
            culprits = (TaskState.FAILED, TaskState.UPSTREAM_FAILED)
        elif task.options.trigger in ("all_success", "none_skipped", "all_done_min_one_success"):
            culprits = (TaskState.SKIPPED,)
        setups = self.indirect_setups.get(task.id, ())
        for state in (*culprits, TaskState.SKIPPED) if setups else culprits:
            for other in (*self.dag.upstream[task.id], *setups) if state in culprits else setups:
                for instance in self._counting(task, index, other):
                    if instance.state is state:
                        return f"{instance.label} {state_phrase(state)}"
        return unmet_rule(task.options.trigger, counts)

    def _blocked(self, task: Task, counts: Counts, decision: Decision, index: int = -1) -> tuple[str, ...] | None:
        """Return the unmet conditions of a task, or None if the task may run.

        Without `explain`, return () in place of conditions on upstream tasks.
        """
        if decision is NextStep.WAIT:
            return self._unmet(task, counts, index) if self.inputs.explain else ()
        unmet = self._unmet_in_the_past(task)
        self.waits_for_past = self.waits_for_past or bool(unmet)
        return unmet or None

    def _unmet(self, task: Task, counts: Counts, index: int) -> tuple[str, ...]:
        pending = []
        for other in (*self.dag.upstream[task.id], *self.indirect_setups.get(task.id, ())):
            mine = self._counting(task, index, other)
            still = [instance for instance in mine if instance.state not in FINISHED]
            if still:
                is_partner = index >= 0 and other in self.partners.get(task.id, ())
                name = still[0].label if is_partner else other
                pending.append((name, still[0].state, len(still), len(mine)))
        if not pending:
            return (unmet_rule(task.options.trigger, counts),)
        return unmet_upstream(pending, task.options.trigger)

    def _unmet_in_the_past(self, task: Task) -> tuple[str, ...]:
        options, previous = task.options, self.inputs.previous
        if previous is None or not (options.depends_on_past or options.wait_for_downstream):
            return ()
        after = self.dag.downstream[task.id] if options.wait_for_downstream else ()
        return tuple(
            f"waits for {other} in the previous run, which {state_phrase(state)}"
            for other in (task.id, *after)
            for state in previous.get(other, ())
            if state not in (TaskState.SUCCESS, TaskState.SKIPPED, TaskState.REMOVED)
        )

    def _free(self, task: Task, mine: list[Instance], n: int) -> None:
        """Move an instance to state scheduled, unless it must still wait for its retry or next poll."""
        instance, now = mine[n], self.inputs.now
        if instance.state in (TaskState.UP_FOR_RETRY, TaskState.UP_FOR_RESCHEDULE):
            if instance.ready_at is not None and instance.ready_at > now:
                self.times.append(instance.ready_at)
                when = local_time(instance.ready_at, now, self.zone)
                if instance.question:
                    words = f"waits for approval: {instance.question}"
                elif instance.state is TaskState.UP_FOR_RETRY:
                    words = f"is retried at {when} (try {instance.tries + 1} of {task.options.retries + 1})"
                else:
                    words = f"polls again at {when}"
                self.waiting[instance.key] = (words,)
                return
            reason = "it is due"
        else:
            reason = "it is ready to run"
        if instance.state is not TaskState.SCHEDULED:
            instance = self.table.move(mine, n, TaskState.SCHEDULED, reason)
        self.ready.append(instance)

    def _stop(self, place: list[Instance], n: int) -> None:
        task = self.dag.tasks.get(place[n].task)
        if self.early_end is not None and not (task is not None and self._outlives_early_end(task)):
            self.cancel.append(place[n])
            self.table.move(place, n, self.early_end.active, self.early_end.reason)

    def plan(self) -> Plan:
        """Return the collected plan."""
        order = layout(self.dag)
        self.ready.sort(key=lambda one: (-order.weights[one.task], order.position[one.task], one.map_index))
        verdict, reason, deadlock = self._verdict()
        times = [*self.times] if verdict is None else []
        timeout = run_timeout(self.dag, self.run)
        if timeout is not None and verdict is None and self.early_end is None:
            times.append(timeout)
        missed: tuple[MissedDeadline, ...] = ()
        if order.has_deadlines and verdict is None:
            missed, coming = deadlines(self.dag, self.run.due, self._unfinished_tasks(), self.inputs.now)
            times += coming
        mapped = {one.task for one in self.ready if one.map_index < 0 and self.dag.tasks[one.task].options.map}
        return Plan(
            missing=self.table.missing,
            moves=tuple(self.table.moves),
            ready=tuple(self.ready),
            expand=frozenset(mapped),
            cancel=tuple(self.cancel),
            verdict=verdict,
            reason=reason,
            deadlock=deadlock,
            waiting=self.waiting if self.inputs.explain else {},
            next_check=min(times, default=None),
            missed=missed,
            waits_for_previous=(
                verdict is None and self.waits_for_past and not (self.ready or self.times or self._any_active())
            ),
        )

    def _unfinished_tasks(self) -> list[str]:
        of = self.table.of
        return [task for task, mine in of.items() if any(one.state not in FINISHED for one in mine)]

    def _any_active(self) -> bool:
        return any(instance.state in ACTIVE for instance in self.table.everything())

    def _verdict(self) -> tuple[RunState | None, str, Mapping[InstanceKey, tuple[str, ...]]]:
        if self.early_end is not None and not (self.early_end.rules_apply and self.table.unfinished()):
            return self.early_end.verdict, self.early_end.reason, {}
        if self.table.unfinished():
            if self.ready or self.times or self.waits_for_past or self._any_active():
                return None, "", {}
            return RunState.FAILED, "no remaining task can ever run", self.waiting
        leaves = find_leaves(self.dag, self.table)
        bad = [one.label for one in leaves if one.state in (TaskState.FAILED, TaskState.UPSTREAM_FAILED)]
        if bad:
            # The reason names the tasks that failed. The leaves may be other tasks, which a failure kept from running.
            failed = [instance.label for instance in failed_instances(self.dag, self.table)]
            return RunState.FAILED, f"{join_names(failed)} failed" if failed else f"{bad[0]} could not run", {}
        return RunState.SUCCESS, "", {}
