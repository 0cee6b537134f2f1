"""Stored values of a run, and their previews."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nbdag import runs
from nbdag.testing import InProcessExecutor

from .conftest import Client, write_notebook

CELLS = (
    "%%params\nsize = 3\nx = 1",
    "%%setup\nfactor = 2",
    "%%task load\nrows = list(range(size))\nsame = 'as before'",
    "%%task scale --map row=rows\nscaled = row * factor",
    "%%task fit\nscore = 1 / sum(scaled)\nlabel = same.upper()",
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
def run(project: Client) -> runs.Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbdag.executors.local.LocalExecutor", InProcessExecutor)
        path = write_notebook(project.home.root.parent, *CELLS)
        return runs.run(path, parameters={"size": 4}, home=project.home)


def test_the_values_of_a_run_are_listed_without_their_contents(project: Client, run: runs.Run) -> None:
    items = project.get(f"dags/churn/runs/{run.id}/values").json["items"]
    found = [(each["task"], each["map_index"], each["name"]) for each in items]
    assert found == [("load", -1, "rows"), ("load", -1, "same"), *(("scale", n, "scaled") for n in range(4))]
    assert items[0]["type"] == "list"
    assert items[0]["bytes"] > 0
    assert items[0]["digest"]


@pytest.mark.slow
def test_a_preview_shows_the_whole_value(project: Client, run: runs.Run) -> None:
    answer = project.get(f"dags/churn/runs/{run.id}/values/scale/scaled")
    assert answer.status == 200, answer
    assert answer.json["outputs"] == [{"mime": "text/plain", "data": "[0, 2, 4, 6]"}]
    one = project.get(f"dags/churn/runs/{run.id}/values/scale/scaled", map_index=3)
    assert one.json["outputs"] == [{"mime": "text/plain", "data": "6"}]


@pytest.mark.slow
def test_code_of_a_value_cannot_harm_the_server(project: Client) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbdag.executors.local.LocalExecutor", InProcessExecutor)
        path = write_notebook(project.home.root.parent, HOSTILE, READER, name="hostile.ipynb")
        run = runs.run(path, home=project.home)
    ended = project.get(f"dags/hostile/runs/{run.id}/values/hostile/ends")
    assert (ended.status, ended.json["code"]) == (422, "PreviewError")
    raised = project.get(f"dags/hostile/runs/{run.id}/values/hostile/raises")
    assert raised.json["outputs"] == [{"mime": "text/plain", "data": "<script>alert(1)</script>"}]


@pytest.mark.parametrize("place", ["load/nothing", "nothing/rows", "fit/score"])
def test_a_value_that_is_not_stored_is_not_found(project: Client, run: runs.Run, place: str) -> None:
    assert project.get(f"dags/churn/runs/{run.id}/values/{place}").status == 404
