"""Orphaned runs: questions report them, actions and `doctor` record them as failed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import nbdag
import nbdag.store
from nbdag import runs
from nbdag.core.model.states import RunState
from nbdag.errors import NbdagError
from nbdag.executors import Choice
from nbdag.home import Home
from nbdag.processes.identity import Process, is_alive, this_process
from nbdag.runs.execution.recovery import Leftovers
from nbdag.scheduler.dead_runs import HEARTBEAT_TIMEOUT, fail_dead_runs
from nbdag.store.database import StoreReadOnlyError
from nbdag.store.rows import NewInstance, NewRun, SchedulerRow

# Forks a process for each line, which executes a run whose first task never ends.
HANGS = """
import importlib, os, pathlib, pkgutil, signal, sys
import nbdag, nbdag.executors.local, nbdag.runs, nbdag.scheduler, nbdag.store.store

from nbdag.executors import Executor
from nbdag.home import Home

class Hangs(Executor):
    slots = 2
    def __init__(self, slots): pass
    def start(self, on_result): pass
    def submit(self, job): print(os.getpid(), flush=True)
    def cancel(self, key): pass
    def stop(self): pass
    def terminate_leftovers(self, notebook, mark): pass

nbdag.executors.local.LocalExecutor = Hangs
for module in pkgutil.walk_packages(nbdag.runs.__path__, "nbdag.runs."):
    importlib.import_module(module.name)
for line in sys.stdin:
    path, root = line.rstrip().split("\\t")
    child = os.fork()
    if not child:
        nbdag.run(path, home=Home(pathlib.Path(root)))
        os._exit(1)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


@pytest.fixture(scope="module")
def hanging() -> Iterator[tuple[Callable[[Path, Home], int], Callable[[int], None]]]:
    """Yield a function that executes a run in another process until a task runs, and one that kills the process."""
    words = [sys.executable, "-c", HANGS]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        given, said = parent.stdin, parent.stdout

        def start(path: Path, home: Home) -> int:
            given.write(f"{path}\t{home.root}\n")
            given.flush()
            return int(said.readline())

        def kill(pid: int) -> None:
            os.kill(pid, signal.SIGKILL)
            assert said.readline() == "ended\n"

        yield start, kill
        given.close()


@pytest.fixture
def killed(
    hanging: tuple[Callable[[Path, Home], int], Callable[[int], None]],
    write: Callable[..., Path],
    home: Home,
    tmp_path: Path,
) -> int:
    """The process of a run, killed while the first of two tasks was running."""
    (tmp_path / "tell.py").write_text("def told(what): open('told', 'a').write(what['message'] + '\\n')")
    dag = "%dag churn --on-failure tell:told --on-success tell:told"
    start, kill = hanging
    pid = start(write(dag, "%%task a\nx = 1", "%%task b --after a\npass"), home)
    assert runs.find_run(home=home).orphaned is None
    kill(pid)
    return pid


@pytest.mark.slow
def test_questions_report_an_orphaned_run_and_change_nothing(killed: int, home: Home, tmp_path: Path) -> None:
    run = runs.find_run(home=home)
    assert run.state is RunState.RUNNING
    assert run.orphaned == (
        f"the process that executed it (pid {killed}) has ended: `nbdag resume {run.id} --dag churn` continues the run, "
        "`nbdag doctor` records the run as failed"
    )
    assert run.to_dict()["orphaned"] == run.orphaned
    assert [each.orphaned for each in runs.list_runs(home=home)] == [run.orphaned]
    assert runs.owner(run) == ""
    running, waiting = (runs.why(run, task)[0].reasons for task in "ab")
    assert running[-1] == f"is interrupted: {run.orphaned}"
    assert waiting[-1] == f"cannot start: {run.orphaned}"
    assert runs.logs(run, "a").suffix == ".log"
    assert runs.list_attempts(run.id, "churn", home=home)[0].ended is None
    assert runs.why_not_started(run) == {}
    assert list(runs.health(home))
    assert runs.find_run(home=home) == run
    assert not (tmp_path / "told").exists()


