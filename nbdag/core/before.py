"""Which parameters and setup cells have to run before the code of `%%dag` can.

Those that bind or change a name which it reads, or which another of them reads then, and those that change what an
import or a relative path means. All others are left out: checking a notebook should not load its data. Where code hides
what it reads, all of them run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .dag import Cell, CellKind
from .imports import changes_imports
from .names import CellUses, uses
from .source import SyntaxProblem, to_python

_MOVES = re.compile(r"^\s*%cd\b|\bos\.chdir\(", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Read:
    cell: Cell
    uses: CellUses

    @property
    def hides(self) -> bool:
        return any(note.kind in ("opaque", "tangle", "star") for note in self.uses.notes)

    @property
    def gives(self) -> set[str]:
        return {*self.uses.bound, *self.uses.changes}

    @property
    def wants(self) -> set[str]:
        return {*self.uses.reads, *self.uses.optional}


def before(cells: Sequence[Cell]) -> list[Cell]:
    """The parameters cells and then the setup cells that the %%dag cells need, in the order in which they run."""
    builders = [cell for cell in cells if cell.kind is CellKind.BUILDER]
    last = max((cell.index for cell in builders), default=-1)
    first = [cell for cell in cells if cell.kind is CellKind.PARAMETERS]
    first += [cell for cell in cells if cell.kind is CellKind.SETUP and cell.index < last]
    there = [read for cell in first if (read := _read(cell)) is not None]
    bodies = [read for cell in builders if (read := _read(cell)) is not None]
    wanted = {name for body in bodies for name in body.wants}
    if any(note.kind in ("opaque", "tangle") for body in bodies for note in body.uses.notes):
        return [each.cell for each in there]
    chosen: set[int] = set()
    while True:
        new = [
            each
            for each in there
            if each.cell.index not in chosen
            and (each.gives & wanted or (wanted and each.hides) or _changes_the_process(each.cell))
        ]
        if not new:
            return [each.cell for each in there if each.cell.index in chosen]
        for each in new:
            chosen.add(each.cell.index)
            wanted |= each.wants


def _read(cell: Cell) -> _Read | None:
    python = to_python(cell.code)
    return None if isinstance(python, SyntaxProblem) else _Read(cell, uses(python))


def _changes_the_process(cell: Cell) -> bool:
    return changes_imports(cell.code) or _MOVES.search(cell.code) is not None
