"""Pools, schedulers, questions, assets, health; the events, reasons and calendar of runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from nbdag import runs
from nbdag.home import Home
from nbdag.testing import InProcessExecutor

from .conftest import Client, write_notebook


@pytest.fixture(scope="module")
def client(serve: Callable[..., Client], tmp_path_factory: pytest.TempPathFactory) -> Client:
    """Two pipelines: `orders` produces an asset each day and has a run; `report` waits for the asset, and reads one."""
    folder = tmp_path_factory.mktemp("project")
    home = Home(folder / ".nbdag")
    orders = write_notebook(
        folder,
        '%dag --schedule "0 6 * * *" --start-date 2026-01-01',
        "%%task load --produces s3://lake/orders\nx = 1",
        "%%task check --pool big\ny = 1 / 0",
        "%%task last\nz = y",
        name="orders.ipynb",
    )
    report = write_notebook(
        folder, "%dag --schedule 'on s3://lake/orders'", "%%task show --consumes rates\nx = 1", name="report.ipynb"
    )
    runs.set_pool("big", 3, home=home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbdag.executors.local.LocalExecutor", InProcessExecutor)
        for path in (orders, report):
            runs.deploy(path, home=home)
        runs.run(orders, home=home)
    return serve(folder)


def test_pools_are_created_resized_and_deleted(client: Client) -> None:
    assert [(each["name"], each["slots"]) for each in client.get("pools").json["items"]] == [
        ("big", 3),
        ("default_pool", 128),
    ]
    made = client.request("PUT", "nbdag/api/pools/small", {"slots": 1})
    assert (made.status, made.json) == (200, {"name": "small", "slots": 1, "used": 0, "tasks": []})
    assert client.request("PUT", "nbdag/api/pools/small", {"slots": -1}).json["slots"] == -1
    assert client.request("DELETE", "nbdag/api/pools/small").status == 204
    assert client.request("DELETE", "nbdag/api/pools/small").json["code"] == "UnknownPoolError"


@pytest.mark.parametrize(
    ("method", "name", "body", "status"),
    [
        ("PUT", "a%20b", {"slots": 1}, 422),
        ("PUT", "big", {"slots": -2}, 422),
        ("PUT", "big", {"slots": 2**31}, 422),
        ("PUT", "big", {"slots": 1.5}, 422),
        ("PUT", "big", {}, 422),
        ("DELETE", "default_pool", None, 409),
    ],
)
def test_a_wrong_pool_changes_nothing(client: Client, method: str, name: str, body: Any, status: int) -> None:
    before = client.get("pools").json
    assert client.request(method, f"nbdag/api/pools/{name}", body).status == status
    assert client.get("pools").json == before


def test_assets_have_versions_producers_and_consumers(client: Client) -> None:
    (found,) = [each for each in client.get("assets").json["items"] if each["name"] == "s3://lake/orders"]
    assert found["producers"] == [{"dag": "orders", "task": "load"}]
    assert (found["consumers"], found["readers"]) == (["report"], [])
    (rates,) = [each for each in client.get("assets").json["items"] if each["name"] == "rates"]
    assert (rates["consumers"], rates["readers"]) == ([], [{"dag": "report", "task": "show"}])
    before = client.get("assets/s3%3A%2F%2Flake%2Forders/events").json["items"]
    made = client.post("assets/s3://lake/orders/events", {"extra": {"rows": 10}})
    assert (made.status, made.json) == (201, {"consumers": ["report"]})
    now = client.get("assets/s3%3A%2F%2Flake%2Forders/events", limit=1).json["items"]
    assert (now[0]["extra"], now[0]["dag"]) == ({"rows": 10}, None)
    assert before[0]["run"] == client.get("runs").json["items"][0]["id"]
    edges = client.get("lineage").json["edges"]
    assert {"source": "dag:orders", "target": "s3://lake/orders"} in edges
    assert {"source": "s3://lake/orders", "target": "dag:report"} in edges
    assert {"source": "rates", "target": "dag:report"} in edges
    assert client.get("assets/unknown/events").status == 404
    assert client.post("assets/a%20b/events").status == 422


def test_the_scheduler_view_counts_what_waits(client: Client) -> None:
    found = client.get("scheduler").json
    assert (found["processes"], found["queue"], found["unowned"]) == ([], [], 0)
    assert (found["deployed"], found["paused"]) == (2, 0)
    assert [each["dag"] for each in found["overdue"]] == ["orders"]
    client.post("dags/orders/trigger")
    found = client.get("scheduler").json
    assert (found["unowned"], found["runs"], found["states"]) == (1, {"queued": 1}, {"none": 3})


def test_the_events_of_a_run_are_in_the_order_of_time(client: Client) -> None:
    run = client.get("runs", state="failed").json["items"][0]["id"]
    events = client.get(f"dags/orders/runs/{run}/events").json["items"]
    assert [each["at"] for each in events] == sorted(each["at"] for each in events)
    assert [each["kind"] for each in events if not each["task"]][:2] == ["created", "started"]
    assert events[-1]["kind"] in ("ended", "outcome")
    outcomes = [(each["task"], each["state"]) for each in events if each["kind"] == "outcome"]
    assert sorted(outcomes) == [("check", "failed"), ("load", "success")]
    assert "division by zero" in next(each["text"] for each in events if each["state"] == "failed" and each["task"])


def test_a_state_is_explained(client: Client) -> None:
    run = client.get("runs", state="failed").json["items"][0]["id"]
    (found,) = client.get(f"dags/orders/runs/{run}/why/last").json["items"]
    assert found["state"] == "upstream_failed"
    assert "check" in found["reasons"][0]
    assert client.get(f"dags/orders/runs/{run}/why/unknown").status == 404


def test_the_calendar_has_runs_of_the_past_and_ticks_of_the_future(client: Client) -> None:
    today = datetime.now(UTC).date()
    year = date(today.year, 1, 1), date(today.year + 1, 12, 31)
    found = client.get("dags/orders/calendar", first=year[0].isoformat(), last=year[1].isoformat()).json
    assert found["tz"] == "UTC"
    days = {each["day"]: each for each in found["days"]}
    assert days[today.isoformat()]["runs"]["failed"] == 1
    assert days[year[1].isoformat()] == {"day": year[1].isoformat(), "runs": {}, "planned": 1}
    assert client.get("dags/orders/calendar", first="2026-02-30", last="2026-03-01").status == 422
    assert client.get("dags/orders/calendar", first="2026-01-01", last="2126-01-01").status == 422
    assert client.get("dags/unknown/calendar", first="2026-01-01", last="2026-01-02").status == 404


def test_the_health_of_the_installation_is_checked(client: Client) -> None:
    found = client.get("health").json["items"]
    assert {"nbdag", "kernels", "store", "overdue"} <= {each["what"] for each in found}


def test_no_question_is_open(client: Client) -> None:
    assert client.get("questions").json == {"items": []}


def test_an_empty_home_has_no_schedulers(serve: Callable[..., Client], tmp_path: Path) -> None:
    empty = serve(tmp_path)
    assert empty.get("scheduler").json["processes"] == []
    assert empty.get("questions").json == {"items": []}
    assert empty.get("assets").json == {"items": []}
    assert [each["name"] for each in empty.get("pools").json["items"]] == ["default_pool"]
    assert not (tmp_path / ".nbdag").exists()
