"""What each task takes from which: a notebook's cells become a `Dag`.

Nothing here raises for what a person wrote: whatever is wrong becomes a `Problem`, and errors keep a notebook from
running. Nothing here reads a file, knows of a kernel or runs user code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .dag import Cell, CellKind, Dag, Place, Problem, Task
from .options import DagOptions, TaskOptions


def understand(
    cells: Sequence[Cell],
    *,
    dag_id: str,
    options: DagOptions | None = None,
    task_options: Mapping[int, TaskOptions] | None = None,
    declared: Sequence[tuple[str, str, Place]] = (),
    problems: Sequence[Problem] = (),
    language: str = "python",
    kernel_name: str | None = None,
) -> Dag:
    """Find out what depends on what.

    `cells` are all cells of the file, sorted into kinds, with `code` set (for an operator, the Python that it makes).
    `task_options` are by cell index; a task cell that is left out has the defaults. `declared` are the edges of
    `%edges` and `--after` as (source, target, where it says so); what `--after` says and `declared` does not is taken
    from `task_options`, with line 1 as its place. `problems` were found before and are kept. Of two cells with one
    task id the first counts: the caller has said so already.
    """
    said = task_options or {}
    tasks: dict[str, Task] = {}
    for cell in cells:
        if cell.kind is CellKind.TASK and cell.task is not None and cell.task not in tasks:
            tasks[cell.task] = Task(
                id=cell.task, cell=cell.index, options=said.get(cell.index, TaskOptions()), code=cell.code
            )
    return Dag(
        id=dag_id,
        options=options or DagOptions(),
        cells=tuple(cells),
        tasks=tasks,
        problems=tuple(problems),
        order=tuple(tasks),
        language=language,
        kernel_name=kernel_name,
    )
