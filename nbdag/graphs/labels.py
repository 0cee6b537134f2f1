"""What a picture says in words: labels, which are short, and tooltips, which are whole.

Plain text throughout; whoever puts it into a picture escapes it for that picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from ..core.model.dag import Dag, Edge, Task
from ..core.model.states import TaskState
from ..core.options.options import TaskOptions
from .marks import STALE, Mark, look, seconds

NAME = 28  # characters of a task's id on its node
CROWDED = 60  # edges from which labels are kept shorter


_TIMED = (TaskState.SUCCESS, TaskState.FAILED, STALE)  # states whose sign says enough


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters: the middle makes way, as ids differ at both ends."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[-tail:]}" if tail else text[: limit - 1] + "…"


def carried(edge: Edge) -> tuple[str, ...]:
    """The names that travel along an edge, each once, in order."""
    return tuple(dict.fromkeys(use.name for use in edge.names))


def edge_label(edge: Edge, *, crowded: bool = False) -> str:
    """`df, X, +3`: as many names as a label can bear."""
    names = carried(edge)
    shown, limit = (1, 10) if crowded else (2, 16)
    parts = [shorten(name, limit) for name in names[:shown]]
    if len(names) > shown:
        parts.append(f"+{len(names) - shown}" if len(names) > shown + 1 or crowded else shorten(names[shown], limit))
    return ", ".join(parts)


def edge_tooltip(edge: Edge) -> str:
    """Which way, which names, written and read where. Cells and lines count from 1, as people count."""
    lines = [f"{edge.source} → {edge.target}" + (", declared" if edge.declared else "")]
    for use in edge.names:
        lines.append(f"{use.name}: written in {use.written_at}; read in {use.read_at}")
    return "\n".join(lines)


def task_note(task: Task, mark: Mark | None) -> str:
    """The second line of a node: what kind of task it is, how many, how it stands. Often empty without a mark."""
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
        parts.append(standing(mark))
        if mark.tries is not None:
            parts.append(f"try {mark.tries}")
    return " · ".join(parts)


def standing(mark: Mark) -> str:
    """How a task stands, as briefly as its node needs beside the sign: how long it took, or a word."""
    if mark.duration is not None and mark.state in _TIMED:
        return seconds(mark.duration)
    return look(mark.state).word


def task_tooltip(task: Task, mark: Mark) -> str:
    """All that there is to say of a task."""
    lines = [task.id]
    if task.options.doc:
        lines.append(task.options.doc)
    state = look(mark.state).word
    if mark.count is not None:
        state += f", {mark.count} instances"
    if mark.duration is not None:
        state += f", {seconds(mark.duration)}"
    lines.append(state + (f": {mark.reason}" if mark.reason else ""))
    for title, names in (("reads", task.reads), ("writes", task.writes), ("changes", task.changes)):
        if names:
            lines.append(f"{title} {', '.join(names)}")
    lines.extend(said(task.options))
    return "\n".join(lines)


def said(options: TaskOptions) -> list[str]:
    """The options that were said, each as a line: its name, and what was said."""
    plain = TaskOptions()
    lines = []
    for field in fields(TaskOptions):
        value = getattr(options, field.name)
        if field.name in ("doc", "after") or value == getattr(plain, field.name):
            continue
        if field.name == "map":
            value = ", ".join(f"{variable} in {source}" for variable, source in value)
        elif isinstance(value, tuple):
            value = ", ".join(map(str, value))
        said = field.name.replace("_", "-")
        lines.append(said if value is True else f"{said} {value}")
    return lines


def title(dag: Dag) -> str:
    """`churn: 5 tasks`."""
    count = len(dag.tasks)
    return f"{dag.id}: {count} task{'' if count == 1 else 's'}"


def listing(dag: Dag, marks: Mapping[str, Mark]) -> str:
    """The graph as lines of text, for terminals and screen readers: each task, its sign, what it follows."""
    if not dag.tasks:
        return f"{title(dag)}. Tag a cell with %%task NAME to make it one."
    width = max(len(task) for task in dag.tasks)
    into: dict[str, list[Edge]] = {task: [] for task in dag.tasks}
    for edge in dag.edges:
        if edge.target in into:
            into[edge.target].append(edge)
    lines = [title(dag)]
    for task in _in_order(dag):
        mark = marks.get(task, Mark())
        comes_from = ", ".join(_from(edge) for edge in into[task])
        line = f"  {look(mark.state).sign} {task:{width}}" + (f"  ← {comes_from}" if comes_from else "")
        if mark.state != "none":
            line += f"  [{look(mark.state).word}" + (f": {mark.reason}" if mark.reason else "") + "]"
        lines.append(line.rstrip())
    return "\n".join(lines)


def _in_order(dag: Dag) -> Sequence[str]:
    return dag.order if len(dag.order) == len(dag.tasks) else tuple(dag.tasks)


def _from(edge: Edge) -> str:
    label = edge_label(edge)
    return f"{edge.source} ({label})" if label else edge.source
