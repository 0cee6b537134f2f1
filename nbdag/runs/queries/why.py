"""`why`: explain the state of a task by its unmet conditions or its outcome.

This module finds the conditions that are unmet, and adds outcomes; `core.planning.explain` has the texts of conditions.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ...core.model.dag import Dag
from ...core.model.states import ACTIVE, FINISHED, RUN_FINISHED, RunState, TaskState
from ...core.model.text import join_names, local_time, run_selector, state_phrase, task_label
from ...core.planning.deadlines import deadline_of
from ...core.planning.plan import NO_ELEMENT, plan
from ...core.planning.plan_types import Plan
from ...core.planning.pools import Claim, assign_slots, claims, implicit_pools
from ...home import Home
from ...scheduler.due_runs import DEFAULT_BACKFILL_LIMIT, DEFAULT_RUN_LIMIT
from ...scheduler.planning_views import planning_instance, previous_states, run_view
from ...store.rows import AttemptRow, InstanceRow, RunRow
from .liveness import dead_owners, describe_orphan, jobs_of, offers_of_owners, owner_of
from .pinned import run_dag
from .records import Run, TaskNotInRunError
from .runs import WAS_CANCELLED, UnknownRunError, error_of, find_row, home_of, id_of, open_store

if TYPE_CHECKING:
    from ...store.store import Store

_NO_LIMIT = 1 << 30  # number of jobs (tasks at once) that is assumed for a run without an owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The state of a task instance, and the reasons for it."""

    run: str
    task: str  # name of the instance: `train`, or `train[3]`
    state: TaskState
    # The reasons, without the task's name as their subject: "waits for prep, which is running".
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as `why -o json` prints it."""
        return {"run_id": self.run, "task": self.task, "state": self.state.value, "reasons": list(self.reasons)}


def why(run: Run | str, task: str, *, dag: str | None = None, home: Home | None = None) -> list[Why]:
    """Explain the state of each instance of a task (`train`), or of one instance (`train[3]`)."""
    here = home_of(run, home)
    with open_store(here) as store:
        if store is None:
            raise UnknownRunError(id_of(run), dag, here.root)
        row = find_row(store, here, id_of(run), run.dag if isinstance(run, Run) else dag)
        return _Explainer(store, here, row).of(task)


def why_not_started(run: Run) -> dict[tuple[str, int], str]:
    """Return why tasks ended without an attempt (key: task and map index; value: the reason)."""
    with open_store(run.home) as store:
        if store is None:
            return {}
        return _Explainer(store, run.home, find_row(store, run.home, run.id, run.dag)).not_started()


class _Explainer:
    def __init__(self, store: Store, home: Home, row: RunRow) -> None:
        self.store, self.row = store, row
        self.dag: Dag = run_dag(home, row)
        self.dag = replace(self.dag, options=replace(self.dag.options, fail_fast=row.fail_fast))
        self.instances = store.instances([row.id])[row.id]
        self.attempts = {each.instance: each for each in store.attempts([row.id], details=False)[row.id]}
        self.owner = owner_of(store, row)
        dead = dead_owners(store).get(row.id)
        self.orphaned = "" if dead is None else describe_orphan(row, dead)
        self.now = datetime.now(UTC)

    def of(self, name: str) -> list[Why]:
        part = re.fullmatch(r"(.+)\[(\d+)\]", name)
        mine = [each for each in self.instances if each.task == name]
        if not mine and part:
            mine = [each for each in self.instances if (each.task, each.map_index) == (part[1], int(part[2]))]
        if not mine:
            raise TaskNotInRunError(
                self.row.dag, self.row.name, name, tuple(dict.fromkeys(each.task for each in self.instances))
            )
        return [
            Why(
                run=self.row.name,
                task=task_label(each.task, each.map_index),
                state=each.state,
                reasons=tuple(self._reasons(each)),
            )
            for each in mine
        ]

    def _reasons(self, each: InstanceRow) -> list[str]:
        attempt = None if each.is_reset else self.attempts.get(each.id)
        if each.state in ACTIVE:
            return self._active(each, attempt) + self._deadline(each)
        if each.state in FINISHED:
            return self._finished(each, attempt)
        found = self._run_waits() + self._waits(each) + self._deadline(each)
        if self.orphaned:
            found.append(f"cannot start: {self.orphaned}")
        elif not self.owner:
            resume = f"nbdag resume {run_selector(self.row.name, self.row.dag)}"
            found.append(
                f"belongs to a run that no process executes: start `nbdag scheduler`, or continue here with `{resume}`"
            )
        return found or [f"is ready to run, and {self.owner} starts it in a moment"]

    def _deadline(self, each: InstanceRow) -> list[str]:
        option = self.dag.tasks[each.task].options.deadline if each.task in self.dag.tasks else None
        due = run_view(self.row).due
        if option is None or due is None or self.row.state in RUN_FINISHED:
            return []
        at = deadline_of(option, due, self.dag.options.tz)
        when = local_time(at, self.now, ZoneInfo(self.dag.options.tz))
        return [f"{'missed its deadline' if at <= self.now else 'has until'} {when} (--deadline {option})"]

    def _active(self, each: InstanceRow, attempt: AttemptRow | None) -> list[str]:
        length = f" for {time.time() - attempt.started:.0f} s" if attempt else ""
        owner = self.owner or "a process that has ended"
        found = [f"{state_phrase(each.state)}{length} (try {each.tries}), in {owner}"]
        if self.orphaned:
            found.append(f"is interrupted: {self.orphaned}")
        elif not self.owner:
            found.append("is executed again by the next `nbdag scheduler`")
        return found

    def _finished(self, each: InstanceRow, attempt: AttemptRow | None) -> list[str]:
        of_it = attempt is not None and attempt.state is each.state
        if of_it and attempt is not None and attempt.cached:
            return [
                f"{state_phrase(each.state)} without running: it reuses the result of run {attempt.cached}, since "
                "neither its code nor its inputs have changed"
            ]
        if of_it and attempt is not None and attempt.error:
            return [f"{state_phrase(each.state)} (try {attempt.try_number}): {error_of(self.row, attempt)}"]
        if of_it and attempt is not None:
            chose = "" if each.chosen is None else f", and chose {join_names(each.chosen) or 'no task'}"
            chose += ", and its --short-circuit is false" if each.short_circuit else ""
            return [f"{state_phrase(each.state)} (try {attempt.try_number}){chose}"]
        if self._has_no_element(each):
            return [f"{state_phrase(each.state)}: {NO_ELEMENT}"]
        # No attempt explains the state: plan the task again from the start, and use the reason from that plan.
        anew = replace(each, state=TaskState.NONE)
        moves = self._plan([anew if other is each else other for other in self.instances]).moves
        for move in moves:
            if (move.task, move.map_index, move.state) == (each.task, each.map_index, each.state):
                return [f"{state_phrase(each.state)}: {move.reason}", *self._first_failure(each)]
        if each.state is TaskState.SKIPPED and self.row.state is RunState.CANCELLED:
            return [f"did not start: {WAS_CANCELLED}"]
        reason = f": {self.row.error}" if self.row.error else ", because a user marked it"
        return [f"{state_phrase(each.state)}{reason}"]

    def _first_failure(self, each: InstanceRow) -> list[str]:
        """If upstream tasks failed, return one line about the task that failed first. Otherwise return no line."""
        above = self.dag.ancestors(each.task) if each.state is TaskState.UPSTREAM_FAILED else ()
        failed = [other for other in self.instances if other.task in above and other.state is TaskState.FAILED]
        known = [(self.attempts[other.id], other) for other in failed if other.id in self.attempts]
        if not known:
            return []
        attempt, first = min(known, key=lambda pair: pair[0].ended or 0)
        error = error_of(self.row, attempt) or "unknown error"
        return [f"needs {task_label(first.task, first.map_index)}, which failed first: {error}"]

    def _has_no_element(self, each: InstanceRow) -> bool:
        task = self.dag.tasks.get(each.task)
        attempt = self.attempts.get(each.id)
        found = attempt is not None and attempt.state is TaskState.SUCCESS and each.map_index < 0
        return found and each.state is TaskState.SKIPPED and task is not None and bool(task.options.map)

    def not_started(self) -> dict[tuple[str, int], str]:
        never = {
            each.id: each
            for each in self.instances
            if each.state in FINISHED and (each.is_reset or each.id not in self.attempts or self._has_no_element(each))
        }
        anew = [replace(each, state=TaskState.NONE) if each.id in never else each for each in self.instances]
        moves = self._plan(anew).moves if never else ()
        found = {(move.task, move.map_index, move.state): move.reason for move in moves}
        cancelled = WAS_CANCELLED if self.row.state is RunState.CANCELLED else ""
        reasons = {}
        for each in never.values():
            reason = found.get(
                (each.task, each.map_index, each.state), cancelled if each.state is TaskState.SKIPPED else ""
            )
            reasons[each.task, each.map_index] = NO_ELEMENT if self._has_no_element(each) else reason
        return reasons

    def _run_waits(self) -> list[str]:
        row = self.row
        if row.state is not RunState.QUEUED:
            return []
        backfill = row.kind == "backfill"
        most = self.store.deployments.max_active_runs([row.dag]).get(row.dag, DEFAULT_RUN_LIMIT)
        if backfill:
            most = (
                DEFAULT_BACKFILL_LIMIT if row.backfill is None else self.store.backfills.max_active_runs(row.backfill)
            )
        running = self.store.deployments.count_running().get((row.dag, backfill), 0)
        if running >= most:
            kind = "runs of this backfill" if backfill else f"runs of {row.dag}"
            return [f"waits for the start of its run: {running} of at most {most} {kind} are running (max_active_runs)"]
        return ["waits for the start of its run"] if self.owner else []

    def _waits(self, each: InstanceRow) -> list[str]:
        found = self._plan(self.instances)
        key = (each.task, each.map_index)
        if key in found.waiting:
            return list(found.waiting[key])
        ready = claims(self.dag, run_view(self.row), found.ready)
        mine = next((claim for claim in ready if (claim.task, claim.map_index) == key), None)
        if mine is None:
            return []
        active = [
            Claim(
                dag_id=one.dag, run_id=one.run, task=one.task, map_index=one.map_index, weight=0, logical_date=None,
                position=0, pool=one.pool, slots=one.slots, resources=tuple(one.resources.items()),
            )
            for one in self.store.active_instances()
        ]  # fmt: skip
        pools = {**implicit_pools([self.dag]), **self.store.pools()}
        jobs, busy = jobs_of(self.store, self.row) or (_NO_LIMIT, 0)
        offers = offers_of_owners(self.store, self.row)
        assigned = assign_slots(ready, active, pools=pools, jobs=jobs, busy=busy, offers=offers, explain=True)
        return list(assigned.waiting.get(mine.key, ()))

    def _plan(self, instances: Sequence[InstanceRow]) -> Plan:
        state = RunState.RUNNING if self.row.state is RunState.QUEUED or self.row.state in RUN_FINISHED else None
        row = self.row if state is None else replace(self.row, state=state, started=None)
        planned = [planning_instance(each) for each in instances]
        return plan(
            self.dag, run_view(row), planned, now=self.now, previous=previous_states(self.store, self.row), explain=True
        )
