"""Tasks in step: instance n of a mapped task follows instance n of other mapped tasks, instead of all their instances.

    %%task load --map url=urls
    rows = fetch(url)

    %%task clean --map rows=rows --in-step load
    tidy = rows.dropna()

The task `load` is the leader, because --in-step names it. `clean` has as many instances as `load`, and `clean[3]` runs
as soon as `load[3]` has succeeded, with the value `rows` of `load[3]`. Tasks with the same leader are also in step with
one another. Each --map of a task in step names a result of another task in step, or repeats a --map of the leader. If
it repeats a --map of the leader, both tasks get the same elements. In the notebook, the cell runs once for each
position of its maps, as with `--zip`, and gets the same values as in a run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from ..cells.source import Python, SyntaxProblem
from ..model.dag import Dag, Edge, Problem, Task
from ..model.problems import problem
from ..options.option_types import nearest


def leads(tasks: Mapping[str, Task]) -> dict[str, str]:
    """Return the leader (the task that --in-step names) of each task with --in-step."""
    found = ((name, task.options.in_step) for name, task in tasks.items())
    return {name: lead for name, lead in found if lead is not None and lead in tasks}


def leader_edges(tasks: Mapping[str, Task]) -> list[Edge]:
    """Return an edge from each leader to each task in step with it.

    A plan visits the tasks in the order of these edges; the edges are not dependencies.
    """
    return [Edge(source=lead, target=name) for name, lead in leads(tasks).items() if lead != name]


def partners(dag: Dag, task: str) -> frozenset[str]:
    """Return the direct upstream tasks that are in step with a task."""
    known = leads(dag.tasks)
    lead = known.get(task)
    return frozenset(each for each in dag.upstream[task] if lead is not None and known.get(each, each) == lead)


def element_sources(dag: Dag, task: Task) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the `--map` variables that get results of tasks in step.

    Key: variable; value: name of the result, and the tasks that provide the result.
    """
    others = partners(dag, task.id)
    given = {each.name: tuple(source for source in each.sources if source in others) for each in task.inputs}
    named = ((variable, expression.strip()) for variable, expression in task.options.map)
    return {variable: (name, given[name]) for variable, name in named if given.get(name)}


def in_step_problems(dag: Dag, parsed: Mapping[int, Python | SyntaxProblem]) -> Iterator[Problem]:
    """Yield the problems of tasks with --in-step."""
    for task in dag.tasks.values():
        lead = task.options.in_step
        if lead is not None:
            found = _wrong_leader(dag, task, lead) or _wrong_map(dag, task, lead, parsed.get(task.cell))
            if found is not None:
                place = dag.cells[task.cell].at(1)
                yield problem("NB235", found[0], hint=found[1], task=task.id, place=place)


def _wrong_leader(dag: Dag, task: Task, name: str) -> tuple[str, str] | None:
    """Return a message and a hint if a task cannot be in step with its leader, else None."""
    lead = dag.tasks.get(name)
    if lead is None:
        near = nearest(name, dag.tasks)
        return f"--in-step {name} names no task", f"did you mean {near}?" if near else "name a task with --map"
    if name == task.id or not lead.options.map:
        why = "the task itself" if name == task.id else f"{name}, which has no --map"
        return f"--in-step names {why}", "name another task, one with --map"
    if lead.options.in_step is not None:
        return f"--in-step names {name}, which is in step with another task", f"write --in-step {lead.options.in_step}"
    if task.id in dag.ancestors(name):
        return f"{name} runs after {task.id}, and cannot lead it", f"write --in-step {task.id} in the header of {name}"
    for each in (task, lead):
        for option in ("branch", "short_circuit", "setup", "teardown_for"):
            if getattr(each.options, option):
                message = f"--{option.replace('_', '-')} of {each.id} cannot be combined with --in-step"
                return message, "write --when EXPR, which skips one instance"
    return None


def _wrong_map(dag: Dag, task: Task, lead: str, python: Python | SyntaxProblem | None) -> tuple[str, str] | None:
    """Return a message and a hint if a task in step has a wrong --map or lacks a --map, else None.

    Each --map must name a result of a task in step, or repeat a --map of the leader. Without a --map, the task would
    read the results of all instances of a task in step.
    """
    found = element_sources(dag, task)
    for variable, expression in task.options.map:
        if variable not in found and (variable, expression) not in dag.tasks[lead].options.map:
            message = f"--map {variable}={expression} is neither a result of a task in step nor a map of {lead}"
            return message, f"write it in the header of {lead} as well, or name a result of {lead}"
    others = partners(dag, task.id)
    mapped = {name for name, _ in found.values()}
    used = (
        {each.id for each in ast.walk(python.tree) if isinstance(each, ast.Name)} if isinstance(python, Python) else ()
    )
    for each in task.inputs:
        partner = next((source for source in each.sources if source in others), None)
        if partner is not None and (each.name not in mapped or (each.name not in found and each.name in used)):
            message = f"{task.id} is in step with {partner}, but reads {each.name} of all its instances"
            return message, f"write --map {each.name}={each.name}, or remove --in-step"
    return None
