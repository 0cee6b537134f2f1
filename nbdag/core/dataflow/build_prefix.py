"""Which parameters and setup cells have to run before the code of `%%dag` can.

Those that bind or change a name which it reads, or which another of them reads then, and those that change what an
import or a relative path means. All others are left out: checking a notebook should not load its data. Where code hides
what it reads, all of them run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..analysis.names import uses
from ..analysis.symbols import looked_up
from ..cells.imports import changes_imports
from ..cells.source import SyntaxProblem, to_python
from ..model.dag import Cell, CellKind

_MOVES = re.compile(r"^\s*%cd\b|\bos\.chdir\(", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Read:
    cell: Cell
    wants: frozenset[str]  # its functions' names too: which of them are called nobody knows
    gives: frozenset[str]
    hides: frozenset[str]  # in what way it hides what it wants or gives: opaque, tangle, star


def before(cells: Sequence[Cell]) -> list[Cell]:
    """The parameters cells and then the setup cells that the %%dag cells need, in the order in which they run."""
    builders = [cell for cell in cells if cell.kind is CellKind.BUILDER]
    last = max((cell.index for cell in builders), default=-1)
    first = [cell for cell in cells if cell.kind is CellKind.PARAMETERS]
    first += [cell for cell in cells if cell.kind is CellKind.SETUP and cell.index < last]
    there = [read for cell in first if (read := _read(cell)) is not None]
    bodies = [read for cell in builders if (read := _read(cell)) is not None]
    if any(body.hides & {"opaque", "tangle"} for body in bodies):
        return [each.cell for each in there]
    wanted = {name for body in bodies for name in body.wants}
    chosen: set[int] = set()
    while True:
        new = [each for each in there if each.cell.index not in chosen and _is_needed(each, wanted)]
        if not new:
            return [each.cell for each in there if each.cell.index in chosen]
        for each in new:
            chosen.add(each.cell.index)
            wanted |= each.wants


def _read(cell: Cell) -> _Read | None:
    python = to_python(cell.code)
    if isinstance(python, SyntaxProblem):
        return None
    found = uses(python)
    return _Read(
        cell,
        wants=frozenset(looked_up(python.tree)),
        gives=frozenset({*found.bound, *found.changes}),
        hides=frozenset(note.kind for note in found.notes) & {"opaque", "tangle", "star"},
    )


def _is_needed(read: _Read, wanted: set[str]) -> bool:
    return bool(read.gives & wanted or read.hides) or _changes_the_process(read.cell)


def _changes_the_process(cell: Cell) -> bool:
    return changes_imports(cell.code) or _MOVES.search(cell.code) is not None
