"""A notebook's graph, laid out for a front end that draws it itself.

Boxes are as wide as what they may have to say one day, so that no change of state moves anything. A long chain, tasks
of which each has one before and one after, can be drawn as one box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..core.model.dag import Dag, Edge, Task
from ..core.options.options import TaskOptions
from ..graphs.dot import dot
from ..graphs.html import problem_line
from ..graphs.labels import CROWDED, NAME, carried, edge_label, edge_tooltip, shorten, task_note
from ..graphs.layout import Layout, lay_out
from ..graphs.marks import Mark
from ..graphs.svg import PAGE, line_path, tip_path
from .messages import Direction, Line, Node, Picture

SHORTEST = 3  # tasks in a chain that is worth a box of its own
_APART = 3.0  # points between a line and its label, as pages' fonts are wider than Graphviz thinks
_LONGEST = 3599.0  # seconds: as wide as a duration can be, 59 min 59 s


def picture(dag: Dag, *, direction: str = "auto", collapsed: bool = False, notebook: Path | None = None) -> Picture:
    """The graph. `direction` is LR, TB, or auto: whichever fits a page."""
    found = chains(dag)
    members: dict[str, tuple[str, ...]] = {task: (task,) for task in dag.tasks}
    drawn = dag
    if collapsed:
        drawn, members = _contracted(dag, found)
    chosen, layout = _arranged(drawn, direction)
    crowded = len(drawn.edges) > CROWDED
    return {
        "dag": dag.id,
        "notebook": "" if notebook is None else str(notebook),
        "direction": chosen,
        "collapsed": collapsed,
        "chains": len(found),
        "width": round(layout.width, 1),
        "height": round(layout.height, 1),
        "nodes": [_node(task, layout, members[task.id]) for task in drawn.tasks.values()],
        "lines": [
            _line(edge, layout, crowded=crowded)
            for edge in drawn.edges
            if edge.source in drawn.tasks and edge.target in drawn.tasks
        ],
        "order": list(dag.order if len(dag.order) == len(dag.tasks) else dag.tasks),
        "problems": [problem_line(problem) for problem in dag.problems],
    }


def chains(dag: Dag) -> list[tuple[str, ...]]:
    """Runs of tasks that follow one another and nothing else, each as long as can be."""

    def next_of(task: str) -> str | None:
        after = dag.downstream[task]
        return after[0] if len(after) == 1 and len(dag.upstream[after[0]]) == 1 else None

    follows = {task: next_of(task) for task in dag.tasks}
    inner = set(follows.values())
    found = []
    for task in dag.tasks:
        if task in inner:
            continue
        chain, at = [task], follows[task]
        while at is not None and at not in chain:
            chain.append(at)
            at = follows[at]
        if len(chain) >= SHORTEST:
            found.append(tuple(chain))
    return found


def _contracted(dag: Dag, found: Sequence[tuple[str, ...]]) -> tuple[Dag, dict[str, tuple[str, ...]]]:
    box_of = {task: task for task in dag.tasks}
    members: dict[str, tuple[str, ...]] = {}
    for chain in found:
        # An id has no space, so this is nobody else's.
        box = f"{shorten(chain[0], 10)} … {shorten(chain[-1], 10)} #{len(members)}"
        members[box] = chain
        box_of.update(dict.fromkeys(chain, box))
    tasks: dict[str, Task] = {}
    for task in dag.tasks.values():
        box = box_of[task.id]
        if box == task.id:
            tasks[box], members[box] = task, (box,)
        elif box not in tasks:
            tasks[box] = Task(id=box, cell=task.cell, options=TaskOptions(), code="")
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
        edges[source, target] = Edge(source=source, target=target, names=names, declared=declared)
    return replace(dag, tasks=tasks, edges=tuple(edges.values())), members


def _arranged(dag: Dag, direction: str) -> tuple[Direction, Layout]:
    # Only what may be tried again needs room for saying so.
    marks = {
        task.id: Mark(state="success", duration=_LONGEST, tries=9 if task.options.retries else None)
        for task in dag.tasks.values()
    }
    # Words on lines are for graphs in which they can be read; elsewhere pointing at a line tells them.
    labels = len(dag.edges) <= CROWDED

    def laid(way: Direction) -> Layout:
        return lay_out(dot(dag, marks, direction=way, labels=labels))

    if direction == "TB":
        return "TB", laid("TB")
    across = laid("LR")
    if direction == "LR" or (across.width <= PAGE and across.height <= PAGE):
        return "LR", across
    down = laid("TB")
    return ("TB", down) if down.width <= PAGE or down.width <= across.width else ("LR", across)


def _node(task: Task, layout: Layout, members: Sequence[str]) -> Node:
    box = layout.boxes[task.id]
    chain = len(members) > 1
    return {
        "id": task.id,
        "label": shorten(task.id.partition(" #")[0], NAME),
        "x": round(box.x, 1),
        "y": round(box.y, 1),
        "width": round(box.width, 1),
        "height": round(box.height, 1),
        "members": list(members),
        "mapped": bool(task.options.map),
        "note": f"{len(members)} tasks" if chain else task_note(task, None),
        "doc": task.options.doc or "",
    }


def _line(edge: Edge, layout: Layout, *, crowded: bool) -> Line:
    curve = layout.curves[edge.source, edge.target]
    x, y = curve.label or (0.0, 0.0)
    return {
        "source": edge.source,
        "target": edge.target,
        "declared": edge.declared,
        "names": list(carried(edge)),
        "path": line_path(curve),
        "tip": tip_path(curve),
        "label": edge_label(edge, crowded=crowded) if curve.label else "",
        "x": round(x + _APART, 1),
        "y": round(y, 1),
        "why": reasons(edge),
    }


def reasons(edge: Edge) -> list[str]:
    """Why an edge is there, a sentence for each reason."""
    told = edge_tooltip(edge).splitlines()[1:]
    if edge.declared:
        told.insert(0, "declared by --after or %edges")
    return told
