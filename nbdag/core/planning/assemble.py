"""From a task that may run to the job that a worker is given.

A job holds all that an attempt needs, and nothing that it does not: the cells that come before the task, the inputs
that other tasks left, where to write. Which of several possible writers gives an input was settled by how they
ended: the nearest one above that succeeded. Nothing here touches a file, a clock or a database.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..cells.imports import imports
from ..model.dag import CellKind, Dag, Task
from ..model.job import Job, Key, StoredInput


@dataclass(frozen=True, slots=True)
class Left:
    """What one succeeded instance of a task left behind."""

    map_index: int
    digests: Mapping[str, str] = field(default_factory=dict)  # name → stored value


Leavings = Callable[[str], Sequence[Left]]  # task → what its succeeded instances left


def assemble(
    dag: Dag,
    key: Key,
    *,
    left: Leavings,
    path: str,
    values: str,
    cwd: str,
    kernel_name: str,
    kernels: str = "warm",
    parameters: Mapping[str, Any] | None = None,
    element: Mapping[str, str] | None = None,
    expand: bool = False,
    mark: str = "",
    context: Mapping[str, Any] | None = None,
) -> Job:
    """The job of one attempt. `left` says what a task of the run, or one that it borrows from, has left so far."""
    task = dag.tasks[key.task]
    return Job(
        key=key,
        task=task,
        path=path,
        values=values,
        cwd=cwd,
        kernel_name=kernel_name,
        kernels=kernels,
        parameter_cells=tuple(cell.code for cell in dag.cells if cell.kind is CellKind.PARAMETERS),
        setup_cells=tuple(dag.cells[index].code for index in task.setup),
        imports=imports(dag),
        readers=readers(dag, task.id),
        inputs=inputs(dag, task, left),
        parameters=dict(parameters or {}),
        element=dict(element or {}),
        expand=expand,
        mark=mark,
        context=dict(context or {}),
        held=held(dag, task),
        changed_later=changed_later(dag, task),
    )


def inputs(dag: Dag, task: Task, left: Leavings) -> tuple[StoredInput, ...]:
    """The values that the task is given. A name that its writer did not leave is not among them."""
    given = []
    for wanted in task.inputs:
        for source in wanted.sources:
            instances = sorted(left(source), key=lambda each: each.map_index)
            if not instances:
                continue  # it did not succeed, so what was written further up still stands
            digests = tuple(each.digests[wanted.name] for each in instances if wanted.name in each.digests)
            if digests:
                mapped = bool(dag.tasks[source].options.map)
                given.append(StoredInput(name=wanted.name, source=source, digests=digests, is_list=mapped))
            break
    return tuple(given)


def readers(dag: Dag, task: str) -> dict[str, str]:
    """Name → the first task, in notebook order, that takes it from this one."""
    found: dict[str, str] = {}
    for reader in dag.tasks.values():
        for wanted in reader.inputs:
            if task in wanted.sources:
                found.setdefault(wanted.name, reader.id)
    return found


def held(dag: Dag, task: Task) -> dict[str, tuple[str, ...]]:
    """Name that the task may change → the names by which others have that object: they would miss a hidden change.

    What a task gave is missed by those below that are given it too; what setup makes, by all others that make it anew.
    An outcome that is kept may stand for one in a notebook that reads more, so then everything that was given counts.
    """
    given = {each.name for each in task.inputs}
    below: set[str] = set()
    anywhere: set[str] = set()
    for other in dag.tasks.values():
        if other.id == task.id:
            continue
        sources = {each.name: dag.tasks[each.sources[0]].cell for each in other.inputs}
        anywhere.update(name for name in other.reads if name not in sources)
        if other.cell > task.cell:
            below.update(name for name in other.reads if sources.get(name, -1) < task.cell)
    found = {}
    for name in dict.fromkeys((*task.reads, *(sorted(anywhere) if task.opaque else ()))):
        names = (name, *task.aliases.get(name, ()))
        if not (task.options.cache and name in given):
            names = tuple(each for each in names if each in (below if name in given else anywhere | below))
        if names:
            found[name] = names
    for name, expression in task.options.map:  # an element is a part of what these have
        names = tuple(each for word in re.findall(r"\w+", expression) for each in found.get(word, ()))
        if names:
            found[name] = names
    return found


def changed_later(dag: Dag, task: Task) -> dict[str, str]:
    """Name → the first task below this one that changes it in place."""
    found: dict[str, str] = {}
    for other in dag.tasks.values():
        if other.cell > task.cell:
            for name in (*other.changes, *other.options.change):
                found.setdefault(name, other.id)
    return found
