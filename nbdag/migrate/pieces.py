"""The pieces of a notebook without tags: its cells with their roles, of which some are split in two."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..core.cells.cells import RawCell
from ..core.cells.source import Python, to_python
from . import task_names
from .cell_roles import Role, constants, role_of, split_constants


@dataclass(slots=True, eq=False)
class Piece:
    """A cell, or one of the two parts into which a cell of imports and constants is split."""

    cell: int  # number of the cell in the notebook, from 0
    source: str
    role: Role | None  # None for markdown and raw cells
    type: str
    tags: tuple[str, ...]
    section: str = ""  # the text of the heading above
    whole: bool = True  # whether this piece is the whole cell


def read_pieces(raw: Sequence[RawCell], order: Iterable[int]) -> list[Piece]:
    """Return the pieces of the cells with these numbers, in this order."""
    found: list[Piece] = []
    section = ""
    for number in order:
        cell = raw[number]
        if cell.type != "code":
            section = task_names.heading(cell.source) or section if cell.type == "markdown" else section
            found.append(Piece(number, cell.source, None, cell.type, cell.tags))
            continue
        working = any(piece.role is Role.WORK for piece in found)
        parts = None if working or cell.tags else split_constants(cell.source)
        for source in parts or (cell.source,):
            found.append(Piece(number, source, role_of(source), "code", cell.tags, section, parts is None))
    _settle_constants(found)
    return found


def bound_names(source: str) -> Iterator[str]:
    """Yield the names that the assignments and loops of a cell set, functions included."""
    python = to_python(source)
    for node in ast.walk(python.tree) if isinstance(python, Python) else ():
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _settle_constants(pieces: Sequence[Piece]) -> None:
    """Keep constants as parameters if they are above all work and nothing sets them again; else change their role."""
    setters: dict[str, int] = defaultdict(int)
    for piece in pieces:
        if piece.role is not None:
            for name in set(bound_names(piece.source)):
                setters[name] += 1
    working = False
    for piece in pieces:
        working |= piece.role is Role.WORK
        if piece.role is Role.PARAMETERS and any(setters[name] > 1 for name in constants(piece.source)):
            piece.role = Role.WORK
        elif piece.role is Role.PARAMETERS and working:
            piece.role = Role.SETUP
        elif piece.role is Role.SETUP and any(setters[name] > 1 for name in constants(piece.source)):
            piece.role = Role.WORK
