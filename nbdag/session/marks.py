"""The state of each task of a live notebook, and why a task is skipped or stale.

A task that a headless run would skip, because of a branch, a short circuit or a trigger rule, is also skipped in the
live notebook. A task is stale if it succeeded, but could give another result if it ran now. There are two causes. Its
cell, or a setup or parameters cell that it needs, was edited. Or an upstream task ran again, is stale, or has not run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from ..core.analysis.names import uses
from ..core.cells.source import SyntaxProblem, to_python
from ..core.model.dag import Cell, CellKind, Dag, Task
from ..core.model.states import RunState, TaskState
from ..core.options.options import DagOptions
from ..core.planning.plan import plan
from ..core.planning.plan_types import Instance, RunView
from ..graphs import STALE, Mark
from .document import CellRun, DocumentCell

_ENDED = (TaskState.SUCCESS, TaskState.FAILED, TaskState.SKIPPED)


def may_skip_others(ran: CellRun | None) -> bool:
    """Return whether this run of a cell may cause a headless run to skip other tasks."""
    return ran is not None and (ran.state == TaskState.SKIPPED or ran.chosen is not None or ran.short_circuit)


def skipped_tasks(dag: Dag, document: Sequence[DocumentCell]) -> dict[str, str]:
    """Return the tasks that a headless run would skip, each with the reason, given the tasks that ran in this kernel.

    If an upstream task ran again after a task, this task and all tasks downstream of it count as not run.
    """
    if len(dag.order) < len(dag.tasks):
        return {}
    runs = {name: document[task.cell].ran for name, task in dag.tasks.items()}
    instances = []
    outdated: set[str] = set()
    for name in dag.order:
        ran = runs[name]
        if ran is None:
            continue
        above = {task: other for task in dag.upstream[name] if (other := runs[task]) is not None}
        if any(task in outdated or other.order > ran.order for task, other in above.items()):
            outdated.add(name)
        elif ran.state in _ENDED:
            state = TaskState(ran.state)
            chosen, short = ran.chosen, ran.short_circuit
            instances.append(Instance(task=name, state=state, chosen=chosen, short_circuit=short))
    view = RunView(run_id="", dag_id=dag.id, logical_date=None, state=RunState.RUNNING)
    # Options of the whole DAG are ignored, because options such as --fail-fast apply only to headless runs.
    moves = plan(replace(dag, options=DagOptions()), view, instances, now=datetime.now(UTC)).moves
    return {move.task: move.reason for move in moves if move.state is TaskState.SKIPPED}


def task_marks(dag: Dag, document: Sequence[DocumentCell]) -> dict[str, Mark]:
    """Return the mark of each task: its state, its duration, and why it failed, was skipped or is stale."""
    marks: dict[str, Mark] = {}
    skipped = skipped_tasks(dag, document) if any(may_skip_others(cell.ran) for cell in document) else {}
    early = early_cells(dag)
    order = _run_order(dag)
    for name in order:
        task = dag.tasks[name]
        cell = document[task.cell]
        ran = cell.ran
        if name in skipped and (ran is None or ran.state != TaskState.RUNNING):
            marks[name] = Mark(state=TaskState.SKIPPED, reason=skipped[name])
            continue
        if ran is None:
            marks[name] = Mark()
            continue
        state, reason = str(ran.state), ran.reason
        if state == TaskState.SUCCESS or (state == TaskState.SKIPPED and _ran_again(dag, name, document)):
            why = _stale_reason(dag, task, cell, document, marks, early)
            state, reason = (STALE, why) if why else (state, reason)
        marks[name] = Mark(state=state, duration=ran.duration, count=ran.count, reason=reason)
    return marks


def _ran_again(dag: Dag, task: str, document: Sequence[DocumentCell]) -> bool:
    """Return whether a direct upstream task ran again after this task."""
    ran = document[dag.tasks[task].cell].ran
    above = (document[dag.tasks[other].cell].ran for other in dag.upstream[task])
    return ran is not None and any(other is not None and other.order > ran.order for other in above)


def _stale_reason(
    dag: Dag,
    task: Task,
    cell: DocumentCell,
    document: Sequence[DocumentCell],
    marks: Mapping[str, Mark],
    early: Sequence[Cell],
) -> str:
    """Return why the task could give another result if it ran now, or "" if the result would be the same."""
    ran = cell.ran
    assert ran is not None
    if _is_edited(cell):
        return "the cell was edited after it ran"
    for other_cell in needed_cells(task, early):
        setup = document[other_cell.index].ran
        if _is_edited(document[other_cell.index]):
            return f"{other_cell.kind} cell {other_cell.in_file + 1} was edited and has not run again"
        if setup is not None and setup.changed > ran.order:
            return f"{other_cell.kind} cell {other_cell.in_file + 1} was changed after it ran"
    for other in dag.upstream[task.id]:
        above = document[dag.tasks[other].cell].ran
        if above is None:
            return f"the upstream task {other} has not run"
        if above.order > ran.order:
            return f"{other} ran again after this task"
        if other in marks and marks[other].state == STALE:
            return f"{other} is stale"
    return ""


def stale_cells(dag: Dag, document: Sequence[DocumentCell], marks: Mapping[str, Mark]) -> list[int]:
    """Return the indexes of the cells to run so that no task is stale, in the order in which to run them.

    These are the cells of three kinds of tasks: stale tasks, failed tasks whose cells were edited since, and tasks
    upstream of these that have not run. Edited parameters and setup cells that any of these tasks needs come first.
    """
    order = _run_order(dag)
    cells = {name: document[dag.tasks[name].cell] for name in order}
    wanted: set[str] = set()
    for name in reversed(order):
        repaired = marks[name].state == TaskState.FAILED and _is_edited(cells[name])
        needed = cells[name].ran is None and marks[name].state == TaskState.NONE
        if marks[name].state == STALE or repaired or (needed and any(each in wanted for each in dag.downstream[name])):
            wanted.add(name)
    tasks = [dag.tasks[name] for name in order if name in wanted and dag.cells[dag.tasks[name].cell].made_at is None]
    early = early_cells(dag)
    shared = {cell.index for task in tasks for cell in needed_cells(task, early) if _is_edited(document[cell.index])}
    return [*sorted(shared), *(task.cell for task in tasks)]


def early_cells(dag: Dag) -> list[Cell]:
    """Return the parameters cells and the setup cells."""
    return [cell for cell in dag.cells if cell.kind in (CellKind.PARAMETERS, CellKind.SETUP)]


def _run_order(dag: Dag) -> tuple[str, ...]:
    return dag.order if len(dag.order) == len(dag.tasks) else tuple(dag.tasks)


def _is_edited(cell: DocumentCell) -> bool:
    """Return whether the text of the cell differs from the text that ran."""
    return cell.ran is not None and cell.latest != cell.ran.source


def needed_cells(task: Task, early: Sequence[Cell], *, known: Collection[str] = ()) -> list[Cell]:
    """Return the parameters and setup cells that set a name that the task reads. Names in `known` are ignored."""
    reads = set(task.reads).difference(known)
    cells = [cell for cell in early if cell.kind is CellKind.PARAMETERS or cell.index in task.setup]
    return [cell for cell in cells if reads & _binds(cell.code)]


def _binds(code: str) -> set[str]:
    """Return the names that a setup cell sets."""
    python = to_python(code)
    return set() if isinstance(python, SyntaxProblem) else {*(found := uses(python)).writes, *found.maybe_writes}
