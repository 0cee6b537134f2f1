"""File names for the code of cells, so that tracebacks show a cell's lines and `coverage` can measure them.

While `coverage` measures, the code of each cell is written into a file of the folder `__nbdag__` beside the notebook.
The file has the same line numbers as the cell. Without `coverage`, no file is written, and tracebacks get the lines
from `linecache`.
"""

from __future__ import annotations

import contextlib
import linecache
import re
import sys
from pathlib import Path

FOLDER = "__nbdag__"


class CellFiles:
    """Assigns a file name to the code of each cell."""

    def __init__(self, notebook: Path) -> None:
        self._notebook = notebook.absolute()
        self._folder = self._notebook.parent / FOLDER / self._notebook.stem if _measures() else None

    def name(self, code: str, cell: str) -> str:
        """Return the file name for the code of a cell. The file exists only if `coverage` measures."""
        if self._folder is not None:
            with contextlib.suppress(OSError):  # the notebook's folder is read-only
                return str(_written(self._folder, f"{re.sub(r'[^A-Za-z0-9_.-]', '_', cell)}.py", code))
        name = f"{self._notebook}[{cell}]"
        linecache.cache[name] = (len(code), None, [f"{line}\n" for line in code.split("\n")], name)
        return name


def _written(folder: Path, name: str, code: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    ignored = folder.parent / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n", encoding="utf-8")
    path = folder / name
    text = _python(code)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
    return path


def _python(code: str) -> str:
    """Return the code with magics translated to Python, which `coverage` can parse; line numbers stay the same."""
    from IPython.core.inputtransformer2 import TransformerManager

    text = str(TransformerManager().transform_cell(code))
    return text if text.count("\n") == code.count("\n") + (not code.endswith("\n")) else f"{code}\n"


def _measures() -> bool:
    coverage = sys.modules.get("coverage")
    current = getattr(coverage, "Coverage", None)
    return current is not None and current.current() is not None
