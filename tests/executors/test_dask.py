"""What only the Dask executor promises: hosts that are lost, processes that submitted, and clusters that change."""

from __future__ import annotations

import json
import os
import platform
import queue
import signal
import socket
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import psutil
import pytest
from patience import LONG, until

from nbdag import runs
from nbdag.core.model.dag import Task
from nbdag.core.model.job import Job, Key, Result
from nbdag.core.model.states import TaskState
from nbdag.core.options.options import TaskOptions
from nbdag.executors import Choice, create
from nbdag.executors.dask import DaskExecutor, HostsDifferError, NoClusterError
from nbdag.executors.dask_worker import describe_host
from nbdag.home import Home

# Dask leaves sockets to the garbage collector when a connection or a cluster is closed early.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

FOREVER = "import os, time\nwith open('begun', 'a') as f: f.write(f'{os.getpid()}\\n')\nwhile True: time.sleep(0.05)"


def job(folder: Path, name: str, code: str) -> Job:
    key = Key(dag="d", run="r", task=name)
    return Job(
        key=key,
        task=Task(id=name, cell=0, options=TaskOptions(), code=code),
        path=str(folder / "tasks" / name / "1.ipynb"),
        values=str(folder / "values"),
        cwd=str(folder),
        kernel_name="python3",
        mark=f"{zlib.crc32(name.encode()):015x}",
    )


class Submitted:
    """An executor on a cluster, and the results that it has sent."""

    def __init__(self, folder: Path, address: str, slots: int | None = None) -> None:
        self.folder = folder
        self.executor = create(Choice("dask", {"address": address}), slots)
        assert isinstance(self.executor, DaskExecutor)
        self.results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self.executor.start(self.results.put)

    def submit(self, name: str, code: str) -> Job:
        made = job(self.folder, name, code)
        self.executor.submit(made)
        return made

    def begun(self) -> list[int]:
        """Return the pids of the kernels that have begun the endless cell."""
        path = self.folder / "begun"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def result(self) -> Result:
        return self.results.get(timeout=LONG)


@pytest.fixture
def cluster(runtime: Path) -> Iterator[distributed.LocalCluster]:
    """Yield a cluster of one worker with one thread."""
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as made:
        yield made


@pytest.fixture
def on(cluster: distributed.LocalCluster, tmp_path: Path) -> Iterator[Submitted]:
    made = Submitted(tmp_path, cluster.scheduler_address)
    yield made
    made.executor.stop()


def ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_an_attempt_of_a_lost_worker_fails_and_does_not_run_again(cluster: Any, on: Submitted) -> None:
    on.submit("lost", FOREVER)
    until(on.begun)
    (worker,) = cluster.workers.values()
    os.kill(worker.pid, signal.SIGKILL)  # its nanny starts another worker, and Dask repeats the task there
    result = on.result()
    assert result.state is TaskState.FAILED
    assert (result.error or "").startswith("the Dask worker tcp://") and "was lost" in (result.error or "")
    assert result.host == socket.gethostname()
    until(lambda: all(map(ended, on.begun())))
    on.submit("next", "x = 1")
    assert on.result().state is TaskState.SUCCESS
    assert len(on.begun()) == 1
    assert on.results.empty()


def test_an_attempt_that_waits_for_a_worker_is_cancelled_at_once_and_never_runs(on: Submitted) -> None:
    first = on.submit("first", FOREVER)
    until(on.begun)
    second = on.submit("second", "open('second', 'w')")
    on.executor.cancel(second.key)
    assert (on.result().key, (on.folder / "second").exists()) == (second.key, False)
    on.executor.cancel(first.key)
    result = on.result()
    assert (result.key, result.state, result.error) == (first.key, TaskState.FAILED, "cancelled")
    assert all(map(ended, on.begun()))
    on.submit("third", "x = 1")
    assert on.result().state is TaskState.SUCCESS
    assert not (on.folder / "second").exists()


