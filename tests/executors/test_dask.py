"""The promises of the Dask executor alone: hosts that are lost, processes that submitted, and clusters that change."""

from __future__ import annotations

import json
import os
import platform
import queue
import re
import signal
import socket
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import dask
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
from nbdag.executors.dask import DaskExecutor
from nbdag.executors.dask_cluster import HostsDifferError, NoClusterError
from nbdag.executors.dask_hosts import DaskHosts
from nbdag.executors.dask_worker import Mismatch, mismatch_of_worker, with_advice
from nbdag.executors.host_versions import versions
from nbdag.home import Home
from nbdag.storage.pinned_files import archive_path, pack

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


@pytest.fixture(scope="module")
def shared(runtime: Path) -> Iterator[distributed.LocalCluster]:
    """Yield a cluster of one worker with one thread, for all tests that leave it as it is."""
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as made:
        yield made


@pytest.fixture
def cluster(runtime: Path) -> Iterator[distributed.LocalCluster]:
    """Yield a cluster of one worker with one thread, which waits for a slow new worker after a loss."""
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": f"{LONG} s"}),
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as made,
    ):
        yield made


@pytest.fixture
def on(cluster: distributed.LocalCluster, tmp_path: Path) -> Iterator[Submitted]:
    made = Submitted(tmp_path, cluster.scheduler_address)
    yield made
    made.executor.stop()


@pytest.fixture
def on_shared(shared: distributed.LocalCluster, tmp_path: Path) -> Iterator[Submitted]:
    made = Submitted(tmp_path, shared.scheduler_address)
    yield made
    made.executor.stop()


def ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.slow
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


@pytest.mark.slow
def test_an_attempt_that_waits_for_a_worker_is_cancelled_at_once_and_never_runs(on_shared: Submitted) -> None:
    on = on_shared
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


def test_another_worker_offers_what_its_host_declares_when_the_first_has_left() -> None:
    class Cluster:
        def run(self, function: object, *, of_host: bool, workers: list[str], on_error: str) -> dict[str, Any]:
            return {workers[0]: {"cpu": 1.0} | ({"gpu": 2.0} if of_host else {})}

    hosts, client = DaskHosts(), cast(Any, Cluster())
    first, second = "tcp://10.0.0.1:1", "tcp://10.0.0.1:2"
    about = {"nthreads": 1, "host": "10.0.0.1", "metrics": {"nbdag": {}}}
    hosts.update({first: about, second: about})
    hosts.declare(client, hosts.undeclared())
    assert (hosts.offers.total("gpu"), hosts.undeclared()) == (2, [])
    hosts.update({second: about})
    assert (hosts.offers.total("gpu"), hosts.undeclared()) == (0, [second])
    hosts.declare(client, [second])
    assert (hosts.offers.total("gpu"), hosts.undeclared()) == (2, [])


