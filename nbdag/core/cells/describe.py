"""Describe a notebook as JSON data for `check --json` and `show --json`.

Other programs rely on the schema, so new versions may add keys, but never rename or remove keys. Cells are numbered
from 0 over all cells of the file. Lines are numbered from 1 within each cell. All values have types of JSON: no tuples,
dates or enums. Parameters that look like secrets, and all recipients of notifications, are masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from enum import Enum
from typing import Any

from ..model.dag import CellKind, Dag, Edge, Place, Problem, Task
from ..model.secret_names import MASK, masked_recipient, masked_sources, masked_value
from ..options.operator_options import options_of_operator
from ..options.options import DagOptions, TaskOptions
from .parameter_schema import schema_of
from .parameter_types import marked_secret


def describe(dag: Dag) -> dict[str, Any]:
    """Return a notebook as JSON data: its cells, tasks, edges and problems."""
    return {
        "dag": {
            "id": dag.id,
            **_options(dag.options),
            "parameters": masked_sources(dag.parameters) | dict.fromkeys(_marked(dag), repr(MASK)),
            "parameter_schema": schema_of(dag.parameter_schemas),
            "language": dag.language,
            "kernel": dag.kernel_name,
        },
        "tasks": [_task(task, dag.cells[task.cell].in_file) for task in dag.tasks.values()],
        "edges": [_edge(edge) for edge in dag.edges],
        "order": list(dag.order),
        "problems": [_problem(problem) for problem in dag.problems],
    }


def _marked(dag: Dag) -> frozenset[str]:
    marked = marked_secret(cell.code for cell in dag.cells if cell.kind is CellKind.PARAMETERS)
    return frozenset(name for name in marked if dag.parameters.get(name) not in ("''", "None"))


def _task(task: Task, cell: int) -> dict[str, Any]:
    return {
        "id": task.id,
        "cell": cell,
        "operator": task.options.operator,
        "after": list(task.options.after),
        "reads": list(task.reads),
        "writes": list(task.writes),
        "changes": list(task.changes),
        "opaque": task.opaque,
        "options": {**_options(task.options), "operator_options": operator_options(task.options)},
    }


def _edge(edge: Edge) -> dict[str, Any]:
    return {
        "from": edge.source,
        "to": edge.target,
        "kind": "declared" if edge.declared else "inferred",
        "names": [
            {"name": use.name, "read_at": _place(use.read_at), "written_at": _place(use.written_at)}
            for use in edge.names
        ],
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "code": problem.code,
        "severity": problem.severity,
        "task": problem.task,
        "cell": None if problem.place is None else problem.place.cell,
        "line": None if problem.place is None else problem.place.line,
        **_text_line(problem.place),
        "message": problem.message,
        "hint": problem.hint,
    }


def _options(options: TaskOptions | DagOptions) -> dict[str, Any]:
    described = {}
    for field in fields(options):
        value = getattr(options, field.name)
        if field.metadata.get("recipients"):
            value = [masked_recipient(each) for each in value]
        described[field.name] = _plain(value)
    return described


def operator_options(options: TaskOptions) -> dict[str, Any]:
    """Return the options of the task's operator that the task sets, by field, with secrets and recipients masked."""
    recipients = {each.field for each in options_of_operator(options.operator) if each.recipients}
    shown = {}
    for name, value in options.operator_options:
        if name in recipients:
            shown[name] = [masked_recipient(each) for each in value]
        else:
            shown[name] = masked_value(name, _plain(value))
    return shown


def _text_line(place: Place | None) -> dict[str, int]:
    """Return {"text_line": line in the file} for a text notebook, or {} for an `.ipynb` file."""
    return {} if place is None or place.text_line is None else {"text_line": place.text_line}


def _place(place: Place) -> list[int]:
    return [place.cell, place.line]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return value
