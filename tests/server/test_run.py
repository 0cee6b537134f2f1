"""One run: its tasks, attempts, logs, graph and timeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nbdag import runs
from nbdag.core.model.job import Key
from nbdag.home import Home
from nbdag.testing import InProcessExecutor

from .conftest import Client, write_notebook

LOG = "".join(f"line {n} — ü\n" for n in range(1000)).encode()


@pytest.fixture(scope="module")
def client(serve: Callable[..., Client], tmp_path_factory: pytest.TempPathFactory) -> Client:
    """A run with a mapped task and a task that fails, and a log of the first attempt."""
    folder = tmp_path_factory.mktemp("project")
    home = Home(folder / ".nbdag")
    cells = (
        "limit = 1",
        "%%task load --doc 'Reads it all.'\nxs = [1, 2, 3]",
        "%%task each --map x=xs\ny = x * 2",
        "%%task last\nz = sum(y) / 0",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbdag.executors.local.LocalExecutor", InProcessExecutor)
        run = runs.run(write_notebook(folder, *cells), home=home)
    log = home.attempt(Key(dag="churn", run=run.id, task="load")).with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(LOG)
    return serve(folder)


RUN = "dags/churn/runs/latest"


def test_a_run_is_described(client: Client) -> None:
    found = client.get(RUN).json
    assert found["run"]["state"] == "failed"
    assert found["run"]["tasks"] == {"success": 4, "failed": 1}
    assert found["version"] == 1
    assert found["notebook"].endswith("churn.ipynb")
    assert client.get(f"dags/churn/runs/{found['run']['id']}").json == found


def test_a_pipeline_that_was_never_deployed_is_described_by_its_runs(client: Client) -> None:
    found = client.get("dags/churn").json
    assert found["deployed"] is None
    assert [each["state"] for each in found["recent"]] == ["failed"]
    assert client.get("dags").json["items"] == []


def test_the_tasks_of_a_run_have_states(client: Client) -> None:
    found = client.get(f"{RUN}/tasks").json
    assert found["kind"] == "run"
    assert {task: each["state"] for task, each in found["tasks"].items()} == {
        "load": "success",
        "each": "success",
        "last": "failed",
    }
    assert found["tasks"]["each"]["count"] == 3


def test_the_grid_has_a_column_for_the_run(client: Client) -> None:
    found = client.get("dags/churn/grid").json
    assert [each["summary"]["state"] for each in found["runs"]] == ["failed"]
    assert found["runs"][0]["states"]["last"] == "failed"
    assert client.get("dags/unknown/grid").status == 404


@pytest.mark.parametrize("path", ["dags/churn/graph", f"{RUN}/graph"])
def test_the_graph_is_laid_out_in_the_wanted_direction(client: Client, path: str) -> None:
    found = client.get(path, direction="TB").json
    assert found["direction"] == "TB"
    assert [each["id"] for each in found["nodes"]] == ["load", "each", "last"]
    assert client.get(path, direction="sideways").status == 422


@pytest.mark.parametrize("path", ["dags/churn/graph", f"{RUN}/graph"])
def test_the_graph_is_laid_out_for_the_space_of_the_view(client: Client, path: str) -> None:
    assert client.get(path, width=2000, height=300).json["direction"] == "LR"
    assert client.get(path, width=150.5, height=2000).json["direction"] == "TB"
    assert client.get(path, width=0, height=300).status == 422


def test_the_timeline_has_every_attempt(client: Client) -> None:
    bars = client.get(f"{RUN}/timeline").json["bars"]
    instances = {("load", -1), ("each", 0), ("each", 1), ("each", 2), ("last", -1)}
    assert {(each["task"], each["map_index"]) for each in bars} - {("each", -1)} == instances
    assert all(each["started"] <= each["ended"] for each in bars)


def test_a_task_has_code_neighbours_values_and_attempts(client: Client) -> None:
    found = client.get(f"{RUN}/tasks/each").json
    assert found["kind"] == "task"
    assert [each["task"] for each in found["upstream"]] == ["load"]
    assert [each["task"] for each in found["downstream"]] == ["last"]
    assert len({each["map_index"] for each in found["attempts"]} - {-1}) == 3
    assert [each["state"] for each in found["durations"]] == ["success"]
    assert client.get(f"{RUN}/tasks/unknown").json["code"] == "TaskNotInRunError"


def test_an_attempt_has_the_end_of_its_log(client: Client) -> None:
    found = client.get(f"{RUN}/tasks/load/attempts/-1/1").json
    assert found["kind"] == "attempt"
    assert found["log"].endswith("line 999 — ü\n")
    assert client.get(f"{RUN}/tasks/load/attempts/-1/2").status == 404
    assert client.get(f"{RUN}/tasks/load/attempts/x/1").status == 422


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ({}, 0, None),
        ({"offset": 10, "limit": 5}, 10, 15),
        ({"offset": -7}, -7, None),
        ({"offset": -(10**9)}, 0, None),
        ({"offset": 10**9}, len(LOG), None),
        ({"limit": 0}, 0, 0),
        ({"download": "true"}, 0, None),
    ],
)
def test_a_log_is_sent_in_parts(client: Client, query: dict[str, object], start: int, end: int | None) -> None:
    answer = client.get(f"{RUN}/tasks/load/attempts/-1/1/log", **query)
    assert answer.status == 200
    assert answer.body == LOG[start:end]
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert int(answer.headers["Log-Size"]) == len(LOG)
    assert answer.headers["Log-Complete"] == "true"
    assert int(answer.headers["Log-Offset"]) == (start if start >= 0 else len(LOG) + start)


@pytest.mark.parametrize(
    ("header", "status", "start", "end"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=5-", 206, 5, None),
        ("bytes=-9", 206, -9, None),
        ("bytes=0-999999", 206, 0, None),
        ("bytes=999999-", 416, 0, 0),
        ("lines=1-2", 200, 0, None),
    ],
)
def test_a_log_answers_ranges_of_http(client: Client, header: str, status: int, start: int, end: int | None) -> None:
    path = f"nbdag/api/{RUN}/tasks/load/attempts/-1/1/log"
    answer = client.request("GET", path, headers={"Range": header})
    assert answer.status == status
    if status != 416:
        assert answer.body == LOG[start:end]
    if status == 206:
        first = start % len(LOG)
        assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(answer.body) - 1}/{len(LOG)}"


def test_a_log_without_a_file_is_empty(client: Client) -> None:
    run = client.get(RUN).json["run"]["id"]
    client.home.attempt(Key(dag="churn", run=run, task="last")).with_suffix(".log").unlink(missing_ok=True)
    answer = client.get(f"{RUN}/tasks/last/attempts/-1/1/log")
    assert (answer.status, answer.body, answer.headers["Log-Size"]) == (200, b"", "0")
    assert client.get(f"{RUN}/tasks/last/attempts/-1/7/log").json["code"] == "NoLogError"


def test_a_large_log_is_sent_whole(client: Client, tmp_path: Path) -> None:
    run = client.get(RUN).json["run"]["id"]
    path = client.home.attempt(Key(dag="churn", run=run, task="each", map_index=1)).with_suffix(".log")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = bytes(range(256)) * 20_000
    path.write_bytes(content)
    try:
        assert client.get(f"{RUN}/tasks/each/attempts/1/1/log", download="true").body == content
    finally:
        path.unlink()


@pytest.mark.parametrize("part", ["", "/tasks", "/graph", "/timeline", "/tasks/load", "/tasks/load/attempts/-1/1"])
def test_an_unknown_run_is_not_found(client: Client, part: str) -> None:
    answer = client.get(f"dags/churn/runs/unknown{part}")
    assert (answer.status, answer.json["code"]) == (404, "UnknownRunError")


def test_two_runs_are_compared(serve: Callable[..., Client], tmp_path: Path, in_process: type) -> None:
    home = Home(tmp_path / ".nbdag")
    params = "%%params\nlimit = 1"
    first = runs.run(
        write_notebook(tmp_path, params, "%%task a\nx = [1]", "%%task b\ny = x + [limit]", "%%task c\nprint(y)"),
        parameters={"limit": 2},
        home=home,
    )
    second = runs.run(
        write_notebook(tmp_path, params, "%%task a\nx = [1]", "%%task b\ny = x * limit", "%%task c\nprint(y)"),
        parameters={"limit": 3},
        home=home,
    )
    found = serve(tmp_path).get(f"dags/churn/runs/{second.id}/compare/{first.id}").json
    assert (found["run"]["id"], found["other"]["id"]) == (second.id, first.id)
    assert [(each["name"], each["run"], each["other"], each["same"]) for each in found["parameters"]] == [
        ("limit", 3, 2, False)
    ]
    assert [each["kind"] for each in found["notebook"]["cells"]] == ["same", "same", "changed", "same"]
    values = {each["task"]: [(value["name"], value["same"]) for value in each["values"]] for each in found["tasks"]}
    assert values == {"a": [("x", True)], "b": [("y", False)], "c": []}
    assert all(each["run"]["state"] == each["other"]["state"] == "success" for each in found["tasks"])
