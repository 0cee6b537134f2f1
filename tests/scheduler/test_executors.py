"""The contract of executors, kept by the scripted executor and the real one."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import LONG

from nbdag.core.model.dag import Task
from nbdag.core.model.job import Job, Key, Result
from nbdag.core.model.states import TaskState
from nbdag.core.options.options import TaskOptions
from nbdag.executors.local import LocalExecutor

FOREVER = "import time; time.sleep(1000)"


@pytest.fixture(params=["real", "scripted"])
def executor(request: pytest.FixtureRequest, scripted: Callable[..., Any]) -> Iterator[Any]:
    if request.param == "real":
        made: Any = LocalExecutor(2)
    else:
        made = scripted(slots=2, now=time.time)
        made.script = lambda job: (
            None if job.task.code == FOREVER else {"state": TaskState.FAILED} if "/" in job.task.code else {}
        )
    yield made
    made.stop()


@pytest.fixture
def results(executor: Any) -> queue.SimpleQueue[Result]:
    heard: queue.SimpleQueue[Result] = queue.SimpleQueue()
    executor.start(heard.put)
    return heard


@pytest.fixture
def job(tmp_path: Path) -> Callable[[str, str], Job]:
    def job(name: str, code: str) -> Job:
        return Job(
            key=Key(dag="d", run="r", task=name),
            task=Task(id=name, cell=0, options=TaskOptions(), code=code),
            path=str(tmp_path / "tasks" / name / "1.ipynb"),
            values=str(tmp_path / "values"),
            cwd=str(tmp_path),
            kernel_name="python3",
        )

    return job


def test_every_job_has_exactly_one_result(executor: Any, results: Any, job: Any) -> None:
    states = {"a": TaskState.SUCCESS, "b": TaskState.FAILED, "c": TaskState.SUCCESS}
    for name, state in states.items():
        executor.submit(job(name, "x = 1" if state is TaskState.SUCCESS else "1 / 0"))
    heard = [results.get(timeout=LONG) for _ in states]
    assert {result.key.task: result.state for result in heard} == states
    assert all(result.started <= result.ended for result in heard)
    executor.stop()
    assert results.empty()


def test_a_cancelled_job_fails_and_a_finished_job_keeps_its_result(executor: Any, results: Any, job: Any) -> None:
    executor.submit(job("over", "x = 1"))
    assert results.get(timeout=LONG).state is TaskState.SUCCESS
    going_on = job("going_on", FOREVER)
    executor.submit(going_on)
    for key in (job("over", "").key, job("unknown", "").key, going_on.key):
        executor.cancel(key)
    result = results.get(timeout=LONG)
    assert (result.key, result.state, result.error) == (going_on.key, TaskState.FAILED, "cancelled")
    executor.stop()
    assert results.empty()


def test_stop_terminates_all_jobs_and_each_has_a_result(executor: Any, results: Any, job: Any) -> None:
    for name in ("a", "b", "c"):  # one more than it has slots
        executor.submit(job(name, FOREVER))
    executor.stop()
    heard = [results.get(timeout=LONG) for _ in range(3)]
    assert {(result.key.task, result.state, result.error) for result in heard} == {
        (name, TaskState.FAILED, "cancelled") for name in ("a", "b", "c")
    }
    assert results.empty()
