"""A Dag in DOT, Graphviz's language, for `nbdag show -o dag.dot` and for the layout of pictures."""

from __future__ import annotations

from collections.abc import Mapping

import graphviz

from ..core.model.dag import Dag
from .labels import CROWDED, NAME, edge_label, edge_tooltip, shorten, task_note, task_tooltip, title
from .marks import Mark, state_style

FONT = "Helvetica"  # Graphviz knows the character widths of this font; Arial has the same widths
LINE = "#768390"


def dot(
    dag: Dag,
    marks: Mapping[str, Mark] | None = None,
    *,
    direction: str = "TB",
    labels: bool = True,
    tooltips: bool = True,
) -> str:
    """Return the graph in DOT. `direction` is Graphviz's rankdir, TB or LR. Without `labels`, edges have no text.

    A layout needs no tooltips. Without `tooltips`, it is computed faster.
    """
    marks = marks or {}
    crowded = len(dag.edges) > CROWDED
    graph = graphviz.Digraph(
        graph_attr={
            "rankdir": direction,
            "bgcolor": "transparent",
            "tooltip": graphviz.escape(title(dag)),
            "nodesep": "0.3",
            "ranksep": "0.42" if labels else "0.3",
            "pad": "0.1",
            "fontname": FONT,
        },
        node_attr={
            "shape": "box",
            "style": "rounded",
            "fontname": FONT,
            "fontsize": "13",
            "margin": "0.15,0.07",
            "height": "0.36",
        },
        edge_attr={
            "fontname": FONT, "fontsize": "11", "color": LINE, "fontcolor": LINE, "arrowsize": "0.7", "penwidth": "1.2",
        },
    )  # fmt: skip
    for task in dag.tasks.values():
        mark = marks.get(task.id, Mark())
        style = state_style(mark.state)
        label = f"{style.sign} {shorten(task.id, NAME)}"
        note = task_note(task, marks.get(task.id))
        attributes = {
            # The spaces reserve room for the sign of the state, which is drawn later.
            "label": graphviz.escape(f"   {_roomy(label)}" + (f"\n      {_roomy(note)}" if note else "")),
            "color": style.colour,
        }
        if tooltips:
            attributes["tooltip"] = graphviz.escape(task_tooltip(task, mark))
        if task.options.map:
            attributes["peripheries"] = "2"
        if mark.selected:
            attributes["penwidth"] = "3"
        graph.node(task.id, **attributes)
    for edge in (*dag.edges, *dag.file_edges):
        if edge.source in dag.tasks and edge.target in dag.tasks:
            text = edge_label(edge, crowded=crowded) if labels else ""
            extra = {"label": graphviz.escape(f" {_roomy(text) if edge.label else text} ")} if text else {}
            if edge.declared or edge.files:
                extra["style"] = "dotted" if edge.files else "dashed"
            if tooltips:
                extra["tooltip"] = graphviz.escape(edge_tooltip(edge))
            graph.edge(edge.source, edge.target, **extra)
    return str(graph.source)


def _roomy(text: str) -> str:
    """Return the text with spaces added, because the font of a page may be wider than Graphviz assumes."""
    return text + " " * (len(text) // 4)
