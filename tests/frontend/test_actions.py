"""Actions that a front end requests."""

from __future__ import annotations

import json
import threading
from queue import Queue

import pytest
from patience import LONG

from nbdag import runs
from nbdag.core.model.states import RunState
from nbdag.frontend.actions import Actions, UnknownFileError
from nbdag.home import Home
from nbdag.runs.actions.clear import NothingToClearError


def write_notebook(path, *cells):
    written = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": source, "execution_count": None, "outputs": []}
        for n, source in enumerate(cells)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    path.write_text(
        json.dumps({"cells": written, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})
    )
    return path


def actions(home, file):
    notices = Queue()
    return Actions(lambda: home, lambda: "h", lambda: file, notices.put), notices


def wait_for_runs():
    """Wait until every process that owns a run has ended."""
    for thread in threading.enumerate():
        if thread.name == "nbdag-run":
            thread.join(LONG)


def request(action, task="", run=""):
    return {"kind": "action", "action": action, "task": task, "run": run}


def test_actions_that_need_the_file_are_offered_only_if_it_is_known(tmp_path):
    known, _ = actions(Home(tmp_path), tmp_path / "nb.ipynb")
    unknown, _ = actions(Home(tmp_path), None)
    assert set(known.available()) - set(unknown.available()) == {"all", "only", "upto", "from", "deploy"}
    with pytest.raises(UnknownFileError, match="unknown notebook file"):
        unknown.perform(request("all"))


def test_a_run_that_cannot_begin_sends_a_notice_of_one_sentence(tmp_path):
    notebook = write_notebook(tmp_path / "nb.ipynb", "%dag h", "%%task a\nprint(nowhere)")
    performer, notices = actions(Home(tmp_path / "home"), notebook)
    performer.perform(request("all"))
    wait_for_runs()
    notice = notices.get(timeout=LONG)
    assert notice["level"] == "error"
    assert "\n" not in notice["text"]
    assert not notice["text"].startswith("nbdag"), "the prefix of the command line is removed"
    assert "nowhere" in notice["text"] or "problem" in notice["text"]


@pytest.mark.slow
def test_a_retry_stays_in_its_run_and_a_failed_task_sends_no_notice(tmp_path):
    home = Home(tmp_path / "home")
    there = tmp_path / "there"
    code = f"%%task b\nopen({str(there)!r}).read()"
    notebook = write_notebook(tmp_path / "nb.ipynb", "%dag h", "%%task a\nx = 1", code, "%%task c --after b\n2")
    performer, notices = actions(home, notebook)
    performer.perform(request("all"))
    wait_for_runs()
    (run,) = runs.list_runs("h", home=home)
    assert run.state is RunState.FAILED
    performer.perform(request("retry", "b", run.id))
    wait_for_runs()
    there.write_text("here now")
    performer.perform(request("retry_failed", "", run.id))
    wait_for_runs()
    (run,) = runs.list_runs("h", home=home)
    assert run.state is RunState.SUCCESS
    assert (run["a"].tries, run["b"].tries) == (1, 3)
    assert notices.empty()
    with pytest.raises(NothingToClearError):
        performer.perform(request("retry_failed", "", run.id))


def test_the_notice_of_a_deployment_names_the_notebook_that_it_replaces(tmp_path):
    home = Home(tmp_path / "home")
    for name in ("first.ipynb", "second.ipynb"):
        performer, notices = actions(home, write_notebook(tmp_path / name, "%dag h", "%%task a\nx = 1"))
        performer.perform(request("deploy"))
    assert f"h is deployed and replaces the pipeline of {tmp_path / 'first.ipynb'}; " in notices.get_nowait()["text"]
