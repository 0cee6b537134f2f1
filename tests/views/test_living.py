"""The kernel's side of the widget: the messages that it sends, and the state that it keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from nbdag.core.model.states import RunState, TaskState
from nbdag.frontend import widget
from nbdag.frontend.history import LATEST
from nbdag.home import Home
from nbdag.runs import Run, TaskRun
from nbdag.session import Session


@pytest.fixture
def live_graph(tmp_path, monkeypatch):
    monkeypatch.setattr(widget, "BUNDLE", tmp_path)  # no bundle is needed
    for name in ("widget.js", "widget.css"):
        (tmp_path / name).write_text("")
    session = Session()
    for source in ("%dag h", "%%task a\nx = 1", "%%task b\ny = x"):
        session.begin(source, source)
        session.end(TaskState.SUCCESS)
    made = widget.LiveGraph(session, {}, home=lambda: Home(tmp_path / "none"))
    made.sent = []
    monkeypatch.setattr(made.widget, "send_message", made.sent.append)
    yield made
    made.close()


def run(number, state=RunState.RUNNING, task=TaskState.RUNNING):
    tasks = (TaskRun(id="a", map_index=-1, state=task, tries=1, started=1.0, ended=None),)
    return Run(
        id=f"r{number}", dag="h", state=state, created=number, started=number, ended=None, notebook=Path(), tasks=tasks,
        home=Home(Path("/nowhere")),
    )  # fmt: skip


def test_a_change_of_state_is_one_small_message_and_lays_nothing_out(live_graph, monkeypatch):
    monkeypatch.setattr(widget, "picture", lambda *_, **__: pytest.fail("computed a new layout"))
    live_graph.session.begin("%%task a\nx = 1", "%%task a\nx = 1")
    live_graph.refresh()
    live_graph.session.end(TaskState.SUCCESS)
    live_graph.refresh()
    assert [list(each["tasks"]) for each in live_graph.sent] == [["a", "b"], ["a"]], (
        "b is stale as soon as a runs again"
    )
    assert all(len(json.dumps(each)) < 400 for each in live_graph.sent)
    live_graph.refresh()
    assert len(live_graph.sent) == 2, "no message without a change"


def test_a_picture_is_told_anew_once_when_the_notebook_is_another(live_graph, monkeypatch):
    drawn = []
    monkeypatch.setattr(widget, "picture", lambda dag, **_: drawn.append(dag) or {"order": list(dag.tasks)})
    live_graph.session.begin("%%task c\nz = y", "c")
    live_graph.refresh()
    live_graph.session.end(TaskState.SUCCESS)
    live_graph.refresh()
    assert len(drawn) == 1
    assert live_graph.widget.picture == {"order": ["a", "b", "c"]}


def test_of_old_runs_nothing_is_kept_however_many_come(live_graph):
    for number in range(1, 200):
        live_graph._run_changed(run(number))
        live_graph._run_changed(run(number, RunState.SUCCESS, TaskState.SUCCESS))
    assert sorted(live_graph._runs) == sorted(f"r{n}" for n in range(200 - LATEST, 200))
    assert [each["id"] for each in live_graph.initial_state()["runs"]] == [
        f"r{n}" for n in reversed(range(200 - LATEST, 200))
    ]


def test_a_notebook_that_is_renamed_has_other_runs(live_graph):
    live_graph._run_changed(run(1))
    live_graph.session.begin("%dag other", "%dag h")
    live_graph.session.end(TaskState.SUCCESS)
    live_graph.refresh()
    assert [each["kind"] for each in live_graph.sent] == ["change", "reset"]
    assert live_graph.sent[-1]["state"]["runs"] == []
    live_graph._run_changed(run(2))
    live_graph._run_changed(replace(run(3), dag="other"))
    assert [each["id"] for each in live_graph.initial_state()["runs"]] == ["r3"]


@pytest.mark.parametrize(
    "content",
    [
        None,
        "hello",
        {},
        {"kind": "format"},
        {"kind": "hello", "number": "1"},
        {"kind": "hello", "number": True},
        {"kind": "run"},
        {"kind": "attempt", "run": "r", "task": "a", "map_index": 0, "try_number": "../../secret"},
        {"kind": "action", "action": "rm", "task": "", "run": ""},
        {"kind": "layout", "view": "v", "direction": "up", "collapsed": False},
    ],
)
def test_what_is_no_request_is_refused_in_a_sentence(live_graph, content):
    live_graph.receive(content)
    (notice,) = live_graph.sent
    assert (notice["kind"], notice["level"]) == ("notice", "error")
    assert notice["text"].endswith("reload the page")


def test_a_value_that_is_not_there_is_said_in_a_sentence(live_graph, monkeypatch):
    monkeypatch.setattr(widget.runs, "load", lambda *_, **__: {"x": 1})
    live_graph.receive({"kind": "value", "run": "r1", "task": "a", "name": "z"})
    live_graph.receive({"kind": "value", "run": "r1", "task": "a", "name": "x"})
    assert [message["kind"] for message in live_graph.sent] == ["notice", "value"]
    assert live_graph.sent[0]["text"] == "no task of run r1 sets 'z'; it stored x"


def test_what_cannot_be_done_is_said_in_a_sentence(live_graph):
    live_graph.receive({"kind": "action", "action": "cancel", "task": "", "run": "gone"})
    (notice,) = live_graph.sent
    assert (notice["kind"], notice["level"]) == ("notice", "error")
    assert "no run" in notice["text"]
