"""The cells of a notebook with their roles, for the view of a whole notebook."""

from __future__ import annotations

from ...core.model.dag import Cell, CellKind
from ...graphs.html import problem_line
from ...linting.explanations import texts_of
from ...runs import PinnedNotebook
from ..task import highlight
from .messages import NotebookCell, NotebookMessage


def notebook_cells(found: PinnedNotebook) -> NotebookMessage:
    """Return the cells of the notebook's file in order. The tasks that a %%dag cell has built belong to that cell."""
    built: dict[int, list[str]] = {}
    for cell in found.dag.cells:
        if cell.made_at is not None and cell.task is not None:
            built.setdefault(cell.in_file, []).append(cell.task)
    return {
        "digest": found.digest,
        "notebook": str(found.path),
        "cells": [_cell(cell, built.get(cell.in_file, [])) for cell in found.dag.cells if cell.made_at is None],
        "problems": [problem_line(problem) for problem in found.dag.problems],
        "explanations": texts_of(found.dag.problems),
    }


def _cell(cell: Cell, built: list[str]) -> NotebookCell:
    prose = cell.kind is CellKind.PROSE
    return {
        "kind": cell.kind.value,
        "tasks": built if cell.task is None else [cell.task],
        "untagged": cell.untagged,
        "source": [[["", line]] for line in cell.source.split("\n")] if prose else highlight(cell.source),
    }
