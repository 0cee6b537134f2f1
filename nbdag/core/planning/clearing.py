"""Find the setup and teardown tasks that must run again if a task runs again, as in Airflow."""

from __future__ import annotations

from collections.abc import Iterable

from ..model.dag import Dag


def relevant_setups(dag: Dag, task: str) -> tuple[str, ...]:
    """Return the setup tasks that a task uses.

    These are the upstream setup tasks that have no teardown, or have a teardown downstream of the task.
    """
    below = dag.descendants(task)
    found = []
    for name in dag.ancestors(task):
        if dag.tasks[name].options.setup:
            teardowns = _teardowns(dag, name)
            if not teardowns or not below.isdisjoint(teardowns):
                found.append(name)
    return tuple(sorted(found, key=list(dag.tasks).index))


def with_setups(dag: Dag, tasks: Iterable[str]) -> tuple[str, ...]:
    """Return the setup and teardown tasks that run again together with these tasks, in notebook order.

    With a setup task, its teardowns run again. With a teardown, no other task does. With any other task, the setup
    tasks that it uses and their teardowns run again.
    """
    found: set[str] = set()
    for name in tasks:
        task = dag.tasks.get(name)
        if task is None:
            continue
        if task.options.setup:
            found.update(_teardowns(dag, name))
        if not (task.options.setup or task.options.teardown_for):
            for setup in relevant_setups(dag, name):
                found.update((setup, *_teardowns(dag, setup)))
    return tuple(task for task in dag.tasks if task in found)


def _teardowns(dag: Dag, setup: str) -> list[str]:
    return [other for other in dag.downstream[setup] if dag.tasks[other].options.teardown_for]
