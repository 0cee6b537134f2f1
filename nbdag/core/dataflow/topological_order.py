"""Order the tasks of a notebook, and report a cycle of dependencies."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from ..model.dag import Cell, Edge, Problem
from ..model.problems import problem

Edges = dict[tuple[str, str], Edge]


def run_order(tasks: Sequence[str], edges: Iterable[Edge]) -> tuple[str, ...]:
    """Return the tasks in topological order, without tasks on a cycle or downstream of a cycle.

    Independent tasks are in notebook order.
    """
    position = {task: number for number, task in enumerate(tasks)}
    waiting = dict.fromkeys(tasks, 0)
    downstream: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        waiting[edge.target] += 1
        downstream[edge.source].append(edge.target)
    ready = [position[task] for task in tasks if not waiting[task]]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        task = tasks[heapq.heappop(ready)]
        order.append(task)
        for other in downstream[task]:
            waiting[other] -= 1
            if not waiting[other]:
                heapq.heappush(ready, position[other])
    return tuple(order)


def find_cycle(left: set[str], edges: Iterable[Edge]) -> list[str]:
    """Return one cycle among the given tasks, with the first task repeated at the end."""
    upstream: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        if edge.source in left and edge.target in left:
            upstream[edge.target].append(edge.source)
    # Each given task has an upstream task that is also given, so a walk upstream must reach some task twice.
    task = sorted(name for name in left if upstream[name])[0]
    path = [task]
    while True:
        task = sorted(upstream[task])[0]
        if task in path:
            return [task, *reversed(path[path.index(task) :])]
        path.append(task)


def cycle_problem(path: Sequence[str], edges: Edges, tasks: Mapping[str, Cell]) -> Problem:
    steps = []
    for source, target in pairwise(path):
        names = ", ".join(use.name for use in edges[source, target].names)
        steps.append(f" -({names})-> {target}" if names else f" -> {target}")
    # Suggest removing a declared edge that passes no variable, because that needs no change of code.
    declared = [pair for pair in pairwise(path) if edges[pair].declared]
    declared.sort(key=lambda pair: len(edges[pair].names))
    hint = "remove one of these dependencies"
    if declared:
        hint = f"remove the declaration that puts {declared[0][1]} after {declared[0][0]}"
    place = tasks[path[0]].at(1)
    message = f"tasks form a cycle: {path[0]}{''.join(steps)}"
    return problem("NB202", message, hint=hint, task=path[0], place=place)
