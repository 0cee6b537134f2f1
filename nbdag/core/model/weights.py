"""How much a task matters in the queue.

`downstream` (the default): a task's own priority and those of all that follow it, so that the beginning of a long
chain goes first. `upstream`: its own and those of all before it, so that what is begun gets finished. `absolute`: its
own. A priority counts within 32 bits, as in a database column; totals are not bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...errors import NbdagError
from ..options.option_types import nearest
from .dag import Dag

LEAST, MOST = -(2**31), 2**31 - 1
RULES = ("downstream", "upstream", "absolute")


class WeightRuleError(NbdagError):
    """There is no such weight rule."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule

    def __str__(self) -> str:
        like = nearest(self.rule, RULES)
        advice = f"did you mean {like}?" if like else f"take one of {', '.join(RULES)}"
        return f"there is no weight rule {self.rule!r}; {advice}"


def weights(dag: Dag, rule: str | None = None) -> dict[str, int]:
    """The weight of each task in the queue, by this rule or the dag's own; higher goes first."""
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
    # a task reached by several ways counts once; so sets, as the bits of one integer each, for a notebook of thousands
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
    """The sum of the values whose bits are set; tasks of one priority are counted together."""
    masks: dict[int, int] = {}
    for n, value in enumerate(values):
        masks[value] = masks.get(value, 0) | 1 << n
    return lambda bits: sum(value * (bits & mask).bit_count() for value, mask in masks.items())
