"""Positions, weights and indirect setup tasks of a notebook, computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..dataflow.in_step import leads, partners
from ..model.dag import Dag
from ..model.weights import weights
from .clearing import relevant_setups


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions and weights of a notebook's tasks, and other properties of the notebook that a plan needs."""

    position: Mapping[str, int]  # key: task id; value: position in the notebook, from 0
    weights: Mapping[str, int]  # key: task id; value: priority weight
    # Key: task; value: setup tasks further upstream that must succeed before the task runs.
    indirect_setups: Mapping[str, tuple[str, ...]]
    has_deadlines: bool  # whether the DAG or any task has a deadline
    leads: Mapping[str, str]  # key: task with --in-step; value: its leader, which is the task that --in-step names
    # Key: task with --in-step; value: direct upstream tasks that are in step with it.
    partners: Mapping[str, frozenset[str]]


def layout(dag: Dag) -> Layout:
    """Return a notebook's layout, computed once."""
    # The layout is stored in the Dag's __dict__, as a cached property would be, so that it is freed with the Dag.
    known = vars(dag)
    if "layout" not in known:
        followers = leads(dag.tasks)
        known["layout"] = Layout(
            {task: n for n, task in enumerate(dag.tasks)},
            weights(dag),
            _indirect_setups(dag),
            bool(dag.options.deadline or any(task.options.deadline for task in dag.tasks.values())),
            followers,
            {task: partners(dag, task) for task in followers},
        )
    found: Layout = known["layout"]
    return found


def _indirect_setups(dag: Dag) -> dict[str, tuple[str, ...]]:
    if not any(task.options.setup for task in dag.tasks.values()):
        return {}
    found = {}
    for name, task in dag.tasks.items():
        direct = dag.upstream[name]
        setups = () if task.options.teardown_for else relevant_setups(dag, name)
        if indirect := tuple(setup for setup in setups if setup not in direct):
            found[name] = indirect
    return found
