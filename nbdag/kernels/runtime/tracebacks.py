"""Make tracebacks show a cell as its author wrote it, including the cell's header.

Python marks the failing part of a line only if the cache of source lines contains valid code. So the header is written
into this cache as a comment, and `show_headers` removes the `#` when a traceback is shown.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from IPython.core import ultratb

_MISSING = re.compile(r"Can't get attribute '([^']+)' on <module '__main__'")
_HEADER = re.compile(r"# (?:%%?(?:task|setup|params|skip)|%%dag)\b")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def show_headers(shell: Any) -> Callable[[], None]:
    """Show the headers in this shell's tracebacks as they were written; return a function that restores the default."""
    shown = shell.InteractiveTB
    original = shown.structured_traceback

    def structured_traceback(*args: Any, **more: Any) -> Any:
        shown = [_as_written(part) for part in original(*args, **more)]
        hint = next((hint_for(each) for each in args if isinstance(each, BaseException)), None)
        return shown if hint is None else [*shown, f"Hint: {hint}"]

    shown.structured_traceback = structured_traceback
    counted = _count_lines_of_cells()

    def undo() -> None:
        del shown.structured_traceback
        counted()

    return undo


def _count_lines_of_cells() -> Callable[[], None]:
    """Make IPython find the lines of cells in Python's cache of source lines. Return a function that undoes this.

    IPython counts the lines in the file of each frame. A kernel's cells have no file, so IPython would treat functions
    of cells as frames without source: it would show the first line of the cell, and would not shorten the traceback of
    a recursion.
    """
    original = getattr(ultratb, "get_line_number_of_frame", None)
    if original is None:  # this version of IPython does not count lines
        return lambda: None

    def count(frame: FrameType) -> Any:
        entry = linecache.cache.get(frame.f_code.co_filename)
        # Only frames of functions need this; IPython shows the frame of the cell itself correctly.
        is_function = frame.f_code.co_name != "<module>"
        return len(entry[2]) if is_function and entry is not None and len(entry) == 4 else original(frame)

    setattr(ultratb, "get_line_number_of_frame", count)  # noqa: B010  # mypy knows no such attribute in some versions
    return lambda: setattr(ultratb, "get_line_number_of_frame", original)


def hint_for(error: BaseException) -> str | None:
    """Return a hint if a pickle file cannot be loaded because it needs a definition of the notebook; None for other
    errors.
    """
    found = _MISSING.search(str(error)) if isinstance(error, AttributeError) else None
    if found is None:
        return None
    return (
        f"the file contains an object of {found[1]}, which the notebook defines and this task does not: define it in a "
        f"%%setup cell, or name {found[1]} in this task"
    )


def _as_written(part: str) -> str:
    lines, continued = [], False
    for line in part.split("\n"):
        own = continued or bool(_HEADER.search(line))
        continued = own and _ESCAPES.sub("", line).rstrip().endswith("\\")
        lines.append(line.replace("# ", "", 1) if own else line)
    return "\n".join(lines)


def write_header(frame: FrameType | None, header: Sequence[str], *, framed: bool = False) -> None:
    """Write a cell's header into Python's cache of source lines, at the current line of the cell's frame.

    With `framed`, tracebacks do not show the last line of the cell, because nbdag added it.
    """
    if frame is None:
        return
    name = frame.f_code.co_filename
    entry = linecache.cache.get(name)
    if entry is None or len(entry) != 4:
        return
    size, changed, lines, full_name = entry
    at = frame.f_lineno - 1
    shown_lines = [*lines[:at], *(f"# {line}\n" for line in header), *lines[at + len(header) :]]
    if framed:
        shown_lines[-1] = "\n"
    linecache.cache[name] = (size, changed, shown_lines, full_name)
