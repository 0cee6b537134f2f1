"""Lists of pipelines and of runs, and what every answer has in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nbdag import runs
from nbdag.home import Home
from nbdag.testing import InProcessExecutor

from .conftest import Client, write_notebook

NAMES = ("billing", "churn", "sales_eu", "sales_us")


@pytest.fixture(scope="module")
def client(serve: Callable[..., Client], tmp_path_factory: pytest.TempPathFactory) -> Client:
    """Four pipelines; `churn` has three runs, of which the second failed."""
    folder = tmp_path_factory.mktemp("project")
    home = Home(folder / ".nbdag")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbdag.executors.local.LocalExecutor", InProcessExecutor)
        for name in NAMES:
            tag = "sales,nightly" if name.startswith("sales") else "nightly"
            cells = [
                f'%dag --schedule "0 6 * * *" --owner team-{name} --tags {tag} --description "About {name}."',
                "%%task first\nx = 1",
                "%%task second\ny = x + 1",
            ]
            runs.deploy(write_notebook(folder, *cells, name=f"{name}.ipynb"), home=home)
        for broken in (False, True, False):
            cell = "%%task first\nx = 1 / 0" if broken else "%%task first\nx = 1"
            runs.run(write_notebook(folder, cell, name="churn.ipynb"), home=home)
    return serve(folder)


def test_pipelines_are_listed_by_id_with_their_latest_runs(client: Client) -> None:
    page = client.get("dags").json
    assert [each["id"] for each in page["items"]] == list(NAMES)
    assert page["next"] is None
    churn = page["items"][1]
    assert [each["state"] for each in churn["recent"]] == ["success", "failed", "success"]
    assert churn["owner"] == "team-churn"
    assert churn["schedule"] == "0 6 * * *"
    assert churn["next_run"] > churn["deployed"]
    assert churn["changed"] == "changed"
    assert client.get("dags/churn").json == churn


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"search": "SALES"}, ["sales_eu", "sales_us"]),
        ({"search": "team-churn"}, ["churn"]),
        ({"search": "about us"}, ["sales_us"]),
        ({"search": "%"}, []),
        ({"tag": ["sales", "nightly"]}, ["sales_eu", "sales_us"]),
        ({"tag": "sale"}, []),
        ({"paused": "true"}, []),
        ({"state": "success"}, ["churn"]),
        ({"state": ["failed", "cancelled"]}, []),
    ],
)
def test_pipelines_are_searched(client: Client, query: dict[str, object], expected: list[str]) -> None:
    assert [each["id"] for each in client.get("dags", **query).json["items"]] == expected


def test_the_number_of_all_pipelines_is_on_each_page(client: Client) -> None:
    assert client.get("dags", limit=1).json["total"] == 4
    assert client.get("dags", limit=1, cursor="churn", search="sales").json["total"] == 2


def test_pages_follow_each_other_without_a_gap(client: Client) -> None:
    for path, size, length in (("dags", 3, 4), ("runs", 2, 3)):
        everything = client.get(path).json["items"]
        assert len(everything) == length
        found, cursor = [], None
        while cursor is not None or not found:
            page = client.get(path, limit=size, **({"cursor": cursor} if cursor else {})).json
            found += page["items"]
            cursor = page["next"]
        assert found == everything


def test_runs_are_listed_newest_first_and_filtered(client: Client) -> None:
    found = client.get("runs").json["items"]
    assert [each["state"] for each in found] == ["success", "failed", "success"]
    assert found[0]["tasks"] == {"success": 1}
    assert [each["id"] for each in client.get("runs", state="failed").json["items"]] == [found[1]["id"]]
    assert len(client.get("runs", state=["failed", "success"], dag="churn").json["items"]) == 3
    assert client.get("runs", dag="billing").json == {"items": [], "next": None}
    assert len(client.get("runs", since=found[1]["created"]).json["items"]) == 2
    assert len(client.get("runs", until=found[1]["created"]).json["items"]) == 1


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("dags/unknown", 404, "NotDeployedError"),
        ("dags/..%2F..%2Fetc", 422, "InvalidArgumentError"),
        ("dags/a%00b", 422, "InvalidArgumentError"),
        ("dags/" + "a" * 10_000, 422, "InvalidArgumentError"),
        ("dags?limit=0", 422, "InvalidArgumentError"),
        ("dags?limit=many", 422, "InvalidArgumentError"),
        ("runs?state=unknown", 422, "InvalidArgumentError"),
        ("runs?cursor=unknown", 422, "CursorError"),
        ("no/such/path", 404, "NotFound"),
    ],
)
def test_an_error_is_a_problem_with_its_sentence(client: Client, path: str, status: int, code: str) -> None:
    answer = client.get(path)
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["code"] == code
    assert answer.json["status"] == status
    assert answer.json["detail"]


def test_an_error_names_the_next_step(client: Client) -> None:
    problem = client.get("dags/chrun").json
    assert problem["detail"] == "no DAG 'chrun' is deployed here; did you mean churn?"
    assert problem["next"] == "did you mean churn?"


def test_an_unchanged_answer_is_not_sent_again(client: Client) -> None:
    first = client.get("dags")
    again = client.request("GET", "nbdag/api/dags", headers={"If-None-Match": first.headers["Etag"]})
    assert again.status == 304
    assert again.body == b""


def test_another_method_is_refused_with_the_methods_that_exist(client: Client) -> None:
    answer = client.request("DELETE", "nbdag/api/runs")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert client.request("HEAD", "nbdag/api/runs").body == b""


def test_nothing_is_answered_without_the_token(client: Client) -> None:
    stranger = client.without_token()
    assert stranger.get("dags").status == 403
    assert stranger.get("no/such/path").status == 403


def test_a_home_without_records_has_empty_lists(serve: Callable[..., Client], tmp_path: Path) -> None:
    empty = serve(tmp_path)
    assert empty.get("dags").json == {"items": [], "total": 0, "next": None}
    assert empty.get("runs").json == {"items": [], "next": None}
    assert not (tmp_path / ".nbdag").exists()


def test_every_path_of_the_page_has_the_same_html(client: Client) -> None:
    answer = client.request("GET", "nbdag/")
    assert answer.status == 200
    assert b'data-base-url="/of/tests/"' in answer.body
    assert b"/of/tests/nbdag/static/page.js" in answer.body
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert client.request("GET", "nbdag/dags/churn/grid").status == 200
    assert client.request("GET", "nbdag").status == 200
