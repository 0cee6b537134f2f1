"""The law below branches: every task that runs sees the value of the last writer above that succeeded.

A generated notebook gets branches with drawn choices, groups, trigger rules, mapped tasks, one of them in step with
another, and a task that pulls a value or renders a template with it. The planner decides what runs, in a drawn order. Then the same cells run from top to bottom in one namespace, without those that were skipped.
"""

from __future__ import annotations

import copy
import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, given, note, reject, settings
from hypothesis import strategies as st

from nbdag.core.model.dag import Cell, CellKind, Dag
from nbdag.core.model.job import Key
from nbdag.core.model.states import RunState, TaskState
from nbdag.core.options.options import TaskOptions
from nbdag.core.planning.assemble import StoredOutputs, assemble
from nbdag.core.planning.plan import expansion_of, plan
from nbdag.core.planning.plan_types import Instance, RunView
from nbdag.values import UnstorableError, ValueStore

from .driver import Seen, attempt, main_namespace, notebook, run_cell, running, wrong
from .notebooks import Cells, notebooks
from .test_law import UNHURRIED, told

EXAMPLES = int(os.environ.get("NBDAG_LAW_EXAMPLES", "15"))
RULES = ("all_success", "all_success", "none_failed", "none_failed_min_one_success", "all_done", "none_skipped")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Flow:
    """A notebook with control flow, and what its branches choose."""

    cells: Cells
    options: dict[str, TaskOptions] = field(default_factory=dict)
    chosen: dict[str, tuple[str, ...]] = field(default_factory=dict)
    elements: dict[str, list[int]] = field(default_factory=dict)  # mapped task → its elements


