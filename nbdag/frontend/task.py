"""The details of one task: source, options, neighbours and values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pygments.lexers.python import PythonLexer  # Pygments is always installed, because IPython depends on it
from pygments.token import Comment, Keyword, Name, Number, Operator, String

from ..core.model.dag import Dag, Edge, Task
from ..core.model.job import StoredOutput
from ..core.model.states import TaskState
from ..graphs.labels import option_lines
from ..runs import Run
from ..values import summarise, type_name
from .messages import Neighbour, TaskDetails, Use, Value

_SHOWN_ELEMENTS = 5  # number of elements to show of the list that a mapped task stores
# Pairs: a token type of Pygments, and its colour name in the style sheet. Subtypes come before their parent types.
_COLOURS = (
    (Keyword.Constant, "atom"),
    (Keyword, "keyword"),
    (Operator.Word, "keyword"),
    (Operator, "operator"),
    (Name.Function, "def"),
    (Name.Class, "def"),
    (Name.Builtin, "builtin"),
    (Name.Decorator, "meta"),
    (String, "string"),
    (Number, "number"),
    (Comment, "comment"),
)


def task_details(dag: Dag, name: str, *, run: str = "") -> TaskDetails:
    """Return the details of a task that the notebook has. The caller adds values, attempts and durations."""
    task = dag.tasks[name]
    cell = dag.cells[task.cell] if task.cell < len(dag.cells) else None
    return {
        "kind": "task",
        "task": name,
        "run": run,
        "doc": task.options.doc or "",
        "cell": task.cell if cell is None else cell.in_file,
        "source": highlight(cell.source if cell is not None else task.code),
        "options": [[flag, value] for flag, _, value in (line.partition(" ") for line in option_lines(task.options))],
        "upstream": [_neighbour(edge, edge.source) for edge in dag.edges if edge.target == name],
        "downstream": [_neighbour(edge, edge.target) for edge in dag.edges if edge.source == name],
        "inputs": [],
        "outputs": [],
        "attempts": [],
        "durations": [],
    }


def live_values(dag: Dag, name: str, namespace: Mapping[str, Any]) -> tuple[list[Value], list[Value]]:
    """Return the inputs and outputs of the task, with their current values in this kernel."""
    task = dag.tasks[name]
    writers = {given.name: given.sources[0] for given in task.inputs if given.sources}
    return (
        [_live_value(each, writers.get(each, ""), namespace) for each in task.reads if _is_value(each, namespace)],
        [_live_value(each, name, namespace) for each in _outputs(task) if _is_value(each, namespace)],
    )


def run_values(dag: Dag, name: str, run: Run) -> tuple[list[Value], list[Value]]:
    """Return the stored inputs and outputs of the task in a run."""
    stored: dict[tuple[str, str], list[StoredOutput]] = {}
    for each in run.tasks:
        for output in each.outputs:
            stored.setdefault((each.id, output.name), []).append(output)
    mapped = {each.id for each in run.tasks if each.map_index >= 0}
    done = {each.id for each in run.tasks if each.state is TaskState.SUCCESS}
    inputs = []
    for given in dag.tasks[name].inputs:
        source = next((source for source in given.sources if source in done), given.sources[0] if given.sources else "")
        inputs.append(stored_value(source, given.name, stored.get((source, given.name), ()), source in mapped))
    outputs = [
        stored_value(name, output, found, name in mapped) for (task, output), found in stored.items() if task == name
    ]
    return inputs, outputs


def stored_value(task: str, name: str, found: Sequence[StoredOutput], mapped: bool) -> Value:
    """Return a stored output of a task. For a mapped task, combine the outputs of all instances as one list."""
    shown = ", ".join(output.summary for output in found[:_SHOWN_ELEMENTS])
    more = ", …" if len(found) > _SHOWN_ELEMENTS else ""
    kind = found[0].type if found else ""
    return {
        "name": name,
        "task": task,
        "type": f"list of {len(found)} × {kind}" if mapped and found else kind,
        "bytes": sum(output.bytes for output in found) if found else None,
        "summary": f"[{shown}{more}]" if mapped and found else shown,
        "stored": bool(found),
    }


def highlight(source: str) -> list[list[list[str]]]:
    """Return the source as lines of (colour, text) pairs. A line of a header or magic is a single pair."""
    lines: list[list[list[str]]] = [[]]
    header = 0
    texts = source.split("\n")
    while header < len(texts) and (texts[header].startswith("%") or not texts[header].strip()):
        header += 1
    for text in texts[:header]:
        lines[-1].append(["meta", text])
        lines.append([])
    for token, text in PythonLexer(stripnl=False, ensurenl=False).get_tokens("\n".join(texts[header:])):
        colour = next((colour for kind, colour in _COLOURS if token in kind), "")
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


def _outputs(task: Task) -> Iterable[str]:
    return dict.fromkeys((*task.writes, *task.changes))


def _is_value(name: str, namespace: Mapping[str, Any]) -> bool:
    return name in namespace and type(namespace[name]).__name__ not in ("module", "function", "type")


def _live_value(name: str, writer: str, namespace: Mapping[str, Any]) -> Value:
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
    """Return the size in bytes of an array or a data frame. For other values it is slow to compute, so return None."""
    try:
        usage = getattr(value, "memory_usage", None)
        if callable(usage):
            found = usage()
            return int(found.sum() if hasattr(found, "sum") else found)
        size = getattr(value, "nbytes", None)
        return size if isinstance(size, int) else None
    except Exception:  # the value's own code may raise anything
        return None
