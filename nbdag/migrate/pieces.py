"""The pieces of a notebook without tags: its cells with their roles. Some cells are split into several pieces."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..core.cells.cells import PARAMETERS_TAG, RawCell
from ..core.cells.joined_source import silenced
from ..core.cells.source import Python, to_python
from . import task_names
from .cell_roles import Role, constants, leading_definitions, role_of, scalars, split_constants

_COLLECTS = frozenset({"append", "extend", "update", "add"})  # methods that put something into a collection
_MAKES = frozenset({"dict", "list", "set", "defaultdict", "OrderedDict"})


@dataclass(slots=True, eq=False)
class Piece:
    """A cell, or one of the parts into which a cell is split."""

    cell: int  # number of the cell in the notebook, from 0
    source: str
    role: Role | None  # None for markdown and raw cells
    type: str
    tags: tuple[str, ...]
    section: str = ""  # the text of the nearest heading above; the title of the notebook does not count
    chapter: str = ""  # the text of the nearest heading of the highest level
    whole: bool = True  # whether the cell is not split
    note: str = ""  # why constants of this piece are not parameters: a sentence without its subject


def read_pieces(raw: Sequence[RawCell], order: Iterable[int]) -> list[Piece]:
    """Return the pieces of the cells with these numbers, in this order."""
    order = list(order)
    prose = [raw[number].source for number in order if raw[number].type == "markdown"]
    titles = [heading for source in prose for heading in task_names.headings(source)]
    levels = [level for level, _ in titles]
    if len(titles) > 1 and levels[0] < min(levels[1:]):  # the first heading is the title of the notebook
        del levels[0]
        title = titles[0]
    else:
        title = None
    found: list[Piece] = []
    section = chapter = ""
    for number in order:
        cell = raw[number]
        if cell.type != "code":
            for heading in task_names.headings(cell.source) if cell.type == "markdown" else ():
                section = "" if heading == title else heading[1]
                chapter = section if heading[0] == min(levels) or heading == title else chapter
            found.append(Piece(number, cell.source, None, cell.type, cell.tags))
            continue
        working = any(piece.role is Role.WORK for piece in found)
        parts = None if working or cell.tags else split_constants(cell.source)
        for source in parts or (cell.source,):
            role = Role.PARAMETERS if PARAMETERS_TAG in cell.tags else role_of(source)
            found.append(Piece(number, source, role, "code", cell.tags, section, chapter, parts is None))
    _settle_constants(found)
    return list(_split_definitions(list(_split_collecting(found))))


def bound_names(source: str) -> Iterator[str]:
    """Yield the names that the assignments and loops of a cell set, functions included."""
    python = to_python(source)
    for node in ast.walk(python.tree) if isinstance(python, Python) else ():
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def assigned_names(source: str) -> Iterator[str]:
    """Yield the names that the assignments of a cell set or change, functions and loop variables excluded."""
    python = to_python(source)
    for node in ast.walk(python.tree) if isinstance(python, Python) else ():
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
        )
        for target in targets:
            for each in target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]:
                while isinstance(each, (ast.Subscript, ast.Attribute)):
                    each = each.value
                if isinstance(each, ast.Name):
                    yield each.id


def defined_names(source: str) -> Iterator[str]:
    """Yield the names of the functions and classes that a cell defines."""
    python = to_python(source)
    for statement in python.tree.body if isinstance(python, Python) else ():
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield statement.name


def _settle_constants(pieces: Sequence[Piece]) -> None:
    """Change the role of constants that are set again, and of parameters below the first cell that does work."""
    setters = _setters(pieces)
    working = False
    for piece in pieces:
        working |= piece.role is Role.WORK
        if PARAMETERS_TAG in piece.tags:
            continue
        if piece.role not in (Role.PARAMETERS, Role.SETUP):
            continue
        again = next((name for name in constants(piece.source) if setters[name] > 1), None)
        if again is not None:
            piece.role = Role.WORK
            others = [each for each in pieces if each is not piece and each.role]
            other = next((each for each in others if again in assigned_names(each.source)), None)
            if other is not None and again in scalars(piece.source):
                piece.note = f"is not a parameter, because cell {other.cell + 1} sets {again}, too"
        elif piece.role is Role.PARAMETERS and working:
            piece.role = Role.SETUP
            piece.note = "constants below the first cell that does work" if any(scalars(piece.source)) else ""


def _setters(pieces: Sequence[Piece]) -> dict[str, int]:
    """Return the number of pieces that set each name."""
    found: dict[str, int] = defaultdict(int)
    for piece in pieces:
        if piece.role is not None:
            for name in _bound(piece):
                found[name] += 1
    return found


def _bound(piece: Piece) -> set[str]:
    return set(bound_names(piece.source))


def _split_collecting(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Split cells that end by putting a result into a collection that other cells fill as well.

    For example, a cell has `model.fit(X, y)` and then `scores["forest"] = score(model)`. Once it is split, the first
    part can run in parallel with the first parts of other cells; only the second parts run one after the other.
    """
    setters = _setters(pieces)
    collections = {name for piece in pieces if piece.role for name in _empty_collections(piece.source)}
    splits: dict[Piece, tuple[str, int]] = {}
    for piece in pieces:
        if piece.role is Role.WORK and piece.whole and (found := _collecting_line(piece.source, collections)):
            splits[piece] = found
    names = [name for name, _ in splits.values()]
    for piece in pieces:
        name, line = splits.get(piece, ("", 0))
        if names.count(name) < 2 or setters[name] > 1:
            yield piece
            continue
        lines = piece.source.splitlines()
        yield replace(piece, source=silenced("\n".join(lines[:line])), whole=False)
        yield replace(piece, source="\n".join(lines[line:]).strip("\n"), whole=False)


