"""Stored values of a run, their previews, and the comparison of two runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nbdag import runs
from nbdag.testing import InProcessExecutor

from .conftest import Client, write_notebook

FIRST = (
    "%%params\nsize = 3\npassword = 'hunter2'",
    "%%setup\nfactor = 2",
    "%%task load\nrows = list(range(size))\nsame = 'as before'",
    "%%task scale --map row=rows\nscaled = row * factor",
    "%%task fit\nscore = 1 / sum(scaled)\nlabel = same.upper()",
    "%%task gone\nprint('only here')",
)
SECOND = (
    FIRST[0],
    "%%setup\nfactor = 3",
    *FIRST[2:4],
    "%%task fit\nscore = 1 / (sum(scaled) - 3)\nlabel = same.upper()",
)
HOSTILE = """%%task hostile
import os
pid = os.getpid()  # of the tests, which execute the task
class Ends:
    def __repr__(self):
        return 'x' if os.getpid() == pid else os._exit(3)
class Raises:
    def _repr_html_(self):
        raise RuntimeError('no')
    def __repr__(self):
        return '<script>alert(1)</script>'
ends, raises = Ends(), Raises()"""
READER = "%%task reader\nprint(ends is raises)"


@pytest.fixture(scope="module")
def project(serve: Callable[..., Client], tmp_path_factory: pytest.TempPathFactory) -> Client:
    return serve(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def pair(project: Client) -> tuple[runs.Run, runs.Run]:
    """Two runs; the second one has another setup cell and another code of `fit`, and fails there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbdag.executors.local.LocalExecutor", InProcessExecutor)
        folder, home = project.home.root.parent, project.home
        first = runs.run(write_notebook(folder, *FIRST), parameters={"size": 4}, home=home)
        second = runs.run(write_notebook(folder, *SECOND), parameters={"size": 2}, home=home)
        return first, second


def test_the_values_of_a_run_are_listed_without_their_contents(
    project: Client, pair: tuple[runs.Run, runs.Run]
) -> None:
    items = project.get(f"dags/churn/runs/{pair[0].id}/values").json["items"]
    found = [(each["task"], each["map_index"], each["name"]) for each in items]
    assert found == [("load", -1, "rows"), ("load", -1, "same"), *(("scale", n, "scaled") for n in range(4))]
    assert items[0]["type"] == "list"
    assert items[0]["bytes"] > 0
    assert items[0]["digest"]


def test_a_preview_shows_the_whole_value(project: Client, pair: tuple[runs.Run, runs.Run]) -> None:
    answer = project.get(f"dags/churn/runs/{pair[0].id}/values/scale/scaled")
    assert answer.status == 200, answer
    assert answer.json["outputs"] == [{"mime": "text/plain", "data": "[0, 2, 4, 6]"}]


def test_code_of_a_value_cannot_harm_the_server(project: Client) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbdag.executors.local.LocalExecutor", InProcessExecutor)
        path = write_notebook(project.home.root.parent, HOSTILE, READER, name="hostile.ipynb")
        run = runs.run(path, home=project.home)
    ended = project.get(f"dags/hostile/runs/{run.id}/values/hostile/ends")
    assert (ended.status, ended.json["code"]) == (422, "PreviewError")
    raised = project.get(f"dags/hostile/runs/{run.id}/values/hostile/raises")
    assert raised.json["outputs"] == [{"mime": "text/plain", "data": "<script>alert(1)</script>"}]


@pytest.mark.parametrize("place", ["load/nothing", "nothing/rows", "fit/score", "load/%00"])
def test_a_value_that_is_not_stored_is_not_found(project: Client, pair: tuple[runs.Run, runs.Run], place: str) -> None:
    assert project.get(f"dags/churn/runs/{pair[1].id}/values/{place}").status == 404


def test_two_runs_are_compared(project: Client, pair: tuple[runs.Run, runs.Run]) -> None:
    first, second = pair
    found = project.get(f"dags/churn/runs/{first.id}/compare/{second.id}").json
    assert (found["left"]["id"], found["right"]["id"]) == (first.id, second.id)
    parameters = {each["name"]: (each["left"], each["right"]) for each in found["parameters"]}
    assert parameters["size"] == ("4", "2")
    assert "hunter2" not in str(found)
    assert [line for line in found["shared"] if line[0] != " "] == [["-", "factor = 2"], ["+", "factor = 3"]]

    tasks = {each["task"]: each for each in found["tasks"]}
    assert list(tasks) == ["load", "scale", "fit", "gone"]
    assert tasks["load"]["code"] == []
    assert [line for line in tasks["fit"]["code"] if line[0] != " "] == [
        ["-", "score = 1 / sum(scaled)"],
        ["+", "score = 1 / (sum(scaled) - 3)"],
    ]
    assert tasks["gone"]["right"] is None
    sides = [tasks["fit"][side]["status"]["state"] for side in ("left", "right")]
    assert sides == ["success", "failed"]
    assert "ZeroDivisionError" in tasks["fit"]["right"]["status"]["reason"]
    assert {each["name"]: each["same"] for each in tasks["load"]["values"]} == {"rows": False, "same": True}
    scaled = tasks["scale"]["values"][0]
    assert (scaled["left"]["type"], scaled["right"]["type"]) == ("list of 4 × int", "list of 2 × int")


def test_a_run_is_equal_to_itself(project: Client, pair: tuple[runs.Run, runs.Run]) -> None:
    found = project.get(f"dags/churn/runs/{pair[0].id}/compare/{pair[0].id}").json
    assert not found["shared"]
    assert all(not each["code"] and all(value["same"] for value in each["values"]) for each in found["tasks"])
    assert all(each["left"] == each["right"] for each in found["parameters"])
