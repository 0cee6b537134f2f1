"""Measure how long each cell of a notebook takes, by running the notebook once from top to bottom in one kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import NbdagError, error
from ..notebooks import executable, parse, read_file
from .suggest import Suggestion


@error
class MeasuredCellFailedError(NbdagError):
    """A cell failed while the notebook was measured."""

    path: str
    cell: int  # number of the cell, from 0
    reason: str
    template = "{path} cannot be measured: cell {number} failed with {reason}; repair it, or leave --measure out"

    @property
    def number(self) -> int:
        """The number of the cell, from 1."""
        return self.cell + 1


def measure(
    path: Path, order: Sequence[int] = (), report: Callable[[int, int], None] = lambda done, count: None
) -> dict[int, float]:
    """Run a notebook in one kernel and return the seconds that each code cell took, by the number of the cell from 0.

    The cells run in the given order, by default in that of the file. The file does not change. `report` is called with
    the number of cells that have run, and the number of all cells. Raise `MeasuredCellFailedError` if a cell fails or
    ends its kernel.
    """
    import subprocess

    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    from ..kernels.jupyter.engine import START_TIMEOUT

    notebook = executable(parse(read_file(path), name=str(path)))
    folder = {"metadata": {"path": str(path.resolve().parent)}}
    client = NotebookClient(notebook, timeout=None, startup_timeout=START_TIMEOUT, resources=folder)
    with client.setup_kernel(stderr=subprocess.DEVNULL):
        for done, number in enumerate(order or range(len(notebook.cells)), 1):
            try:
                client.execute_cell(notebook.cells[number], number)
            except CellExecutionError as failure:
                raise MeasuredCellFailedError(str(path), number, f"{failure.ename}: {failure.evalue}") from None
            except DeadKernelError:
                raise MeasuredCellFailedError(str(path), number, "the end of its kernel") from None
            report(done, len(notebook.cells))
    return {
        number: _seconds(cell.metadata.get("execution", {}))
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "code"
    }


def durations(found: Suggestion, seconds: Mapping[int, float]) -> dict[str, float]:
    """Return the seconds of each proposed task; a cell that is split counts for the first of its tasks."""
    left = dict(seconds)
    return {task.name: sum(left.pop(cell, 0.0) for cell in task.cells) for task in found.tasks}


def longest_path(found: Suggestion, durations: Mapping[str, float]) -> tuple[float, Sequence[str]]:
    """Return the tasks on the slowest path through the graph, and their seconds in total."""
    best: dict[str, tuple[float, tuple[str, ...]]] = {}
    for task in found.dag.order:
        before = max((best[other] for other in found.dag.upstream[task]), default=(0.0, ()))
        best[task] = (before[0] + durations[task], (*before[1], task))
    return max(best.values(), default=(0.0, ()))


def _seconds(execution: Mapping[str, Any]) -> float:
    try:
        begin, end = execution["iopub.execute_input"], execution["shell.execute_reply"]
    except KeyError:  # the cell is empty, so the kernel did not run it
        return 0.0
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
