"""Short texts for messages, logs and tables: names of tasks and runs, states, counts, lists, times."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, tzinfo

from .states import TaskState

MAX_NAMES = 5  # maximum number of names that `join_names` writes; the others are only counted

_STATE_PHRASES = {
    TaskState.NONE: "has not started",
    TaskState.SCHEDULED: "is waiting for a slot",
    TaskState.QUEUED: "is about to start",
    TaskState.RUNNING: "is running",
    TaskState.RESTARTING: "is restarting",
    TaskState.SUCCESS: "succeeded",
    TaskState.FAILED: "failed",
    TaskState.SKIPPED: "was skipped",
    TaskState.UPSTREAM_FAILED: "could not run, because an upstream task failed",
    TaskState.REMOVED: "was removed",
    TaskState.UP_FOR_RETRY: "is waiting for a retry",
    TaskState.UP_FOR_RESCHEDULE: "is waiting for its next poll",
}


def task_label(task: str, map_index: int = -1) -> str:
    """Return the name of a task instance: "train", or "train[3]" for an instance of a mapped task."""
    return task if map_index < 0 else f"{task}[{map_index}]"


def run_selector(run: str, dag: str) -> str:
    """Return the arguments that select a run on the command line.

    They include the DAG, because runs of different DAGs have the same id if they are due at the same time.
    """
    return f"{run} --dag {dag}"


def state_phrase(state: TaskState) -> str:
    """Return a task's state as the end of a sentence about the task: "is running"."""
    return _STATE_PHRASES[state]


def plural(count: int, noun: str) -> str:
    """Return a count and its noun: "1 slot", "2 slots"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def join_names(names: Iterable[str]) -> str:
    """Return names separated by commas.

    Of a long list, the last names are replaced by a count: "a, b, c, d, e and 3 more".
    """
    names = list(names)
    if len(names) <= MAX_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[:MAX_NAMES])} and {len(names) - MAX_NAMES} more"


def local_time(moment: datetime, now: datetime, zone: tzinfo) -> str:
    """Return a moment as local time in `zone`, with the date if it is not today."""
    local = moment.astimezone(zone)
    day = "" if local.date() == now.astimezone(zone).date() else f"{local:%Y-%m-%d} "
    return f"{day}{local:%H:%M:%S %Z}"
