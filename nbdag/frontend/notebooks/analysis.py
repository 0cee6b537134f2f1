"""Analyse and tag the cells of a notebook that a page shows. The cells may differ from those in the file.

The page posts its cells and the executions that it has seen. So no kernel is asked, and nothing is executed. The tasks
of a `%%dag` cell are the tasks that its last execution in the kernel has built. The result is what a headless run of
these cells would do.
"""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from hashlib import sha256
from pathlib import PurePosixPath

from ... import runs
from ...core.cells.cells import PARAMETERS_TAG, SKIP_TAG, RawCell
from ...core.cells.header import Header as ParsedHeader
from ...core.cells.header import HeaderError, format, is_header, parse
from ...core.cells.parameter_schema import schema_of
from ...core.cells.source import SyntaxProblem, to_python
from ...core.model.cell_tags import INJECTED
from ...core.model.dag import Cell, CellKind, Dag, Problem
from ...core.model.states import TaskState
from ...core.options.option_types import ID
from ...errors import NbdagError, error
from ...linting.explanations import texts_of
from ...session import ReadDocument, read_document
from ...session.document import CellRun, DocumentCell, split
from ..graph import DROPPED, picture
from ..messages import TaskDetails
from ..status import session_statuses
from ..task import task_details
from .messages import (
    AnalyzeRequest,
    CellEdit,
    CellInfo,
    CellProblem,
    DagLine,
    NotebookAnalysis,
    NotebookTaskRequest,
    PageCell,
    Role,
    Severity,
    TagRequest,
)

_KINDS: dict[Role, str] = {"task": "task", "setup": "setup", "parameters": "params", "skip": "skip"}
_STATES = {"running": TaskState.RUNNING, "success": TaskState.SUCCESS, "failed": TaskState.FAILED}
_MAX_WORDS = 3  # maximum number of words in a suggested name


@error
class UnknownCellError(NbdagError):
    """The notebook has no cell with this index."""

    index: int
    count: int
    template = "the notebook has {count} cells, and none has the index {index}; reload the page"


def analyze(request: AnalyzeRequest, *, with_files: Callable[[Dag], Dag] = lambda dag: dag) -> NotebookAnalysis:
    """Return what a headless run would do with these cells. `with_files` adds the file conflicts of earlier runs."""
    dag, marks, stale = _read(request)
    drawn = with_files(dag)
    direction, collapsed = request.get("direction", "auto"), request.get("collapsed", False)
    folded = request.get("folded", [])
    space = (request["width"], request["height"]) if "width" in request and "height" in request else None
    shape = _shape(drawn, direction, collapsed, space, *folded)
    known = request.get("shape") == shape
    order = {task: n for n, task in enumerate(dag.order, 1)} if len(dag.order) == len(dag.tasks) else {}
    dropped = {each.place.cell for each in dag.problems if each.code in DROPPED and each.place}
    builders = {cell.in_file for cell in dag.cells if cell.made_at is not None}
    return {
        "dag": dag.id,
        "cells": [_cell_info(cell, order, dropped, builders) for cell in dag.cells if cell.made_at is None],
        "statuses": session_statuses(marks),
        "problems": [_problem(each) for each in dag.problems],
        "explanations": texts_of(dag.problems),
        "groups": list(dag.groups),
        "stale": list(stale),
        "parameters": schema_of(dag.parameter_schemas),
        "dag_line": _dag_line(dag),
        "shape": shape,
        "picture": None
        if known
        else picture(drawn, direction=direction, collapsed=collapsed, folded=folded, space=space),
    }


def open_task(request: NotebookTaskRequest) -> TaskDetails:
    """Return the details of a task of the open notebook, without values and attempts, which only runs have."""
    dag = _read(request).dag
    if request["task"] not in dag.tasks:
        raise runs.UnknownTaskError(request["task"], tuple(dag.tasks))
    return task_details(dag, request["task"])


def tag(request: TagRequest) -> CellEdit:
    """Return the edit that gives a cell another role. A new task gets a name that the text of its cell suggests."""
    if not 0 <= request["index"] < len(request["cells"]):
        raise UnknownCellError(request["index"], len(request["cells"]))
    cell, role = request["cells"][request["index"]], request["role"]
    header, body = split(cell["source"])
    kind = _KINDS.get(role, "")
    kept = [each for each in cell["tags"] if each not in (PARAMETERS_TAG, SKIP_TAG, INJECTED)]
    if role == "parameters" and len(kept) < len(cell["tags"]) and SKIP_TAG not in cell["tags"]:
        return {"lines": 0, "text": "", "tags": cell["tags"], "name": ""}  # papermill's tag suffices, without a header
    if header and kind and _kind_of(header) == kind:
        return {"lines": 0, "text": "", "tags": kept, "name": _name_of(header)}
    name = suggested_name(request["cells"], request["index"]) if role == "task" else ""
    text = f"{format(ParsedHeader(kind=kind, name=name or None))}\n" if kind else ""
    lines = header_lines(cell["source"]) or (_blank_lines(cell["source"]) if kind else 0)
    if lines == len(cell["source"].split("\n")):
        text = text.removesuffix("\n") if not body else text
    return {"lines": lines, "text": text, "tags": kept, "name": name}


