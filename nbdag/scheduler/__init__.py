"""The loop that drives runs: `nbdag run` its own, the scheduler all that are due, by the same code.

Look at each run, take in what has ended, ask `core.plan` what moves, give out slots by priority and pool, save, and
only then hand the attempts to an executor. So what is recorded is never less than what was begun. Time is an argument
of `tick`; the loop around it waits for what comes first: a result, the next moment that something is due, or a change
from outside.
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
