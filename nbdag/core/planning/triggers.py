"""Airflow's thirteen trigger rules: when a task runs, given the outcomes of its upstream tasks.

Each rule is a row of the table below. A rule has conditions that end the task without running it, and a condition for
running it. The conditions are checked in this order; the first that holds decides. If none holds, the task waits.
Every instance of an upstream task counts separately. A task without upstream tasks runs. A rule depends only on the
counts.

`all_done_setup_success` is the rule of teardown tasks (`--teardown-for`): they run if a setup task has succeeded and
the tasks between setup and teardown have ended, with any outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from ...errors import NbdagError, error
from ..model.states import TaskState
from ..options.option_types import nearest


@dataclass(frozen=True, slots=True)
class Counts:
    """The number of all upstream instances, and the number of instances with each outcome."""

    all: int
    success: int = 0
    skipped: int = 0
    failed: int = 0
    upstream_failed: int = 0
    removed: int = 0
    setup: int = 0  # number of upstream instances that are setup tasks
    setup_success: int = 0
    setup_skipped: int = 0

    @property
    def bad(self) -> int:
        """Return the number of instances that failed, or could not run because an upstream task failed."""
        return self.failed + self.upstream_failed

    @property
    def done(self) -> bool:
        """Return whether every instance has ended."""
        return self.success + self.skipped + self.failed + self.upstream_failed + self.removed >= self.all


class NextStep(Enum):
    """The next move of a task without a final state."""

    RUN = "run"
    WAIT = "wait"


Decision = NextStep | TaskState  # a TaskState here is the final state that the task gets without running


@dataclass(frozen=True, slots=True)
class Rule:
    """A trigger rule: when a task runs, and when it ends without running."""

    runs: Callable[[Counts], bool]
    final_states: tuple[tuple[Callable[[Counts], bool], TaskState], ...]
    words: str  # the end of a sentence that begins with "runs", such as "when all have succeeded"


_SKIPPED, _UPSTREAM_FAILED = TaskState.SKIPPED, TaskState.UPSTREAM_FAILED

RULES: Mapping[str, Rule] = {
    "all_success": Rule(
        lambda n: n.success + n.removed == n.all,
        ((lambda n: n.bad > 0, _UPSTREAM_FAILED), (lambda n: n.skipped > 0, _SKIPPED)),
        "when all have succeeded",
    ),
    "all_failed": Rule(
        lambda n: n.bad + n.removed == n.all,
        ((lambda n: n.success > 0 or n.skipped > 0, _SKIPPED),),
        "when all have failed",
    ),
    "all_done": Rule(lambda n: n.done, (), "when all have ended"),
    "all_skipped": Rule(
        lambda n: n.skipped == n.all,
        ((lambda n: n.success > 0 or n.bad > 0, _SKIPPED),),
        "when all were skipped",
    ),
    "one_success": Rule(
        lambda n: n.success > 0,
        (
            (lambda n: n.done and n.skipped == n.all, _SKIPPED),
            (lambda n: n.done and n.success == 0, _UPSTREAM_FAILED),
        ),
        "as soon as one has succeeded",
    ),
    "one_failed": Rule(
        lambda n: n.bad > 0,
        ((lambda n: n.done and n.bad == 0, _SKIPPED),),
        "as soon as one has failed",
    ),
    "one_done": Rule(
        lambda n: n.success + n.failed > 0,
        ((lambda n: n.done and n.success == 0 and n.failed == 0, _SKIPPED),),
        "as soon as one has succeeded or failed",
    ),
    "none_failed": Rule(
        lambda n: n.success + n.skipped + n.removed == n.all,
        ((lambda n: n.bad > 0, _UPSTREAM_FAILED),),
        "when all have ended and none has failed",
    ),
    "none_failed_min_one_success": Rule(
        lambda n: n.success + n.skipped + n.removed == n.all and n.success > 0,
        (
            (lambda n: n.bad > 0, _UPSTREAM_FAILED),
            (lambda n: n.skipped == n.all, _SKIPPED),
            (lambda n: n.done and n.success == 0, _UPSTREAM_FAILED),
        ),
        "when all have ended, none has failed and one has succeeded",
    ),
    "none_skipped": Rule(
        lambda n: n.done and n.skipped == 0,
        ((lambda n: n.skipped > 0, _SKIPPED),),
        "when all have ended and none was skipped",
    ),
    "all_done_min_one_success": Rule(
        lambda n: n.skipped == 0 and n.success + n.bad >= n.all - n.removed and n.success > 0,
        (
            (lambda n: n.skipped > 0, _SKIPPED),
            (lambda n: n.success + n.bad + n.removed >= n.all and n.success == 0, _UPSTREAM_FAILED),
        ),
        "when all have ended, none was skipped and one has succeeded",
    ),
    "all_done_setup_success": Rule(
        lambda n: n.done and (n.setup == 0 or n.setup_success > 0),
        (
            (lambda n: n.done and 0 < n.setup == n.setup_skipped, _SKIPPED),
            (lambda n: n.done and n.setup > 0 and n.setup_success == 0, _UPSTREAM_FAILED),
        ),
        "when all have ended and, if one is a setup task, a setup task has succeeded",
    ),
    "always": Rule(lambda n: True, (), "at once"),
}

# The rules that can be met if upstream tasks succeed. All other rules require failures or skips.
MET_BY_SUCCESS = frozenset(RULES) - {"all_failed", "all_skipped", "one_failed"}


@error
class TriggerError(NbdagError):
    """A trigger rule is unknown."""

    rule: str
    template = "unknown trigger rule {rule!r}; {hint}"

    @property
    def hint(self) -> str:
        """Return the most similar rule, or else a list of all rules."""
        like = nearest(self.rule, RULES)
        return f"did you mean {like}?" if like else f"expected one of {', '.join(RULES)}"


def rule_named(name: str) -> Rule:
    """Return the rule of this name; raise `TriggerError` if it is unknown."""
    try:
        return RULES[name]
    except KeyError:
        raise TriggerError(name) from None


def decide(rule: str, counts: Counts) -> Decision:
    """Return whether a task runs or waits, or the final state that it gets without running."""
    row = rule_named(rule)
    if counts.all == 0:
        return NextStep.RUN
    for holds, state in row.final_states:
        if holds(counts):
            return state
    return NextStep.RUN if row.runs(counts) else NextStep.WAIT
