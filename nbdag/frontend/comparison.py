"""Two runs of a pipeline side by side: parameters, code, durations, and values by digest."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence

from ..core.model.dag import CellKind, Dag
from ..core.model.job import StoredOutput
from ..core.model.masking import masked, masked_assignments, masked_sources
from ..core.model.states import TaskState
from ..home import Home
from ..runs import Run, TaskRun, find_run, pinned_notebook
from .messages import ComparedParameter, ComparedSide, ComparedTask, ComparedValue, Comparison, TaskStatus
from .status import run_statuses, run_summary
from .task import stored_value

_CONTEXT = 3  # number of equal lines that are kept around a difference


def compare(left: str, right: str, dag: str, *, home: Home) -> Comparison:
    """Compare two runs of a DAG."""
    runs = (find_run(left, dag, home=home), find_run(right, dag, home=home))
    notebooks = tuple(pinned_notebook(dag, run=run.id, home=home).dag for run in runs)
    statuses = tuple(run_statuses(run) for run in runs)
    names = dict.fromkeys(each.id for run in runs for each in run)
    return {
        "left": run_summary(runs[0]),
        "right": run_summary(runs[1]),
        "parameters": _parameters(runs, notebooks),
        "shared": difference(*(_shared_code(notebook) for notebook in notebooks)),
        "tasks": [_task(name, runs, notebooks, statuses) for name in _ordered(names, notebooks)],
    }


def difference(before: Sequence[str], after: Sequence[str]) -> list[list[str]]:
    """Return the difference of two texts as lines with their signs, or [] if they are equal."""
    found: list[list[str]] = []
    if before == after:
        return found
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for n, group in enumerate(matcher.get_grouped_opcodes(_CONTEXT)):
        if n:
            found.append(["@", ""])
        for tag, start, end, other_start, other_end in group:
            if tag == "equal":
                found += [[" ", line] for line in before[start:end]]
                continue
            found += [["-", line] for line in before[start:end]]
            found += [["+", line] for line in after[other_start:other_end]]
    return found


def _ordered(names: Mapping[str, None], notebooks: Sequence[Dag]) -> Iterator[str]:
    """Return the tasks in the run order of the first notebook that has them."""
    order = dict.fromkeys(task for notebook in notebooks for task in (*notebook.order, *notebook.tasks))
    return iter(dict.fromkeys([*(task for task in order if task in names), *names]))


def _parameters(runs: Sequence[Run], notebooks: Sequence[Dag]) -> list[ComparedParameter]:
    sides = []
    for run, notebook in zip(runs, notebooks, strict=True):
        values = masked_sources(notebook.parameters)
        values |= {name: json.dumps(value, ensure_ascii=False) for name, value in masked(run.parameters).items()}
        sides.append(values)
    left, right = sides
    return [{"name": name, "left": left.get(name), "right": right.get(name)} for name in dict.fromkeys([*left, *right])]


def _shared_code(notebook: Dag) -> list[str]:
    """Return the code that runs before every task."""
    shared = [cell for cell in notebook.cells if cell.kind in (CellKind.PARAMETERS, CellKind.SETUP)]
    return [line for cell in shared for line in masked_assignments(cell.code).split("\n")]


def _task(
    name: str, runs: Sequence[Run], notebooks: Sequence[Dag], statuses: Sequence[Mapping[str, TaskStatus]]
) -> ComparedTask:
    instances = [[each for each in run if each.id == name] for run in runs]
    left, right = (
        _side(found, status.get(name)) if found else None for found, status in zip(instances, statuses, strict=True)
    )
    codes = [_code(notebook, name) for notebook in notebooks]
    return {
        "task": name,
        "left": left,
        "right": right,
        "code": difference(*codes),
        "values": _values(name, *instances),
    }


def _code(notebook: Dag, task: str) -> list[str]:
    found = notebook.tasks.get(task)
    if found is None:
        return []
    return (notebook.cells[found.cell].source if found.cell < len(notebook.cells) else found.code).split("\n")


def _side(found: Sequence[TaskRun], status: TaskStatus | None) -> ComparedSide:
    # The outputs of a mapped task are those of an instance that failed, if any.
    shown = next((each for each in found if each.state is TaskState.FAILED), found[0])
    return {
        "status": {"state": TaskState.NONE} if status is None else status,
        "map_index": shown.map_index,
        "try_number": shown.tries if shown.started is not None else 0,
    }


def _values(task: str, left: Sequence[TaskRun], right: Sequence[TaskRun]) -> list[ComparedValue]:
    sides = [_outputs(left), _outputs(right)]
    mapped = [any(each.map_index >= 0 for each in found) for found in (left, right)]
    found: list[ComparedValue] = []
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        outputs = [side.get(name, []) for side in sides]
        values = [
            stored_value(task, name, each, is_mapped) if each else None
            for each, is_mapped in zip(outputs, mapped, strict=True)
        ]
        same = [each.digest for each in outputs[0]] == [each.digest for each in outputs[1]]
        found.append({"name": name, "left": values[0], "right": values[1], "same": same})
    return found


def _outputs(found: Sequence[TaskRun]) -> dict[str, list[StoredOutput]]:
    """Return the stored outputs of the instances of a task, by name."""
    outputs: dict[str, list[StoredOutput]] = {}
    for each in found:
        for output in each.outputs:
            outputs.setdefault(output.name, []).append(output)
    return outputs
