"""Questions and actions of a person while a scheduler executes runs, in processes of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import nbdag.store
from nbdag import runs
from nbdag.core.model.states import RunState
from nbdag.processes.identity import this_process
from nbdag.runs.actions.backfill import BackfillRunningError, backfill
from nbdag.runs.actions.pools import set_pool
from nbdag.runs.queries.why import why
from nbdag.store.rows import SchedulerRow

Site = Any  # a home, and the schedulers that work in it
FIRST, LAST = datetime(2026, 1, 1), datetime(2026, 1, 3)
WAITS = "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.02)"  # until the test lets it go on


@pytest.mark.slow
def test_a_live_scheduler_executes_a_backfill(site: Site) -> None:
    backwards = site.home.url is not None
    cell = "%%task a\nwith open('marks.txt', 'a') as file:\n    file.write(f'{dag_run.logical_date:%d}\\n')"
    runs.deploy(site.cells("fill", "%dag fill --schedule @daily", cell), home=site.home)
    site.begin("--jobs", "2")
    site.until(lambda: "the scheduler starts" in site.said(), "the scheduler begins")
    made = backfill("fill", FIRST, LAST, backwards=backwards, max_active_runs=1, home=site.home)
    assert made.owner == f"the scheduler (process {site.processes[0].pid})"
    with pytest.raises(BackfillRunningError):
        backfill("fill", datetime(2025, 1, 1), datetime(2025, 1, 2), home=site.home)
    assert [site.ended(run).state for run in made.runs] == [RunState.SUCCESS] * 3
    days = ["01", "02", "03"]
    assert (site.folder / "marks.txt").read_text().split() == (days[::-1] if backwards else days)


@pytest.fixture
def here(new_site: Callable[[str | None], Site]) -> Iterator[Site]:
    site = new_site(None)
    yield site
    (site.folder / "go").touch()


def reasons(site: Site, run: runs.Run, task: str) -> list[str]:
    (found,) = why(run, task, home=site.home)
    return list(found.reasons)


def under_way(site: Site, run: runs.Run, *tasks: str) -> None:
    site.until(lambda: all(site.look(run)[task].started for task in tasks), f"{tasks} begin")


def test_why_reports_that_all_jobs_are_busy_and_the_order(here: Site) -> None:
    cells = [f"%%task {name} --priority {priority}\n{WAITS}" for name, priority in (("a", 1), ("b", 3), ("c", 2))]
    runs.deploy(here.cells("jobs", "%dag jobs", *cells), home=here.home)
    here.begin("--jobs", "1")
    run = here.trigger("jobs")
    under_way(here, run, "b")
    assert reasons(here, run, "c") == ["waits for a job: 1 of 1 taken"]
    assert reasons(here, run, "a") == ["waits for a job: 1 of 1 taken", "waits behind 1 task of higher priority"]
    assert re.fullmatch(r"is running for \d+ s \(try 1\), in the scheduler \(process \d+\)", *reasons(here, run, "b"))


def test_why_reports_which_tasks_hold_the_slots_of_a_pool(here: Site) -> None:
    set_pool("gpu", 2, home=here.home)
    cells = [f"%%task {name} --pool gpu\n{WAITS}" for name in ("a", "b", "c")]
    runs.deploy(here.cells("pooled", "%dag pooled", *cells), home=here.home)
    here.begin("--jobs", "4")
    run = here.trigger("pooled")
    under_way(here, run, "a", "b")
    assert reasons(here, run, "c") == ["waits for pool gpu: 2 of 2 slots taken by a, b"]


def test_why_reports_unmet_conditions_and_the_next_retry(here: Site) -> None:
    cells = (f"%%task a\n{WAITS}", "%%task b --after a\nx = 1", "%%task c --retries 2 --retry-delay 1h\n1 / 0")
    runs.deploy(here.cells("waits", "%dag waits --tz Europe/Riga", *cells), home=here.home)
    here.begin("--jobs", "2")
    run = here.trigger("waits")
    under_way(here, run, "a")
    here.until(lambda: here.look(run)["c"].error is not None, "c fails")
    assert reasons(here, run, "b") == ["waits for a, which is running"]
    assert re.fullmatch(
        r"is retried at (\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d EES?T \(try 2 of 3\)", *reasons(here, run, "c")
    )


def test_why_reports_that_the_previous_run_is_unfinished(here: Site) -> None:
    cell = f"%%task a --depends-on-past\n{WAITS}"
    runs.deploy(here.cells("past", "%dag past --schedule 'every 1s'", cell), home=here.home)
    here.begin("--jobs", "2")
    here.until(lambda: len(runs.list_runs("past", "running", home=here.home)) > 1, "two ticks")
    *_, second, first = runs.list_runs("past", home=here.home)
    under_way(here, first, "a")
    assert reasons(here, second, "a") == ["waits for a in the previous run, which is running"]


def test_why_reports_that_too_many_runs_are_running(here: Site) -> None:
    runs.deploy(here.cells("one", "%dag one --max-active-runs 1", f"%%task a\n{WAITS}"), home=here.home)
    here.begin("--jobs", "2")
    first, second = here.trigger("one"), here.trigger("one")
    under_way(here, first, "a")
    assert reasons(here, second, "a") == [
        "waits for the start of its run: 1 of at most 1 runs of one are running (max_active_runs)"
    ]


def test_why_reports_a_run_without_a_scheduler_even_if_its_dag_is_paused(here: Site) -> None:
    runs.deploy(here.cells("alone", "%dag alone --schedule @daily", "%%task a\nx = 1"), home=here.home)
    runs.pause("alone", home=here.home)
    run = here.trigger("alone")
    nobody = f"belongs to a run that no process executes: start `nbdag scheduler`, or continue here with `nbdag resume {run.id} --dag alone`"
    assert reasons(here, run, "a") == [nobody]
    said = here.call("status")
    assert f"no process executes this run; use `nbdag scheduler` or `nbdag resume {run.id} --dag alone`" in said
    here.begin()
    assert here.ended(run).state is RunState.SUCCESS  # what is triggered runs, paused or not
    assert reasons(here, run, "a") == ["succeeded (try 1)"]
    said = here.call("status")
    assert "nobody" not in said


def test_jobs_of_all_schedulers_are_added_up(tmp_path: Path, here: Site) -> None:
    runs.deploy(here.cells("many", "%dag many", "%%task a\nx = 1"), home=here.home)
    run = here.trigger("many")
    store = nbdag.store.open(here.home)
    me = this_process()
    for n in (2, 3):
        said = {"host": me.host, "pid": me.pid, "birth": me.start_time, "started": 0.0, "heartbeat": 0.0}
        store.schedulers.register(SchedulerRow(id=str(n), kind="scheduler", jobs=n, **said))  # type: ignore[arg-type]
    from nbdag.runs.queries.liveness import jobs_of

    assert jobs_of(store, store.named(run.id)[0]) == (5, 0)
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize(("last", "code", "end"), [("x = 1", 0, "success"), ("1 / 0", 1, "failed")])
def test_watch_follows_a_run_until_it_ends(here: Site, last: str, code: int, end: str) -> None:
    cells = (f"%%task a\n{WAITS}", f"%%task b --after a\n{last}")
    runs.deploy(here.cells("seen", "%dag seen", *cells), home=here.home)
    here.begin()
    run = here.trigger("seen")
    under_way(here, run, "a")
    words = [sys.executable, "-m", "nbdag", "status", "-f"]
    with subprocess.Popen(words, cwd=here.folder, env=here.environ, stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout is not None
        said = [watcher.stdout.readline()]
        (here.folder / "go").touch()
        said += watcher.stdout.readlines()
    assert watcher.returncode == code
    said = [line for line in said if line != "[1/2] b: running\n"]  # which may be over before anybody looks
    assert said[0] == "[0/2] a: running\n"
    assert re.fullmatch(r"\[1/2\] a: success after \S+ ?\S*\n", said[1])
    assert re.match(rf"\[2/2\] b: {end}", said[2])
    assert re.match(rf"run {run.id} of seen: \S+ {end}, started", said[3])
