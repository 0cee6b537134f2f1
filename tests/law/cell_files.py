"""Notebooks as text files: cells between lines of `----`, of which those that start with `#file NAME` are modules."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode


def unpacked(path: Path, folder: Path) -> NotebookNode:
    """Return the notebook of a text file, and write the modules that it imports to `folder`."""
    cells = []
    for part in re.split(r"^----\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
        if part.startswith("#file "):
            first, _, code = part.partition("\n")
            (folder / first.removeprefix("#file ")).write_text(code, encoding="utf-8")
        else:
            cells.append(nbformat.v4.new_code_cell(part.strip("\n")))
    return nbformat.v4.new_notebook(cells=cells)
