"""The scheduler in this process survives faults and reports them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
import pytest
from patience import LONG, until
from sqlalchemy import event

import nbdag.runs.execution.daemon
import nbdag.scheduler.scheduler
import nbdag.store
from nbdag import runs
from nbdag.core.model.states import RUN_FINISHED, RunState, TaskState
from nbdag.home import Home
from nbdag.runs.execution.daemon import Daemon, Line
from nbdag.store.rows import Change, NewAttempt, SchedulerRow
from nbdag.store.store import Store


class Works:
    """A daemon in a thread, on a store that the test may look into."""

    def __init__(self, home: Home, executor: Any) -> None:
        self.home, self.executor = home, executor
        self.store: Store = nbdag.store.open(home)
        self.lines: list[Line] = []
        self.ahead = timedelta()  # of its clock
        executor.now = lambda: self.clock().timestamp()

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    @contextlib.contextmanager
    def going_on(self) -> Iterator[Daemon]:
        daemon = Daemon(self.store, self.home, self.executor, on_line=self.lines.append, clock=self.clock)
        thread = threading.Thread(target=daemon.serve)
        thread.start()
        try:
            self.until(lambda: self.says("the scheduler starts"))
            yield daemon
        finally:
            daemon.ask_to_end()
            thread.join(LONG)
            self.store.close()
        assert not thread.is_alive()

    def says(self, words: str) -> bool:
        return any(words in line.message for line in self.lines)

    def until(self, holds: Callable[[], bool]) -> None:
        try:
            until(holds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.lines}") from None

    def ended(self, run: runs.Run) -> runs.Run:
        self.until(lambda: self.look(run).state in RUN_FINISHED)
        return self.look(run)

    def look(self, run: runs.Run) -> runs.Run:
        return runs.find_run(run.id, run.dag, home=self.home)


@pytest.fixture
def works(tmp_path: Path, bench: Any) -> Works:
    """With a notebook of three tasks deployed, `three`."""
    path = tmp_path / "three.ipynb"
    cells = ["%dag three", *(f"%%task t{n}\nx{n} = 1" for n in range(3))]
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    home = Home(tmp_path / "home")
    runs.deploy(path, home=home)
    return Works(home, bench.executor)


def test_a_scheduler_reports_a_full_disk_and_continues(works: Works) -> None:
    """The database may not grow while the run goes on; then it may again."""
    full = threading.Event()

    @event.listens_for(works.store._database.engine, "begin")
    def limit(connection: Any) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={1 if full.is_set() else 1 << 30}")

    works.executor.script = lambda job: {"error": "x" * 50_000, "outputs": ()}  # what is on record of it needs pages
    with works.going_on():
        full.set()
        made = runs.trigger("three", home=works.home)
        works.until(lambda: works.says("the disk is full"))
        full.clear()
        assert works.ended(made).state is RunState.SUCCESS
    assert works.says("the database responds again")


def test_a_scheduler_reports_a_clock_set_back_and_continues(works: Works) -> None:
    works.executor.script = lambda job: None
    with works.going_on():
        made = runs.trigger("three", home=works.home)
        works.until(lambda: len(works.executor.open) == 2)  # as many as it has slots
        works.ahead = -timedelta(hours=1)
        works.executor.finish("t0")
        works.until(lambda: works.says("the clock was set back by 1h"))
        works.until(lambda: len(works.executor.submitted) == 3)
        works.executor.finish("t1")
        works.executor.finish("t2")
        done = works.ended(made)
    assert done.state is RunState.SUCCESS
    assert [task.duration for task in done] == [0.0, 0.0, 0.0]
    assert sum("clock was" in line.message for line in works.lines) == 1, works.lines


def test_a_request_to_stop_during_a_turn_is_reported(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    works.executor.script = lambda job: None
    tick = nbdag.scheduler.scheduler.Scheduler.tick
    with works.going_on() as daemon:
        runs.trigger("three", home=works.home)
        works.until(lambda: len(works.executor.open) == 2)

        def asked_again(self: Any, now: datetime) -> Any:
            if daemon._stops == 1:
                daemon.ask_to_end()
            return tick(self, now)

        monkeypatch.setattr(nbdag.scheduler.scheduler.Scheduler, "tick", asked_again)
        daemon.ask_to_end()
        works.until(lambda: works.says("second request to stop"))


@pytest.mark.slow
@pytest.mark.parametrize("silent", [True, False])
def test_attempts_of_a_remote_scheduler_are_reset_only_after_its_heartbeat_times_out(
    works: Works, monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    """Its clock is an hour behind ours: what counts is whether it is heard of."""
    for module in (nbdag.runs.execution.daemon, nbdag.scheduler.scheduler):
        monkeypatch.setattr(module, "HEARTBEAT_INTERVAL", 0.02)
    monkeypatch.setattr(nbdag.runs.execution.daemon, "HEARTBEAT_TIMEOUT", 1.0 if silent else LONG)
    there, at = nbdag.store.open(works.home), time.time() - 3600
    monkeypatch.setattr(type(works.store), "is_sqlite", property(lambda store: False))  # which may have only one
    other = SchedulerRow(id="o", host="elsewhere", pid=1, birth="0", started=at, heartbeat=at, kind="scheduler")
    there.schedulers.register(other)
    made = runs.trigger("three", home=works.home)
    row = there.named(made.id)[0]
    task = there.instances([row.id])[row.id][0]
    begun = replace(task, state=TaskState.RUNNING, tries=1)
    run = replace(row, state=RunState.RUNNING, started=at)
    assert (
        there.save(Change(run=run, instances=[begun], begun=[NewAttempt(begun, 1)], at=at, scheduler="o")) is not None
    )
    with works.going_on():
        if silent:
            assert works.ended(made).state is RunState.SUCCESS
        else:
            for n in range(60):
                there.schedulers.record_heartbeat("o", at + n)
                time.sleep(0.02)
    there.close()
    assert works.says("three.t0 will be executed again") is silent
    assert [job.key.try_number for job in works.executor.submitted if job.key.task == "t0"] == ([2] if silent else [])
