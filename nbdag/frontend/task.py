"""All that there is to say of one task: its code, what was said of it, why it stands where it stands, its values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..core.model.dag import Dag, Edge, Task
from ..core.model.job import StoredOutput
from ..core.model.states import TaskState
from ..graphs.labels import option_lines
from ..runs import Run
from ..values import summarise, type_name
from .messages import Neighbour, TellTask, Use, Value

_ELEMENTS = 5  # of what a mapped task left, whose summaries are shown
# Pygments' kinds of token, the finer first, and what the style sheet calls them.
_COLOURS = (
    ("Token.Keyword.Constant", "atom"),
    ("Token.Keyword", "keyword"),
    ("Token.Operator.Word", "keyword"),
    ("Token.Operator", "operator"),
    ("Token.Name.Function", "def"),
    ("Token.Name.Class", "def"),
    ("Token.Name.Builtin", "builtin"),
    ("Token.Name.Decorator", "meta"),
    ("Token.Literal.String", "string"),
    ("Token.Literal.Number", "number"),
    ("Token.Comment", "comment"),
)


def detail(dag: Dag, name: str, *, run: str = "") -> TellTask:
    """A task as the notebook tells it. Values and attempts are the caller's to add: a run's, or the session's."""
    task = dag.tasks[name]
    cell = dag.cells[task.cell] if task.cell < len(dag.cells) else None
    return {
        "kind": "task",
        "task": name,
        "run": run,
        "doc": task.options.doc or "",
        "cell": task.cell if cell is None else cell.in_file,
        "source": coloured(cell.source if cell is not None else task.code),
        "options": [[flag, value] for flag, _, value in (line.partition(" ") for line in option_lines(task.options))],
        "before": [_neighbour(edge, edge.source) for edge in dag.edges if edge.target == name],
        "after": [_neighbour(edge, edge.target) for edge in dag.edges if edge.source == name],
        "inputs": [],
        "outputs": [],
        "tries": [],
        "past": [],
    }


def live_values(dag: Dag, name: str, namespace: Mapping[str, Any]) -> tuple[list[Value], list[Value]]:
    """What the task reads and leaves, as it is in this kernel now."""
    task = dag.tasks[name]
    writers = {given.name: given.sources[0] for given in task.inputs if given.sources}
    return (
        [_live(each, writers.get(each, ""), namespace) for each in task.reads if _is_value(each, namespace)],
        [_live(each, name, namespace) for each in _leaves(task) if _is_value(each, namespace)],
    )


def run_values(dag: Dag, name: str, run: Run) -> tuple[list[Value], list[Value]]:
    """What the task was given and left in a run."""
    stored: dict[tuple[str, str], list[StoredOutput]] = {}
    for each in run.tasks:
        for output in each.outputs:
            stored.setdefault((each.id, output.name), []).append(output)
    mapped = {each.id for each in run.tasks if each.map_index >= 0}
    done = {each.id for each in run.tasks if each.state is TaskState.SUCCESS}
    inputs = []
    for given in dag.tasks[name].inputs:
        source = next((source for source in given.sources if source in done), given.sources[0] if given.sources else "")
        inputs.append(_stored(source, given.name, stored.get((source, given.name), ()), source in mapped))
    left = [_stored(name, what, found, name in mapped) for (task, what), found in stored.items() if task == name]
    return inputs, left


def _stored(task: str, name: str, found: Sequence[StoredOutput], mapped: bool) -> Value:
    """What a task left under a name; of a mapped one that is the list of what each instance did."""
    shown = ", ".join(output.summary for output in found[:_ELEMENTS])
    more = ", …" if len(found) > _ELEMENTS else ""
    kind = found[0].type if found else ""
    return {
        "name": name,
        "task": task,
        "type": f"list of {len(found)} × {kind}" if mapped and found else kind,
        "bytes": sum(output.bytes for output in found) if found else None,
        "summary": f"[{shown}{more}]" if mapped and found else shown,
        "stored": bool(found),
    }


def coloured(source: str) -> list[list[list[str]]]:
    """The source as lines of coloured pieces; nbdag's header and other magics are one piece."""
    from pygments.lexers.python import PythonLexer  # comes with IPython

    lines: list[list[list[str]]] = [[]]
    header = 0
    texts = source.split("\n")
    while header < len(texts) and (texts[header].startswith("%") or not texts[header].strip()):
        header += 1
    for text in texts[:header]:
        lines[-1].append(["meta", text])
        lines.append([])
    for kind, text in PythonLexer(stripnl=False, ensurenl=False).get_tokens("\n".join(texts[header:])):
        colour = next((colour for prefix, colour in _COLOURS if str(kind).startswith(prefix)), "")
        for n, part in enumerate(text.split("\n")):
            if n:
                lines.append([])
            if part:
                lines[-1].append([colour, part])
    return lines


def _neighbour(edge: Edge, other: str) -> Neighbour:
    uses: list[Use] = [
        {
            "name": use.name,
            "read_cell": use.read_at.cell,
            "read_line": use.read_at.line,
            "written_cell": use.written_at.cell,
            "written_line": use.written_at.line,
        }
        for use in edge.names
    ]
    return {"task": other, "declared": edge.declared, "uses": uses}


def _leaves(task: Task) -> Iterable[str]:
    return dict.fromkeys((*task.writes, *task.changes))


def _is_value(name: str, namespace: Mapping[str, Any]) -> bool:
    return name in namespace and type(namespace[name]).__name__ not in ("module", "function", "type")


def _live(name: str, writer: str, namespace: Mapping[str, Any]) -> Value:
    value = namespace[name]
    return {
        "name": name,
        "task": writer,
        "type": type_name(value),
        "bytes": _bytes(value),
        "summary": summarise(value),
        "stored": False,
    }


def _bytes(value: Any) -> int | None:
    """What an array or a data frame holds; of other things the size is not known cheaply."""
    try:
        usage = getattr(value, "memory_usage", None)
        if callable(usage):
            told = usage()
            return int(told.sum() if hasattr(told, "sum") else told)
        size = getattr(value, "nbytes", None)
        return size if isinstance(size, int) else None
    except Exception:  # it is the value's own code
        return None
