"""Descriptions of the conditions that a task does not meet yet.

Each description is a sentence without its subject, such as "waits for train, which is running". `nbdag why`, the log
and the report write the task's name before the description.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..model.states import TaskState
from ..model.text import MAX_NAMES, plural, state_phrase
from .triggers import Counts, rule_named


def unmet_upstream(pending: Sequence[tuple[str, TaskState, int, int]], rule: str) -> tuple[str, ...]:
    """Describe the unfinished upstream tasks for which a task waits.

    Each item of `pending` is an upstream task, the state of one of its unfinished instances, the number of its
    unfinished instances and the number of all its instances.
    """
    words = [
        f"waits for {task}, which {state_phrase(state)}"
        if total == 1
        else f"waits for {task}: {unfinished} of {total} instances have not ended"
        for task, state, unfinished, total in pending[:MAX_NAMES]
    ]
    if len(pending) > MAX_NAMES:
        words.append(f"waits for {plural(len(pending) - MAX_NAMES, 'more task')}")
    if rule != "all_success":
        words.append(f"has trigger rule {rule}: runs {rule_named(rule).words}")
    return tuple(words)


def unmet_rule(rule: str, counts: Counts) -> str:
    """Explain why a trigger rule can no longer be met."""
    upstream = plural(counts.all, "upstream task")
    return f"trigger rule {rule} runs it {rule_named(rule).words}; of {upstream} {_tally(counts)}"


def _tally(counts: Counts) -> str:
    """Return the outcomes of the upstream instances, counted: "2 succeeded, 1 was skipped"."""
    kinds = (
        (counts.success, _same("succeeded")),
        (counts.skipped, _was("skipped")),
        (counts.failed, _same("failed")),
        (counts.upstream_failed, _same("could not run")),
        (counts.removed, _was("removed")),
    )
    return ", ".join(f"{n} {verb(n)}" for n, verb in kinds if n) or "none has ended"


def _same(verb: str) -> Callable[[int], str]:
    return lambda n: verb


def _was(verb: str) -> Callable[[int], str]:
    return lambda n: f"{'was' if n == 1 else 'were'} {verb}"