@pytest.mark.slow
def test_following_an_orphaned_run_ends_with_its_explanation(killed: int, home: Home) -> None:
    events = list(runs.follow("latest", home=home))
    assert [(event.task, event.state.value) for event in events] == [
        (None, "running"),
        ("a", "running"),
        (None, "running"),
    ]
    assert f"the process that executed it (pid {killed}) has ended" in events[-1].message
    assert runs.find_run(home=home).state is RunState.RUNNING


@pytest.mark.slow
def test_doctor_records_an_orphaned_run_as_failed_and_notifies_once(killed: int, home: Home, tmp_path: Path) -> None:
    found = [each for each in runs.doctor(home) if each.what == "recovery"]
    run = runs.find_run(home=home)
    assert (run.state, run.orphaned) == (RunState.FAILED, None)
    assert [(each.level, run.id in each.said) for each in found] == [("note", True)]
    assert run.error is not None and f"process {killed}" in run.error
    assert [task.state.value for task in run] == ["failed", "skipped"]
    assert run["a"].error == run.error and run["a"].ended is not None
    assert [each for each in runs.doctor(home) if each.what == "recovery"] == []
    assert (tmp_path / "told").read_text() == f"{run.error}\n"


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_resume_continues_an_orphaned_run(killed: int, home: Home) -> None:
    assert runs.resume(home=home).state is RunState.SUCCESS


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_the_next_run_records_an_orphaned_run_as_failed(killed: int, home: Home, write: Callable[..., Path]) -> None:
    nbdag.run(write("%%task a\nx = 1", name="other.ipynb"), home=home)
    assert [run.state.value for run in runs.list_runs(home=home)] == ["success", "failed"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "act",
    [
        lambda home: runs.clear("latest", home=home),
        lambda home: runs.mark("success", "latest", ["a"], home=home),
        lambda home: runs.gc(0.0, home=home),
    ],
)
@pytest.mark.usefixtures("killed")
def test_an_action_recovers_the_run_that_it_changes(home: Home, act: Callable[[Home], object]) -> None:
    act(home)
    assert [run.state for run in runs.list_runs(home=home) if run.orphaned or run.state is RunState.RUNNING] == []


@pytest.mark.slow
def test_an_orphaned_run_is_not_cancelled_but_failed(killed: int, home: Home) -> None:
    with pytest.raises(runs.RunEndedError, match="has already ended \\(failed\\)"):
        runs.cancel("latest", home=home)


@pytest.fixture
def read_only(home: Home) -> Iterator[Callable[[], None]]:
    """Make the home read-only; root may write anywhere, so for it the files are immutable."""
    paths = [str(path) for path in (home.root, *home.root.glob("*.db"))]

    def change(sign: str) -> None:
        made = subprocess.run(["chattr", f"{sign}i", *paths], check=False, capture_output=True)
        if made.returncode and sign == "+":
            pytest.skip("this file system has no immutable files")

    def protect() -> None:
        paths[:] = [str(path) for path in (home.root, *home.root.glob("*.db"))]
        if os.geteuid() == 0:
            change("+")
        else:
            for path in reversed(paths):
                Path(path).chmod(0o500 if Path(path).is_dir() else 0o400)

    yield protect
    if os.geteuid() == 0:
        change("-")
    else:
        for path in paths:
            Path(path).chmod(0o700)


@pytest.mark.usefixtures("in_process")
def test_a_read_only_home_answers_questions_and_rejects_actions(
    write: Callable[..., Path], home: Home, read_only: Callable[[], None]
) -> None:
    path = write("%dag churn --schedule @daily", "%%task a --out x\nx = 1")
    run = nbdag.run(path, home=home)
    runs.deploy(path, home=home)
    read_only()
    assert [each.id for each in runs.list_runs(home=home)] == [run.id]
    assert runs.find_run(home=home).value("x") == 1
    assert runs.load("churn", task="a", home=home) == {"x": 1}
    assert runs.why(run, "a")[0].reasons == ("succeeded (try 1)",)
    assert runs.logs(run, "a").read_text() == "a begins\n"
    assert [event.state.value for event in runs.follow(run)][-1] == "success"
    assert [each.id for each in runs.list_dags(home=home)] == ["churn"]
    assert len(runs.next_ticks("churn", 2, home=home)) == 2
    assert [each.name for each in runs.list_pools(home)] == ["default_pool"]
    assert runs.check_db(home).faults == ()
    assert next(runs.watch_runs(lambda: "churn", limit=1, home=home))[0].id == run.id
    assert {each.what for each in runs.doctor(home) if each.level == "problem"} >= {"recovery"}
    for act in (
        lambda: runs.clear(run),
        lambda: runs.pause("churn", home=home),
        lambda: runs.set_pool("p", 1, home=home),
    ):
        with pytest.raises(StoreReadOnlyError):
            act()


