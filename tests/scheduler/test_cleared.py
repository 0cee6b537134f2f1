"""The loop executes cleared tasks again: elements of a mapped task, and a running task."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

import nbdag.store
from nbdag.core.model.dag import Dag
from nbdag.core.model.job import Job
from nbdag.core.model.states import RunState, TaskState
from nbdag.runs.actions.clear import Selection, clearing
from nbdag.scheduler import Scheduler
from nbdag.store.rows import RunRow

Shape = Callable[..., Dag]
MAPPED = ({"names": (), "each": ("names",)}, {"each": {"map": (("name", "names"),)}})


def clear(bench: Any, dag: Dag, row: RunRow, *tasks: str, **more: bool) -> list[str]:
    store = nbdag.store.open(bench.home)  # another process's
    asked = Selection(tasks, more.get("upstream", False), more.get("downstream", False), None)
    change, chosen = clearing(store, dag, store.run(row.id), asked)
    assert store.save(change) is not None
    store.close()
    return [each.task if each.map_index < 0 else f"{each.task}[{each.map_index}]" for each in chosen]


def again(bench: Any, dag: Dag, row: RunRow) -> Scheduler:
    scheduler = Scheduler(
        bench.store, bench.executor, home=bench.home, read=lambda row: dag, clock=lambda: bench.now
    )  # fmt: skip
    scheduler.register()
    scheduler.own(bench.store.run(row.id))
    for _ in range(100):
        scheduler.tick(bench.now)
        if scheduler.done:
            return scheduler
    raise AssertionError("the run does not end")


@pytest.mark.parametrize(
    ("length", "states"),
    [
        (2, {"each[0]": "success", "each[1]": "success", "each[2]": "removed"}),
        (3, {"each[0]": "success", "each[1]": "success", "each[2]": "success"}),
        (4, {"each[0]": "success", "each[1]": "success", "each[2]": "success", "each[3]": "success"}),
        (0, {"each": "skipped", "each[0]": "removed", "each[1]": "removed", "each[2]": "removed"}),
    ],
)
def test_a_cleared_mapped_task_computes_its_elements_again(
    bench: Any, shape: Shape, length: int, states: dict[str, str]
) -> None:
    dag = shape(*MAPPED)
    lengths = iter([3, length])
    rounds = itertools.count()

    def script(job: Job) -> dict[str, Any]:
        if not job.expand:
            return {}
        number, n = next(lengths), next(rounds)
        return {"length": number, "elements": tuple({"name": f"v{n}.{each}"} for each in range(number))}

    bench.executor.script = script
    row = bench.run(dag)
    assert clear(bench, dag, row, "names", downstream=True) == ["names", "each[0]", "each[1]", "each[2]"]
    again(bench, dag, row)
    assert bench.states(row) == {"names": "success", **states}
    given = [job.element for job in bench.executor.submitted if job.key.task == "each" and job.element]
    assert given[3:] == [{"name": f"v1.{n}"} for n in range(length)]
    assert [job.key.try_number for job in bench.executor.submitted if job.element][3:5] == [2, 2][:length]


def test_a_single_element_can_be_cleared(bench: Any, shape: Shape) -> None:
    dag = shape(*MAPPED)
    bench.executor.script = lambda job: (
        {"length": 2, "elements": ({"name": "a"}, {"name": "b"})} if job.expand else {}
    )  # fmt: skip
    row = bench.run(dag)
    assert clear(bench, dag, row, "each[1]") == ["each[1]"]
    before = len(bench.executor.submitted)
    again(bench, dag, row)
    assert [(job.key.map_index, job.key.try_number) for job in bench.executor.submitted[before:]] == [(1, 2)]


def test_a_running_task_that_is_cleared_is_terminated_and_reset(bench: Any, shape: Shape) -> None:
    dag = shape({"a": (), "b": ("a",)})
    answers = iter([None, {}, {}])
    bench.executor.script = lambda job: next(answers)
    scheduler, row = bench.begin(dag)
    scheduler.tick(bench.now)
    assert bench.states(row) == {"a": "running", "b": "none"}
    assert clear(bench, dag, row, "a") == ["a"]
    assert bench.states(row)["a"] == TaskState.RESTARTING
    for _ in range(20):
        scheduler.tick(bench.now)
    assert [(key.task, key.try_number) for key in bench.executor.cancelled] == [("a", 1)]
    assert bench.states(row) == {"a": "success", "b": "success"}
    assert bench.store.run(row.id).state is RunState.SUCCESS
    attempts = bench.store.attempts([row.id])[row.id]
    assert [(each.task, each.try_number, each.state.value) for each in attempts] == [
        ("a", 1, "failed"), ("a", 2, "success"), ("b", 1, "success"),
    ]  # fmt: skip
