"""Load the values of a run into this process: the inputs and outputs of one task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ....core.cells.kernel_values import kernel_values
from ....core.model.dag import Dag
from ....core.model.job import StoredInput
from ....core.model.states import TaskState
from ....core.options.options import TaskOptions
from ....core.planning.assemble import inputs
from ....home import Home, the_home
from ....scheduler import task_outputs
from ....store.rows import RunRow
from ..loading import ValueLoader
from ..pinned import run_dag
from ..records import Run, TaskRun
from ..runs import UnknownRunError, find_row, open_store, read_runs


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedTask:
    """A task of a run, with everything that a notebook's kernel needs to execute the task's cell."""

    run: str
    task: TaskRun
    inputs: Mapping[str, object]  # values that the task reads, by name
    outputs: Mapping[str, object]  # values that the task stored, by name
    # The parameters that the task reads, with the values that a kernel gets (see `kernel_value`).
    parameters: Mapping[str, Any]
    missing: tuple[str, ...]  # names of inputs without a stored value, because the task that sets them failed
    options: TaskOptions
    # Key: upstream task (direct or indirect) that succeeded; value: the text of its cell in the run. In run order.
    sources: Mapping[str, str]


def load(
    dag: str, *, run: str = "latest", task: str, map_index: int = -1, home: Home | None = None
) -> dict[str, object]:
    """Return the inputs and outputs of a task by name; if the task changed an input, return the new value."""
    here = the_home(home)
    with open_store(here) as store:
        if store is None:
            raise UnknownRunError(run, dag, here.root)
        row = find_row(store, here, run, dag)
        found = read_runs(store, here, [row])[0]
        one = found[task] if map_index < 0 else found[task, map_index]
        given = _inputs(store, row, run_dag(here, row), one.id)
    value = ValueLoader(here, found.id, task)
    return {**_loaded_inputs(value, given), **_loaded_outputs(value, one)}


def load_task(dag: str, *, run: str = "latest", task: str, home: Home | None = None) -> LoadedTask:
    """Load everything that a notebook's kernel needs to execute the cell of a task of a run.

    For a mapped task, `task[3]` names an instance (default: the first failed instance, or instance 0 if none failed).
    """
    here = the_home(home)
    with open_store(here) as store:
        if store is None:
            raise UnknownRunError(run, dag, here.root)
        row = find_row(store, here, run, dag)
        found = read_runs(store, here, [row])[0]
        one = _instance(found, task)
        notebook = run_dag(here, row)
        given = _inputs(store, row, notebook, one.id)
    wanted = notebook.tasks[one.id]
    value = ValueLoader(here, found.id, one.id)
    loaded = _loaded_inputs(value, given)
    parameters = {name: each for name, each in found.parameters.items() if name in wanted.reads}
    done = {each.id for each in found if each.state is TaskState.SUCCESS}
    above = notebook.ancestors(one.id)
    return LoadedTask(
        run=found.id,
        task=one,
        inputs=loaded,
        outputs=_loaded_outputs(value, one),
        parameters=kernel_values(notebook.parameter_schemas, parameters),
        missing=tuple(each.name for each in wanted.inputs if each.name not in loaded and not each.optional),
        options=wanted.options,
        sources={
            name: notebook.cells[notebook.tasks[name].cell].source
            for name in notebook.order
            if name in above and (name in done or (found.only is not None and name not in found.only))
        },
    )


def _instance(run: Run, task: str) -> TaskRun:
    instances = [each for each in run if each.id == task and each.map_index >= 0]
    failed = [each for each in instances if each.state is TaskState.FAILED]
    first = next(iter(failed or instances), None)
    return run[task] if first is None else first


def _inputs(store: Any, row: RunRow, notebook: Dag, task: str) -> tuple[StoredInput, ...]:
    borrowed = store.borrowed([row.id])[row.id]
    attempts = store.attempts([row.id, *borrowed.values()])
    outputs = task_outputs(attempts[row.id])
    for other, number in borrowed.items():
        outputs[other] = task_outputs(attempts[number]).get(other, {})
    return inputs(notebook, notebook.tasks[task], lambda source: list(outputs.get(source, {}).values()))


def _loaded_inputs(value: ValueLoader, given: Iterable[StoredInput]) -> dict[str, object]:
    found: dict[str, object] = {}
    for each in given:
        parts = [value(digest, each.name) for digest in each.digests]
        found[each.name] = parts if each.is_list else parts[0]
    return found


def _loaded_outputs(value: ValueLoader, task: TaskRun) -> dict[str, object]:
    return {output.name: value(output.digest, output.name) for output in task.outputs}
