"""Find the parameters and setup cells that the code of `%%dag` needs.

A cell is needed if it binds or changes a name that the code of `%%dag` or another needed cell reads. A cell is also
needed if it changes the meaning of imports or relative paths. Other cells are omitted, because checking a notebook
should not load the notebook's data. If the code of `%%dag` hides what it reads, all parameters and setup cells are
needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..analysis.names import uses
from ..analysis.symbols import global_reads
from ..cells.imports import changes_imports
from ..cells.source import SyntaxProblem, to_python
from ..model.dag import Cell, CellKind

_CHANGES_FOLDER = re.compile(r"^\s*%cd\b|\bos\.chdir\(", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _CellNames:
    cell: Cell
    reads: frozenset[str]  # global names that the cell or any of its functions reads
    sets: frozenset[str]
    hides: frozenset[str]  # kinds of notes about code that hides reads or writes: opaque, tangle, star


def build_prefix(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells that the %%dag cells need, in the order in which they run: parameters cells, then setup."""
    builders = [cell for cell in cells if cell.kind is CellKind.BUILDER]
    last = max((cell.index for cell in builders), default=-1)
    first = [cell for cell in cells if cell.kind is CellKind.PARAMETERS]
    first += [cell for cell in cells if cell.kind is CellKind.SETUP and cell.index < last]
    candidates = [read for cell in first if (read := _read(cell)) is not None]
    bodies = [read for cell in builders if (read := _read(cell)) is not None]
    if any(body.hides & {"opaque", "tangle"} for body in bodies):
        return [each.cell for each in candidates]
    wanted = {name for body in bodies for name in body.reads}
    chosen: set[int] = set()
    while True:
        new = [each for each in candidates if each.cell.index not in chosen and _is_needed(each, wanted)]
        if not new:
            return [each.cell for each in candidates if each.cell.index in chosen]
        for each in new:
            chosen.add(each.cell.index)
            wanted |= each.reads


def _read(cell: Cell) -> _CellNames | None:
    python = to_python(cell.code)
    if isinstance(python, SyntaxProblem):
        return None
    found = uses(python)
    return _CellNames(
        cell,
        reads=frozenset(global_reads(python.tree)),
        sets=frozenset({*found.bound, *found.changes}),
        hides=frozenset(note.kind for note in found.notes) & {"opaque", "tangle", "star"},
    )


def _is_needed(read: _CellNames, wanted: set[str]) -> bool:
    return bool(read.sets & wanted or read.hides) or _changes_the_process(read.cell)


def _changes_the_process(cell: Cell) -> bool:
    return changes_imports(cell.code) or _CHANGES_FOLDER.search(cell.code) is not None
