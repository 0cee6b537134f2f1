"""Schedulers in processes of their own are killed, locked out, started twice and terminated."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import nbformat
import psutil
import pytest
from patience import LONG

import nbdag.store
from nbdag import runs
from nbdag.core.model.states import RunState, TaskState
from nbdag.home import Home
from nbdag.runs.actions.resume import RunElsewhereError

ROUNDS = int(os.environ.get("NBDAG_FAULT_ROUNDS", "4"))  # how often something is killed during one run
TASKS = 4 * ROUNDS  # of that run
Site = Any  # a home, and the schedulers that work in it


def check_marks(site: Site) -> None:
    """No task ran twice at once: a start is followed by its own end, unless its process was killed before the next."""
    open_: dict[str, tuple[int, float]] = {}
    for task, what, pid, _at in site.marks():
        if what == "start":
            if task in open_:
                assert not psutil.pid_exists(open_[task][0]), f"{task} runs twice at once"
            open_[task] = (pid, _at)
        else:
            assert open_.get(task, (pid, 0.0))[0] == pid, f"{task} ended, though it had begun anew"
            open_.pop(task, None)


def check_record(site: Site, run: runs.Run) -> None:
    """Every attempt has one outcome, and nothing is left under way."""
    store = nbdag.store.open(site.home)
    try:
        row = store.named(run.id, run.dag)[0]
        attempts = store.attempts([row.id])[row.id]
        assert attempts and all(each.state is not TaskState.RUNNING and each.ended is not None for each in attempts)
        assert len({(each.instance, each.try_number) for each in attempts}) == len(attempts)
        won = [each.task for each in attempts if each.state is TaskState.SUCCESS]
        assert sorted(won) == sorted({each.task for each in attempts})
        assert {each.state for each in store.instances([row.id])[row.id]} == {TaskState.SUCCESS}
        assert store.active_instances() == []
    finally:
        store.close()


@pytest.mark.slow
def test_a_triggered_run_is_executed_with_its_date(file_site: Site) -> None:
    site = file_site
    path = site.folder / "one.ipynb"
    cell = "%%task one\nassert dag_run.params == {'a': 2}\nsaid = str(dag_run.logical_date), str(dag_run.data_interval_start)"
    cells = [
        '%dag one --schedule "@daily" --start-date 2030-01-01',
        "%%params\na = 1",
        cell,
        "%%task two\nfound = said",
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in cells]), path)
    runs.deploy(path, home=site.home)
    site.begin()
    from datetime import UTC, datetime

    asked = runs.trigger("one", parameters={"a": 2}, logical_date=datetime(2030, 5, 2, tzinfo=UTC), home=site.home)
    done = site.ended(asked)
    assert done.state is RunState.SUCCESS, site.said()
    assert done.value("said") == ("2030-05-02 00:00:00+00:00", "2030-05-01 00:00:00+00:00")


def test_a_second_scheduler_on_sqlite_reports_the_first_and_exits(file_site: Site) -> None:
    site = file_site
    first = site.begin()
    site.until(lambda: "the scheduler starts" in site.said(0), "the scheduler begins")
    second = site.begin()
    assert second.wait(LONG) == 1
    assert f"a scheduler already uses {site.home.database} (process {first.pid}" in site.said(1)
    assert first.poll() is None


def test_a_terminated_scheduler_finishes_running_tasks_and_starts_none(file_site: Site) -> None:
    site = file_site
    runs.deploy(site.notebook("slow", 3, chain=1, gate=True), home=site.home)
    process = site.begin()
    run = site.trigger("slow")
    site.until(lambda: bool(site.marks()), "a task begins")
    process.send_signal(signal.SIGTERM)
    site.until(lambda: "request to stop" in site.said(), "it says so")
    site.let_go()
    assert process.wait(LONG) == 0
    assert [(task, what) for task, what, _, _ in site.marks()] == [("t0", "start"), ("t0", "end")]
    states = {task.id: task.state.value for task in site.look(run)}
    assert states["t0"] == "success" and "running" not in states.values()


@pytest.mark.slow
def test_a_scheduler_terminated_twice_stops_at_once_and_the_next_continues(file_site: Site) -> None:
    site = file_site
    runs.deploy(site.notebook("slow", 2, chain=1, gate=True), home=site.home)
    process = site.begin()
    run = site.trigger("slow")
    site.until(lambda: bool(site.marks()), "a task begins")
    process.send_signal(signal.SIGTERM)
    site.until(lambda: "request to stop" in site.said(), "it says so")
    process.send_signal(signal.SIGTERM)
    assert process.wait(LONG) == 0
    assert [what for _, what, _, _ in site.marks()] == ["start"]
    site.let_go()
    site.begin()
    assert site.ended(run).state is RunState.SUCCESS
    check_marks(site)
    check_record(site, run)


def _victims(scheduler: psutil.Process, site: Site) -> list[psutil.Process]:
    found = []
    for place in (site.home.root / "runs").rglob("*.pids"):
        try:
            for each in json.loads(place.read_text())["processes"]:
                found.append(psutil.Process(each["pid"]))
        except (OSError, ValueError, psutil.Error):
            continue
    return found


@pytest.mark.slow
def test_after_a_kill_at_any_moment_nothing_is_lost_or_runs_twice(file_site: Site) -> None:
    site = file_site  # test_kill_everything.py kills on PostgreSQL too
    dice = random.Random(int(os.environ.get("NBDAG_FAULT_SEED", "7")))
    runs.deploy(site.notebook("faults", TASKS, sleep=0.2), home=site.home)
    process = site.begin("--jobs", "3")
    run = site.trigger("faults")
    site.until(lambda: bool(site.marks()), "a task begins")
    for n in range(ROUNDS):
        time.sleep(dice.uniform(0.0, 0.6))
        workers = _victims(psutil.Process(process.pid), site)
        if n % 2 == 0 or not workers:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = site.begin("--jobs", "3")
            begun = len(site.processes) - 1
            site.until(lambda n=begun: "the scheduler starts" in site.said(n), "the next one begins")
        else:
            victim = dice.choice(workers)
            try:
                victim.kill()
            except psutil.Error:
                continue
    done = site.ended(run)
    assert done.state is RunState.SUCCESS, site.said()[-3000:]
    check_marks(site)
    check_record(site, run)


@pytest.mark.slow
def test_the_scheduler_waits_for_a_locked_database(file_site: Site) -> None:
    site = file_site
    runs.deploy(site.notebook("held", 4, chain=1), home=site.home)
    site.begin()
    run = site.trigger("held")
    site.until(lambda: bool(site.marks()), "a task begins")
    holder = sqlite3.connect(site.home.database, isolation_level=None, timeout=LONG)
    holder.execute("BEGIN IMMEDIATE")
    time.sleep(4.0)  # what is tested is that somebody holds it for so long; after 2 s the scheduler says so
    holder.execute("ROLLBACK")
    holder.close()
    assert site.ended(run).state is RunState.SUCCESS
    site.until(lambda: "the database is slow" in site.said(), "it says so")
    check_record(site, run)


# A scheduler that ends its tasks sooner because another one may take the run over; the product's own time is 20 s.
RELEASES_SOON = """
import sys
from nbdag.runs.execution import daemon
daemon.RELEASE_AFTER = 3.0
from nbdag.cli import main
sys.exit(main(["scheduler", "--log-json", "--jobs", "2"]))
"""


@pytest.mark.parametrize("releases", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_scheduler_waits_for_a_postgresql_server(
    new_site: Callable[[str], Site], postgres_of_its_own: Any, releases: bool
) -> None:
    site = new_site(postgres_of_its_own.url)
    runs.deploy(site.notebook("down", 6, sleep=1.0, chain=1), home=site.home)
    site.begin("--jobs", "2", code=RELEASES_SOON if releases else None)
    run = site.trigger("down")
    site.until(lambda: len(site.marks()) > 1, "tasks begin")
    postgres_of_its_own.stop()
    if not releases:
        time.sleep(2.5)  # what is tested is that it is away for so long
    said = "terminating running tasks" if releases else "the database does not answer"
    site.until(lambda: said in site.said(), "it says so")
    postgres_of_its_own.start()
    assert site.ended(run).state is RunState.SUCCESS
    site.until(lambda: "the database responds again" in site.said(), "it says so")
    assert site.processes[0].poll() is None
    assert site.said().count("does not answer") <= 3  # said once for each reason, not at every try
    check_marks(site)
    check_record(site, run)


@pytest.mark.slow
def test_a_foreground_run_waits_for_a_restarting_postgresql_server(
    new_site: Callable[[str], Site], postgres_of_its_own: Any
) -> None:
    site = new_site(postgres_of_its_own.url)
    path = site.notebook("own", 4, sleep=1.0, chain=1)
    words = [sys.executable, "-m", "nbdag", "run", str(path)]
    with (site.folder / "said").open("w") as log:
        process = subprocess.Popen(words, cwd=site.folder, env=site.environ, stdout=log, stderr=log)
    site.processes.append(process)
    site.until(lambda: len(site.marks()) > 2, "tasks begin")
    postgres_of_its_own.stop()
    said_in = site.folder / "said"
    site.until(lambda: "the database does not answer" in said_in.read_text(), "it says so")
    postgres_of_its_own.start()
    code, said = process.wait(LONG), said_in.read_text()
    assert code == 0, said
    assert said.count("the database does not answer") == 1
    (run,) = runs.list_runs(home=site.home)
    assert run.state is RunState.SUCCESS
    check_marks(site)
    check_record(site, run)


def test_two_schedulers_on_postgresql_share_the_tasks(
    new_site: Callable[[str], Site], postgres_database: Callable[[], str]
) -> None:
    count = 16
    site = new_site(postgres_database())
    runs.deploy(site.notebook("many", count, sleep=0.2, chain=count), home=site.home)
    for _ in range(2):
        site.begin("--jobs", "2")
    for n in range(2):
        site.until(lambda n=n: "the scheduler starts" in site.said(n), "they begin")
    run = site.trigger("many")
    assert site.ended(run).state is RunState.SUCCESS
    store = nbdag.store.open(site.home)
    try:
        row = store.named(run.id, "many")[0]
        attempts = store.attempts([row.id])[row.id]
    finally:
        store.close()
    assert len(attempts) == count
    assert len({each.scheduler for each in attempts}) == 2
    started = [task for task, what, _, _ in site.marks() if what == "start"]
    assert sorted(started) == sorted(f"t{n}" for n in range(count))


@pytest.mark.slow
def test_a_scheduler_leaves_a_run_alone_whose_values_are_in_another_home(
    new_site: Callable[[str], Site], postgres_database: Callable[[], str]
) -> None:
    site = new_site(postgres_database())
    other = new_site(site.home.url)
    far = Home(site.folder / "another", site.home.url)
    other.environ["NBDAG_HOME"] = str(far.root)
    notebook = site.notebook("mine", 2)
    for home in (site.home, far):  # both homes have the notebook
        runs.deploy(notebook, home=home)
    other.folder = site.folder / "elsewhere"
    other.folder.mkdir()
    other.begin()
    other.until(lambda: "the scheduler starts" in other.said(), "it starts")
    run = site.trigger("mine")
    other.until(lambda: "so another scheduler must execute the run" in other.said(), "it says so")
    with pytest.raises(RunElsewhereError, match=r"are not in \S+another; continue the run on the host that created it"):
        runs.resume(run, home=far)
    assert site.look(run).state is RunState.QUEUED
    site.begin()
    assert site.ended(run).state is RunState.SUCCESS, site.said()
    assert other.said().count("so another scheduler must execute the run") == 1
