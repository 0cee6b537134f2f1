"""A Dag as a Mermaid flow chart, which GitHub and GitLab render inside Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.model.dag import Dag
from .labels import CROWDED, NAME, edge_label, shorten, task_note
from .marks import STATE_STYLES, Mark, state_style


def mermaid(dag: Dag, marks: Mapping[str, Mark] | None = None, *, direction: str = "TB") -> str:
    """Return the graph as Mermaid text; declared edges are dotted."""
    marks = marks or {}
    # Numbered names, because a task id may be a keyword of Mermaid, such as `end`.
    names = {task: f"t{n}" for n, task in enumerate(dag.tasks)}
    crowded = len(dag.edges) > CROWDED
    lines = [f"flowchart {direction}"]
    used = []
    for task in dag.tasks.values():
        mark = marks.get(task.id, Mark())
        text = _quoted(f"{state_style(mark.state).sign} {shorten(task.id, NAME)}")
        note = task_note(task, marks.get(task.id))
        label = text + (f"<br/>{_quoted(note)}" if note else "")
        opening, closing = ("[[", "]]") if task.options.map else ("(", ")")
        lines.append(f'  {names[task.id]}{opening}"{label}"{closing}')
        if mark.state in STATE_STYLES and mark.state != "none":
            used.append((names[task.id], state_style(mark.state).colour, mark.selected))
        elif mark.selected:
            used.append((names[task.id], "", True))
    for edge in (*dag.edges, *dag.file_edges):
        if edge.source in names and edge.target in names:
            text = _quoted(edge_label(edge, crowded=crowded))
            arrow = ("-.->" if edge.declared or edge.files else "-->") + (f'|"{text}"|' if text else "")
            lines.append(f"  {names[edge.source]} {arrow} {names[edge.target]}")
    for name, colour, selected in used:
        styles = ([f"stroke:{colour}"] if colour else []) + (["stroke-width:3px"] if selected else [])
        lines.append(f"  style {name} {','.join(styles)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Quote a text. Characters that Mermaid would interpret become numbered entities."""
    return "".join(c if c.isalnum() or c in " _-.,+·×…○◔◐✓✗»⊘↻◷↺−△?" else f"#{ord(c)};" for c in text)