def _split_definitions(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Split cells that begin with imports or definitions for other cells, and make this beginning setup."""
    loaded = [_loaded_names(piece.source) if piece.role else set() for piece in pieces]
    for position, piece in enumerate(pieces):
        if piece.role is not Role.WORK or piece.source.lstrip().startswith("%%"):
            yield piece
            continue
        names, line = leading_definitions(piece.source)
        if not line or not any(names & each for number, each in enumerate(loaded) if number != position):
            yield piece
            continue
        lines = piece.source.splitlines()
        yield replace(piece, source="\n".join(lines[:line]).strip("\n"), role=Role.SETUP, whole=False)
        yield replace(piece, source="\n".join(lines[line:]).strip("\n"), whole=False)


def _loaded_names(source: str) -> set[str]:
    python = to_python(source)
    tree = python.tree if isinstance(python, Python) else ast.Module([], [])
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _empty_collections(source: str) -> Iterator[str]:
    python = to_python(source)
    for statement in python.tree.body if isinstance(python, Python) else ():
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict(keys=[]) | ast.List(elts=[])):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function)) if (
                ast.unparse(function).rpartition(".")[2] in _MAKES
            ):
                yield name


def _collecting_line(source: str, collections: set[str]) -> tuple[str, int] | None:
    """If the end of a cell fills a collection, return the collection and the number of lines before that end."""
    python = to_python(source)
    body = python.tree.body if isinstance(python, Python) else []
    for number, statement in enumerate(body):
        name = _collection_of(statement)
        if name not in collections:
            continue
        above, end = body[:number], body[number - 1].end_lineno or 0
        if not above or any(
            isinstance(node, ast.Name) and node.id == name for each in above for node in ast.walk(each)
        ):
            return None
        if not any(isinstance(node, ast.Call) for each in above for node in ast.walk(each)):
            return None
        rest = "\n".join(ast.unparse(each) for each in body[number:])
        return None if task_names.verb(rest) == "train" or statement.lineno <= end else (name, end)
    return None


def _collection_of(statement: ast.stmt) -> str:
    match statement:
        case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name))]):
            return name
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method))) if method in _COLLECTS:
            return name
    return ""