@st.composite
def flows(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Flow:
    cells = draw(notebooks())
    name = {kind: kind for kind, _ in cells if kind not in ("setup", "parameters")}
    for task in name:
        name[task] = draw(st.sampled_from([task, task, f"g.{task}", f"g.h.{task}"]))
    flow = Flow([(name.get(kind, kind), code) for kind, code in cells])
    tasks = list(name.values())
    if draw(st.booleans()):
        flow.elements["m"] = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
        read = draw(st.sampled_from(["n", "xs", "d"]))
        at = draw(st.integers(1, len(flow.cells)))
        flow.cells[at:at] = [("m", f"mq = [el, {read}]"), ("reader", "mr = [len(mq), mq]")]
        if draw(st.booleans()):
            flow.elements["s"] = flow.elements["m"]
            flow.cells[at + 1 : at + 1] = [("s", "sq = [mq, el]\nmq.append(5)")]
            flow.cells[-1:] = [flow.cells[-1], ("s_reader", "sr = [sq, mq]")]
        tasks = [kind for kind, _ in flow.cells if kind not in ("setup", "parameters")]
    if draw(st.booleans()):
        source = draw(st.sampled_from(list(name.values())))
        at = next(n for n, (kind, _) in enumerate(flow.cells) if kind == source)
        flow.cells[at] = (source, f"{flow.cells[at][1]}\npq = [{draw(st.sampled_from(['1', 'n', 'xs', 'd']))}, 'x']")
        pull = f"dag_run.ti.xcom_pull({source!r}, key='pq')"
        # Generated cells show the analysis in this way what a template pulls.
        template = f"{{{{ ti.xcom_pull({source!r}, key='pq') }}}}-{{{{ run_id }}}}"
        code = draw(st.sampled_from([f"pr = {pull}", f"pt = dag_run.render({template!r}, {pull})"]))
        at = draw(st.integers(at + 1, len(flow.cells)))
        flow.cells[at:at] = [("pull", code)]
        tasks = [kind for kind, _ in flow.cells if kind not in ("setup", "parameters")]
    flow.options = {task: TaskOptions(trigger=draw(st.sampled_from(RULES))) for task in tasks}
    if "m" in flow.elements:
        shared = ("el", str(flow.elements["m"]))
        flow.options["m"] = replace(flow.options["m"], map=(shared,))
        if "s" in flow.elements:
            flow.options["s"] = replace(flow.options["s"], map=(shared, ("mq", "mq")), in_step="m")
    for number, task in enumerate(tasks[:-1]):
        below = tasks[number + 1 :]
        if draw(st.integers(0, 2)) or task in flow.elements:
            continue
        followers = draw(st.lists(st.sampled_from(below), min_size=1, max_size=3, unique=True))
        for other in followers:
            flow.options[other] = replace(flow.options[other], after=(*flow.options[other].after, task))
        groups = [
            f"g{'.h' * deep}" for deep in (0, 1) if any(each.startswith(f"g{'.h' * deep}.") for each in followers)
        ]
        choices = draw(st.lists(st.sampled_from([*followers, *groups]), max_size=2, unique=True))
        flow.options[task] = replace(flow.options[task], branch=True)
        flow.chosen[task] = tuple(choices)
        at = next(n for n, (kind, _) in enumerate(flow.cells) if kind == task)
        flow.cells[at] = (task, f"{flow.cells[at][1]}\n{list(choices)!r}")
    return flow


def by_plan(dag: Dag, flow: Flow, chance: random.Random, root: str) -> tuple[dict[str, list[Seen]], Exception | None]:
    """Run the tasks that the planner lets run, in a drawn order; return what each instance leaves.

    A cell may raise, because it needs what a skipped one would have made. Then return the tasks so far, and the error.
    """
    view = RunView(run_id="run", dag_id="law", logical_date=NOW, state=RunState.RUNNING)
    instances = {(task, -1): Instance(task=task) for task in dag.tasks}
    left: dict[str, list[StoredOutputs]] = {}
    seen: dict[str, list[Seen]] = {}
    values = ValueStore(root)
    while True:
        found = plan(dag, view, list(instances.values()), now=NOW)
        for move in found.moves:
            instances[move.task, move.map_index] = replace(instances[move.task, move.map_index], state=move.state)
        if found.verdict is not None:
            assert found.verdict is RunState.SUCCESS, found.reason
            return seen, None
        one = chance.choice(found.ready)
        if one.task in found.expand:
            grown = expansion_of(one.task, len(flow.elements[one.task]), instances.values())
            instances = {key: each for key, each in instances.items() if key not in grown.drop}
            instances |= {each.key: each for each in grown.add}
            if one.task == "m" and "s" in flow.elements:
                grown = expansion_of("s", len(flow.elements["s"]), instances.values())
                instances = {key: each for key, each in instances.items() if key not in grown.drop}
                instances |= {each.key: each for each in grown.add}
            continue
        element = {}
        if one.map_index >= 0:
            value = flow.elements[one.task][one.map_index]
            element = {"el": values.save({"el": value}, readers={}).outputs[0].digest}
        key = Key(dag="law", run="run", task=one.task, map_index=one.map_index)
        job = assemble(
            dag, key, outputs_of=lambda task: left.get(task, ()), path="", values=root, cwd=".", kernel_name="python3",
            element=element,
        )  # fmt: skip
        job = replace(job, task=replace(job.task, options=replace(job.task.options, branch=False)))
        try:
            looked, report = attempt(job)
        except UnstorableError:
            raise
        except Exception as error:
            return {**seen, one.task: [{}]}, error
        seen.setdefault(one.task, []).append(looked)
        digests = {output.name: output.digest for output in report.outputs}
        left.setdefault(one.task, []).append(StoredOutputs(one.map_index, digests))
        instances[one.key] = replace(one, state=TaskState.SUCCESS, chosen=flow.chosen.get(one.task))


@dataclass
class PlainRun:
    """`dag_run` and `ti` of the run from top to bottom: the value `pq` that each task has left."""

    left: dict[str, Any] = field(default_factory=dict)

    @property
    def ti(self) -> PlainRun:
        return self

    def xcom_pull(self, task: str, key: str) -> Any:
        return self.left.get(task)

    def render(self, text: str, *_: Any) -> str:
        task = text.split("'")[1]
        return f"{self.left.get(task)}-interactive"


def _run_mapped(cell: Cell, flow: Flow, names: dict[str, Any]) -> None:
    """Run the cell for each element; leave the list of what it binds. In `s`, each element of `mq` is a copy."""
    assert cell.task is not None
    result, before = {"m": "mq", "s": "sq"}[cell.task], names.get("mq")
    results = []
    for n, value in enumerate(flow.elements[cell.task]):
        names["el"] = value
        if cell.task == "s":
            names["mq"] = copy.deepcopy(before)[n]
        exec(compile(cell.code, "<mapped>", "exec"), names)
        results.append(names[result])
    names["mq"] = before
    names[result] = results


def from_top(dag: Dag, flow: Flow, ran: dict[str, list[Seen]]) -> dict[str, Seen]:
    """Return the values that each task's cell leaves in a run from top to bottom without the skipped tasks; a mapped task leaves a list."""
    seen: dict[str, Seen] = {}
    run = PlainRun()
    with main_namespace() as names:
        for cell in running(dag):
            if cell.kind is not CellKind.TASK:
                exec(compile(cell.code, f"<cell {cell.index}>", "exec"), names)
            elif cell.task in flow.elements and cell.task in ran:
                _run_mapped(cell, flow, names)
            elif cell.task in ran and cell.task is not None:
                names["dag_run"] = run
                seen[cell.task] = run_cell(cell.code, names)
                del names["dag_run"]
                seen[cell.task].pop("dag_run", None)
                run.left[cell.task] = copy.deepcopy(names.get("pq"))
    return seen


@pytest.mark.slow
@settings(
    phases=UNHURRIED.phases,
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize="NBDAG_LAW_EXAMPLES" not in os.environ,
)
@given(flows(), st.randoms(use_true_random=False))
def test_every_task_below_a_branch_sees_the_last_writer_that_succeeded(flow: Flow, chance: random.Random) -> None:
    dag = notebook(*flow.cells, options=flow.options)
    note(told(flow.cells))
    note(repr({task: (each.after, each.trigger, each.branch) for task, each in flow.options.items()}))
    # NB305: a task uses setup from below it, so a run from top to bottom fails, as the warning says.
    assume(not dag.errors and not any(each.code == "NB305" for each in dag.problems))
    with tempfile.TemporaryDirectory() as root:
        try:
            found, error = by_plan(dag, flow, chance, root)
        except UnstorableError:
            reject()
    event(f"{len(dag.tasks) - len(found)} skipped")
    try:
        expected = from_top(dag, flow, found)
    except Exception as raised:
        event("raises")
        assert error is not None, raised
        return
    assert error is None, error
    assert not wrong({task: looks[0] for task, looks in found.items()}, expected)
