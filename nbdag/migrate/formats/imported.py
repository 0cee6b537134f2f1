"""The result of an import: notebooks with tagged cells, and a list of parts that could not be carried over."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ... import notebooks
from ...core.cells.cells import INJECTED_TAG
from ...core.cells.header import Header
from ...core.cells.header import format as format_header
from ...core.cells.joined_source import join_sources
from ...core.cells.source import Python, to_python
from ...core.model.cell_tags import metadata_of, remove_text_lines, tags_of
from ...core.model.dag import Dag
from ...core.options.option_types import ID
from ...errors import NbdagError, error
from ...notebooks import NotebookError

PARAMETERS = "parameters"  # papermill's tag
LOAD = "%load_ext nbdag"  # loads the magics in Jupyter


@error
class ImportSourceError(NbdagError):
    """A file cannot be imported."""

    exit_code = 2

    path: str
    reason: str
    hint: str
    template = "{path} {reason}; {hint}"


@dataclass(frozen=True, slots=True)
class NotCarriedOver:
    """A part of the other tool's pipeline that is missing in the notebook."""

    place: str  # file, and where possible the line or the name of the entry
    what: str
    reason: str  # why, or what to do instead

    def __str__(self) -> str:
        return f"{self.place}: {self.what}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedNotebook:
    """A notebook with tagged cells."""

    name: str  # proposed name of the file
    folder: Path  # folder in which its relative paths are valid
    content: Mapping[str, Any]  # the notebook, as JSON of format 4

    @property
    def text(self) -> bytes:
        """Return the text of the notebook's file."""
        return (json.dumps(self.content, indent=1, ensure_ascii=False) + "\n").encode()

    def dag(self) -> Dag:
        """Return the pipeline of the notebook."""
        return notebooks.read_text(self.text, name=self.name)


@dataclass(slots=True)
class Imported:
    """The result of an import."""

    notebooks: list[ImportedNotebook] = field(default_factory=list)
    not_carried_over: list[NotCarriedOver] = field(default_factory=list)

    def leave(self, place: str, what: str, reason: str) -> None:
        """Record a part that is not carried over, unless the same place, part and reason are already recorded."""
        left = NotCarriedOver(place, what, reason)
        if left not in self.not_carried_over:
            self.not_carried_over.append(left)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A notebook or script that becomes one task."""

    prose: tuple[str, ...]  # its markdown cells
    parameters: str  # code of its parameters cells
    code: str  # its other code cells, joined
    kernel: Mapping[str, Any]  # kernelspec of the notebook; empty for a script
    language: str = "python"


def read_source(path: Path, shown: str, *, injected: bool = True) -> Source:
    """Return the cells of a notebook or of a script; raise `ImportSourceError` if the file cannot be read.

    `shown` is the path for messages. Without `injected`, the result lacks the cell in which a tool has set parameters,
    because the import itself writes these values.
    """
    try:
        if path.suffix == ".py" and not is_text_notebook(path):
            script = path.read_text(encoding="utf-8")
            return Source(prose=(), parameters="", code=script.strip("\n"), kernel={})
        content = notebooks.parse(notebooks.read_file(path), name=shown)
        raw, metadata = notebooks.read_raw(json.dumps(content), name=shown)
    except NotebookError as failure:
        raise ImportSourceError(shown, failure.reason, failure.hint) from None
    except (OSError, UnicodeDecodeError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else "is not UTF-8 text"
        raise ImportSourceError(shown, f"cannot be read ({reason.lower()})", "check the path") from None
    code = [cell for cell in raw if cell.type == "code" and cell.source.strip()]
    code = [cell for cell in code if injected or INJECTED_TAG not in cell.tags]
    parameters = [cell.source for cell in code if PARAMETERS in cell.tags]
    others = [cell.source for cell in code if PARAMETERS not in cell.tags]
    return Source(
        prose=tuple(cell.source for cell in raw if cell.type == "markdown" and cell.source.strip()),
        parameters="\n".join(parameters),
        code=join_sources(others) if others else "",
        kernel=kernel if isinstance(kernel := metadata.get("kernelspec"), dict) else {},
        language=notebooks.kernel_of(metadata)[1],
    )


def is_text_notebook(path: Path) -> bool:
    """Return whether a Python file has cells of jupytext."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return re.search(r"^# (?:%%|\+(?: |$)|-{3}$)", file.read(1 << 20), re.MULTILINE) is not None


