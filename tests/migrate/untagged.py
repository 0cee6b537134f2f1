"""Untagged notebooks in the styles of Kaggle, courses and laboratories, read from the text files in `notebooks`.

A line `# %%` begins a code cell, `# %% [markdown]` a markdown cell, and `# %% [7]` a code cell that ran as the 7th.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

FOLDER = Path(__file__).parent / "notebooks"
NOTEBOOKS = tuple(sorted(path.stem for path in FOLDER.glob("*.txt")))
_CELL = re.compile(r"^# %%(?: \[(\w+)\])?\n", re.MULTILINE)


def notebook(name: str) -> nbformat.NotebookNode:
    """Return the notebook with this name, without outputs."""
    _, *parts = _CELL.split((FOLDER / f"{name}.txt").read_text(encoding="utf-8"))
    cells = []
    for kind, source in zip(parts[::2], parts[1::2], strict=True):
        if kind == "markdown":
            cells.append(nbformat.v4.new_markdown_cell(source.rstrip("\n")))
        else:
            count = int(kind) if kind else None
            cells.append(nbformat.v4.new_code_cell(source.rstrip("\n"), execution_count=count))
    return nbformat.v4.new_notebook(cells=cells)
