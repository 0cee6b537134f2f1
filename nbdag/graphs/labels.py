"""Texts in a picture: short labels and full tooltips.

The functions return plain text; the caller escapes it for the format of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from ..core.cells.describe import operator_options
from ..core.model.dag import Dag, Edge, Task
from ..core.model.states import TaskState
from ..core.model.text import plural
from ..core.options.options import TaskOptions
from .marks import STALE, Mark, duration_text, state_style

NAME = 28  # longest text of a task's id on its node, in characters
_LABEL = 28  # longest text of --edge-label beside an edge, in characters
CROWDED = 60  # in a graph with more edges than this, the labels of edges are shorter


_TIMED = (TaskState.SUCCESS, TaskState.FAILED, STALE)  # tasks in these states show their duration instead of the state


def shorten(text: str, limit: int) -> str:
    """Shorten a text to `limit` characters; cut the middle, because ids differ at both ends."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[-tail:]}" if tail else text[: limit - 1] + "…"


MAX_FILES = 5  # maximum number of files in a tooltip


def carried(edge: Edge) -> tuple[str, ...]:
    """Return the names whose values an edge passes, each once. Names that a task imports are not passed."""
    return tuple(dict.fromkeys(use.name for use in edge.names if not use.imported))


def edge_label(edge: Edge, *, crowded: bool = False) -> str:
    """Return the label of an edge: the text of --edge-label, else the first names that the edge passes.

    If there are more names, the label ends with their number, as in `df, X, +3`.
    """
    if edge.label:
        return shorten(edge.label, _LABEL)
    names = carried(edge)
    shown, limit = (1, 10) if crowded else (2, 16)
    parts = [shorten(name, limit) for name in names[:shown]]
    if len(names) > shown:
        parts.append(f"+{len(names) - shown}" if len(names) > shown + 1 or crowded else shorten(names[shown], limit))
    return ", ".join(parts)


def edge_tooltip(edge: Edge) -> str:
    """Return the tooltip of an edge: both tasks, and in which cell and line (from 1) each name is written and read."""
    lines = [f"{edge.source} → {edge.target}" + (", declared" if edge.declared else "")]
    if edge.label:
        lines.append(edge.label)
    if edge.files:
        lines[0] += ", not ordered"
        lines += [f"both use the file {path}" for path in edge.files[:MAX_FILES]]
    for use in edge.names:
        verb = "imported" if use.imported else "written"
        lines.append(f"{use.name}: {verb} in {use.written_at}; read in {use.read_at}")
    return "\n".join(lines)


def task_note(task: Task, mark: Mark | None) -> str:
    """Return the second line of a node: operator, number of instances, state.

    Return "" if the task has nothing to show.
    """
    parts = []
    if task.options.operator != "python":
        parts.append(shorten(task.options.operator, 16))
    if task.options.map:
        variables = ", ".join(variable for variable, _ in task.options.map)
        known = mark is not None and mark.count is not None
        parts.append(f"× {mark.count}" if known and mark else f"for each {shorten(variables, 16)}")
    if task.options.when:
        parts.append("conditional")
    if mark is not None:
        parts.append(mark_text(mark))
        if mark.tries is not None:
            parts.append(f"try {mark.tries}")
    return " · ".join(parts)


def mark_text(mark: Mark) -> str:
    """Return the text beside the sign of a node: the duration of a task that has ended, else the state."""
    if mark.duration is not None and mark.state in _TIMED:
        return duration_text(mark.duration)
    return state_style(mark.state).word


def task_tooltip(task: Task, mark: Mark) -> str:
    """Return the tooltip of a task: doc, state, names and options."""
    lines = [task.id]
    if task.options.doc:
        lines.append(task.options.doc)
    state = state_style(mark.state).word
    if mark.count is not None:
        state += f", {mark.count} instances"
    if mark.duration is not None:
        state += f", {duration_text(mark.duration)}"
    lines.append(state + (f": {mark.reason}" if mark.reason else ""))
    for title, names in (("reads", task.reads), ("writes", task.writes), ("changes", task.changes)):
        if names:
            lines.append(f"{title} {', '.join(names)}")
    lines.extend(option_lines(task.options))
    return "\n".join(lines)


def option_lines(options: TaskOptions) -> list[str]:
    """Return lines with name and value of each option that differs from the default."""
    plain = TaskOptions()
    lines = []
    for field in fields(TaskOptions):
        value = getattr(options, field.name)
        if field.name in ("doc", "after", "edge_label", "operator_options") or value == getattr(plain, field.name):
            continue
        if field.name == "map":
            value = ", ".join(f"{variable} in {source}" for variable, source in value)
        lines.append(_option_line(field.name, value))
    return lines + [_option_line(name, value) for name, value in operator_options(options).items()]


def _option_line(field: str, value: object) -> str:
    flag = field.replace("_", "-")
    shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return flag if value is True else f"{flag} {shown}"


def title(dag: Dag) -> str:
    """Return the title of a picture: `churn: 5 tasks`."""
    return f"{dag.id}: {plural(len(dag.tasks), 'task')}"


def listing(dag: Dag, marks: Mapping[str, Mark]) -> str:
    """Return the graph as text, for terminals and screen readers: a line for each task, with its upstream tasks."""
    if not dag.tasks:
        return f"{title(dag)}. Begin a cell with %%task NAME to create a task."
    width = max(len(task) for task in dag.tasks)
    into: dict[str, list[Edge]] = {task: [] for task in dag.tasks}
    for edge in dag.edges:
        if edge.target in into:
            into[edge.target].append(edge)
    lines = [title(dag)]
    for task in _run_order(dag):
        mark = marks.get(task, Mark())
        comes_from = ", ".join(_from(edge) for edge in into[task])
        line = f"  {state_style(mark.state).sign} {task:{width}}" + (f"  ← {comes_from}" if comes_from else "")
        if mark.state != "none":
            line += f"  [{state_style(mark.state).word}" + (f": {mark.reason}" if mark.reason else "") + "]"
        lines.append(line.rstrip())
    return "\n".join(lines)


def _run_order(dag: Dag) -> Sequence[str]:
    return dag.order if len(dag.order) == len(dag.tasks) else tuple(dag.tasks)


def _from(edge: Edge) -> str:
    label = edge_label(edge)
    return f"{edge.source} ({label})" if label else edge.source
