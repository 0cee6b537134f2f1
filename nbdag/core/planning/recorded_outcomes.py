"""Find the skipped tasks of a run that another program, such as Airflow, plans; nbdag only executes the attempts.

Each attempt that nbdag executed has an `Outcome`. A task that the other program skipped has no outcome, or an outcome
from before the run was cleared. So an outcome counts only if its task was not skipped by its trigger rule, or by an
upstream task with --branch or --short-circuit. Nothing here touches a file, a clock or a database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..model.dag import Dag
from ..model.job import Outcome
from ..model.states import TaskState
from .dag_layout import layout
from .triggers import Counts, decide

# Returns the outcomes of a task's instances, or an empty list if no attempt of the task has ended.
OutcomesOf = Callable[[str], Sequence[Outcome]]


def skipped_tasks(dag: Dag, task: str, outcomes_of: OutcomesOf) -> frozenset[str]:
    """Return the skipped ancestors of a task, and the task itself if an ancestor skips it.

    An ancestor skips the task by --branch or --short-circuit. The trigger rule of `task` itself is not considered,
    because the other program has already decided to start the task.
    """
    states: dict[str, tuple[TaskState, ...]] = {}
    cut: set[str] = set()  # tasks that an upstream task with --branch or --short-circuit skips
    needed = {*dag.ancestors(task), task}
    for each in (name for name in dag.order if name in needed):
        if (each in cut and not dag.tasks[each].options.teardown_for) or (each != task and _settles(dag, each, states)):
            states[each] = (TaskState.SKIPPED,)
            continue
        outcomes = () if each == task else tuple(outcomes_of(each))
        states[each] = tuple(outcome.state for outcome in outcomes)
        if any(outcome.short_circuit for outcome in outcomes):
            cut.update(dag.descendants(each))
        chosen = [outcome.chosen for outcome in outcomes if outcome.chosen is not None]
        if chosen:
            followed = dag.followed(each, dict.fromkeys(name for names in chosen for name in names))
            cut.update(name for name in dag.downstream[each] if name not in followed)
    return frozenset(name for name, found in states.items() if found and set(found) == {TaskState.SKIPPED})


def _settles(dag: Dag, task: str, states: Mapping[str, Sequence[TaskState]]) -> bool:
    """Return whether a task is skipped because of its setup tasks or its trigger rule."""
    setups = (states[setup] for setup in layout(dag).indirect_setups.get(task, ()) if setup in states)
    if any(TaskState.SKIPPED in each for each in setups):
        return True
    return decide(dag.tasks[task].options.trigger, _counts(dag, task, states)) is TaskState.SKIPPED


def _counts(dag: Dag, task: str, states: Mapping[str, Sequence[TaskState]]) -> Counts:
    found: list[TaskState] = []
    of_setups: list[TaskState] = []
    for other in dag.upstream[task]:
        # A task without a state counts as one instance that has not ended.
        mine = states[other] or (TaskState.NONE,)
        found += mine
        of_setups += mine if dag.tasks[other].options.setup else ()
    return Counts(
        all=len(found),
        success=found.count(TaskState.SUCCESS),
        skipped=found.count(TaskState.SKIPPED),
        failed=found.count(TaskState.FAILED),
        setup=len(of_setups),
        setup_success=of_setups.count(TaskState.SUCCESS),
        setup_skipped=of_setups.count(TaskState.SKIPPED),
    )
