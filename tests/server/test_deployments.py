"""Deploy, remove, pause, trigger and backfill over REST."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbdag import runs

from .conftest import Client, write_notebook

CELLS = (
    '%dag --schedule "0 6 * * *" --start-date 2026-01-01 --tz Europe/Paris --tags nightly',
    "%%params\nlimit: int = 10  # rows",
    "%%task load\nx = limit",
)


@pytest.fixture
def client(serve: Callable[..., Client], tmp_path: Path) -> Client:
    write_notebook(tmp_path, *CELLS)
    return serve(tmp_path)


@pytest.fixture
def deployed(client: Client) -> Client:
    assert client.post("dags", {"path": "churn.ipynb"}).status == 201
    return client


def test_a_notebook_is_deployed_and_removed(client: Client) -> None:
    made = client.post("dags", {"path": "churn.ipynb"})
    assert made.status == 201
    assert made.json["id"] == "churn"
    assert made.json["version"] == 1
    assert made.json["tags"] == ["nightly"]
    gone = client.request("DELETE", "nbdag/api/dags/churn")
    assert (gone.status, gone.body) == (204, b"")
    assert client.get("dags/churn").status == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("missing.ipynb", 422),
        ("../churn.ipynb", 404),
        ("/etc/passwd", 422),
        ("a\0b.ipynb", 404),
        ("", 422),
        ("x" * 5000, 422),
    ],
)
def test_a_path_that_is_no_notebook_of_this_server_is_refused(client: Client, path: str, status: int) -> None:
    answer = client.post("dags", {"path": path})
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_schedule_is_paused_and_unpaused(deployed: Client) -> None:
    paused = deployed.post("dags/churn/pause").json
    assert (paused["paused"], paused["next_run"]) == (True, None)
    assert deployed.get("dags", paused="true").json["items"] == [paused]
    unpaused = deployed.post("dags/churn/unpause").json
    assert (unpaused["paused"], unpaused["next_run"] is None) == (False, False)


def test_a_run_is_triggered_with_parameters(deployed: Client) -> None:
    made = deployed.post("dags/churn/trigger", {"parameters": {"limit": 3}, "logical_date": "2026-02-01T06:00"})
    assert made.status == 201
    assert made.json["state"] == "queued"
    found = deployed.get(f"dags/churn/runs/{made.json['id']}").json
    assert found["parameters"] == {"limit": 3}
    assert found["run"]["logical_date"] == 1769922000.0  # 6 in Paris is 5 in UTC
    assert found["owner"] == ""


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"parameters": {"limit": "many"}}, 422, "ParameterRuleError"),
        ({"parameters": {"limt": 3}}, 422, "UnknownParameterError"),
        ({"parameters": []}, 422, "InvalidArgumentError"),
        ({"unknown": 1}, 422, "InvalidArgumentError"),
        ({"logical_date": "yesterday"}, 422, "InvalidArgumentError"),
        ({"logical_date": "2026-02-31"}, 422, "InvalidArgumentError"),
        (b"{", 400, "RequestSyntaxError"),
        (b"\xff", 400, "RequestSyntaxError"),
        (b'{"parameters": {"limit": ' + b"[" * 100_000, 400, "RequestSyntaxError"),
    ],
)
def test_a_wrong_request_creates_no_run(deployed: Client, body: Any, status: int, code: str) -> None:
    answer = deployed.post("dags/churn/trigger", body)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert deployed.get("runs").json["items"] == []


def test_the_same_run_id_is_used_once(deployed: Client) -> None:
    assert deployed.post("dags/churn/trigger", {"run": "mine"}).json["id"] == "mine"
    assert deployed.post("dags/churn/trigger", {"run": "mine"}).status == 409


def test_a_backfill_is_planned_before_its_runs_are_created(deployed: Client) -> None:
    wanted = {"first": "2026-01-02", "last": "2026-01-04"}
    planned = deployed.post("dags/churn/backfill", {**wanted, "dry_run": True}).json
    assert [each["made"] for each in planned["ticks"]] == [True, True]
    assert deployed.get("runs").json["items"] == []
    done = deployed.post("dags/churn/backfill", wanted).json
    assert [each["run"] for each in done["ticks"]] == [
        each["id"] for each in reversed(deployed.get("runs").json["items"])
    ]
    assert deployed.post("dags/churn/backfill", {**wanted, "reprocess": "failed"}).json["ticks"][0]["made"] is False
    later = {"first": "2026-01-02", "last": "2026-01-06"}
    assert deployed.post("dags/churn/backfill", later).json["code"] == "BackfillRunningError"
    assert deployed.post("dags/churn/backfill", {"first": "2026-01-04", "last": "2026-01-02"}).status == 422


def test_parameters_are_a_json_schema(deployed: Client) -> None:
    found = deployed.get("dags/churn/parameters").json
    assert found["properties"]["limit"]["type"] == "integer"
    assert found["properties"]["limit"]["default"] == 10


def test_the_next_ticks_are_listed(deployed: Client) -> None:
    found = deployed.get("dags/churn/ticks", limit=3).json["items"]
    assert len(found) == 3
    assert found[0]["at"] > deployed.get("dags/churn").json["deployed"]
    assert 80_000 < found[1]["at"] - found[0]["at"] < 100_000


def test_versions_are_numbered(deployed: Client, tmp_path: Path) -> None:
    write_notebook(tmp_path, *CELLS, "%%task more\ny = x")
    assert deployed.get("dags/churn").json["changed"] == "changed"
    deployed.post("dags", {"path": "churn.ipynb"})
    found = deployed.get("dags/churn/versions").json["items"]
    assert [(each["number"], each["deployed"]) for each in found] == [(2, True), (1, False)]
    assert deployed.get("dags/churn/versions/1").json == found[1]
    assert deployed.get(f"dags/churn/versions/{found[0]['digest']}").json == found[0]
    assert len(deployed.get("dags/churn/graph", version=1).json["nodes"]) == 1
    assert len(deployed.get("dags/churn/graph").json["nodes"]) == 2
    assert deployed.get("dags/churn/versions/7").json["code"] == "UnknownVersionError"
    assert [each.number for each in runs.list_versions("churn", home=deployed.home)] == [2, 1]


def test_two_versions_are_compared(deployed: Client, tmp_path: Path) -> None:
    write_notebook(tmp_path, *CELLS[:2], "%%task load\nx = limit + 1", "%%task more\ny = x")
    deployed.post("dags", {"path": "churn.ipynb"})
    found = deployed.get("dags/churn/versions/2/diff/1").json
    assert [each["kind"] for each in found["cells"]] == ["same", "same", "changed", "added"]
    assert found["tasks"] == [
        {"task": "load", "kind": "changed", "changed": ["code"]},
        {"task": "more", "kind": "added", "changed": []},
    ]
    assert deployed.get("dags/churn/versions/1/diff/1").json["same"]