def test_an_attempt_ends_with_the_process_that_submitted_it(cluster: Any, tmp_path: Path) -> None:
    code = f"""
        import sys, time
        sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
        from pathlib import Path
        from test_dask import FOREVER, Submitted
        if __name__ == "__main__":
            on = Submitted(Path({str(tmp_path)!r}), {cluster.scheduler_address!r})
            on.submit("left", FOREVER)
            on.result()
    """
    submitting = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    seen = Submitted(tmp_path, cluster.scheduler_address)
    try:
        until(seen.begun)
        submitting.kill()
        submitting.wait()
        until(lambda: all(map(ended, seen.begun())))
    finally:
        submitting.kill()
        seen.executor.stop()


def test_the_leftovers_of_an_attempt_are_killed_on_its_host(on: Submitted) -> None:
    made = on.submit("task", FOREVER)
    until(on.begun)
    on.executor.terminate_leftovers(Path(made.path), made.mark)
    assert all(map(ended, on.begun()))
    assert on.result().state is TaskState.FAILED


def test_an_attempt_fails_if_the_dask_scheduler_forgets_its_tasks(cluster: Any, on: Submitted) -> None:
    on.submit("task", FOREVER)
    until(on.begun)
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as other:
        other.restart()
    result = on.result()
    assert result.state is TaskState.FAILED
    assert "Dask" in (result.error or "")
    until(lambda: all(map(ended, on.begun())))


def test_attempts_fail_and_the_executor_stops_if_the_dask_scheduler_is_killed(tmp_path: Path) -> None:
    place = tmp_path / "scheduler.json"
    python = [sys.executable, "-W", "ignore", "-m"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen(
        [*python, "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(place)],
        **quiet,
    )
    worker = subprocess.Popen(
        [*python, "distributed.cli.dask_worker", "--scheduler-file", str(place), "--nthreads", "1", "--no-dashboard"],
        **quiet,
    )
    try:
        until(place.exists)
        on = Submitted(tmp_path, json.loads(place.read_text())["address"], 2)
        on.submit("task", FOREVER)
        until(on.begun)
        on.submit("waits", "x = 1")
        scheduler.kill()
        on.executor.stop()
        assert {on.result().state for _ in range(2)} == {TaskState.FAILED}
        until(lambda: all(map(ended, on.begun())))
    finally:
        scheduler.kill()
        worker.kill()


def test_the_number_of_slots_follows_the_workers_of_the_cluster(cluster: Any, on: Submitted) -> None:
    assert on.executor.slots == 1
    cluster.scale(2)
    until(lambda: on.executor.slots == 2)


def test_an_address_where_nothing_listens_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbdag.executors.dask.CONNECT_TIMEOUT", 1.0)
    with pytest.raises(NoClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 "):
        create(Choice("dask", {"address": "tcp://127.0.0.1:9"}), 1)


def test_doctor_shows_the_hosts_of_a_cluster(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(**options: Any) -> list[tuple[str, str]]:
        choice, home = Choice("dask", options), Home(tmp_path / "home", storage="memory://here")
        found = runs.doctor(home, executor=choice)
        return [(each.level, each.said) for each in found if each.what in ("host", "cluster")]

    ((level, said),) = shown(address=cluster.scheduler_address)
    assert level == "ok"
    assert f"{socket.gethostname()} at tcp://127.0.0.1:" in said
    assert ": 0 of 1 slot busy, load " in said and f"Python {platform.python_version()}, nbdag " in said
    monkeypatch.setattr("nbdag.executors.dask.own_versions", lambda: {**describe_host(), "Python": "3.0.0"})
    ((level, said),) = shown(address=cluster.scheduler_address)
    assert level == "problem" and said.endswith(" instead of 3.0.0")
    monkeypatch.setattr("nbdag.executors.dask.CONNECT_TIMEOUT", 1.0)
    ((level, said),) = shown(address="tcp://127.0.0.1:9")
    assert level == "problem" and "no Dask scheduler answers" in said
    assert shown() == []


def test_hosts_with_another_version_are_refused_unless_allowed(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    here = {**describe_host(), "Python": "3.0.0"}
    monkeypatch.setattr("nbdag.executors.dask.own_versions", lambda: here)
    with pytest.raises(HostsDifferError, match=r"has Python 3\.\d+\.\d+ instead of 3\.0\.0; install the same versions"):
        create(Choice("dask", {"address": cluster.scheduler_address}), 1)
    create(Choice("dask", {"address": cluster.scheduler_address, "allow_mismatch": True}), 1).stop()
