"""A run whose process was killed is recorded as such by the next command that looks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import nbdag.store
from nbdag import runs
from nbdag.core.model.states import RunState
from nbdag.home import Home
from nbdag.processes.identity import Process, is_alive, this_process
from nbdag.scheduler.recovery import HEARTBEAT_TIMEOUT, fail_dead_runs
from nbdag.store.rows import NewInstance, NewRun, SchedulerRow

HANGS = """
import pathlib, sys
import nbdag, nbdag.executors.local
from nbdag.home import Home

class Hangs:
    def __init__(self, slots): self.slots = slots
    def start(self, on_result): pass
    def submit(self, job): print("begun", flush=True)
    def cancel(self, key): pass
    def stop(self): pass

nbdag.executors.local.LocalExecutor = Hangs
nbdag.run(sys.argv[1], home=Home(pathlib.Path(sys.argv[2])))
"""


def test_a_run_that_was_killed_is_found_to_have_failed(write: Callable[..., Path], home: Home) -> None:
    path = write("%%task a\nx = 1", "%%task b --after a\npass")
    command = [sys.executable, "-c", HANGS, str(path), str(home.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        assert runs.find_run(home=home).state is RunState.RUNNING
        process.send_signal(signal.SIGKILL)
    run = runs.find_run(home=home)
    assert run.state is RunState.FAILED
    assert run.error is not None and f"its process has ended (`nbdag run`, process {process.pid})" in run.error
    assert [task.state.value for task in run] == ["failed", "skipped"]
    assert run["a"].error == run.error and run["a"].ended is not None


def test_who_finds_a_run_that_was_killed_tells_whom_it_would_have_told(
    write: Callable[..., Path], home: Home, tmp_path: Path
) -> None:
    (tmp_path / "tell.py").write_text("def told(what): open('told', 'a').write(what['message'] + '\\n')")
    path = write("%dag churn --on-failure tell:told --on-success tell:told", "%%task a\nx = 1")
    with subprocess.Popen([sys.executable, "-c", HANGS, str(path), str(home.root)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGKILL)
    for _ in range(2):  # the second finds nothing more to tell
        runs.list_runs(home=home)
    assert (tmp_path / "told").read_text() == f"its process has ended (`nbdag run`, process {process.pid})\n"


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
def test_a_process_is_gone_when_it_is_not_here_or_is_silent_elsewhere(
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
    fail_dead_runs(store, 1000.0 + silent)
    assert store.run(row.id).state is state
    store.close()


def test_a_process_is_told_from_one_that_has_its_number() -> None:
    me = this_process()
    assert me.pid == os.getpid()
    assert is_alive(me) is True
    assert is_alive(replace(me, start_time="0")) is False
    assert is_alive(replace(me, host="elsewhere")) is None
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    assert is_alive(replace(me, pid=child.pid)) is False