@pytest.mark.parametrize(
    ("process", "silent", "asked", "state"),
    [
        (this_process(), 9_999, False, RunState.QUEUED),  # it is here, however long it says nothing
        (replace(this_process(), start_time="0"), 0, False, RunState.FAILED),  # its number went to another process
        (replace(this_process(), host="elsewhere"), HEARTBEAT_TIMEOUT - 1, False, RunState.QUEUED),
        (replace(this_process(), host="elsewhere"), HEARTBEAT_TIMEOUT + 1, False, RunState.FAILED),
        (replace(this_process(), host="elsewhere"), HEARTBEAT_TIMEOUT + 1, True, RunState.CANCELLED),
    ],
)
def test_a_process_is_dead_if_it_is_missing_here_or_silent_elsewhere(
    home: Home, process: Process, silent: float, asked: bool, state: RunState
) -> None:
    store = nbdag.store.open(home)
    store.schedulers.register(
        SchedulerRow(
            id="s", host=process.host, pid=process.pid, birth=process.start_time, started=0.0, heartbeat=1000.0
        )
    )
    new = NewRun(
        dag="churn", name="r", digest="d", path="/churn.ipynb", cwd="/", created=1000.0, logical_date=1000.0,
        interval_start=1000.0, interval_end=1000.0, scheduler="s",
    )  # fmt: skip
    row = store.create_run(new, [NewInstance(task="a", position=0)])
    if asked:
        store.request_cancel(row.id, 1000.0)
    fail_dead_runs(store, 1000.0 + silent, home, lambda *attempt: None)
    assert store.run(row.id).state is state
    store.close()


def test_the_processes_of_a_dead_scheduler_are_killed_on_the_hosts_of_its_executor(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[object] = []

    def create(choice: Choice, slots: int) -> Any:
        if choice.options["address"] == "tcp://gone:1":
            raise NbdagError("nothing answers")
        return SimpleNamespace(
            terminate_leftovers=lambda *attempt: done.append((choice.options["address"], *attempt)),
            stop=lambda: done.append("stopped"),
        )

    monkeypatch.setattr("nbdag.executors.create", create)
    monkeypatch.setattr("nbdag.runs.execution.recovery.terminate_leftovers", lambda *attempt: done.append(attempt))
    row = SchedulerRow(id="s", host="h", pid=1, birth="0", started=0.0, heartbeat=0.0)
    own = Choice("dask", {"address": "tcp://own:1"})
    attempt = (Path("1.ipynb"), "mark")
    leftovers = Leftovers((own, create(own, 1)))
    leftovers.terminate(row, *attempt)
    for address in ("own", "other", "other", "gone", "gone"):
        leftovers.terminate(replace(row, executor={"name": "dask", "address": f"tcp://{address}:1"}), *attempt)
    leftovers.close()
    assert done == [
        attempt, ("tcp://own:1", *attempt), ("tcp://other:1", *attempt), ("tcp://other:1", *attempt), "stopped"
    ]  # fmt: skip
    assert [each.message for each in caplog.records] == [
        "processes of an earlier attempt may still run: nothing answers"
    ]


def test_a_process_differs_from_a_later_process_with_its_pid() -> None:
    me = this_process()
    assert me.pid == os.getpid()
    assert is_alive(me) is True
    assert is_alive(replace(me, start_time="0")) is False
    assert is_alive(replace(me, host="elsewhere")) is None
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    assert is_alive(replace(me, pid=child.pid)) is False
