"""The files that an attempt exchanges with the storage, and the local executors of a Dask worker."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nbdag.core.model.dag import Task
from nbdag.core.model.job import Job, Key, Result
from nbdag.core.model.states import TaskState
from nbdag.core.options.options import TaskOptions
from nbdag.executors import dask, dask_worker
from nbdag.executors.job_files import (
    accept_state,
    delete_copies,
    get_inputs,
    on_this_host,
    state_of_lost,
    store_results,
)
from nbdag.executors.local import _Submission, _with_stored_results
from nbdag.storage import StorageError, cache_root, files_at
from nbdag.storage.host_cache import CacheSizeError


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Return a job on a host that has only the storage."""
    monkeypatch.setenv("NBDAG_CACHE", str(tmp_path / "cache"))
    storage = f"memory://{tmp_path}/storage"
    root = cache_root(storage)
    return Job(
        key=Key(dag="d", run="r", task="t"),
        task=Task(id="t", cell=0, options=TaskOptions(), code=""),
        path=str(root / "runs/d/r/tasks/t/1.ipynb"),
        values=str(root / "values"),
        storage=storage,
        cwd=str(tmp_path),
        kernel_name="python3",
        context={"state_files": [str(root / "state" / name) for name in ("read.json", "changed.json", "new.json")]},
    )


def result_of(job: Job, state: TaskState = TaskState.SUCCESS) -> Result:
    return Result(key=job.key, state=state, started=1.0, ended=2.0)


def test_an_attempt_uploads_only_the_state_that_it_has_changed(job: Job) -> None:
    stored = files_at(job.storage)
    for name in ("read", "changed"):
        stored.write(f"state/{name}.json", b"before")
    before = get_inputs(job)
    paths = [Path(path) for path in job.context["state_files"]]
    for path in paths[1:]:
        path.write_text("after")
    stored.write("state/read.json", b"another attempt")
    store_results(job, result_of(job), before)
    found = {each.name: stored.read(each.name) for each in stored.files("state")}
    assert found == {
        "state/read.json": b"another attempt",
        "state/changed.json": b"after",
        "state/new.json": b"after",
    }


def test_the_scheduler_stores_the_state_of_an_attempt_on_another_host_when_it_accepts_the_result(job: Job) -> None:
    far = replace(job, returns_state=True)
    before = get_inputs(far)
    Path(job.context["state_files"][2]).write_text("after")
    result = store_results(far, result_of(job), before)
    stored = files_at(job.storage)
    assert list(stored.files("state")) == []  # the attempt may be given up
    assert accept_state(job, result) == result_of(job)
    assert {each.name: stored.read(each.name) for each in stored.files("state")} == {"state/new.json": b"after"}


def test_a_host_with_a_shared_folder_changes_its_own_copy_of_the_state(job: Job, tmp_path: Path) -> None:
    files = [tmp_path / "state.json", tmp_path / "all" / "state.json"]
    files[0].write_text("before")
    shared = replace(
        job,
        storage="",
        path=str(tmp_path / "t/1.ipynb"),
        returns_state=True,
        context={"state_files": list(map(str, files))},
    )
    far = on_this_host(shared)
    before = get_inputs(far)
    copies = [Path(path) for path in far.context["state_files"]]
    assert copies[0].read_text() == "before"
    copies[1].write_text("after")
    assert not files[1].exists()  # the attempt may be given up
    result = store_results(far, result_of(job), before)
    assert result.state_changes == state_of_lost(shared) == {1: b"after"}
    assert accept_state(shared, result) == result_of(job)
    assert [path.read_text() for path in files] == ["before", "after"]
    delete_copies(far)
    assert not any(path.exists() for path in copies)


def test_the_log_stays_on_the_host_until_its_caller_deletes_it(job: Job) -> None:
    log = Path(job.path).with_suffix(".log")
    log.parent.mkdir(parents=True)
    log.write_text("output")
    store_results(job, result_of(job), {})
    assert log.read_text() == "output"
    delete_copies(job)
    assert not log.exists()
    assert files_at(job.storage).read("runs/d/r/tasks/t/1.log") == b"output"


def test_an_invalid_cache_size_is_reported_before_the_attempt_runs(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBDAG_CACHE_SIZE", "much")
    with pytest.raises(CacheSizeError):
        get_inputs(job)


@pytest.mark.parametrize("state", [TaskState.SUCCESS, TaskState.SKIPPED])
def test_an_attempt_whose_results_cannot_be_stored_is_described(
    state: TaskState, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nbdag.executors.local.store_results", full)
    found = _with_stored_results(_Submission(job), result_of(job, state))
    if state is TaskState.SUCCESS:
        assert (found.state, found.error) == (
            TaskState.FAILED,
            "the results were not stored: no space left on device",
        )
    else:
        assert found == result_of(job, state)


def test_a_partial_log_is_deleted_if_the_complete_log_cannot_be_downloaded(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(job: Job) -> None:
        raise StorageError(job.storage, "lost")

    monkeypatch.setattr("nbdag.executors.dask.get_results", fail)
    attempt = dask.Submission(job, 0.0)
    attempt.add_to_log(b"first part")
    finished: list[Result] = []
    executor: Any = SimpleNamespace(_lock=threading.Lock(), _report=lambda attempt, result: finished.append(result))
    dask.DaskExecutor._finish_with_files(executor, attempt, result_of(job))
    assert finished == [result_of(job)]
    assert not Path(job.path).with_suffix(".log").exists()


class Executor:
    """A local executor whose attempts end when the test says so."""

    made: list[Executor] = []  # noqa: RUF012

    def __init__(self, slots: int) -> None:
        self.jobs: list[Job] = []
        self.cancelled: list[Key] = []
        self.made.append(self)

    def start(self, on_result: Callable[[Result], None]) -> None:
        self.on_result = on_result

    def submit(self, job: Job) -> None:
        self.jobs.append(job)

    def cancel(self, key: Key) -> None:
        self.cancelled.append(key)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> dask_worker._HostExecutor:
    monkeypatch.setattr(Executor, "made", [])
    monkeypatch.setattr(dask_worker, "LocalExecutor", Executor)
    return dask_worker._HostExecutor(1)


def test_an_attempt_that_is_cancelled_during_its_download_does_not_start(
    host: dask_worker._HostExecutor, job: Job
) -> None:
    host.expect("claim")
    host.cancel("claim")
    result = host.submit(job, "claim").get(timeout=0)
    assert (result.state, result.error, Executor.made) == (TaskState.FAILED, "cancelled", [])
    host.forget("claim")
    host.submit(job, "claim")
    assert Executor.made[0].jobs == [job]


def test_attempts_of_two_projects_with_the_same_key_do_not_mix(host: dask_worker._HostExecutor, job: Job) -> None:
    other = replace(job, values="/other/values")
    results = [host.submit(each, name) for each, name in ((job, "one"), (other, "two"))]
    first, second = Executor.made
    host.cancel("two")
    assert (first.cancelled, second.cancelled) == ([], [job.key])
    second.on_result(replace(result_of(job), ended=time.time()))
    with pytest.raises(queue.Empty):
        results[0].get_nowait()
    assert results[1].get_nowait().key == job.key
    host.submit(other, "three")
    assert second.jobs == [other, other]
