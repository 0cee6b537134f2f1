"""A traceback shows a cell as its author wrote it, its header included.

Python must be able to read the lines that tracebacks are made from, or the failing part of a line is not marked any
more. So the header stands among them as a comment, on its own line, and where a traceback is shown, the `#` is taken
off it.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

_HEADER = re.compile(r"# (?:%%?(?:task|setup|params|skip)|%%dag)\b")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def show_headers(shell: Any) -> Callable[[], None]:
    """From now on, headers in this shell's tracebacks are as they were written; the answer undoes that."""
    shown = shell.InteractiveTB
    original = shown.structured_traceback

    def structured_traceback(*args: Any, **more: Any) -> Any:
        return [_as_written(part) for part in original(*args, **more)]

    shown.structured_traceback = structured_traceback
    return lambda: delattr(shown, "structured_traceback")


def _as_written(part: str) -> str:
    lines, goes_on = [], False
    for line in part.split("\n"):
        own = goes_on or bool(_HEADER.search(line))
        goes_on = own and _ESCAPES.sub("", line).rstrip().endswith("\\")
        lines.append(line.replace("# ", "", 1) if own else line)
    return "\n".join(lines)


def write_header(frame: FrameType | None, header: Sequence[str], *, framed: bool = False) -> None:
    """The line at which a cell's frame stands has come of these lines: let tracebacks show them there.

    `framed`: the last line of the cell is nobody's, and is not shown.
    """
    if frame is None:
        return
    name = frame.f_code.co_filename
    entry = linecache.cache.get(name)
    if entry is None or len(entry) != 4:
        return
    size, changed, lines, full_name = entry
    at = frame.f_lineno - 1
    told = [*lines[:at], *(f"# {line}\n" for line in header), *lines[at + len(header) :]]
    if framed:
        told[-1] = "\n"
    linecache.cache[name] = (size, changed, told, full_name)
