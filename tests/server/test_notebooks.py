"""Notebooks that a page edits: analysis, headers, and runs of their files."""

from __future__ import annotations

import pytest

from nbdag import runs
from nbdag.core.model.states import RunState

from .conftest import write_notebook


@pytest.fixture(scope="module")
def client(serve, tmp_path_factory):
    return serve(tmp_path_factory.mktemp("root"))


def cell(source, type="code"):
    return {"id": "c", "type": type, "source": source, "tags": []}


def notebook(*sources):
    return {"path": "churn.ipynb", "language": "python", "cells": [cell(each) for each in sources]}


def test_an_open_notebook_is_analysed(client):
    answer = client.post("notebooks/analyze", notebook("%%task a\nx = 1", "%%task b\nprint(x)"))
    assert answer.status == 200
    assert [each["task"] for each in answer.json["cells"]] == ["a", "b"]
    assert answer.json["picture"]["lines"][0]["names"] == ["x"]
    assert client.post("notebooks/task", {**notebook("%%task a\n1"), "task": "a"}).json["task"] == "a"


def test_headers_are_parsed_formatted_and_completed(client):
    form = client.post("headers/parse", {"source": "%%task a --retries 2\n1"}).json
    edit = client.post("headers/format", {**form, "source": "", "tags": []}).json["edit"]
    assert edit["text"] == "%%task a --retries 2\n"
    assert client.post("headers/complete", {"text": "%%task a --tim", "cursor": 14, "tasks": []}).json["items"]
    assert "retries" in {each["flag"] for each in client.get("options").json["task"]}
    tagged = client.post("notebooks/tag", {"cells": [cell("x = 1")], "index": 0, "role": "task"}).json
    assert tagged["text"] == "%%task x\n"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("notebooks/analyze", {"cells": 1}, 422),
        ("notebooks/analyze", {**notebook(), "cells": [{**cell(""), "type": "other"}]}, 422),
        ("notebooks/analyze", b"{", 400),
        ("notebooks/tag", {"cells": [], "index": 0, "role": "task"}, 422),
        ("notebooks/tag", {"cells": [cell("")], "index": -1, "role": "task"}, 422),
        ("notebooks/tag", {"cells": [cell("")], "index": 0, "role": "boss"}, 422),
        ("notebooks/task", {**notebook("%%task a\n1"), "task": "b"}, 404),
        ("notebooks/run", {"path": "../other.ipynb", "action": "all", "task": ""}, 404),
        ("notebooks/run", {"path": "/etc/../../passwd", "action": "all", "task": ""}, 404),
        ("notebooks/run", {"path": "a\0b.ipynb", "action": "all", "task": ""}, 404),
        ("notebooks/run", {"path": "missing.ipynb", "action": "all", "task": ""}, 422),
    ],
)
def test_a_wrong_request_is_refused_with_a_sentence(client, path, body, status):
    answer = client.post(path, body)
    assert answer.status == status
    assert answer.json["detail"]


def test_a_file_is_run_and_the_answer_names_the_run(client):
    write_notebook(client.home.root.parent, "%%task a\nx = 1", "%%task b\ny = x")
    answer = client.post("notebooks/run", {"path": "churn.ipynb", "action": "upto", "task": "a"})
    assert answer.status == 201
    started = runs.find_run(answer.json["run"], answer.json["dag"], home=client.home)
    assert started.only == ("a",)
    list(runs.follow(started, home=client.home))
    ended = runs.find_run(answer.json["run"], answer.json["dag"], home=client.home)
    assert ended.state is RunState.SUCCESS


def test_a_notebook_with_errors_is_rejected_with_the_reason(client):
    write_notebook(client.home.root.parent, "%%task a\nprint(missing)", name="broken.ipynb")
    answer = client.post("notebooks/run", {"path": "broken.ipynb", "action": "all", "task": ""})
    assert answer.status == 422
    assert "cell 1, line 2" in answer.json["detail"]


def test_a_run_that_cannot_begin_is_an_error_with_its_reason(client):
    write_notebook(client.home.root.parent, "%%task a\nx = 1", name="kernel.ipynb")
    answer = client.post("notebooks/run", {"path": "kernel.ipynb", "action": "only", "task": "b"})
    assert answer.status == 422
    assert "unknown task 'b'" in answer.json["detail"]