def code_cell(source: str, *, tags: Sequence[str] = ()) -> dict[str, Any]:
    """Return a code cell without outputs."""
    metadata = {"tags": list(tags)} if tags else {}
    return {"cell_type": "code", "source": source, "metadata": metadata, "execution_count": None, "outputs": []}


def prose_cell(source: str) -> dict[str, Any]:
    """Return a markdown cell."""
    return {"cell_type": "markdown", "source": source, "metadata": {}}


def task_header(name: str, **options: Any) -> str:
    """Return the header of a task; an option without a value is omitted."""
    return format_header(Header(kind="task", name=name, options={key: each for key, each in options.items() if each}))


def dag_header(name: str, **options: Any) -> str:
    """Return the %dag line of a pipeline; an option without a value is omitted."""
    return format_header(Header(kind="dag", name=name, options={key: each for key, each in options.items() if each}))


def task_cells(source: Source, header: str, injected: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Return a notebook as one task: prose cells, then one cell with parameters, injected values and the other code."""
    code = "\n\n".join(part for part in (source.parameters, "\n".join(injected), source.code) if part.strip())
    if re.match(r"\s*%%\w", source.code) and code != source.code:  # a cell magic has to be the first line of its cell
        code = f"{code.removesuffix(source.code)}{join_sources([source.code, '']).rstrip()}"
    return [*map(prose_cell, source.prose), code_cell(f"{header}\n{code}".rstrip("\n"))]


def placeholder_cell(header: str, reason: str, text: str = "") -> dict[str, Any]:
    """Return a task for code that is not carried over: it fails with the reason, and has the code in comments."""
    lines = [header, f"raise NotImplementedError({reason!r})", *(f"# {line}".rstrip() for line in text.splitlines())]
    return code_cell("\n".join(lines))


def notebook(
    cells: Sequence[Mapping[str, Any]], kernel: Mapping[str, Any] | None = None, *, load: bool = True
) -> dict[str, Any]:
    """Return a notebook of format 4 with these cells; with `load`, a cell below the title loads nbdag's magics."""
    if load:
        titled = bool(cells) and cells[0]["cell_type"] == "markdown"
        cells = [*cells[:titled], code_cell(f"{LOAD}\n%dag"), *cells[titled:]]
    given = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {
        "cells": [dict(cell) for cell in cells],
        "metadata": {"kernelspec": dict(kernel) if kernel else given},
        "nbformat": 4,
        "nbformat_minor": 4,
    }


def copied_cells(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return copies of a notebook's cells, without their ids and their lines in a text notebook."""
    copies: list[dict[str, Any]] = [json.loads(json.dumps(cell)) for cell in content["cells"]]
    for cell in copies:
        cell.pop("id", None)
        cell["metadata"] = metadata_of(cell)
        if cell["cell_type"] == "code":
            cell.setdefault("outputs", [])
            cell.setdefault("execution_count", None)
    remove_text_lines(copies)
    return copies


def without_tags(cell: dict[str, Any], tags: Iterable[str]) -> dict[str, Any]:
    """Return a cell without some of its tags."""
    left = [tag for tag in tags_of(cell) if tag not in set(tags)]
    metadata = {key: value for key, value in metadata_of(cell).items() if key != "tags"}
    return {**cell, "metadata": {**metadata, "tags": left} if left else metadata}


def task_name(text: str, taken: Iterable[str] = ()) -> str:
    """Return a valid id for a task, with a number at its end if the id is taken."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower() or "task"
    if not ID.fullmatch(name):
        name = f"_{name}"
    known, n, unique = set(taken), 2, name
    while unique in known:
        unique, n = f"{name}_{n}", n + 1
    return unique


def assignments(code: str) -> dict[str, str] | None:
    """Return the statement for each name that a parameters cell sets; None if the cell has other statements."""
    python = to_python(code)
    found = {}
    for statement in python.tree.body if isinstance(python, Python) else ():
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
                found[name] = ast.unparse(statement)
            case _:
                return None
    return found
