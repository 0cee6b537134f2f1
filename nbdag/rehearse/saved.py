"""Find hidden state in a saved notebook without running it.

A notebook has hidden state if its values come from deleted code, or if its cells ran in another order. The saved
execution counts, outputs and names reveal hidden state.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ..core.analysis.names import CellUses, uses
from ..core.cells.source import Python, to_python
from ..core.options.option_types import nearest
from .compare.outputs import has_outputs
from .findings import Finding, Kind, Weight, names_of_cells

_RUN_ALL = "restart the kernel, run all cells from top to bottom, and save the notebook"
_HIDES_NAMES = re.compile(
    r"^\s*%(?:run|pylab|store|load|load_ext)\b|^\s*%%(?!time\b|capture\b|bash\b|sh\b)", re.MULTILINE
)
_TRACEBACK_LINE = re.compile(r"^(?:-+> ?)(\d+)[ \t]?(.*)$", re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedCell:
    """A code cell as the file has it."""

    number: int  # number of the cell in the file, from 0
    source: str
    count: int | None = None  # the saved execution count
    outputs: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


def saved_state(cells: Sequence[SavedCell], *, names: bool = True) -> list[Finding]:
    """Return findings about hidden state. `cells` are in the order of the file. With `names`, include missing names."""
    missing = list(_names(cells)) if names else []
    # If a cell reads a name that only a later cell sets, that shows the order more precisely than the counts do.
    order = [] if any(each.kind is Kind.ORDER for each in missing) else list(_order(cells))
    return [*order, *_not_run(cells), *_edits(cells), *missing]


def uses_of(source: str) -> CellUses | None:
    """Return the names that a cell reads and binds; None if it is not Python."""
    python = to_python(source)
    return uses(python) if isinstance(python, Python) else None


def _order(cells: Sequence[SavedCell]) -> Iterator[Finding]:
    executed = [cell for cell in cells if cell.count is not None]
    early = [(above, below) for above, below in pairwise(executed) if (above.count or 0) > (below.count or 0)]
    if not early:
        return
    above, below = early[0]
    order = [str(cell.number + 1) for cell in sorted(executed, key=lambda cell: cell.count or 0)]
    listed = ", ".join(order) if len(order) <= 12 else f"…, {', '.join(order[-12:])}"
    yield Finding(
        kind=Kind.ORDER,
        weight=Weight.WARNING,
        cell=below.number,
        message=f"cell {below.number + 1} [{below.count}] ran before cell {above.number + 1} [{above.count}], which is "
        f"above it; the cells last ran in the order {listed}",
        remedy=_RUN_ALL,
    )


def _not_run(cells: Sequence[SavedCell]) -> Iterator[Finding]:
    if not any(cell.count is not None for cell in cells):
        return  # all outputs are cleared, as for version control
    for cell in cells:
        if cell.count is None and _has_code(cell.source):
            yield Finding(
                kind=Kind.EDIT,
                weight=Weight.WARNING,
                cell=cell.number,
                message=f"cell {cell.number + 1} has not run since it was added or cleared",
                remedy=_RUN_ALL,
            )


def _edits(cells: Sequence[SavedCell]) -> Iterator[Finding]:
    for cell in cells:
        if (why := _impossible(cell)) is not None:
            yield Finding(
                kind=Kind.EDIT,
                weight=Weight.WARNING,
                cell=cell.number,
                message=f"cell {cell.number + 1} was edited after its last run: {why}",
                remedy=_RUN_ALL,
            )


def _impossible(cell: SavedCell) -> str | None:
    """Return why the saved outputs of a cell cannot come from its code; None if they can."""
    if not has_outputs(cell.outputs):
        return None
    if not _has_code(cell.source):
        return "it has outputs, but no code"
    python = to_python(cell.source)
    if not isinstance(python, Python) or python.reads or python.soft_reads or re.match(r"\s*%%", cell.source):
        return None
    body = python.tree.body
    ends = body[-1] if body else None
    results = any(each.get("output_type") == "execute_result" for each in cell.outputs)
    if results and ends is not None and not (isinstance(ends, ast.Expr) and python.shown):
        return "it has a result, but its code does not end with an expression whose value is shown"
    if not any(isinstance(node, ast.Call | ast.Import | ast.ImportFrom | ast.Await) for node in ast.walk(python.tree)):
        displays = [each for each in cell.outputs if each.get("output_type") in ("stream", "display_data")]
        if displays:
            return "it has printed or displayed something, but its code calls nothing"
    lines = cell.source.split("\n")
    for output in cell.outputs:
        text = _COLOUR.sub("", "\n".join(map(str, output.get("traceback") or ())))
        found = _TRACEBACK_LINE.search(text)
        if found is not None and "Cell In" in text[: found.start()]:
            number, shown = int(found[1]), found[2].strip()
            if shown and (number > len(lines) or lines[number - 1].strip() != shown):
                return f"its traceback shows line {number} as {shown[:60]!r}"
    return None


def _names(cells: Sequence[SavedCell]) -> Iterator[Finding]:
    """Yield a finding for each name that a cell reads and that no earlier cell sets."""
    if any(_HIDES_NAMES.search(cell.source) or "import *" in cell.source for cell in cells):
        return
    found = {cell.number: uses_of(cell.source) for cell in cells}
    if any(each is not None and any(note.kind == "opaque" for note in each.notes) for each in found.values()):
        return
    set_by: dict[str, list[int]] = {}
    for number, each in found.items():
        for name in () if each is None else each.bound:
            set_by.setdefault(name, []).append(number)
    reported: set[str] = set()
    for cell in cells:
        each = found[cell.number]
        for name in sorted(each.certain, key=each.reads.get) if each else ():  # type: ignore[arg-type]
            makers = set_by.get(name, [])
            if name in reported or any(maker < cell.number for maker in makers):
                continue
            reported.add(name)
            assert each is not None
            line = each.reads[name]
            if makers and min(makers) != cell.number:
                yield Finding(
                    kind=Kind.ORDER,
                    weight=Weight.ERROR,
                    cell=cell.number,
                    line=line,
                    message=f"cell {cell.number + 1} reads {name}, which only {names_of_cells(makers)} below sets",
                    remedy=f"move cell {cell.number + 1} below cell {min(makers) + 1}",
                )
            else:
                similar = nearest(name, set_by)
                hint = f"did you mean {similar}? Otherwise " if similar else ""
                yield Finding(
                    kind=Kind.NAME,
                    weight=Weight.ERROR,
                    cell=cell.number,
                    line=line,
                    message=f"cell {cell.number + 1} reads {name}, which no cell sets: its cell was deleted or edited",
                    remedy=f"{hint}restore the code that sets {name}",
                )


def _has_code(source: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in source.split("\n"))
