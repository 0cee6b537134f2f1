"""Derive edges between tasks from the declared edges of groups and of teardown tasks.

The tasks `eu.extract` and `eu.load` form the group `eu`. If a task is declared after a group, it runs after the leaves
of the group. If a group is declared after a task, the roots of the group run after the task. A teardown task runs after
its setup tasks. If neither --after nor %edges puts the teardown task after another task, the teardown task also runs
after every earlier task that depends on its setup tasks. This module also gives edges the texts of --edge-label.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..model.dag import Cell, Edge, group_of, groups_of
from ..options.options import TaskOptions

Pair = tuple[str, str]  # (upstream task, downstream task)


@dataclass(frozen=True, slots=True)
class Dependent:
    """Declarations that imply edges between tasks."""

    groups: tuple[Pair, ...] = ()  # declared edges in which at least one end is a group
    teardowns: tuple[str, ...] = ()  # teardown tasks that run after every task that depends on their setup tasks


def derived(
    tasks: Sequence[str], options: Mapping[str, TaskOptions], known: Iterable[Pair], dependent: Dependent
) -> list[Pair]:
    """Return the edges that `dependent` implies, given the `known` edges. `tasks` are in notebook order."""
    if not (dependent.groups or dependent.teardowns):
        return []
    downstream: dict[str, set[str]] = {task: set() for task in tasks}
    for source, target in known:
        downstream[source].add(target)
    teardowns = {task for task in tasks if options[task].teardown_for}
    setups = {task for task in tasks if options[task].setup}
    groups = groups_of(tasks)
    found: dict[Pair, None] = {}

    def add(source: str, target: str) -> None:
        if target not in downstream[source]:
            downstream[source].add(target)
            found[source, target] = None

    # The innermost groups come first, because their edges determine the leaves of the enclosing groups.
    for source, target in sorted(dependent.groups, key=_depth, reverse=True):
        before = (source,) if source in downstream else _leaves(groups[source], downstream, setups, teardowns)
        after = (target,) if target in downstream else _roots(groups[target], downstream)
        for one in before:
            for other in after:
                add(one, other)
    for task in dependent.teardowns:
        for leaf in _scope_leaves(task, options[task].teardown_for, tasks, downstream):
            add(leaf, task)
    return list(found)


def with_labels(
    edges: Iterable[Edge], tasks: Mapping[str, Cell], task_options: Mapping[int, TaskOptions]
) -> Iterator[Edge]:
    """Yield the edges with the texts of --edge-label. A text for a group applies to all edges from its tasks."""
    given = {
        name: dict(task_options[cell.index].edge_label) for name, cell in tasks.items() if cell.index in task_options
    }
    for edge in edges:
        sources: list[str] = [edge.source]
        while given.get(edge.target) and (group := group_of(sources[-1])):
            sources.append(group)
        label = next((given[edge.target][name] for name in sources if name in given.get(edge.target, ())), "")
        yield replace(edge, label=label) if label else edge


def _depth(pair: Pair) -> int:
    return max(name.count(".") for name in pair)


def _leaves(
    members: Sequence[str], downstream: Mapping[str, Collection[str]], setups: set[str], teardowns: set[str]
) -> list[str]:
    """Return the tasks of a group that have no downstream task in the group.

    Teardown tasks do not count, as in Airflow.
    """
    inside = set(members)

    def is_leaf(task: str) -> bool:
        after = inside.intersection(downstream[task])
        return task not in teardowns and after <= teardowns and not (task in setups and after)

    found = [task for task in members if is_leaf(task)]
    return found or [task for task in members if not inside.intersection(downstream[task])]


def _roots(members: Sequence[str], downstream: Mapping[str, Collection[str]]) -> list[str]:
    followers = {other for task in members for other in downstream[task]}
    return [task for task in members if task not in followers]


def _scope_leaves(
    task: str, setups: Iterable[str], tasks: Sequence[str], downstream: Mapping[str, Collection[str]]
) -> list[str]:
    """Return the leaves among the tasks above a teardown task that depend on the setup tasks of the teardown task."""
    above = set(tasks[: tasks.index(task)])
    scope = (_reachable(setups, downstream) & above) - _reachable([task], downstream)
    return [each for each in tasks if each in scope and not scope.intersection(downstream[each])]


def _reachable(start: Iterable[str], downstream: Mapping[str, Collection[str]]) -> set[str]:
    found: set[str] = set()
    ahead = [other for task in start if task in downstream for other in downstream[task]]
    while ahead:
        task = ahead.pop()
        if task not in found:
            found.add(task)
            ahead.extend(downstream[task])
    return found
