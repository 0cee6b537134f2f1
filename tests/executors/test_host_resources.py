"""The resources that a host offers to tasks with --resources."""

from __future__ import annotations

import os
import queue
from pathlib import Path

import pytest
from patience import LONG

from nbdag.core.model.dag import Task
from nbdag.core.model.job import Job, Key, Result
from nbdag.core.model.states import TaskState
from nbdag.core.options.options import TaskOptions
from nbdag.executors import host_resources
from nbdag.executors.host_resources import ResourcesError, declared, offered_here
from nbdag.executors.local import LocalExecutor


def test_a_host_offers_its_cores_and_memory_and_what_is_declared() -> None:
    found = offered_here("GPU=1", {"NBDAG_RESOURCES": "gpu=4, disk=100GB"})
    assert (found["gpu"], found["disk"]) == (1, 100e9)
    assert found["cpu"] >= 1 and found["memory"] > 100e6
    assert offered_here("cpu=1 memory=2GiB", {}) == {"cpu": 1, "memory": 2 * 2**30}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["max 100000\n"], 64),
        (["200000 100000\n"], 2),
        (["150000 100000\n"], 2),
        (["50000 100000\n"], 1),
        (["-1\n", "100000\n"], 64),
        (["300000\n", "100000\n"], 3),
        (["nonsense\n"], 64),
    ],
)
def test_the_quota_of_a_container_limits_the_cores(
    texts: list[str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tuple(tmp_path / str(n) for n in range(len(texts)))
    for path, text in zip(files, texts, strict=True):
        path.write_text(text)
    monkeypatch.setattr(host_resources, "_QUOTAS", ((tmp_path / "missing",), files))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    assert host_resources.cores() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpu", "the resources of this host: 'gpu' is not an amount of a resource; write gpu=1 or memory=8GB"),
        ("gpu=-1", "'gpu=-1' is not an amount"),
        ("gpu=0", "'gpu=0' is not an amount"),
        ("memory=8XB", "'memory=8XB' is not an amount"),
        ("'gpu=1", "the quote ' is not closed"),
    ],
)
def test_a_declaration_that_cannot_be_read_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ResourcesError, match=message):
        declared(environ={"NBDAG_RESOURCES": text})


def test_an_attempt_that_needs_more_than_the_host_offers_fails_without_a_retry(tmp_path: Path) -> None:
    options = TaskOptions(resources=(("gpu", 1.0),))
    job = Job(
        key=Key(dag="d", run="r", task="t"),
        task=Task(id="t", cell=0, options=options, code="x = 1"),
        path=str(tmp_path / "1.ipynb"),
        values=str(tmp_path / "values"),
        cwd=str(tmp_path),
        kernel_name="python3",
    )
    results: queue.SimpleQueue[Result] = queue.SimpleQueue()
    executor = LocalExecutor(1)
    executor.start(results.put)
    executor.submit(job)
    result = results.get(timeout=LONG)
    executor.stop()
    assert (result.state, result.final) == (TaskState.FAILED, True)
    assert (result.error or "").startswith(
        "the task needs gpu=1 (no host offers gpu); lower its --resources, or declare"
    )
