"""One step of one run: record results, change states of tasks, start attempts.

A `RunStep` begins as a copy of an `OwnedRun`, which is the state of the run as last loaded or saved. The step records
results, changes the states of tasks as `core.planning.plan` decides, and starts tasks that got a slot. All this becomes
one `Change` for the store. If the store rejects the change, the step is discarded, and another step begins with the
state in the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from ..core.cells.ignore_comments import ignored_in_run
from ..core.dataflow.file_order import conflicts_of_run
from ..core.model.dag import Task
from ..core.model.events import Event
from ..core.model.job import CANCELLED, TIMED_OUT, FilesOfAttempt, Key, Note, Result
from ..core.model.states import ACTIVE, FINISHED, RUN_FINISHED, RunState, TaskState, move
from ..core.model.text import join_names
from ..core.options.option_types import write_duration
from ..core.planning.assemble import StoredOutputs
from ..core.planning.dag_layout import layout
from ..core.planning.deadlines import MissedDeadline
from ..core.planning.plan import expansion_of, plan
from ..core.planning.plan_types import Instance, InstanceKey, Plan
from ..core.planning.pools import Claim, claims
from ..core.planning.retries import judged, retry_at
from ..core.schedule.assets import DAG_PREFIX, located
from ..store.rows import AssetEvent, CachedOutcome, Change, InstanceRow, NewAttempt, NewInstance
from .owned_run import MISSED, OwnedRun
from .planning_views import new_instance, planning_instance, run_view, utc_datetime

NEVER = 253_370_764_800.0  # in the year 9999: time of the next poll of a task that waits for a person without limit


class RunStep:
    """Collects the changes of one step of a run."""

    def __init__(self, run: OwnedRun, now: datetime) -> None:
        self.run = run
        self.now = now
        self.row = run.row
        self.instances = dict(run.instances)
        self.outputs = {task: dict(each) for task, each in run.outputs.items()}
        self.paused = dict(run.paused)
        self.plan = Plan()
        self.ended: list[tuple[InstanceRow, Result]] = []
        self.begun: list[NewAttempt] = []
        self.resumed: list[tuple[InstanceRow, int]] = []
        self.added: list[NewInstance] = []
        self.dropped: list[InstanceRow] = []
        self.notes: list[Note] = []  # notes about the run as a whole
        self.missed: list[MissedDeadline] = []  # deadlines that this step records as missed
        self.asset_events: list[AssetEvent] = []
        self.hosts: dict[Key, str] = {}  # hosts of attempts that have started
        self.given_up: list[tuple[InstanceRow, Result]] = []  # attempts that ended between two polls
        self._messages: dict[InstanceKey, str] = {}

    # Results

    def record_results(self, results: Iterable[Result]) -> None:
        """Record the results of ended attempts, and change the states of the attempts' tasks."""
        for result in results:
            key = (result.key.task, result.key.map_index)
            instance = self.instances.get(key)
            if instance is None or instance.tries != result.key.try_number:
                continue  # the result is ignored: the instance has a newer attempt
            if key in self.paused:
                result = replace(result, started=self.paused.pop(key))
            if result.ended < result.started:  # the clock was set back while the attempt was running
                result = replace(result, ended=result.started)
            if instance.task in self.run.dag.tasks:
                result = judged(self.run.dag.tasks[instance.task].options, result)
            if result.notes:
                ignored = ignored_in_run(self.run.dag, instance.task)
                result = replace(result, notes=tuple(each for each in result.notes if each.code not in ignored))
            self.ended.append((instance, result))
            if instance.state in ACTIVE:
                self._apply_result(key, instance, result)
                self._record_assets(instance, result)

    def _apply_result(self, key: InstanceKey, instance: InstanceRow, result: Result) -> None:
        if instance.state is TaskState.RESTARTING:
            self._move(key, TaskState.NONE)
            return
        task = self.run.dag.tasks[instance.task]
        match result.state:
            case TaskState.SUCCESS if task.options.map and instance.map_index < 0:
                self._expand(key, result)
            case TaskState.SUCCESS:
                reason = "" if result.chosen is None else f"chose {join_names(result.chosen) or 'no task'}"
                short = result.short_circuit
                self._move(key, TaskState.SUCCESS, reason, short_circuit=short, chosen=result.chosen)
                digests = {output.name: output.digest for output in result.outputs}
                self.outputs.setdefault(instance.task, {})[instance.map_index] = StoredOutputs(
                    instance.map_index, digests
                )
            case TaskState.SKIPPED:
                self._move(key, TaskState.SKIPPED, result.error or "", short_circuit=result.short_circuit)
            case TaskState.UP_FOR_RESCHEDULE if _waited_too_long(task, result):
                seconds = task.options.timeout or 0.0
                error = f"timed out after {seconds:g} s of waiting"
                late = judged(task.options, replace(result, state=TaskState.FAILED, error=error, kinds=TIMED_OUT))
                self.ended[-1] = (instance, late)
                self._apply_result(key, instance, late)
            case TaskState.UP_FOR_RESCHEDULE:
                self.paused[key] = result.started
                self._postpone(key, task, result)
            case _:
                retry = retry_at(
                    task.options,
                    dag=self.row.dag,
                    task=instance.task,
                    logical_date=utc_datetime(self.row.logical_date),
                    tries=instance.tries - instance.tries_before_reset,
                    ended=utc_datetime(result.ended),
                    final=result.final,
                )
                if retry is None:
                    self._move(key, TaskState.FAILED, result.error or "")
                else:
                    wait = f"next try in {write_duration(round(retry.timestamp() - result.ended))}"
                    message = f"{result.error} ({wait})" if result.error else wait
                    self._move(key, TaskState.UP_FOR_RETRY, message, wake=retry.timestamp())

    def _postpone(self, key: InstanceKey, task: Task, result: Result) -> None:
        """Let a task wait for its next poll, or for the answer of a person."""
        if result.question is None:
            wake = result.ended + task.options.poke if result.wake is None else result.wake
            if task.options.timeout is not None:
                wake = min(wake, result.started + task.options.timeout)
            self._move(key, TaskState.UP_FOR_RESCHEDULE, wake=wake)
            return
        timeout = task.options.approve_timeout
        until = None if timeout is None else result.ended + timeout
        answer = {"question": result.question, "asked": result.ended, "until": until}
        self.instances[key] = replace(self.instances[key], answer=answer)
        message = f"asks: {result.question}"
        self._move(key, TaskState.UP_FOR_RESCHEDULE, message, wake=NEVER if until is None else until)

    def _record_assets(self, instance: InstanceRow, result: Result) -> None:
        """Record a new version of each asset that a task produced, if the task has succeeded."""
        # None if the instance was the placeholder of a mapped task, which is replaced by the expanded instances.
        left = self.instances.get((instance.task, instance.map_index))
        if left is None or left.state is not TaskState.SUCCESS:
            return
        for asset in self.run.dag.tasks[instance.task].options.produces:
            extra, name = result.assets.get(asset, {}), located(asset, self.row.cwd)
            self.asset_events.append(self._asset_event(name, result.ended, extra, instance.task, instance.map_index))

    def _asset_event(
        self, asset: str, at: float, extra: Mapping[str, Any], task: str | None = None, map_index: int | None = None
    ) -> AssetEvent:
        row = self.row
        return AssetEvent(asset=asset, at=at, extra=extra, dag=row.dag, run=row.name, task=task, map_index=map_index)

    def _expand(self, key: InstanceKey, result: Result) -> None:
        self._set_elements(key[0], dict(enumerate(result.elements)), result.length or 0)

    def _expand_in_step(self) -> None:
        """Expand each task with --in-step to the indexes and elements of its leader, the task that --in-step names."""
        followers = layout(self.run.dag).leads
        of: dict[str, dict[int, InstanceRow]] = {task: {} for each in followers.items() for task in each}
        for (task, index), each in self.instances.items() if followers else ():
            if task in of and each.state is not TaskState.REMOVED:
                of[task][index] = each
        for task, lead in followers.items():
            indices = of[lead].keys()
            if not of[task] or not indices or -1 in indices or (-1 not in of[task] and of[task].keys() >= indices):
                continue
            variables = {variable for variable, _ in self.run.dag.tasks[task].options.map}
            elements = {
                n: {name: digest for name, digest in each.element.items() if name in variables}
                for n, each in of[lead].items()
            }
            self._set_elements(task, elements, max(indices) + 1)

    def _set_elements(self, task: str, elements: Mapping[int, Mapping[str, str]], length: int) -> None:
        """Give a mapped task one instance for each element."""
        mine = [each for each in self.instances.values() if each.task == task]
        outcome = expansion_of(task, length, [planning_instance(each) for each in mine])
        for dropped in outcome.drop:
            self.dropped.append(self.instances.pop(dropped))
        for each in mine:
            # An instance that was cleared gets its new element, because the element may have changed.
            if each.map_index in elements and each.state not in FINISHED:
                element = elements[each.map_index]
                self.instances[each.task, each.map_index] = replace(each, element=element)
        for step in outcome.moves:
            self._move((step.task, step.map_index), step.state, step.reason)
        for new in outcome.add:
            self.added.append(
                NewInstance(
                    task=new.task,
                    position=mine[0].position,
                    map_index=new.map_index,
                    pool=mine[0].pool,
                    slots=mine[0].slots,
                    resources=mine[0].resources,
                    element=elements.get(new.map_index, {}),
                )
            )

    # State changes

    def advance(self, *, cancelled: bool, previous: Mapping[str, Sequence[TaskState]] | None = None) -> None:
        """Change the states of tasks, and start or end the run, as `core.planning.plan` decides."""
        if self.row.state not in RUN_FINISHED and not self.added and not cancelled:
            self._expand_in_step()
        if self.row.state in RUN_FINISHED or self.added:
            return  # the new instances get their ids when this step is saved; another step then plans them
        # `now` must not be before the start of the run, even if the clock was set back.
        now = max(self.now.timestamp(), self.row.started or 0.0)
        if cancelled:
            self.row = replace(self.row, state=move(self.row.state, RunState.CANCELLED), ended=now)
        elif self.row.state is RunState.QUEUED:
            self.row = replace(self.row, state=move(self.row.state, RunState.RUNNING), started=now)
        self.plan = plan(
            self.run.dag,
            run_view(self.row),
            [self._planned(key, each) for key, each in self.instances.items()],
            now=self.now,
            previous=previous,
        )
        for new in self.plan.missing:
            self.added.append(new_instance(self.run.dag, new.task))
        for step in self.plan.moves:
            self._move((step.task, step.map_index), step.state, step.reason)
        for missed in self.plan.missed:
            if missed.task not in self.run.missed:
                message = missed.describe(self.run.dag, self.now)
                self.notes.append(Note(code=MISSED, name=missed.task or "", message=message))
                self.missed.append(missed)
        verdict = self.plan.verdict
        if verdict is not None and verdict is not self.row.state:
            self.row = replace(self.row, state=move(self.row.state, verdict), ended=now, error=self._failure_reason())
            if verdict is RunState.SUCCESS and self.row.tasks is None:
                self.asset_events.append(self._asset_event(DAG_PREFIX + self.row.dag, now, {}))

    def _planned(self, key: InstanceKey, row: InstanceRow) -> Instance:
        known = self.run.planned.get(key)
        if known is None or known[0] is not row:
            known = self.run.planned[key] = (row, planning_instance(row))
        return known[1]

    def _failure_reason(self) -> str | None:
        stuck = "; ".join(
            f"{task if index < 0 else f'{task}[{index}]'} {' and '.join(why)}"
            for (task, index), why in self.plan.deadlock.items()
        )
        return (f"{self.plan.reason}: {stuck}" if stuck else self.plan.reason) or self.row.error

    def ready_claims(self) -> tuple[Claim, ...]:
        """Return claims of slots for the tasks that are ready to start."""
        return self._claims(self.plan.ready)

    def active_claims(self) -> tuple[Claim, ...]:
        """Return the claims of the tasks that hold a slot."""
        busy = [planning_instance(each) for each in self.instances.values() if each.state in ACTIVE]
        return self._claims(busy)

    def _claims(self, instances: Sequence[Instance]) -> tuple[Claim, ...]:
        """Return the claims of these instances; they are cached, because a large run needs thousands in each step."""
        known = self.run.claims
        new = [each for each in instances if each.key not in known]
        known.update(zip((each.key for each in new), claims(self.run.dag, run_view(self.row), new), strict=True))
        return tuple(known[each.key] for each in instances)

    def start(self, claim: Claim, cache_key: str | None = None, earlier: CachedOutcome | None = None) -> None:
        """Start a task that got a slot. With `earlier`, the task ends immediately with that earlier outcome."""
        key = (claim.task, claim.map_index)
        instance = self.instances[key]
        move(instance.state, TaskState.QUEUED)
        if key in self.paused:
            instance = replace(instance, state=TaskState.RUNNING, wake=None)
            self.resumed.append((instance, instance.tries))
        else:
            instance = replace(instance, state=TaskState.RUNNING, wake=None, tries=instance.tries + 1)
            cached = None if earlier is None else earlier.made_in
            self.begun.append(NewAttempt(instance, instance.tries, cache_key, cached))
        self.instances[key] = instance
        self._messages.pop(key, None)  # remove the message "it is ready to run", which does not fit a running task
        if earlier is not None:
            at = self.now.timestamp()
            result = Result(
                key=self.run.key(instance),
                state=TaskState.SUCCESS,
                started=at,
                ended=at,
                outputs=earlier.outputs,
                metrics=earlier.metrics,
                notes=earlier.notes,
            )
            self.ended.append((instance, result))
            self._apply_result(key, instance, result)
            self._messages[key] = f"cached: result of run {earlier.made_in}"

    def _move(
        self,
        key: InstanceKey,
        state: TaskState,
        reason: str = "",
        *,
        wake: float | None = None,
        short_circuit: bool = False,
        chosen: tuple[str, ...] | None = None,
    ) -> None:
        instance = self.instances[key]
        if instance.state is TaskState.UP_FOR_RESCHEDULE and state is not TaskState.SCHEDULED and key in self.paused:
            result = given_up(self.run.key(instance), self.paused.pop(key), self.now.timestamp(), state, reason)
            self.given_up.append((instance, result))
        tries_before_reset = instance.tries if state is TaskState.NONE else instance.tries_before_reset
        self.instances[key] = replace(
            instance,
            state=move(instance.state, state),
            wake=wake,
            tries_before_reset=tries_before_reset,
            short_circuit=short_circuit,
            answer={} if state is TaskState.NONE else instance.answer,
            chosen=chosen,
        )
        if reason:
            self._messages[key] = reason

    # The outcome of the step

    @property
    def ends(self) -> bool:
        """Return whether the run ends in this step."""
        return self.row.state in RUN_FINISHED and not self.run.finished

    def compare_files(self, earlier: Sequence[FilesOfAttempt]) -> None:
        """Add a note for each pair of tasks that used the same file although nothing orders the tasks.

        `earlier` has the files of the attempts that were saved before this step.
        """
        ended = [
            FilesOfAttempt(task=instance.task, started=result.started, ended=result.ended, files=result.files)
            for instance, result in self.ended
            if result.files
        ]
        folder = f"{self.row.cwd.rstrip('/')}/"
        for conflict in conflicts_of_run(self.run.dag, [*earlier, *ended]):
            message = f"{conflict.message(lambda path: path.removeprefix(folder))}; {conflict.remedy}"
            if "NB470" not in ignored_in_run(self.run.dag, conflict.second):
                self.notes.append(Note(code="NB470", name=conflict.second, message=message))

    @property
    def starts(self) -> bool:
        """Return whether the run starts in this step."""
        return self.run.row.state is RunState.QUEUED and self.row.state is not RunState.QUEUED

    def outputs_of(self, task: str) -> list[StoredOutputs]:
        """Return the outputs of a task.

        The outputs of a task that this partial run does not contain come from another run.
        """
        # The outputs of a task that was cleared do not count.
        if task not in self.outputs:
            return list(self.run.borrowed.get(task, {}).values())
        return [left for index, left in self.outputs[task].items() if self._succeeded((task, index))]

    def _succeeded(self, key: InstanceKey) -> bool:
        return key in self.instances and self.instances[key].state is TaskState.SUCCESS

    @property
    def starting(self) -> list[InstanceRow]:
        """Return the instances whose attempts the executor must start or resume."""
        return [*(each.instance for each in self.begun if each.cached is None), *(each for each, _ in self.resumed)]

    @property
    def used_cache(self) -> bool:
        """Return whether a task ended at once with a cached outcome. Then its downstream tasks may start."""
        return any(each.cached is not None for each in self.begun)

    def change(
        self, scheduler: str, pools: Mapping[str, int], resources: Mapping[str, float] | None = None, host: str = ""
    ) -> Change | None:
        """Return the change to save, or None if nothing changes.

        The store rejects the change if it exceeds the pools, or the `resources` of the scheduler's machine. `host` is
        the host that executes the new attempts; "" if the host is unknown.
        """
        moved = [each for _, each in self._moved()]
        if self.row is self.run.row and not (
            moved or self.ended or self.given_up or self.added or self.dropped or self.notes or self.hosts
        ):
            return None
        return Change(
            run=self.row,
            instances=moved,
            begun=self.begun,
            resumed=self.resumed,
            ended=[*self.ended, *self.given_up],
            added=self.added,
            dropped=self.dropped,
            notes=self.notes,
            events=self.asset_events,
            pools=pools,
            resources=resources or {},
            at=self.now.timestamp(),
            scheduler=scheduler,
            host=host or None,
            hosts=self._located(),
            most=self.run.most if self.row.state is RunState.RUNNING and self.starts else None,
        )

    def _located(self) -> list[tuple[InstanceRow, str]]:
        if not self.hosts:
            return []
        found = ((each, self.hosts.get(self.run.key(each))) for each in self.instances.values())
        return [(each, host) for each, host in found if host is not None]

    def events(self) -> list[Event]:
        """Return the events to report once this step is saved."""
        before, at, name = self.run.instances, self.now.timestamp(), self.row.name
        events = []
        if self.row.state is not self.run.row.state and self.row.state not in RUN_FINISHED:
            events.append(Event(kind="run", run_id=name, state=self.row.state, at=at, dag=self.row.dag))
        moved = [(key, each) for key, each in self._moved() if _differs(each, before.get(key))]
        # Events of tasks that ended come before events of tasks that start as a consequence.
        for key, each in sorted(moved, key=lambda pair: pair[1].state not in FINISHED):
            events.append(
                Event(
                    kind="task",
                    run_id=name,
                    state=each.state,
                    at=at,
                    task=each.task,
                    map_index=each.map_index,
                    try_number=each.tries,
                    message=self._messages.get(key, ""),
                    dag=self.row.dag,
                )
            )
        if self.row.state is not self.run.row.state and self.row.state in RUN_FINISHED:
            why = self.row.error or ""
            events.append(Event(kind="run", run_id=name, state=self.row.state, at=at, message=why, dag=self.row.dag))
        return events

    def commit(self, added: Iterable[InstanceRow]) -> None:
        """Apply the saved step to the owned run."""
        run = self.run
        run.row = replace(self.row, revision=self.row.revision + 1)
        run.instances = self.instances | {(each.task, each.map_index): each for each in added}
        run.outputs, run.paused = self.outputs, self.paused
        run.missed |= {each.task for each in self.missed}
        run.missed_now = tuple(self.missed)
        self.mark_idle()

    def mark_idle(self) -> None:
        """Record at what time the next step of this run is due."""
        # If a task waits for a slot or for another run, the run is not idle: the task may start when any attempt ends.
        self.run.idle = not self.plan.ready and not self.added and not self.run.depends_on_previous
        self.run.wake = self.plan.next_check
        self.run.blocked = self.plan.waits_for_previous

    def _moved(self) -> list[tuple[InstanceKey, InstanceRow]]:
        before = self.run.instances
        return [(key, each) for key, each in self.instances.items() if each is not before.get(key)]


def _waited_too_long(task: Task, result: Result) -> bool:
    """Return whether a task that polls has used up its --timeout, which counts from its first poll."""
    timeout = task.options.timeout
    return timeout is not None and result.question is None and result.ended - result.started >= timeout


def given_up(key: Key, started: float, at: float, state: TaskState, why: str) -> Result:
    """Return the outcome of an attempt that was waiting for its next poll when its task got another state."""
    skipped = state is TaskState.SKIPPED
    outcome = TaskState.SKIPPED if skipped else TaskState.FAILED
    return Result(key=key, state=outcome, started=started, ended=max(at, started), error=why or CANCELLED, final=True)


def _differs(instance: InstanceRow, before: InstanceRow | None) -> bool:
    return before is None or (instance.state, instance.tries) != (before.state, before.tries)
