"""Why a task waits, or was not run, in words.

Fragments of a sentence about a task, such as "waits for train, which is running": `why`, the log and the report put
them after the task's name. They speak of tasks, pools and times, never of how planning works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, tzinfo

from ..model.states import TaskState
from .triggers import Counts, rule_named

SHOWN = 5  # names in one list, before the rest is only counted

_STANDING = {
    TaskState.NONE: "has not started",
    TaskState.SCHEDULED: "waits for its turn",
    TaskState.QUEUED: "is about to start",
    TaskState.RUNNING: "is running",
    TaskState.RESTARTING: "is being started anew",
    TaskState.SUCCESS: "succeeded",
    TaskState.FAILED: "failed",
    TaskState.SKIPPED: "was skipped",
    TaskState.UPSTREAM_FAILED: "could not run, because something before it failed",
    TaskState.REMOVED: "was removed",
    TaskState.UP_FOR_RETRY: "is about to be tried again",
    TaskState.UP_FOR_RESCHEDULE: "looks again later",
}


def label(task: str, map_index: int = -1) -> str:
    """How a person calls an instance."""
    return task if map_index < 0 else f"{task}[{map_index}]"


def told(run: str, dag: str) -> str:
    """A run as a command is told which one: DAGs that are due at the same time have runs of the same id."""
    return f"{run} --dag {dag}"


def standing(state: TaskState) -> str:
    """Where a task stands, as a verb: "is running"."""
    return _STANDING[state]


def several(count: int, noun: str) -> str:
    """A count and its noun: "1 slot", "2 slots"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(names: Iterable[str]) -> str:
    """Names in a row, the rest of a long row counted: "a, b and 3 more"."""
    names = list(names)
    if len(names) <= SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"


def clock(moment: datetime, now: datetime, zone: tzinfo) -> str:
    """A moment as a person in `zone` reads it: the date only if it is another day."""
    local = moment.astimezone(zone)
    day = "" if local.date() == now.astimezone(zone).date() else f"{local:%Y-%m-%d} "
    return f"{day}{local:%H:%M:%S %Z}"


def upstream(pending: Sequence[tuple[str, TaskState, int, int]], rule: str) -> tuple[str, ...]:
    """What a task waits for; each is a task, the state of one open instance, how many are open, and of how many."""
    words = [
        f"waits for {task}, which {standing(state)}"
        if total == 1
        else f"waits for {task}: {open_ones} of {total} have not ended"
        for task, state, open_ones, total in pending[:SHOWN]
    ]
    if len(pending) > SHOWN:
        words.append(f"waits for {several(len(pending) - SHOWN, 'more task')}")
    if rule != "all_success":
        words.append(f"goes by {rule}: runs {rule_named(rule).words}")
    return tuple(words)


def unmet(rule: str, counts: Counts) -> str:
    """Why a rule can no longer be met."""
    return f"by {rule} it runs {rule_named(rule).words}, and of {several(counts.all, 'task')} before it {tally(counts)}"


def tally(counts: Counts) -> str:
    """How the upstream instances ended: "2 succeeded, 1 was skipped"."""
    kinds = (
        (counts.success, _plain("succeeded")),
        (counts.skipped, _was("skipped")),
        (counts.failed, _plain("failed")),
        (counts.upstream_failed, _plain("could not run")),
        (counts.removed, _was("removed")),
    )
    return ", ".join(f"{n} {verb(n)}" for n, verb in kinds if n) or "none has ended"


def _plain(verb: str) -> Callable[[int], str]:
    return lambda n: verb


def _was(verb: str) -> Callable[[int], str]:
    return lambda n: f"{'was' if n == 1 else 'were'} {verb}"
