"""The loop that executes runs: the run of `nbdag run`, or all runs that are due to a scheduler, by the same code.

One step of a run records its results, asks `core.plan` which tasks change state, assigns slots by priority and pool,
saves, and only then submits the attempts to an executor. So every attempt is recorded before it starts. Time is an
argument of `tick`; between ticks the loop waits for the first of a result, the next due time and a change by others.
"""

from .due_runs import DueRun, DueRuns, instances_of, new_run, next_date, scheduled_name, timetable_of
from .recovery import HEARTBEAT_TIMEOUT, fail_dead_runs, fail_run, is_dead, reset_attempts
from .run_step import OwnedRun, TaskOutputs, new_instance, task_outputs, utc_datetime
from .scheduler import HEARTBEAT_INTERVAL, Scheduler

__all__ = [
    "HEARTBEAT_INTERVAL",
    "HEARTBEAT_TIMEOUT",
    "DueRun",
    "DueRuns",
    "OwnedRun",
    "Scheduler",
    "TaskOutputs",
    "fail_dead_runs",
    "fail_run",
    "instances_of",
    "is_dead",
    "new_instance",
    "new_run",
    "next_date",
    "reset_attempts",
    "scheduled_name",
    "task_outputs",
    "timetable_of",
    "utc_datetime",
]
