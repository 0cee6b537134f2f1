"""Changes of pipelines over the API, and what forms for them need to know."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from nbdag import runs

from .conftest import Client, write_notebook

CELLS = (
    '%dag churn --schedule "0 6 * * *" --tz Europe/Paris',
    "n = 1",
    "%%params\nalpha: float = 0.5  # in (0, 1): the learning rate\ntoken = 'abc'",
    "%%task first\nx = alpha",
    "%%task second\ny = x + 1",
    "print(y)",
)


@pytest.fixture(scope="module")
def client(serve: Callable[..., Client], tmp_path_factory: pytest.TempPathFactory) -> Client:
    return serve(tmp_path_factory.mktemp("project"))


@pytest.fixture
def churn(client: Client) -> str:
    """A deployed pipeline."""
    write_notebook(client.home.root.parent, *CELLS)
    assert client.post("dags", {"path": "churn.ipynb"}).status == 201
    return "churn"


def test_a_notebook_of_the_folder_is_deployed_paused_resumed_and_removed(client: Client) -> None:
    path = write_notebook(client.home.root.parent, *CELLS)
    deployed = client.post("dags", {"path": "churn.ipynb"})
    assert deployed.status == 201
    assert deployed.json["id"] == "churn"
    assert deployed.json["notebook"] == str(path)
    assert client.post("dags/churn/pause").json["paused"] is True
    assert client.get("dags/churn").json["next_run"] is None
    assert client.post("dags/churn/unpause").json["paused"] is False
    assert client.request("DELETE", "nbdag/api/dags/churn").status == 200
    assert client.get("dags/churn").status == 404
    assert client.post("dags/churn/pause").status == 404


@pytest.mark.parametrize("path", ["../other.ipynb", "/etc/passwd", "x/../../other.ipynb"])
def test_only_notebooks_of_the_folder_are_deployed(client: Client, path: str) -> None:
    found = client.post("dags", {"path": path})
    assert (found.status, found.json["code"]) == (422, "OutsideError")


def test_a_notebook_that_cannot_run_is_not_deployed(client: Client) -> None:
    write_notebook(client.home.root.parent, "%%task a\nprint(unknown_name)", name="broken.ipynb")
    found = client.post("dags", {"path": "broken.ipynb"})
    assert (found.status, found.json["code"]) == (422, "NotebookProblemsError")
    assert client.post("dags", {"path": "missing.ipynb"}).status == 422


def test_a_run_is_triggered_with_parameters(client: Client, churn: str) -> None:
    made = client.post("dags/churn/trigger", {"parameters": {"alpha": 0.25}, "logical_date": "2026-01-31T06:00:00"})
    assert made.status == 201
    run = runs.find_run(made.json["id"], churn, home=client.home)
    assert run.state == "queued"
    assert dict(run.parameters) == {"alpha": 0.25}
    listed = client.get("runs", dag=churn, limit=1).json["items"][0]
    assert (listed["id"], listed["logical_date"]) == (run.id, datetime(2026, 1, 31, 5, tzinfo=UTC).timestamp())
    wrong = client.post("dags/churn/trigger", {"parameters": {"alpha": 2}})
    assert (wrong.status, wrong.json["detail"]) == (422, "parameter alpha is 2, but must be less than 1")
    assert client.post("dags/churn/trigger", {"parameters": {"beta": 2}}).status == 422


def test_parameters_are_a_json_schema_without_secrets(client: Client, churn: str) -> None:
    schema = client.get("dags/churn/parameters").json
    assert schema["properties"]["alpha"] == {
        "type": "number",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.5,
        "description": "the learning rate",
        "x-annotation": "float",
    }
    assert "abc" not in str(schema)


def test_a_backfill_is_planned_before_its_runs_are_made(client: Client, churn: str) -> None:
    dates = {"first": "2026-01-01T00:00:00", "last": "2026-01-03T12:00:00"}
    plan = client.post("dags/churn/backfill", {**dates, "dry_run": True}).json
    assert [(each["made"], each["run"]) for each in plan["ticks"]] == [(True, "")] * 3
    assert plan["owner"] == ""
    before = len(runs.list_runs(churn, home=client.home))
    done = client.post("dags/churn/backfill", {**dates, "backwards": True}).json
    assert [each["at"] for each in done["ticks"]] == [each["at"] for each in reversed(plan["ticks"])]
    found = runs.list_runs(churn, home=client.home)
    assert len(found) == before + 3
    assert {each.state for each in found[:3]} == {"queued"}, "a scheduler executes them, not the server"
    again = client.post("dags/churn/backfill", {**dates, "reprocess": "failed"})
    assert [each["made"] for each in again.json["ticks"]] == [False] * 3
    wrong = client.post("dags/churn/backfill", {"first": "2026-01-03T00:00:00", "last": "2026-01-01T00:00:00"})
    assert (wrong.status, wrong.json["code"]) == (422, "BackfillError")


def test_the_next_ticks_are_those_of_the_schedule(client: Client, churn: str) -> None:
    ticks = client.get("dags/churn/ticks").json["items"]
    assert len(ticks) == 5
    assert ticks[0]["at"] == client.get("dags/churn").json["next_run"]
    assert all(each["interval_start"] < each["at"] for each in ticks)


def test_the_notebook_is_listed_cell_by_cell(client: Client, churn: str) -> None:
    found = client.get("dags/churn/notebook").json
    cells = [(each["kind"], each["tasks"], each["untagged"]) for each in found["cells"]]
    assert cells == [
        ("control", [], False),
        ("setup", [], False),
        ("parameters", [], False),
        ("task", ["first"], False),
        ("task", ["second"], False),
        ("scratch", [], True),
    ]
    assert "".join(text for _, text in found["cells"][3]["source"][1]) == "x = alpha"
    digest = client.get("dags/churn").json["digest"]
    assert client.get("dags/churn/notebook", version=digest).json == found
    assert client.get("dags/churn/notebook", version="f" * 64).status == 404
