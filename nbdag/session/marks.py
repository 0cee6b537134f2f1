"""The state of each task of a live notebook, and why a task is skipped or stale.

A task that a headless run would skip, because of a branch, a short circuit or a trigger rule, is also skipped in the
live notebook. A task is stale if it succeeded but another run could give a different result: its code was edited, or an
upstream task ran again, is stale, or has not run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """Return whether other tasks may be skipped because of this run of a cell."""
    return ran is not None and (ran.state == TaskState.SKIPPED or ran.chosen is not None or ran.short_circuit)


def skipped_tasks(dag: Dag, document: Sequence[DocumentCell]) -> dict[str, str]:
    """Return the tasks that a headless run would skip, given the tasks that ran in this kernel, with the reasons.

    A task that ran before one of its upstream tasks ran again counts as a task that has not run. So do the tasks below
    it.
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
    early = [cell for cell in dag.cells if cell.kind in (CellKind.PARAMETERS, CellKind.SETUP)]
    order = dag.order if len(dag.order) == len(dag.tasks) else tuple(dag.tasks)
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
    """Return whether an upstream task ran again after this task."""
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
    """Explain why another run of the task could give a different result; return "" if the result would be the same."""
    ran = cell.ran
    assert ran is not None
    if cell.latest != ran.source:
        return "the cell was edited after it ran"
    for other_cell in _needed_cells(task, early):
        setup = document[other_cell.index].ran
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


def _needed_cells(task: Task, early: Sequence[Cell]) -> list[Cell]:
    """Return the parameters cells and setup cells that set a name which the task reads."""
    reads = set(task.reads)
    cells = [cell for cell in early if cell.kind is CellKind.PARAMETERS or cell.index in task.setup]
    return [cell for cell in cells if reads & _binds(cell.code)]


def _binds(code: str) -> set[str]:
    """Return the names that a setup cell sets."""
    python = to_python(code)
    return set() if isinstance(python, SyntaxProblem) else {*(found := uses(python)).writes, *found.maybe_writes}
