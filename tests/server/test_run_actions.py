"""Changes of a run: what they affect is shown first, and nothing is changed by a look."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nbdag import runs
from nbdag.home import Home
from nbdag.testing import InProcessExecutor

from .conftest import Client, write_notebook

CELLS = (
    "%%task load\nx = 1",
    "%%task fit\ny = x / 0",
    "%%task report\nz = y",
    "%%task side\nprint('beside')",
)


@pytest.fixture(scope="module")
def project(serve: Callable[..., Client], tmp_path_factory: pytest.TempPathFactory) -> Client:
    return serve(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def failed(project: Client) -> runs.Run:
    """A run whose second task failed, and which no test changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbdag.executors.local.LocalExecutor", InProcessExecutor)
        return runs.run(write_notebook(project.home.root.parent, *CELLS), home=project.home)


@pytest.fixture
def run(project: Client, in_process: type[InProcessExecutor]) -> runs.Run:
    """A run of the same kind, for a test that changes it."""
    return runs.run(write_notebook(project.home.root.parent, *CELLS), home=project.home)


def states(home: Home, run: runs.Run) -> dict[str, str]:
    return {each.id: each.state.value for each in runs.find_run(run.id, run.dag, home=home)}


FAILED = {"load": "success", "fit": "failed", "report": "upstream_failed", "side": "success"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ["load", "fit", "report", "side"]),
        ({"tasks": ["fit"]}, ["fit"]),
        ({"tasks": ["fit"], "downstream": True}, ["fit", "report"]),
        ({"tasks": ["fit"], "upstream": True}, ["load", "fit"]),
        ({"only_failed": True}, ["fit", "report"]),
    ],
)
def test_a_look_at_what_clear_affects_changes_nothing(
    project: Client, failed: runs.Run, body: dict[str, object], expected: list[str]
) -> None:
    answer = project.post(f"dags/churn/runs/{failed.id}/clear", {**body, "dry_run": True})
    assert answer.status == 200, answer
    assert answer.json["tasks"] == expected
    assert answer.json["queued_again"] is True
    assert states(project.home, failed) == FAILED
    assert runs.find_run(failed.id, home=project.home).state == "failed"


def test_clear_resets_the_tasks_that_were_shown(project: Client, run: runs.Run) -> None:
    body = {"tasks": ["fit"], "downstream": True}
    shown = project.post(f"dags/churn/runs/{run.id}/clear", {**body, "dry_run": True}).json
    done = project.post(f"dags/churn/runs/{run.id}/clear", body).json
    assert done["tasks"] == shown["tasks"]
    assert states(project.home, run) == {**FAILED, "fit": "none", "report": "none"}
    assert runs.find_run(run.id, home=project.home).state == "queued"


def test_mark_shows_which_tasks_run_again(project: Client, run: runs.Run) -> None:
    body = {"tasks": ["fit"], "state": "skipped"}
    shown = project.post(f"dags/churn/runs/{run.id}/mark", {**body, "dry_run": True}).json
    assert (shown["tasks"], shown["again"]) == (["fit"], ["report"])
    assert states(project.home, run) == FAILED
    done = project.post(f"dags/churn/runs/{run.id}/mark", body).json
    assert (done["tasks"], done["again"]) == (["fit"], ["report"])
    assert states(project.home, run) == {**FAILED, "fit": "skipped", "report": "none"}


def test_a_run_that_waits_is_cancelled_once(project: Client, run: runs.Run) -> None:
    project.post(f"dags/churn/runs/{run.id}/clear", {"only_failed": True})
    assert project.post(f"dags/churn/runs/{run.id}/cancel").json["state"] == "cancelled"
    again = project.post(f"dags/churn/runs/{run.id}/cancel")
    assert (again.status, again.json["code"]) == (409, "RunEndedError")


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("clear", {"tasks": ["nothing"]}, 404, "TaskNotInRunError"),
        ("clear", {"tasks": ["../x"]}, 422, "InvalidArgumentError"),
        ("clear", {"tasks": "fit"}, 422, "InvalidArgumentError"),
        ("mark", {"tasks": [], "state": "failed"}, 422, "InvalidArgumentError"),
        ("mark", {"tasks": ["fit"], "state": "running"}, 422, "InvalidArgumentError"),
        ("mark", {"tasks": ["fit"], "state": "failed"}, 409, "NothingToClearError"),
        ("approve", {"task": "fit", "approved": True}, 409, "NoQuestionError"),
    ],
)
def test_a_wrong_request_is_answered_with_its_cause(
    project: Client, failed: runs.Run, path: str, body: object, status: int, code: str
) -> None:
    answer = project.post(f"dags/churn/runs/{failed.id}/{path}", body)
    assert (answer.status, answer.json["code"]) == (status, code), answer
    assert states(project.home, failed) == FAILED
