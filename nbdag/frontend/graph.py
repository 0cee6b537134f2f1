"""The graph of a notebook with its layout, for a front end that draws it.

Several layouts are tried: with or without labels of edges, from left to right or from top to bottom, with unconnected
parts in one row or in several. The first layout that fits the view at the scale `LEGIBLE` is used. If no layout fits,
the layout with the largest scale is used. Each box has room for the longest text of any state, so a change of state
never changes the layout. A long chain of tasks, each with exactly one upstream and one downstream task, can be drawn as
one box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..core.model.dag import Dag, Edge, Task
from ..core.model.text import plural
from ..graphs.dot import dot
from ..graphs.fold import fold, folded_groups
from ..graphs.html import problem_line
from ..graphs.label_places import place_labels
from ..graphs.labels import CROWDED, NAME, carried, edge_label, edge_tooltip, shorten, task_note
from ..graphs.layout import Layout, Point, lay_out
from ..graphs.marks import Mark
from ..graphs.svg import PAGE, line_path, tip_path
from ..graphs.wrap import wrap
from ..linting.explanations import texts_of
from .messages import Direction, Line, Node, Picture

DROPPED = ("NB310", "NB311")  # codes of the problems that `check_untagged_cells` reports about untagged cells
MIN_CHAIN = 3  # a chain with at least this many tasks can be drawn as one box
LEGIBLE = 0.85  # smallest scale at which the name of a task, 13 points high, has at least 11 pixels
SPACE = (PAGE, 560.0)  # width and height of a view in a notebook, in pixels
_WIDEST_DURATION = 3599.0  # duration in seconds whose text is the widest: 59 min 59 s


def picture(
    dag: Dag,
    *,
    direction: str = "auto",
    collapsed: bool = False,
    folded: Sequence[str] = (),
    notebook: Path | None = None,
    space: tuple[float, float] | None = None,
) -> Picture:
    """Return the graph with its layout. `direction` is LR, TB, or auto for the direction that fits the space.

    `space` is the width and the height of the view in pixels; the default is `SPACE`.
    Each group in `folded` is drawn as one box. With `collapsed`, each long chain is also drawn as one box.
    """
    members: dict[str, tuple[str, ...]] = {task: (task,) for task in dag.tasks}
    groups = folded_groups(dag, folded)
    drawn = fold(dag, groups) if groups else dag
    members |= groups
    labels: dict[str, str] = {}
    found = chains(drawn)
    if collapsed:
        boxes: dict[str, tuple[str, ...]] = {}
        for chain in found:
            label = f"{shorten(chain[0], 10)} … {shorten(chain[-1], 10)}"
            box = f"{label} #{len(boxes)}"  # task ids contain no space, so this id is unique
            boxes[box], labels[box] = chain, label
            members[box] = tuple(task for each in chain for task in members[each])
        drawn = fold(drawn, boxes)
    chosen, layout = _arrange(drawn, direction, space or SPACE)
    crowded = len(drawn.edges) > CROWDED
    labelled = (edge for edge in drawn.edges if edge.label or not crowded)
    texts = {(edge.source, edge.target): edge_label(edge) for edge in labelled}
    given = {(edge.source, edge.target) for edge in drawn.edges if edge.label}
    labels_at = place_labels(layout, texts, over_lines=given)
    return {
        "dag": dag.id,
        "notebook": "" if notebook is None else str(notebook),
        "direction": chosen,
        "collapsed": collapsed,
        "chains": len(found),
        "width": round(layout.width, 1),
        "height": round(layout.height, 1),
        "groups": [group for group in dag.groups if group not in dag.tasks],
        "folded": list(groups),
        "nodes": [
            _node(task, layout, members[task.id], labels.get(task.id, task.id), group=task.id in groups)
            for task in drawn.tasks.values()
        ],
        "lines": [
            _line(edge, layout, texts, labels_at)
            for edge in (*drawn.edges, *drawn.file_edges)
            if edge.source in drawn.tasks and edge.target in drawn.tasks
        ],
        "order": list(dag.order if len(dag.order) == len(dag.tasks) else dag.tasks),
        "parameters": list(dag.parameters),
        "problems": [problem_line(problem) for problem in dag.problems],
        "explanations": texts_of(dag.problems),
        "dropped": sorted({each.place.cell for each in dag.problems if each.code in DROPPED and each.place}),
        "unbuilt": dag.unbuilt,
    }


def chains(dag: Dag) -> list[tuple[str, ...]]:
    """Return the longest chains.

    In a chain, each task is the only downstream task of the previous task, and has no other upstream task.
    """

    def next_of(task: str) -> str | None:
        after = dag.downstream[task]
        return after[0] if len(after) == 1 and len(dag.upstream[after[0]]) == 1 else None

    following = {task: next_of(task) for task in dag.tasks}
    inner = set(following.values())
    found = []
    for task in dag.tasks:
        if task in inner:
            continue
        chain, at = [task], following[task]
        while at is not None and at not in chain:
            chain.append(at)
            at = following[at]
        if len(chain) >= MIN_CHAIN:
            found.append(tuple(chain))
    return found


def _arrange(dag: Dag, direction: str, space: tuple[float, float]) -> tuple[Direction, Layout]:
    # Only a task with retries needs room for the number of tries.
    marks = {
        task.id: Mark(state="success", duration=_WIDEST_DURATION, tries=9 if task.options.retries else None)
        for task in dag.tasks.values()
    }
    directions: tuple[Direction, ...] = ("LR", "TB") if direction == "auto" else ("TB" if direction == "TB" else "LR",)
    found: list[tuple[float, Direction, Layout]] = []
    # A crowded graph has no room for labels on its lines, so only the tooltip of a line shows the label.
    for labels in (True, False) if len(dag.edges) <= CROWDED else (False,):
        for each in directions:
            layout = lay_out(dot(dag, marks, direction=each, labels=labels, tooltips=False))
            if _scale(layout, space) >= LEGIBLE:
                return each, layout
            layout = wrap(layout, space)
            scale = _scale(layout, space)
            if scale >= LEGIBLE:
                return each, layout
            found.append((scale, each, layout))
    _, chosen, layout = max(found, key=lambda each: each[0])
    return chosen, layout


def _scale(layout: Layout, space: tuple[float, float]) -> float:
    return min(space[0] / max(layout.width, 1.0), space[1] / max(layout.height, 1.0))


def _node(task: Task, layout: Layout, members: Sequence[str], label: str, *, group: bool) -> Node:
    box = layout.boxes[task.id]
    several = len(members) > 1 or group
    return {
        "id": task.id,
        "label": shorten(label, NAME),
        "x": round(box.x, 1),
        "y": round(box.y, 1),
        "width": round(box.width, 1),
        "height": round(box.height, 1),
        "members": list(members),
        "mapped": bool(task.options.map),
        "group": group,
        "note": plural(len(members), "task") if several else task_note(task, None),
        "doc": task.options.doc or "",
    }


def _line(
    edge: Edge, layout: Layout, texts: Mapping[tuple[str, str], str], labels_at: Mapping[tuple[str, str], Point]
) -> Line:
    ends = (edge.source, edge.target)
    curve = layout.curves[ends]
    x, y = labels_at.get(ends, (0.0, 0.0))
    return {
        "source": edge.source,
        "target": edge.target,
        "declared": edge.declared,
        "names": list(carried(edge)),
        "files": list(edge.files),
        "path": line_path(curve),
        "tip": tip_path(curve),
        "imports": list(dict.fromkeys(use.name for use in edge.names if use.imported)),
        "label": texts[ends] if ends in labels_at else "",
        "x": round(x, 1),
        "y": round(y, 1),
        "why": reasons(edge),
    }


def reasons(edge: Edge) -> list[str]:
    """Return the reasons for an edge, one sentence for each."""
    found = edge_tooltip(edge).splitlines()[1:]
    if edge.files:
        found.insert(0, f"nothing orders these tasks: add --after {edge.source} to %%task {edge.target}")
    if edge.declared:
        found.insert(0, "declared by --after, --edge-label, %edges or --teardown-for")
    return found
