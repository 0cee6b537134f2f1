"""Weights of tasks in the queue, computed from the tasks' priorities by a weight rule.

`downstream` (the default) adds the priorities of all downstream tasks to the priority of the task, so that the start of
a long chain runs first. `upstream` adds the priorities of all upstream tasks, so that started chains are finished
first. `absolute` uses the task's priority alone. Priorities are clamped to 32 bits, as in a database column; weights
are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...errors import NbdagError, error
from ..options.option_types import nearest
from .dag import Dag

LEAST, MOST = -(2**31), 2**31 - 1
RULES = ("downstream", "upstream", "absolute")


@error
class WeightRuleError(NbdagError):
    """The weight rule is unknown."""

    rule: str
    template = "unknown weight rule {rule!r}; {advice}"

    @property
    def advice(self) -> str:
        """The most similar rule, or else a list of all rules."""
        similar = nearest(self.rule, RULES)
        return f"did you mean {similar}?" if similar else f"expected one of {', '.join(RULES)}"


def weights(dag: Dag, rule: str | None = None) -> dict[str, int]:
    """Return each task's weight by this rule, or by the DAG's rule if `rule` is None.

    Tasks of higher weight run first.
    """
    rule = dag.options.weight_rule if rule is None else rule
    own = {task.id: max(LEAST, min(MOST, task.options.priority)) for task in dag.tasks.values()}
    if rule == "absolute":
        return own
    if rule == "downstream":
        return _totals(own, dag.order[::-1], dag.downstream)
    if rule == "upstream":
        return _totals(own, dag.order, dag.upstream)
    raise WeightRuleError(rule)


def _totals(own: Mapping[str, int], order: tuple[str, ...], beyond: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    # A task that is reached on several paths counts once, so the reached tasks form a set. For speed, this set is an
    # integer with one bit per task.
    bit = {task: 1 << n for n, task in enumerate(order)}
    total = _sum_of_bits([own[task] for task in order])
    reached: dict[str, int] = {}
    for task in order:
        found = bit[task]
        for other in beyond[task]:
            found |= reached[other]
        reached[task] = found
    return {task: total(reached[task]) for task in own}


def _sum_of_bits(values: list[int]) -> Callable[[int], int]:
    """Return a function that takes a bit set and returns the sum of the values of its set bits.

    For speed, bits with equal values are summed by one bit mask.
    """
    masks: dict[int, int] = {}
    for n, value in enumerate(values):
        masks[value] = masks.get(value, 0) | 1 << n
    return lambda bits: sum(value * (bits & mask).bit_count() for value, mask in masks.items())
