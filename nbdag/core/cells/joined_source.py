"""The source of several cells as one cell that has the same effects and displays the same values."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from .source import Python, to_python

# Functions and methods that always return None, and some that never return None. Any other call may return None.
_RETURN_NONE = frozenset({"append", "close", "commit", "extend", "info", "savefig", "show", "sort", "update"})
_RETURN_VALUES = (
    frozenset({"abs", "agg", "corr", "count", "crosstab", "describe", "dict", "head", "isna", "isnull", "keys", "len"})
    | frozenset({"list", "max", "mean", "median", "min", "most_common", "nunique", "quantile", "reset_index", "round"})
    | frozenset({"sample", "sort_values", "sorted", "std", "str", "sum", "tail", "tolist", "unique", "value_counts"})
)


def join_sources(sources: Sequence[str]) -> str:
    """Return one cell that runs the code of these cells and still displays the last expression of each."""
    return "\n\n".join(text for text, _ in joined_parts(sources))


def joined_parts(sources: Sequence[str]) -> list[tuple[str, int]]:
    """Return the code of each source in the joined cell, with the number of lines removed at the start of the source.

    The code may have more lines than the source. The additional lines belong to the last line of the source.
    """
    if len(sources) == 1:
        return [(sources[0], 0)]
    *others, last = sources
    texts = [*(_displaying(without_cell_magic(each)) for each in others), without_cell_magic(last)]
    return [(text, _missing_lines(source)) for text, source in zip(texts, sources, strict=True)]


def _missing_lines(source: str) -> int:
    """Return the number of lines that `without_cell_magic` removes at the start of a cell."""
    blank = len(source) - len(source.lstrip("\n"))
    return blank + 1 if source.lstrip().startswith("%%time") else blank


def silenced(source: str) -> str:
    """Return the code with a semicolon after its last expression, so that IPython does not display the value."""
    python = to_python(source)
    last = python.tree.body[-1] if isinstance(python, Python) and python.tree.body else None
    if not isinstance(last, ast.Expr) or not isinstance(python, Python) or not python.shown:
        return source
    lines = source.split("\n")
    end = (last.end_lineno or last.lineno) - 1
    line = lines[end].encode()
    lines[end] = f"{line[: last.end_col_offset].decode()};{line[last.end_col_offset or 0 :].decode()}"
    return "\n".join(lines)


def without_cell_magic(source: str) -> str:
    """Return a cell with its cell magic removed or replaced by a call, so that the code can stand below other code."""
    first, _, rest = source.lstrip().partition("\n")
    if not first.startswith("%%"):
        return source.strip("\n")
    magic, _, arguments = first[2:].partition(" ")
    if magic == "time":
        return rest.strip("\n")
    return f"get_ipython().run_cell_magic({magic!r}, {arguments.strip()!r}, {rest + chr(10)!r})"


def _displaying(source: str) -> str:
    """Return the code with a call that displays the value of its last expression, because other code will follow."""
    python = to_python(source)
    body = python.tree.body if isinstance(python, Python) else []
    last = body[-1] if body else None
    if not isinstance(last, ast.Expr) or not isinstance(python, Python) or not python.shown or python.text != source:
        return source
    call = ast.unparse(last.value.func) if isinstance(last.value, ast.Call) else ""
    name = call.rpartition(".")[2]
    if call in ("print", "display") or name in _RETURN_NONE:
        return source
    lines = source.split("\n")
    start, end = last.lineno - 1, (last.end_lineno or last.lineno) - 1
    above, rest = lines[start].encode()[: last.col_offset].decode(), lines[end].encode()[last.end_col_offset :].decode()
    value = "\n".join(lines[start : end + 1]).encode()
    value_text = value[last.col_offset : len(value) - len(rest.encode())].decode()
    if call and name not in _RETURN_VALUES:
        before = f"{above.rstrip(' ;')}\n" if above.strip() else above
        # nbdag does not count a name that begins with _ as a variable of the notebook.
        shown = f"{before}if (_shown := {value_text}) is not None:\n    display(_shown)"
    elif isinstance(last.value, ast.Tuple):  # without parentheses, the elements would be several arguments
        shown = f"{above}display(({value_text}))"
    else:
        shown = f"{above}display({value_text})"
    comment = rest.lstrip(" ;")
    return "\n".join([*lines[:start], f"{shown}  {comment}" if comment else shown, *lines[end + 1 :]])
