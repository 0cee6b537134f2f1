"""Draw several tasks as one box: a group, or a chain of tasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from ..core.model.dag import Dag, Edge, Task
from ..core.model.text import join_names, plural
from ..core.options.options import TaskOptions


def folded_groups(dag: Dag, groups: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the tasks of each of these groups.

    Groups that the DAG does not have are omitted, as are groups inside another of these groups.
    """
    known = {group: dag.groups[group] for group in groups if group in dag.groups}
    return {
        group: members for group, members in known.items() if not any(group.startswith(f"{other}.") for other in known)
    }


def fold(dag: Dag, boxes: Mapping[str, Sequence[str]]) -> Dag:
    """Return a DAG in which one task replaces the tasks of each box. The id of a box must differ from all task ids."""
    box_of = {task: task for task in dag.tasks} | {task: box for box, members in boxes.items() for task in members}
    tasks: dict[str, Task] = {}
    for task in dag.tasks.values():
        box = box_of[task.id]
        if box == task.id:
            tasks[box] = task
        elif box not in tasks:
            doc = f"{plural(len(boxes[box]), 'task')}: {join_names(boxes[box])}"
            tasks[box] = Task(id=box, cell=task.cell, options=TaskOptions(doc=doc), code="")
    edges: dict[tuple[str, str], Edge] = {}
    for edge in dag.edges:
        if edge.source not in box_of or edge.target not in box_of:
            continue
        source, target = box_of[edge.source], box_of[edge.target]
        if source == target:
            continue
        before = edges.get((source, target))
        names = edge.names if before is None else (*before.names, *edge.names)
        declared = edge.declared and (before is None or before.declared)
        labels = dict.fromkeys(each.label for each in (before, edge) if each is not None and each.label)
        label = ", ".join(labels)
        edges[source, target] = Edge(source=source, target=target, names=names, declared=declared, label=label)
    files = {
        (box_of[each.source], box_of[each.target]): replace(
            each, source=box_of[each.source], target=box_of[each.target]
        )
        for each in dag.file_edges
    }
    files = {pair: each for pair, each in files.items() if pair[0] != pair[1] and pair not in edges}
    return replace(dag, tasks=tasks, edges=tuple(edges.values()), file_edges=tuple(files.values()), order=())
