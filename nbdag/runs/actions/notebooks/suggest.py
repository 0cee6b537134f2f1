"""The tasks that nbdag proposes for a notebook without tags."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .... import notebooks
from ....core.model.cell_tags import remove_text_lines
from ....migrate import measure as measuring
from ....migrate.suggest import Suggestion
from ....migrate.suggest import suggest as propose
from ....migrate.tagged_copy import tagged_copy
from ...creation.prepare import kernel_installed


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestedNotebook:
    """A proposal for a notebook file."""

    suggestion: Suggestion
    notebook: bytes  # the copy with tagged cells
    durations: dict[str, float] | None = None  # seconds that each task took; None if the notebook was not measured

    @property
    def slowest_path(self) -> tuple[float, tuple[str, ...]]:
        """Return the duration of a parallel run without overhead, in seconds, and the tasks on its slowest path."""
        seconds, tasks = measuring.longest_path(self.suggestion, self.durations or {})
        return seconds, tuple(tasks)


def suggest(
    path: str | os.PathLike[str],
    *,
    measure: bool = False,
    report: Callable[[int, int], None] = lambda done, count: None,
) -> SuggestedNotebook:
    """Propose tasks for a notebook without tags; the file itself stays as it is.

    With `measure`, the notebook runs once from top to bottom in one kernel; `report` is called after each cell with the
    number of executed cells and the number of all cells.

    Raise `NotebookError` for a file that is no notebook, `AlreadyTaggedError`, `NothingToSuggestError`, and,
    with `measure`, `KernelMissingError` and `MeasuredCellFailedError`.
    """
    name = os.fspath(path)
    text = notebooks.read_file(path)
    content = notebooks.parse(text, name=name)
    raw, metadata = notebooks.read_raw(text, name=name)  # raises an error for an invalid cell
    remove_text_lines(content["cells"])  # in the copy, the cells have other line numbers
    executed = [cell.get("execution_count") for cell in content["cells"]]
    found = propose(raw, name=name, executed=executed, language=notebooks.kernel_of(metadata)[1])
    seconds = None
    if measure:
        kernel_installed(found.dag.kernel_name)
        seconds = measuring.measure(Path(path), found.order, report)
    return SuggestedNotebook(
        suggestion=found,
        notebook=tagged_copy(content, found),
        durations=None if seconds is None else measuring.durations(found, seconds),
    )
