"""Write a copy of a notebook with proposed tasks, and summarise the proposal."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from ... import runs
from ...errors import NbdagError, error
from ...graphs.html import problem_line
from ...notebooks.text import stem_of
from ...writing import write_atomically
from .messages import NotebookSuggestion


@error
class CopyNotWrittenError(NbdagError):
    """The copy of the notebook could not be written."""

    path: Path
    reason: str
    template = "cannot write {path} ({reason}); make its folder writable, or copy the notebook to another folder first"


def suggest(notebook: Path, *, root: Path) -> NotebookSuggestion:
    """Write a copy with proposed tasks under a new name in the notebook's folder, and return the proposal.

    The notebook itself stays as it is, and nothing runs. Raise an error of `runs.suggest`, or `CopyNotWrittenError`.
    """
    found = runs.suggest(notebook)
    proposed = found.suggestion
    stem = stem_of(notebook.name)
    names = (f"{stem}_tasks{'' if n == 1 else f'_{n}'}.ipynb" for n in count(1))
    copy = next(path for path in map(notebook.with_name, names) if not path.exists())
    try:
        write_atomically(copy, found.notebook, private=False)
    except OSError as failure:
        raise CopyNotWrittenError(copy, failure.strerror or str(failure)) from failure
    dag = proposed.dag
    by_name = {task.name: task for task in proposed.tasks}
    return {
        "path": copy.relative_to(root).as_posix(),
        "tasks": [
            {
                "name": name,
                "cell": dag.cells[dag.tasks[name].cell].in_file,
                "cells": list(by_name[name].cells),
                "after": list(dag.upstream[name]),
                "reasons": list(by_name[name].reasons),
            }
            for name in (dag.order if len(dag.order) == len(dag.tasks) else dag.tasks)
        ],
        "parallel": [list(level) for level in proposed.levels if len(level) > 1],
        "reordered": proposed.reordered,
        "problems": [problem_line(each) for each in dag.problems],
    }
