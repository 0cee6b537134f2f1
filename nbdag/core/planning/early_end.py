"""The reasons to end a whole run early, and the instances that decide how a run has ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ..model.dag import Dag, Task
from ..model.states import RunState, TaskState
from ..options.option_types import write_duration
from .instance_table import InstanceTable
from .plan_types import Instance, RunView


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyEnd:
    """A reason to end a whole run although some of its tasks have not ended."""

    reason: str
    verdict: RunState | None  # final state of the run; None if the run already has its final state
    active: TaskState  # state for the tasks that are running when the run ends early
    # True: teardown tasks still run, and trigger rules still decide final states; all other waiting tasks are skipped.
    # False: all waiting tasks are skipped.
    rules_apply: bool = False


def find_early_end(dag: Dag, run: RunView, table: InstanceTable, now: datetime) -> EarlyEnd | None:
    """Return why the whole run ends now (cancelled, timed out, or failed with --fail-fast), or None if it continues."""
    if run.state is RunState.CANCELLED:
        return EarlyEnd(reason="the run was cancelled", verdict=None, active=TaskState.FAILED)
    timeout = run_timeout(dag, run)
    if timeout is not None and timeout <= now and table.unfinished():
        reason = f"the run did not end within its timeout of {write_duration(dag.options.timeout or 0)}"
        return EarlyEnd(reason=reason, verdict=RunState.FAILED, active=TaskState.SKIPPED)
    failed = failed_instances(dag, table) if dag.options.fail_fast else []
    if failed:
        reason = f"{failed[0].label} failed, and the run fails fast"
        return EarlyEnd(reason=reason, verdict=RunState.FAILED, active=TaskState.FAILED, rules_apply=True)
    return None


def run_timeout(dag: Dag, run: RunView) -> datetime | None:
    """Return the time at which the run times out, or None if it has no timeout or has not started."""
    if dag.options.timeout is None or run.started is None:
        return None
    return run.started + timedelta(seconds=dag.options.timeout)


def failed_instances(dag: Dag, table: InstanceTable) -> list[Instance]:
    """Return the failed instances whose failure also fails the run."""
    return [
        instance
        for task, mine in table.of.items()
        for instance in mine
        if instance.state is TaskState.FAILED and not is_forgiven(dag.tasks[task])
    ]


def is_forgiven(task: Task) -> bool:
    """Return whether the run can succeed even if this task fails."""
    return bool(task.options.teardown_for) and not task.options.fail_run


def find_leaves(dag: Dag, table: InstanceTable) -> list[Instance]:
    """Return the instances that decide whether the run has succeeded.

    Teardown tasks do not count, so a task that is followed only by teardown tasks is a leaf.
    """

    def is_leaf(task: str, *, forgiven: bool) -> bool:
        below = (dag.tasks[other] for other in dag.downstream[task] if other in table.of)
        return not any(forgiven or not is_forgiven(other) for other in below)

    leaves = [task for task in table.of if not is_forgiven(dag.tasks[task]) and is_leaf(task, forgiven=False)]
    leaves = leaves or [task for task in table.of if is_leaf(task, forgiven=True)]
    return [instance for task in leaves for instance in table.of[task]]
