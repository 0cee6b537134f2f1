"""The document: the cells of a live notebook, each with its latest run in the kernel."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.cells import header
from ..core.cells.cells import RawCell
from ..core.model.cell_tags import built_line, metadata_of, tags_of
from ..core.model.states import TaskState
from ..errors import NbdagError


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRun:
    """The latest run of one cell."""

    key: str  # the frontend's id of the cell, or a generated key
    source: str
    order: int  # serial number of this run in the session
    changed: int  # serial number of the cell's first run with this source
    at: float  # start of the run, in seconds since the epoch
    state: str = TaskState.RUNNING
    duration: float | None = None  # duration of the run, in seconds
    reason: str = ""  # why the task failed or was skipped, in one sentence
    count: int | None = None  # number of instances of a mapped task; None for any other cell
    chosen: tuple[str, ...] | None = None  # tasks and groups that a branch task chose; None for other cells
    short_circuit: bool = False  # whether the condition of --short-circuit was false
    built: tuple[RawCell, ...] | None = None  # the cells that this cell built, if it is a %%dag cell
    loaded: bool = False  # True: the cell did not run here; its values were loaded from a headless run


@dataclass(frozen=True, slots=True)
class DocumentCell:
    """A cell of the document, with its latest run in a kernel."""

    source: str
    kind: str = "code"  # nbformat's cell_type
    id: str = ""  # the cell's id in the file
    tags: tuple[str, ...] = ()
    built: int | None = None  # the line in the %%dag cell that built this cell; see `RawCell`
    ran: CellRun | None = None
    edited: str | None = None  # the text in the editor, if a page has reported an edit that is not saved

    @property
    def latest(self) -> str:
        """Return the text as the user sees it."""
        return self.source if self.edited is None else self.edited


@dataclass(frozen=True, slots=True)
class NotebookFile:
    """The content of the notebook's file when it was last read."""

    cells: tuple[DocumentCell, ...] = ()
    metadata: Mapping[str, Any] | None = None
    saved: float = 0.0  # modification time of the file, in seconds since the epoch


def with_built_cells(document: Sequence[DocumentCell]) -> list[DocumentCell]:
    """Replace the built cells in the file with the cells that %%dag cells have built in this kernel.

    A file contains built cells if it is the report of a run.
    """
    found: list[DocumentCell] = []
    rebuilt = False
    for cell in document:
        if cell.built and rebuilt:
            continue
        if not cell.built:
            built = cell.ran.built if cell.ran is not None and cell.ran.source == cell.source else None
            rebuilt = built is not None
            found.append(replace(cell, built=0) if rebuilt else cell)
            found += [DocumentCell(each.source, built=each.built) for each in built or ()]
        else:
            found.append(cell)
    return found


def load_file(text: bytes, saved: float) -> NotebookFile:
    """Parse the text of a notebook's file; `saved` is the modification time of the file."""
    content = json.loads(text)
    cells = []
    for cell in content["cells"]:
        source = cell.get("source", "")
        cells.append(
            DocumentCell(
                source if isinstance(source, str) else "".join(source),
                cell.get("cell_type", "code"),
                cell.get("id", ""),
                tags_of(cell),
                built_line(cell),
            )
        )
    return NotebookFile(tuple(cells), metadata_of(content), saved)


def match_runs(cells: Sequence[DocumentCell], ran: Sequence[CellRun] | Any) -> dict[int, CellRun]:
    """Return the latest run of each cell of the file, by index.

    A cell matches a run by id, by text, or by the task's name.
    """
    found: dict[int, CellRun] = {}
    left = {run.key: run for run in ran}
    keys: tuple[Callable[[DocumentCell], object], ...] = (
        lambda cell: cell.id or None,
        lambda cell: cell.source,
        lambda cell: task_and_body(cell.source)[0],
    )
    own: tuple[Callable[[CellRun], object], ...] = (
        lambda run: run.key,
        lambda run: run.source,
        lambda run: task_and_body(run.source)[0],
    )
    for of_cell, of_run in zip(keys, own, strict=True):
        wanted: dict[object, list[CellRun]] = {}
        for run in left.values():
            wanted.setdefault(of_run(run), []).append(run)
        for index, cell in enumerate(cells):
            if cell.kind != "code" or index in found or (key := of_cell(cell)) is None:
                continue
            if runs := wanted.get(key):
                found[index] = runs.pop(0)
                del left[found[index].key]
    return found


def insertion_index(document: Sequence[DocumentCell], ran: CellRun) -> int:
    """Return the index at which to insert a cell that is not in the file: after the cell that ran just before it.

    If no cell of the document ran before, return the index of the end.
    """
    before = [(cell.ran.order, index) for index, cell in enumerate(document) if cell.ran and cell.ran.order < ran.order]
    return max(before)[1] + 1 if before else len(document)


def split(source: str) -> tuple[str, str]:
    """Return the header of a cell and the code below the header. The header is "" if the cell has none."""
    lines = source.split("\n")
    first = next((at for at, line in enumerate(lines) if line.strip()), 0)
    last = first
    while lines[last].endswith("\\") and last + 1 < len(lines):
        last += 1
    text = "\n".join(lines[first : last + 1])
    return (text, "\n".join(lines[last + 1 :])) if header.is_header(text) else ("", source)


def task_and_body(source: str) -> tuple[str | None, str]:
    """Return the name of a cell's task and the code below the header.

    The name is "%%dag" for a %%dag cell, and None for a cell that is not a task.
    """
    text, body = split(source)
    try:
        read = header.parse(text) if text else None
    except NbdagError:
        read = None
    name = "%%dag" if read is not None and read.builds else read.name if read and read.kind == "task" else None
    return name, body.strip()
