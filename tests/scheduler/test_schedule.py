"""Runs that a schedule creates; time is an argument, so a quarter takes seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import nbdag.store
from nbdag.core.model.dag import Dag
from nbdag.core.model.job import Job
from nbdag.core.model.states import RunState
from nbdag.scheduler import next_date, reset_attempts

START = datetime(2026, 1, 1, tzinfo=UTC)
Shape = Callable[..., Dag]


@pytest.mark.slow
def test_a_month_of_hourly_ticks_is_caught_up_in_order(office: Any, shape: Shape) -> None:
    # tests/core/test_timetable.py has a year of ticks; here each one is a run, and each run two transactions.
    ticks = [START + timedelta(hours=hour) for hour in range(30 * 24 + 1)]
    office.now = ticks[-1]
    office.executor.slots = 100

    def succeed(job: Job) -> dict[str, Any]:
        office.most_active = max(office.most_active, office.store.deployments.count_scheduled("churn"))
        return {"outputs": ()}

    office.executor.script = succeed
    office.deploy(shape({"a": []}, max_active_runs=100), "@hourly", start_date=START.timestamp(), catchup=True)
    scheduler = office.scheduler()
    office.until(scheduler, office.now)
    rows = office.store.runs()
    assert Counter(row.state for row in rows) == {RunState.SUCCESS: len(ticks)}
    assert all(row.interval_end - row.interval_start == 3600 for row in rows)
    dates = [job.context["logical_date"] for job in office.executor.submitted]
    assert dates == [tick.isoformat() for tick in ticks]
    assert office.most_active == 100


def test_each_tick_of_a_day_runs_at_its_time(office: Any, shape: Shape) -> None:
    office.deploy(shape({"a": []}), "0 */6 * * *")
    office.until(office.scheduler(), START + timedelta(hours=23))
    assert office.dates() == ["01-01 06:00", "01-01 12:00", "01-01 18:00"]
    assert all(row.started == row.logical_date for row in office.store.runs())


def test_without_catchup_only_the_last_missed_tick_runs(office: Any, shape: Shape) -> None:
    office.deploy(shape({"a": []}), "@hourly")
    office.now += timedelta(hours=10, minutes=30)
    office.until(office.scheduler(), office.now + timedelta(hours=1))
    assert office.dates() == ["01-01 10:00", "01-01 11:00"]


def test_a_resumed_schedule_runs_its_last_missed_tick(office: Any, shape: Shape) -> None:
    row = office.deploy(shape({"a": []}), "@hourly")
    scheduler = office.scheduler()
    office.until(scheduler, START + timedelta(hours=1))
    office.store.deployments.set_paused("churn", True, row.next_date)
    office.until(scheduler, START + timedelta(hours=5, minutes=30))
    assert office.dates() == ["01-01 01:00"]
    seen = office.store.deployments.get("churn")
    assert seen is not None
    office.store.deployments.set_paused("churn", False, next_date(seen, office.now))
    office.until(scheduler, START + timedelta(hours=6))
    assert office.dates() == ["01-01 01:00", "01-01 05:00", "01-01 06:00"]


@pytest.mark.parametrize(
    ("schedule", "more", "hours", "dates"),
    [
        ("@once", {}, 5, ["01-01 00:00"]),
        (None, {}, 5, []),
        ("@hourly", {"paused": True}, 5, []),
        ("@hourly", {"end_date": START.timestamp() + 7200}, 5, ["01-01 01:00", "01-01 02:00"]),
        ("every 2h", {"start_date": START.timestamp() + 1800}, 5, ["01-01 00:30", "01-01 02:30", "01-01 04:30"]),
    ],
)
def test_a_schedule_creates_these_runs(
    office: Any, shape: Shape, schedule: str, more: dict[str, Any], hours: int, dates: list[str]
) -> None:
    office.deploy(shape({"a": []}), schedule, **more)
    office.until(office.scheduler(), START + timedelta(hours=hours))
    assert office.dates() == dates


def test_continuous_has_one_run_at_a_time(office: Any, shape: Shape) -> None:
    office.executor.script = lambda job: None
    office.deploy(shape({"a": []}), "@continuous")
    scheduler = office.scheduler()
    for n in range(3):
        scheduler.tick(office.now)
        assert [len(office.executor.submitted), len(office.executor.open)] == [n + 1, 1]
        office.now += timedelta(seconds=10)
        office.executor.finish("a")


def test_runs_beyond_max_active_runs_stay_queued(office: Any, shape: Shape) -> None:
    office.executor.script = lambda job: None
    row = office.deploy(shape({"a": []}, max_active_runs=2), None)
    for n in range(4):
        office.now += timedelta(seconds=1)
        office.trigger(row, f"r{n}")
    scheduler = office.scheduler()
    scheduler.tick(office.now)
    assert Counter(each.state.value for each in office.store.runs()) == {"running": 2, "queued": 2}
    assert [key.run for key in office.executor.open] == ["r0", "r1"]
    office.executor.finish("a")
    scheduler.tick(office.now)
    assert [key.run for key in office.executor.open] == ["r1", "r2"]


def test_pools_hold_across_runs(office: Any, shape: Shape) -> None:
    office.executor.script = lambda job: None
    office.store.set_pool("gpu", 2)
    row = office.deploy(shape({"a": []}, {"a": {"pool": "gpu"}}), None)
    for n in range(3):
        office.trigger(row, f"r{n}")
    scheduler = office.scheduler()
    scheduler.tick(office.now)
    assert len(office.executor.open) == 2
    office.executor.finish("a")
    scheduler.tick(office.now)
    assert len(office.executor.open) == 2


def test_a_task_that_depends_on_the_past_waits_for_the_previous_run(office: Any, shape: Shape) -> None:
    office.executor.script = lambda job: None
    dag = shape({"a": []}, {"a": {"depends_on_past": True}})
    office.deploy(dag, "@hourly", start_date=START.timestamp(), catchup=True)
    office.now += timedelta(hours=2)
    scheduler = office.scheduler()
    scheduler.tick(office.now)
    for n in range(3):
        assert [job.context["logical_date"][11:13] for job in office.executor.open.values()] == [f"0{n}"]
        office.executor.finish("a")
        scheduler.tick(office.now)
    assert len(office.dates(RunState.SUCCESS)) == 3


def test_a_clock_set_back_an_hour_repeats_no_tick(office: Any, shape: Shape) -> None:
    office.deploy(shape({"a": []}), "*/30 * * * *")
    scheduler = office.scheduler()
    office.until(scheduler, START + timedelta(hours=3))
    office.now -= timedelta(hours=1)
    office.until(scheduler, START + timedelta(hours=4))
    assert office.dates() == [f"01-01 {minutes // 60:02}:{minutes % 60:02}" for minutes in range(30, 241, 30)]
    assert {row.state for row in office.store.runs()} == {RunState.SUCCESS}


def test_a_due_run_is_created_once_even_if_a_scheduler_dies(office: Any, shape: Shape) -> None:
    row = office.deploy(shape({"a": []}), "@hourly")
    office.until(office.scheduler(), START + timedelta(hours=1))
    office.store.deployments.put(row, 0.0)  # as it stood before
    office.until(office.scheduler(), START + timedelta(hours=2))
    assert office.dates() == ["01-01 01:00", "01-01 02:00"]


def test_attempts_of_a_dead_scheduler_are_reset_without_using_a_retry(
    office: Any, shape: Shape, scripted: Callable[..., Any]
) -> None:
    office.executor.script = lambda job: None
    row = office.deploy(shape({"a": []}), None)
    run = office.trigger(row, "r")
    first = office.scheduler()
    first.tick(office.now)
    asleep = office.store
    office.store = nbdag.store.open(office.home)  # another process has a connection of its own
    recovering = scripted()
    again = reset_attempts(
        office.store, office.home, recovering.terminate_leftovers, first.id, office.now.timestamp(), "gone"
    )
    assert again == ["churn.a"]
    (job,) = office.executor.submitted
    assert recovering.terminated == [Path(job.path)]
    office.executor = scripted()
    second = office.scheduler()
    second.tick(office.now)
    second.tick(office.now)
    assert office.store.run(run.id).state is RunState.SUCCESS
    attempts = office.store.attempts([run.id])[run.id]
    assert [(each.try_number, each.state.value) for each in attempts] == [(1, "failed"), (2, "success")]
    # The first was only asleep: what it says now counts no more.
    first.tick(office.now)
    first.tick(office.now)
    assert [each.state.value for each in office.store.attempts([run.id])[run.id]] == ["failed", "success"]
    assert first.busy == 0
    asleep.close()


def test_a_drained_scheduler_starts_nothing(office: Any, shape: Shape) -> None:
    office.executor.script = lambda job: None
    row = office.deploy(shape({"a": [], "b": ["a"]}), None)
    office.trigger(row, "r")
    scheduler = office.scheduler()
    scheduler.tick(office.now)
    scheduler.drain()
    office.executor.finish("a")
    scheduler.tick(office.now)
    assert (scheduler.busy, len(office.executor.submitted)) == (0, 1)


def test_a_deleted_notebook_does_not_keep_others_from_running(office: Any, shape: Shape) -> None:
    lost = office.deploy(shape({"a": []}), "@hourly")
    office.trigger(lost, "r")
    office.dags.clear()
    fine = shape({"b": []})
    office.deploy(replace(fine, id="fine"), "@hourly")
    office.until(office.scheduler(), START + timedelta(hours=1))
    assert {row.dag for row in office.store.runs() if row.state is RunState.SUCCESS} == {"fine"}
    assert any("its notebook is gone" in said for said in office.said)
    assert office.trouble
