"""Runs that new data starts: events of assets, pipelines after pipelines, watched files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nbdag.core.model.dag import Dag
from nbdag.core.model.job import Job
from nbdag.core.model.states import RunState, TaskState
from nbdag.core.schedule.assets import located
from nbdag.scheduler.file_assets import POLL_INTERVAL, SETTLED
from nbdag.store.rows import AssetEvent

Shape = Callable[..., Dag]


def dag(shape: Shape, id: str, *produces: str, **options: dict[str, Any]) -> Dag:
    made = shape({"load": []}, {"load": {"produces": produces, **options}})
    return Dag(**{**{name: getattr(made, name) for name in made.__dataclass_fields__}, "id": id})


def runs_of(office: Any, id: str) -> list[Any]:
    return sorted(office.store.runs(dag=id), key=lambda row: row.id)


def work(office: Any, scheduler: Any) -> None:
    for _ in range(50):
        office.now += timedelta(seconds=1)
        scheduler.tick(office.now)


@pytest.mark.slow
def test_a_task_that_succeeds_starts_what_waits_for_its_data(office: Any, shape: Shape) -> None:
    office.executor.script = lambda job: {"assets": {"lake/orders": {"rows": 3}}} if job.key.dag == "etl" else {}
    row = office.deploy(dag(shape, "etl", "lake/orders"), None)
    office.deploy(dag(shape, "report"), "on lake/orders")
    office.deploy(dag(shape, "other"), "on lake/rates")
    scheduler = office.scheduler()
    office.trigger(row, "first")
    work(office, scheduler)
    (run,) = runs_of(office, "report")
    assert (run.kind, run.state, run.name[:7]) == ("asset", RunState.SUCCESS, "asset__")
    (event,) = run.events
    assert event["asset"] == "lake/orders"
    assert event["extra"] == {"rows": 3}
    assert (event["dag"], event["run"], event["task"]) == ("etl", "first", "load")
    job = next(job for job in office.executor.submitted if job.key.dag == "report")
    assert job.context["asset_events"] == [event]
    assert "is due, since there is new data: lake/orders" in office.said
    assert not runs_of(office, "other")
    work(office, scheduler)
    assert len(runs_of(office, "report")) == 1, "an event starts one run"


@pytest.mark.slow
def test_a_run_uses_all_events_that_are_new_to_its_pipeline(office: Any, shape: Shape) -> None:
    office.deploy(dag(shape, "both"), "on a and b")
    office.deploy(dag(shape, "either"), "on a or b")
    scheduler = office.scheduler()
    for asset in ("a", "a", "b"):
        office.now += timedelta(seconds=1)
        office.store.assets.add([AssetEvent(asset=asset, at=office.now.timestamp())])
        scheduler.refresh()
        work(office, scheduler)
    (both,) = runs_of(office, "both")
    assert [event["asset"] for event in both.events] == ["a", "a", "b"]
    assert both.logical_date == office.store.assets.latest(["b"])["b"].at
    assert [[event["asset"] for event in run.events] for run in runs_of(office, "either")] == [["a"], ["a"], ["b"]]


def test_a_failed_or_skipped_task_produces_nothing(office: Any, shape: Shape) -> None:
    outcomes = {"failing": TaskState.FAILED, "skipping": TaskState.SKIPPED}
    office.executor.script = lambda job: {"state": outcomes.get(job.key.dag, TaskState.SUCCESS)}
    scheduler = office.scheduler()
    for id in outcomes:
        office.trigger(office.deploy(dag(shape, id, "a"), None), "r")
    work(office, scheduler)
    assert {row.state for row in office.store.runs()} == {RunState.FAILED, RunState.SUCCESS}
    assert [event.asset for event, _ in office.store.assets.events()] == ["dag:skipping"]


@pytest.mark.slow
def test_a_pipeline_runs_after_each_success_of_another(office: Any, shape: Shape) -> None:
    states = iter([TaskState.FAILED, TaskState.SUCCESS])

    def script(job: Job) -> dict[str, Any]:
        return {"state": next(states)} if job.key.dag == "churn" else {}

    office.executor.script = script
    row = office.deploy(dag(shape, "churn"), None)
    office.deploy(dag(shape, "report"), "after churn")
    scheduler = office.scheduler()
    for name in ("bad", "good"):
        office.trigger(row, name)
        work(office, scheduler)
    (run,) = runs_of(office, "report")
    assert [event["run"] for event in run.events] == ["good"]


@pytest.mark.slow
def test_events_before_the_deployment_or_during_a_pause_start_nothing(office: Any, shape: Shape) -> None:
    def emit() -> None:
        office.now += timedelta(seconds=1)
        office.store.assets.add([AssetEvent(asset="a", at=office.now.timestamp())])
        office.now += timedelta(seconds=1)

    emit()
    office.deploy(dag(shape, "report"), "on a")
    scheduler = office.scheduler()
    work(office, scheduler)
    office.store.deployments.set_paused("report", True, None)
    emit()
    office.store.deployments.set_paused("report", False, None, office.now.timestamp())
    work(office, scheduler)
    assert not runs_of(office, "report")
    emit()
    work(office, scheduler)
    assert len(runs_of(office, "report")) == 1


def test_two_schedulers_start_one_run_for_an_event(office: Any, shape: Shape) -> None:
    office.deploy(dag(shape, "report"), "on a")
    event = AssetEvent(asset="a", at=office.now.timestamp() + 1)
    office.store.assets.add([event])
    one, other = office.scheduler(), office.scheduler()
    unused = office.store.assets.unused
    stale = unused()
    office.store.assets.unused = lambda *dag: stale  # both have read it before either has used it
    office.now += timedelta(seconds=2)
    one.tick(office.now)
    other.tick(office.now + timedelta(seconds=1))
    office.store.assets.unused = unused
    assert len(runs_of(office, "report")) == 1


def test_a_time_beside_assets_starts_runs_too(office: Any, shape: Shape) -> None:
    office.deploy(dag(shape, "report"), "on a or at 06:00")
    scheduler = office.scheduler()
    office.until(scheduler, office.now + timedelta(days=1, hours=12))
    assert [run.kind for run in runs_of(office, "report")] == ["scheduled", "scheduled"]
    assert office.dates() == ["01-01 06:00", "01-02 06:00"]


def test_each_instance_of_a_mapped_task_produces(office: Any, shape: Shape) -> None:
    def script(job: Job) -> dict[str, Any]:
        return {"length": 2, "elements": ({}, {})} if job.expand else {}

    office.executor.script = script
    office.trigger(office.deploy(dag(shape, "etl", "a", map=(("x", "xs"),)), None), "r")
    scheduler = office.scheduler()
    work(office, scheduler)
    events = [(event.asset, event.map_index) for event, _ in office.store.assets.events("a")]
    assert sorted(events) == [("a", 0), ("a", 1)]


@pytest.mark.parametrize("name", ["file:data.csv", "file:*.csv", "file:{folder}/data.csv", "file://{folder}/data.csv"])
def test_a_changed_file_starts_a_run(office: Any, shape: Shape, tmp_path: Path, name: str) -> None:
    path = tmp_path / "data.csv"
    path.write_text("old")
    os.utime(path, (office.now.timestamp() - 100,) * 2)
    asset = name.format(folder=tmp_path)
    row = office.deploy(dag(shape, "report"), f"on {asset}")
    office.store.deployments.put(
        type(row)(**{**{f: getattr(row, f) for f in row.__dataclass_fields__}, "cwd": str(tmp_path)}),
        office.now.timestamp(), needs=[asset],
    )  # fmt: skip
    scheduler = office.scheduler()
    office.until(scheduler, office.now + timedelta(seconds=20))
    assert not runs_of(office, "report"), "the file has not changed since the deployment"
    os.utime(path, (office.now.timestamp(),) * 2)
    office.until(scheduler, office.now + timedelta(seconds=SETTLED / 2))
    assert not runs_of(office, "report"), "it may still be being written"
    office.until(scheduler, office.now + timedelta(seconds=3 * POLL_INTERVAL))
    (run,) = runs_of(office, "report")
    assert run.events[0]["extra"]["path"] == str(path)
    changed = datetime.fromtimestamp(run.events[0]["extra"]["changed"], UTC)
    assert run.state is RunState.SUCCESS
    assert changed < office.now


def test_a_file_that_replaces_another_starts_a_run_whatever_its_date(office: Any, shape: Shape, tmp_path: Path) -> None:
    path, other = tmp_path / "data.csv", tmp_path / "other.csv"
    for each in (path, other):
        each.write_text("same")
        os.utime(each, (office.now.timestamp() - 100 - (each is other),) * 2)
    office.deploy(dag(shape, "report"), f"on file:{path}")
    scheduler = office.scheduler()
    office.until(scheduler, office.now + timedelta(seconds=2 * POLL_INTERVAL))
    assert not runs_of(office, "report")
    other.replace(path)
    office.until(scheduler, office.now + timedelta(seconds=2 * POLL_INTERVAL))
    assert len(runs_of(office, "report")) == 1
    # The next scheduler knows the file from the event.
    scheduler = office.scheduler()
    office.until(scheduler, office.now + timedelta(seconds=2 * POLL_INTERVAL))
    assert len(runs_of(office, "report")) == 1
    at = path.stat().st_mtime
    path.write_text("longer")
    os.utime(path, (at, at))
    office.until(office.scheduler(), office.now + timedelta(seconds=2 * POLL_INTERVAL))
    assert len(runs_of(office, "report")) == 2


def test_a_file_of_a_pattern_that_is_replaced_is_seen_beside_a_newer_one(
    office: Any, shape: Shape, tmp_path: Path
) -> None:
    for name, age in (("new.csv", 50), ("old.csv", 100)):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (office.now.timestamp() - age,) * 2)
    office.deploy(dag(shape, "report"), f"on file:{tmp_path}/*.csv")
    scheduler = office.scheduler()
    office.until(scheduler, office.now + timedelta(seconds=2 * POLL_INTERVAL))
    (tmp_path / "old.csv").write_text("replaced")
    os.utime(tmp_path / "old.csv", (office.now.timestamp() - 200,) * 2)
    office.until(scheduler, office.now + timedelta(seconds=2 * POLL_INTERVAL))
    (run,) = runs_of(office, "report")
    assert run.events[0]["extra"]["path"] == str(tmp_path / "old.csv")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("file:data.csv", "file:/srv/etl/data.csv"),
        ("file:./a/../*.csv", "file:/srv/etl/*.csv"),
        ("file:///lake/x", "file:/lake/x"),
        ("file:/lake//x", "file:/lake/x"),
        ("s3://lake/../x", "s3://lake/../x"),
        ("dag:etl", "dag:etl"),
    ],
)
def test_a_file_has_one_name_whatever_folder_a_pipeline_is_in(name: str, expected: str) -> None:
    assert located(name, "/srv/etl") == expected


def test_a_task_and_a_schedule_in_other_folders_mean_the_same_file(office: Any, shape: Shape, tmp_path: Path) -> None:
    producer = office.deploy(dag(shape, "etl", "file:out/data.csv"), None)
    moved = replace(producer, cwd=str(tmp_path))
    office.deploy(dag(shape, "report"), f"on file:{tmp_path}/out/data.csv")
    scheduler = office.scheduler()
    office.trigger(moved, "first")
    work(office, scheduler)
    (run,) = runs_of(office, "report")
    assert run.events[0]["asset"] == f"file:{tmp_path}/out/data.csv"


def test_a_queued_run_misses_its_deadlines(office: Any, shape: Shape) -> None:
    office.executor.script = lambda job: None
    made = shape({"load": []}, {"load": {"deadline": "+20s"}}, deadline="+10s", max_active_runs=1)
    row = office.deploy(made, None)
    scheduler = office.scheduler()
    office.trigger(row, "first")
    office.until(scheduler, office.now + timedelta(seconds=1))
    queued = office.trigger(row, "second")
    office.until(scheduler, office.now + timedelta(seconds=60))
    assert office.store.run(queued.id).state is RunState.QUEUED
    office.until(office.scheduler(), office.now + timedelta(seconds=60))
    notes = [(note.code, note.name) for note in office.store.notes([queued.id])[queued.id]]
    assert notes == [("NB480", ""), ("NB480", "load")]
    assert office.missed == [("second", None), ("second", "load")]


def test_events_that_are_awaited_outlive_the_cleaning(office: Any, shape: Shape) -> None:
    office.deploy(dag(shape, "both"), "on a and b")
    at = office.now.timestamp()
    office.store.assets.add([AssetEvent(asset=asset, at=at + n) for n, asset in enumerate("acca", 1)])
    assert office.store.assets.delete_before(at + 100) == 1
    assert sorted(event.asset for event, _ in office.store.assets.events()) == ["a", "a", "c"]


def test_unpausing_a_pipeline_that_is_not_paused_keeps_its_events(office: Any, shape: Shape) -> None:
    office.deploy(dag(shape, "both"), "on a and b")
    office.store.assets.add([AssetEvent(asset="a", at=office.now.timestamp() + 1)])
    office.store.deployments.set_paused("both", False, None, office.now.timestamp() + 2)
    assert [event.asset for event in office.store.assets.unused()["both"]] == ["a"]
