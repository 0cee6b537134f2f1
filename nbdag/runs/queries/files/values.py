"""Load the values of a run into this process: the inputs and outputs of one task."""

from __future__ import annotations

from collections.abc import Iterable

from ....core.model.job import StoredInput
from ....core.planning.assemble import inputs
from ....home import Home, the_home
from ....scheduler import task_outputs
from ..loading import ValueLoader
from ..pinned import run_dag
from ..records import TaskRun
from ..runs import UnknownRunError, find_row, open_store, read_runs


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
        borrowed = store.borrowed([row.id])[row.id]
        attempts = store.attempts([row.id, *borrowed.values()])
        outputs = task_outputs(attempts[row.id])
        for other, number in borrowed.items():
            outputs[other] = task_outputs(attempts[number]).get(other, {})
        notebook = run_dag(here, row)
        given = inputs(notebook, notebook.tasks[one.id], lambda source: list(outputs.get(source, {}).values()))
    return _loaded(ValueLoader(here, found.id, task), given, one)


def _loaded(value: ValueLoader, given: Iterable[StoredInput], task: TaskRun) -> dict[str, object]:
    found: dict[str, object] = {}
    for each in given:
        parts = [value(digest, each.name) for digest in each.digests]
        found[each.name] = parts if each.is_list else parts[0]
    for output in task.outputs:
        found[output.name] = value(output.digest, output.name)
    return found
