"""The loop that executes runs. `nbdag run` uses the loop for one run, `nbdag scheduler` for all runs that are due.

In one step of a run, the loop records results and calls `core.planning.plan`, which returns the tasks that change
state. Then the loop assigns slots by priority and pool, saves the step, and only then submits attempts to an executor.
So every attempt is recorded before it starts. One call of `tick` takes all steps that are due at the time that the
caller passes. Between two ticks the loop waits until an attempt ends, another process changes the store, or the next
tick is due.
"""

from .dead_runs import HEARTBEAT_TIMEOUT, fail_dead_runs, fail_run, is_dead, reset_attempts
from .due_runs import DueRun, DueRuns, condition_of, instances_of, new_run, next_date, scheduled_name, timetable_of
from .owned_run import OwnedRun, TaskOutputs, task_outputs
from .planning_views import new_instance, utc_datetime
from .presence import HEARTBEAT_INTERVAL
from .scheduler import Scheduler

__all__ = [
    "HEARTBEAT_INTERVAL",
    "HEARTBEAT_TIMEOUT",
    "DueRun",
    "DueRuns",
    "OwnedRun",
    "Scheduler",
    "TaskOutputs",
    "condition_of",
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
