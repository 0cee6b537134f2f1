"""Report the names that cells read and that no cell above them sets: one problem for each cause.

A name that no cell sets is one mistake, however many cells read it. A scratch cell that sets several of the names is
also one mistake. A task that sets several of the names, but is below the cell that reads them, is one mistake, too. If
a cell has another error, such as an invalid header, the names that the cell would set are not reported.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..analysis.scopes import names_of
from ..cells.source import Python, to_python
from ..model.dag import Cell, CellKind, Problem, Repair
from ..model.problems import problem
from ..model.text import join_names

# Errors in a cell that prevent its code from setting names.
_BROKEN = frozenset({"NB101", "NB102", "NB103", "NB104"})
_UNTRANSLATED = frozenset({"NB108", "NB109"})  # the cell's code is unknown, so it might set any name


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingName:
    """A name that a cell reads, and that no executed cell above sets."""

    name: str
    cell: Cell  # the cell that reads the name
    line: int
    # One sentence; {names}, {is} and {it} stand for the names with the same cause.
    message: str
    hint: str
    cause: Hashable  # equal for all names that one change of the notebook would provide
    code: str = "NB201"
    near: str = ""  # the name that was certainly meant, or ""


def one_per_cause(found: Sequence[Problem | MissingName], reported: Callable[[MissingName], bool]) -> Iterator[Problem]:
    """Yield the problems in their order. All missing names with the same cause become one problem.

    `reported` returns whether another problem already reports why a name is missing.
    """
    by_cause: dict[Hashable, list[MissingName]] = {}
    for each in found:
        if isinstance(each, MissingName) and not reported(each):
            by_cause.setdefault(each.cause, []).append(each)
    for each in found:
        if isinstance(each, Problem):
            yield each
        elif each.cause in by_cause:
            yield _problem(by_cause.pop(each.cause))


def _problem(missing: Sequence[MissingName]) -> Problem:
    first = missing[0]
    names = list(dict.fromkeys(each.name for each in missing))
    words = {
        "names": join_names(names),
        "is": "is" if len(names) == 1 else "are",
        "it": "it" if len(names) == 1 else "them",
    }
    message = first.message.format(**words) + first.cell.built_line_suffix(first.line)
    others = list(dict.fromkeys(_reader(each.cell) for each in missing if each.cell.index != first.cell.index))
    if others:
        message += f"; {join_names(others)} {'reads' if len(others) == 1 else 'read'} {words['it']}, too"
    repair = None
    if first.near and first.code == "NB201" and all(each.near == first.near for each in missing):
        cells = tuple(dict.fromkeys(each.cell.in_file for each in missing if each.cell.made_at is None))
        repair = Repair(kind="rename", cells=cells, old=first.name, new=first.near)
    hint, place = first.hint.format(**words), first.cell.at(first.line)
    return problem(first.code, message, hint=hint, task=first.cell.task, place=place, repair=repair)


def _reader(cell: Cell) -> str:
    return f"task {cell.task}" if cell.kind is CellKind.TASK else cell.label


def reported_by(
    problems: Sequence[Problem], cells: Sequence[Cell], dropped: Collection[tuple[int, str]]
) -> Callable[[MissingName], bool]:
    """Return a function that returns whether another problem already reports a missing name.

    `problems` were found before the analysis of names. `dropped` has (index of the reading cell, name) for each name
    that `check_untagged_cells` reports because an untagged cell sets it.
    """
    broken = {each.place.cell for each in problems if each.code in _BROKEN and each.place is not None}
    unknown = [each.place.cell for each in problems if each.code in _UNTRANSLATED and each.place is not None]
    names: Mapping[int, Collection[str]] = {
        cell.index: _names(cell) for cell in cells if cell.in_file in broken and cell.kind is not CellKind.PROSE
    }

    def reported(missing: MissingName) -> bool:
        reader = missing.cell
        if (reader.index, missing.name) in dropped:
            return True
        if missing.name in names.get(reader.index, ()) and reader.in_file in broken:
            return False
        if any(missing.name in found for index, found in names.items() if index < reader.index):
            return True
        return any(number < reader.in_file for number in unknown)

    return reported


def _names(cell: Cell) -> frozenset[str]:
    """Return the names that a cell's code sets; lines that begin with `%%`, misspelt or not, are ignored."""
    lines = ["" if line.lstrip().startswith("%%") else line for line in cell.source.split("\n")]
    python = to_python("\n".join(lines))
    return names_of(python.tree.body).bound if isinstance(python, Python) else frozenset()
