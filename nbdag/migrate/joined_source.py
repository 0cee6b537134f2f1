"""The source of several cells as one cell that has the same effects and displays the same values."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from ..core.cells.source import Python, to_python


def join_sources(sources: Sequence[str]) -> str:
    """Return one cell that runs these cells; each of them still displays its last expression."""
    if len(sources) == 1:
        return sources[0]
    *others, last = sources
    return "\n\n".join([*(_displaying(without_cell_magic(each)) for each in others), without_cell_magic(last)])


def without_cell_magic(source: str) -> str:
    """Return a cell without a cell magic, which only the first line of a cell may have."""
    first, _, rest = source.lstrip().partition("\n")
    if not first.startswith("%%"):
        return source.strip("\n")
    magic, _, arguments = first[2:].partition(" ")
    if magic == "time":
        return rest.strip("\n")
    return f"get_ipython().run_cell_magic({magic!r}, {arguments.strip()!r}, {rest + chr(10)!r})"


def _displaying(source: str) -> str:
    """Return the code, in which the value of the last expression is displayed although other code follows."""
    python = to_python(source)
    body = python.tree.body if isinstance(python, Python) else []
    last = body[-1] if body else None
    if not isinstance(last, ast.Expr) or not isinstance(python, Python) or not python.shown or python.text != source:
        return source
    if isinstance(last.value, ast.Call) and ast.unparse(last.value.func) in ("print", "display", "plt.show"):
        return source
    lines = source.split("\n")
    start, end = last.lineno - 1, (last.end_lineno or last.lineno) - 1
    tail = lines[end].encode()[last.end_col_offset or 0 :].decode()
    lines[end] = lines[end].encode()[: last.end_col_offset].decode() + ")" + tail
    head = lines[start].encode()
    lines[start] = head[: last.col_offset].decode() + "display(" + head[last.col_offset :].decode()
    return "\n".join(lines)
