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


def test_a_state_change_sends_one_small_message_and_computes_no_layout(live_graph, monkeypatch):
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


def test_a_new_task_sends_one_new_picture(live_graph, monkeypatch):
    drawn = []
    monkeypatch.setattr(widget, "picture", lambda dag, **_: drawn.append(dag) or {"order": list(dag.tasks)})
    live_graph.session.begin("%%task c\nz = y", "c")
    live_graph.refresh()
    live_graph.session.end(TaskState.SUCCESS)
    live_graph.refresh()
    assert len(drawn) == 1
    assert live_graph.widget.picture == {"order": ["a", "b", "c"]}


def test_only_the_latest_runs_are_kept(live_graph):
    for number in range(1, 200):
        live_graph._run_changed(run(number))
        live_graph._run_changed(run(number, RunState.SUCCESS, TaskState.SUCCESS))
    assert sorted(live_graph._runs) == sorted(f"r{n}" for n in range(200 - LATEST, 200))
    assert [each["id"] for each in live_graph.initial_state()["runs"]] == [
        f"r{n}" for n in reversed(range(200 - LATEST, 200))
    ]


def test_a_renamed_notebook_lists_the_runs_of_its_new_name(live_graph):
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
        {"kind": "layout", "view": "v", "direction": "up", "collapsed": False, "folded": []},
        {"kind": "layout", "view": "v", "direction": "LR", "collapsed": False, "folded": [1]},
        {"kind": "layout", "view": "v", "direction": "LR", "collapsed": False, "folded": [], "width": "9", "height": 9},
        {"kind": "edited", "cells": ["x = 1"]},
        {"kind": "edited", "cells": {"a": 1}},
    ],
)
def test_an_invalid_request_is_rejected_with_a_notice(live_graph, content):
    live_graph.receive(content)
    (notice,) = live_graph.sent
    assert (notice["kind"], notice["level"]) == ("notice", "error")
    assert notice["text"].endswith("reload the page")


def test_a_layout_fits_the_space_of_its_view(live_graph):
    chain = {"kind": "layout", "view": "v", "direction": "auto", "collapsed": False, "folded": []}
    live_graph.receive({**chain, "width": 2000, "height": 300.5})
    live_graph.receive({**chain, "width": 130, "height": 900})
    assert [message["picture"]["direction"] for message in live_graph.sent] == ["LR", "TB"]


def test_a_request_for_a_missing_value_sends_a_notice(live_graph, monkeypatch):
    monkeypatch.setattr(widget.runs, "load", lambda *_, **__: {"x": 1})
    live_graph.receive({"kind": "value", "run": "r1", "task": "a", "name": "z"})
    live_graph.receive({"kind": "value", "run": "r1", "task": "a", "name": "x"})
    assert [message["kind"] for message in live_graph.sent] == ["notice", "value"]
    assert live_graph.sent[0]["text"] == "no task of run r1 sets 'z'; stored names: x"


def test_a_failed_action_sends_a_notice(live_graph):
    live_graph.receive({"kind": "action", "action": "cancel", "task": "", "run": "gone"})
    (notice,) = live_graph.sent
    assert (notice["kind"], notice["level"]) == ("notice", "error")
    assert "unknown run 'gone'" in notice["text"]