def test_an_attempt_that_cannot_be_sent_fails_and_lets_the_next_one_start(
    shared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = Submitted(tmp_path, shared.scheduler_address)
    monkeypatch.setattr("nbdag.executors.dask.SEND_TRIES", 1)

    def fail(imports: object) -> None:
        raise LookupError("the metadata of pandas are damaged")

    try:
        with monkeypatch.context() as broken:
            broken.setattr("nbdag.executors.dask_cluster.own_versions", fail)
            on.submit("first", "x = 1")
            assert on.result().error == (
                "the attempt could not be sent to the Dask scheduler: the metadata of pandas are damaged"
            )
        on.submit("second", "x = 1")
        assert on.result().state is TaskState.SUCCESS
    finally:
        on.executor.stop()


@pytest.mark.slow
def test_an_attempt_ends_with_the_process_that_submitted_it(shared: Any, tmp_path: Path) -> None:
    code = f"""
        import sys, time
        sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
        from pathlib import Path
        from test_dask import FOREVER, Submitted
        if __name__ == "__main__":
            on = Submitted(Path({str(tmp_path)!r}), {shared.scheduler_address!r})
            on.submit("left", FOREVER)
            on.result()
    """
    submitting = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    seen = Submitted(tmp_path, shared.scheduler_address)
    try:
        until(seen.begun)
        submitting.kill()
        submitting.wait()
        until(lambda: all(map(ended, seen.begun())))
    finally:
        submitting.kill()
        seen.executor.stop()


@pytest.mark.slow
def test_the_leftovers_of_an_attempt_are_killed_on_its_host(on_shared: Submitted) -> None:
    on = on_shared
    made = on.submit("task", FOREVER)
    until(on.begun)
    on.executor.terminate_leftovers(Path(made.path), made.mark)
    assert all(map(ended, on.begun()))
    assert on.result().state is TaskState.FAILED


@pytest.mark.slow
def test_an_attempt_fails_if_the_dask_scheduler_forgets_its_tasks(cluster: Any, on: Submitted) -> None:
    on.submit("task", FOREVER)
    until(on.begun)
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as other:
        other.restart()
    result = on.result()
    assert result.state is TaskState.FAILED
    assert "Dask" in (result.error or "")
    until(lambda: all(map(ended, on.begun())))


@pytest.mark.slow
def test_attempts_fail_and_the_executor_stops_if_the_dask_scheduler_is_killed(tmp_path: Path) -> None:
    place = tmp_path / "scheduler.json"
    python = [sys.executable, "-W", "ignore", "-m"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen(
        [*python, "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(place)],
        **quiet,
    )
    worker = subprocess.Popen(
        [
            *python,
            "distributed.cli.dask_worker",
            "--scheduler-file",
            str(place),
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
        ],
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


def test_an_address_where_nothing_listens_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbdag.executors.dask_cluster.CONNECT_TIMEOUT", 1.0)
    with pytest.raises(NoClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 "):
        create(Choice("dask", {"address": "tcp://127.0.0.1:9"}), 1)


def test_a_server_that_is_no_dask_scheduler_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbdag.executors.dask_cluster.CONNECT_TIMEOUT", 0.5)
    monkeypatch.setattr("nbdag.executors.dask_cluster.GRACE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(NoClusterError, match="no Dask scheduler"):
        create(Choice("dask", {"address": f"tcp://127.0.0.1:{silent.getsockname()[1]}"}), 1)


@pytest.mark.slow
def test_doctor_shows_the_hosts_of_a_cluster(shared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(**options: Any) -> list[tuple[str, str]]:
        choice, home = Choice("dask", options), Home(tmp_path / "home", storage="memory://here")
        found = runs.doctor(home, executor=choice)
        return [(each.level, each.said) for each in found if each.what in ("host", "cluster")]

    ((level, said),) = shown(address=shared.scheduler_address)
    assert level == "ok"
    assert f"{socket.gethostname()} at tcp://127.0.0.1:" in said
    assert ": 0 of 1 slot busy, load " in said and f"Python {platform.python_version()}, nbdag " in said
    monkeypatch.setattr(
        "nbdag.executors.dask_cluster.own_versions", lambda imports=(): {**versions(), "Python": "3.0.0"}
    )
    ((level, said),) = shown(address=shared.scheduler_address)
    assert level == "problem" and said.endswith(" instead of 3.0.0")
    monkeypatch.setattr("nbdag.executors.dask_cluster.CONNECT_TIMEOUT", 1.0)
    ((level, said),) = shown(address="tcp://127.0.0.1:9")
    assert level == "problem" and "no Dask scheduler answers" in said
    assert shown() == [("ok", "dask without an address: each run starts a cluster on this machine")]


@pytest.mark.slow
def test_hosts_with_another_version_are_refused_unless_allowed(
    shared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"Python": "3.0.0"}
    monkeypatch.setattr("nbdag.executors.dask_cluster.own_versions", lambda imports=(): {**versions(imports), **other})
    with pytest.raises(HostsDifferError, match=r"has Python 3\.\d+\.\d+ instead of 3\.0\.0; install the same versions"):
        create(Choice("dask", {"address": shared.scheduler_address}), 1)
    create(Choice("dask", {"address": shared.scheduler_address, "allow_mismatch": True}), 1).stop()

    other = {}
    with monkeypatch.context() as patch:
        patch.setattr("nbdag.executors.dask_cluster.version", lambda package: "1.0")
        differs = r"the Dask scheduler has distributed \d\S+ instead of 1\.0; install the same version there or here"
        with pytest.raises(HostsDifferError, match=differs):
            create(Choice("dask", {"address": shared.scheduler_address}), 1)
        with pytest.raises(HostsDifferError, match=differs):
            DaskExecutor.hosts_at(shared.scheduler_address)
    on = Submitted(tmp_path, shared.scheduler_address)
    other = {"numpy": "0.1", "nosuchpackage": "2.0"}
    reason = (
        rf"no host of the Dask cluster has the versions of this environment: host {re.escape(socket.gethostname())} has "
        r"numpy \S+ instead of 0\.1 and no nosuchpackage \(expected 2\.0\); install the same versions there, or pass "
        "--allow-mismatch"
    )
    on.submit("rejected", "open('ran', 'w')")  # a worker compares its versions itself, because it may have just joined
    rejected = on.result()
    with pytest.raises(HostsDifferError, match=reason):
        on.executor.check_hosts(("numpy",))
    on.submit("refused", "open('ran', 'w')")
    refused = on.result()
    on.executor.stop()
    for result in (rejected, refused):
        assert (result.state, result.final, (tmp_path / "ran").exists()) == (TaskState.FAILED, True, False)
        assert re.fullmatch(reason, result.error or "")


def test_hosts_that_do_not_fit_are_named_once_and_offer_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = {"nthreads": 2, "host": "10.0.0.1", "metrics": {"nbdag": {}}}
    fit, unfit, late = "tcp://10.0.0.1:1", "tcp://10.0.0.2:1", "tcp://10.0.0.2:2"
    differ = {each: Mismatch(each, "old", "numpy 1.26 instead of 2.1") for each in (unfit, late)}
    monkeypatch.setattr("nbdag.executors.dask_hosts.differences_of_workers", lambda *_: {unfit: differ[unfit]})
    hosts, client, expected = DaskHosts(), cast(Any, None), {"numpy": "2.1"}
    hosts.update({fit: about, unfit: about})
    hosts._resources |= {fit: {"gpu": 1.0}, unfit: {"gpu": 4.0}}
    hosts.check(client, expected)
    assert (hosts.fitting(expected), hosts.fitting({}), hosts.threads) == ([fit], None, 2)
    assert hosts.offers.total("gpu") == 1
    assert [each.problem for each in hosts.states] == ["", "numpy 1.26 instead of 2.1"]

    hosts.update({fit: about, unfit: about, late: about})
    hosts.reject(expected, differ[late])  # another worker of the same host
    assert hosts.fitting(expected) == [fit]
    assert [each.getMessage() for each in caplog.records] == [
        "host old has numpy 1.26 instead of 2.1, so it executes no tasks; "
        "install the same versions there, or pass --allow-mismatch"
    ]
    hosts.update({late: about})
    assert hosts.fitting(expected) == [fit]  # a worker that fits may join again
    monkeypatch.setattr("nbdag.executors.dask_hosts.differences_of_workers", lambda *_: {late: differ[late]})
    with pytest.raises(HostsDifferError, match=r"environment: host old has numpy 1\.26 instead of 2\.1; install"):
        hosts.check(client, expected)
    hosts.update({})
    assert hosts.fitting(expected) is None
    hosts.update({late: about})
    assert hosts.fitting(expected) is None  # it is not known yet that this worker differs
    hosts.reject(expected, differ[late])
    with pytest.raises(HostsDifferError):
        hosts.fitting(expected)


def test_a_module_that_a_host_lacks_is_named_with_the_host() -> None:
    result = Result(
        key=Key(dag="d", run="r", task="t"), state=TaskState.FAILED, started=0, ended=1, error="KeyError: 1"
    )
    assert with_advice(result) is result
    error = with_advice(replace(result, error="ModuleNotFoundError: No module named 'shop'")).error or ""
    assert error.startswith(f"ModuleNotFoundError: No module named 'shop' on host {socket.gethostname()}; install it")


def test_a_worker_that_joins_counts_after_its_versions_were_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, silent = (f"tcp://10.0.0.{number}:1" for number in (1, 2, 3))

    class Cluster:
        def run(self, function: object, *arguments: object, workers: list[str], **options: object) -> dict[str, Any]:
            (address,) = workers
            if address == silent:
                return {}
            compares = function is mismatch_of_worker
            differs = Mismatch(old, "old", "numpy 1.26 instead of 2.1") if address == old else None
            return {address: differs if compares else {"cpu": 2.0}}

    monkeypatch.setattr("nbdag.executors.dask_hosts.differences_of_workers", lambda *_: {})
    hosts, client = DaskHosts(), cast(Any, Cluster())
    hosts.check(client, {"numpy": "2.1"})
    hosts.update({key: {"nthreads": 2, "host": "h", "metrics": {"nbdag": {}}} for key in (old, new, silent)})
    assert hosts.threads == 0
    hosts.declare(client, hosts.undeclared())
    assert (hosts.threads, hosts.undeclared()) == (2, [silent])
    assert {each.address: each.problem for each in hosts.states}[old] == "numpy 1.26 instead of 2.1"


@pytest.mark.slow
def test_slots_and_attempts_follow_the_workers_that_join_fit_and_leave(cluster: Any, on: Submitted) -> None:
    assert on.executor.slots == 1
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        client.run(
            exec, "import nbdag.executors.dask_worker as w; w.differences = lambda expected: 'numpy 1 instead of 2'"
        )
        on.submit("refused", "x = 1")
        assert "has numpy 1 instead of 2; install the same versions" in (on.result().error or "")
        cluster.scale(2)
        until(lambda: [bool(each.cores) for each in on.executor.hosts()] == [True, True], "the loads of the hosts")
        assert on.executor.slots == 1
        hosts = {each.problem: each for each in on.executor.hosts()}
        assert {(each.name, each.slots) for each in hosts.values()} == {(socket.gethostname(), 1)}
        lost = on.submit("lost", FOREVER)
        until(on.begun)
        assert on.executor.running_on() == {lost.key: socket.gethostname()}
        on.submit("sent again", "x = 1")
        (pid,) = client.run(os.getpid, workers=[hosts[""].address]).values()
        os.kill(pid, signal.SIGKILL)  # its nanny starts another worker, which fits too
        results = {result.key.task: result for result in (on.result(), on.result())}
    assert {task: result.state for task, result in results.items()} == {
        "lost": TaskState.FAILED,
        "sent again": TaskState.SUCCESS,
    }


def test_tasks_get_the_resources_and_the_pinned_files_that_they_need(shared: Any, tmp_path: Path) -> None:
    with distributed.Client(shared.scheduler_address, set_as_default=False) as client:
        client.run(exec, "import os; os.environ['NBDAG_RESOURCES'] = 'gpu=1'")
    on = Submitted(tmp_path, shared.scheduler_address)
    offers = on.executor.offers
    (host,) = offers.hosts
    assert (host["gpu"], host["cpu"], host["memory"] > 10**8, offers.may_grow) == (1, 1, True, True)

    (tmp_path / "q.sql").write_text("select 1")
    digest, archive = pack(tmp_path, ["q.sql"])
    archive_path(tmp_path, digest).parent.mkdir()
    archive_path(tmp_path, digest).write_bytes(archive)
    (tmp_path / "q.sql").write_text("select 2")
    read = job(tmp_path, "read", "open('copy.sql', 'w').write(open('q.sql').read())")
    needs = replace(read.task, options=TaskOptions(resources=(("gpu", 1.0),)))
    on.executor.submit(replace(read, task=needs, pinned_files=digest))
    assert on.result().state is TaskState.SUCCESS
    assert (tmp_path / "copy.sql").read_text() == "select 1"

    large = job(tmp_path, "large", "open('large', 'w')")
    on.executor.submit(replace(large, task=replace(large.task, options=TaskOptions(resources=(("gpu", 2.0),)))))
    assert offers.why_never((("gpu", 2.0),)) == "needs gpu=2 (the most on one host is 1)"
    on.submit("small", "x = 1")  # it overtakes the task that no worker can execute
    assert on.result().key.task == "small"
    on.executor.stop()
    assert (on.result().error, (tmp_path / "large").exists()) == ("cancelled", False)
