"""Load the inputs of a task of a headless run into the live notebook, so that its cell can be executed there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .. import runs
from ..core.cells.kernel_values import KernelCode
from ..core.model.secret_names import is_reference
from ..core.model.text import join_names, plural, task_label
from ..errors import Fail
from ..home import Home
from ..kernels.runtime.expressions import elements
from ..session import Session

_FAILED_LINE = re.compile(r"^-+> ?(\d+)", re.M)  # a failing line in a traceback; the first one is in the task's cell


@dataclass(frozen=True, slots=True)
class Loaded:
    """A description of the loaded values, and the line at which the user continues."""

    text: str  # for the user; each line is a sentence
    cell: int | None  # index of the task's cell; None if the notebook no longer has the task
    line: int  # line of the cell at which the task failed, or 1


def load_task(
    task: str,
    *,
    session: Session,
    namespace: dict[str, Any],
    run: str = "latest",
    only_inputs: bool = False,
    home: Home | None = None,
) -> Loaded:
    """Set the inputs and outputs of a task of a run as variables, and record its upstream tasks as executed.

    The parameters of the run are set, too. For an instance of a mapped task, the variables of `--map` are also set.
    Raise the errors of `runs.load_task`.
    """
    dag = session.dag()
    found = runs.load_task(dag.id, run=run, task=task, home=home)
    name = found.task.id
    values = {**found.inputs, **({} if only_inputs else found.outputs)}
    secrets = [each for each, value in found.parameters.items() if is_reference(value)]
    parameters = {
        each: eval(value.code, namespace) if isinstance(value, KernelCode) and value.code else value
        for each, value in found.parameters.items()
        if each not in secrets
    }
    namespace.update(parameters)
    namespace.update(values)
    notes = []
    if found.task.map_index >= 0:
        try:
            element = _element(found, namespace)
        except Fail as error:
            notes.append(f"the element of this instance is unknown: {error}")
        else:
            namespace.update(element)
            parameters |= element
    if found.missing:
        notes.append(f"run {found.run} did not store {join_names(found.missing)}: no task that sets it succeeded")
    if secrets:
        notes.append(f"not set, because its value is secret: {join_names(secrets)}")
    session.record_loaded(name, found.sources, reason=f"its values were loaded from run {found.run}")
    names = list(dict.fromkeys((*parameters, *values)))
    instance = task_label(name, found.task.map_index)
    text = f"loaded {', '.join(names) or 'no values'} of {instance} in run {found.run} into this kernel"
    if name not in dag.tasks:
        notes.append(f"the notebook has no task {name} any more")
        return Loaded(_sentences(text, notes), None, 1)
    cell = dag.cells[dag.tasks[name].cell]
    failed = _FAILED_LINE.search(found.task.traceback or "")
    line = int(failed[1]) if failed and int(failed[1]) <= cell.source.count("\n") + 1 else 1
    place = f"cell {cell.in_file + 1}, line {line}" if failed else f"cell {cell.in_file + 1}"
    notes.insert(0, f"{instance} ({found.task.state.value.replace('_', ' ')}) is in {place}")
    if earlier := [f"{each + 1}" for each in session.cells_without_run(name, known=parameters)]:
        cells = f"cell{'s' if len(earlier) > 1 else ''} {join_names(earlier)}"
        notes.append(f"run {cells} and load {instance} again: {name} needs values of {cells}")
    return Loaded(_sentences(text, notes), cell.in_file, line)


def _element(found: runs.LoadedTask, namespace: dict[str, Any]) -> dict[str, Any]:
    options = found.options
    columns, rows = elements(options.map, namespace, in_step=options.paired, limit=options.max_map_length)
    if found.task.map_index >= len(rows):
        raise Fail(f"--map has {plural(len(rows), 'element')} here")
    row = rows[found.task.map_index]
    return {name: column[index] for (name, column), index in zip(columns.items(), row, strict=True)}


def _sentences(text: str, notes: list[str]) -> str:
    return "\n".join([text, *notes])