def header_lines(source: str) -> int:
    """Return the number of lines of a cell's header and of the blank lines above it, or 0 if there is no header."""
    header, _ = split(source)
    return _blank_lines(source) + header.count("\n") + 1 if header else 0


def suggested_name(cells: Sequence[PageCell], index: int) -> str:
    """Return an unused name for a task.

    The name comes from the first of these that exists: the comment on the first line, the heading in the markdown
    cell above, the function that the cell defines, the last variable that the cell sets.
    """
    taken = {_name_of(split(each["source"])[0]) for each in cells}
    above = cells[index - 1] if index else None
    _, body = split(cells[index]["source"])
    comment = re.match(r"\s*#+\s*(?:%%)?(.+)", body)
    heading = re.match(r"\s*#{1,6}\s+(.+)", above["source"]) if above and above["type"] == "markdown" else None
    for words in (comment[1] if comment else "", heading[1] if heading else "", _last_name(body)):
        name = _id(words)
        if name:
            return name if name not in taken else _numbered(name, taken)
    return _numbered("task", taken)


def _read(request: AnalyzeRequest) -> ReadDocument:
    document = [_document_cell(cell) for cell in request["cells"]]
    metadata = {"language_info": {"name": request["language"]}}
    return read_document(document, name=PurePosixPath(request["path"]).name, metadata=metadata)


def _last_name(body: str) -> str:
    python = to_python(body)
    if isinstance(python, SyntaxProblem):
        return ""
    names: list[str] = []
    for statement in python.tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            return statement.name
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        names += [each.id for each in targets if isinstance(each, ast.Name)]
    return names[-1] if names else ""


def _id(words: str) -> str:
    """Return an id made from these words, or "" if they do not make a valid id of at most 40 characters."""
    plain = unicodedata.normalize("NFKD", words)
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    found = re.findall(r"[A-Za-z0-9_]+", plain)
    name = "_".join(found[:_MAX_WORDS]).strip("_")
    name = name if re.search(r"[A-Z]{2}|_", words) else name.lower()
    return name if ID.fullmatch(name) and len(name) <= 40 else ""


def _numbered(name: str, taken: Collection[str]) -> str:
    return next(each for n in range(1, len(taken) + 2) if (each := f"{name}_{n}") not in taken)


def _kind_of(header: str) -> str:
    found = re.match(r"\s*%%?(\w+)", header)
    return found[1] if found else ""


def _name_of(header: str) -> str:
    try:
        return parse(header).name or "" if is_header(header) and _kind_of(header) == "task" else ""
    except HeaderError:
        found = re.match(rf"\s*%%?task\s+({ID.pattern})", header)
        return found[1] if found else ""


def _blank_lines(source: str) -> int:
    lines = source.split("\n")
    return next((n for n, line in enumerate(lines) if line.strip()), 0)


def _document_cell(cell: PageCell) -> DocumentCell:
    given = cell.get("execution")
    ran = None
    if given is not None:
        ran = CellRun(
            key=cell["id"],
            source=given["source"],
            order=given["order"],
            changed=given["changed"],
            at=0.0,
            state=_STATES[given["state"]],
            duration=given["duration"],
            reason=given["reason"],
            built=tuple(RawCell(each["source"], built=each["line"]) for each in given["built"])
            if "built" in given
            else None,
        )
    return DocumentCell(cell["source"], cell["type"], cell["id"], tuple(cell["tags"]), ran=ran)


def _cell_info(cell: Cell, order: dict[str, int], dropped: Collection[int], builders: Collection[int]) -> CellInfo:
    return {
        "role": "builder" if cell.in_file in builders else cell.kind.value,
        "task": cell.task or "",
        "order": order.get(cell.task or "", 0),
        "header": header_lines(cell.source) if cell.kind.value != "prose" else 0,
        "ignored": cell.untagged and bool(cell.source.strip()),
        "dropped": cell.in_file in dropped,
    }


def _problem(problem: Problem) -> CellProblem:
    severity: Severity = "error" if problem.severity == "error" else "warning"
    return {
        "code": problem.code,
        "severity": severity,
        "cell": None if problem.place is None else problem.place.cell,
        "line": None if problem.place is None else problem.place.line,
        "message": problem.message,
        "hint": problem.hint,
    }


def _dag_line(dag: Dag) -> DagLine | None:
    for cell in dag.cells:
        if cell.kind in (CellKind.PROSE, CellKind.TASK) or "dag" not in cell.source:
            continue
        lines = cell.source.split("\n")
        for first, line in enumerate(lines):
            if re.match(r"\s*%%?dag\s+\S", line):
                last = first
                while lines[last].endswith("\\") and last + 1 < len(lines):
                    last += 1
                return {"cell": cell.in_file, "first": first, "lines": last - first + 1}
    return None


def _shape(dag: Dag, *arrangement: object) -> str:
    """Return a digest of everything that the picture shows. Pictures with equal digests are equal."""
    tasks = [(each.id, each.options) for each in dag.tasks.values()]
    shown = (dag.id, tasks, dag.order, dag.edges, dag.file_edges, dag.problems, arrangement)
    return sha256(repr(shown).encode()).hexdigest()[:20]
