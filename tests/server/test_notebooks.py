"""Notebooks that a page edits: analysis, headers, and runs of their files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed, wait

import pytest

from nbdag import notebooks, runs
from nbdag.core.model.states import RunState
from nbdag.frontend.notebooks import rehearsal

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
        ("notebooks/suggest", {"path": "../other.ipynb"}, 404),
        ("notebooks/suggest", {"path": "missing.ipynb"}, 422),
        ("notebooks/rehearse", {"path": "../other.ipynb"}, 404),
        ("notebooks/rehearse", {"path": "missing.ipynb"}, 422),
    ],
)
def test_a_wrong_request_is_refused_with_a_sentence(client, path, body, status):
    answer = client.post(path, body)
    assert answer.status == status
    assert answer.json["detail"]


@pytest.mark.slow
def test_a_file_is_run_and_the_answer_names_the_run(client):
    write_notebook(client.home.root.parent, "%%params\nn = 1", "%%task a\nx = n", "%%task b\ny = x")
    body = {"path": "churn.ipynb", "action": "upto", "task": "a", "parameters": {"n": "é\u2028\U0001f600"}}
    answer = client.post("notebooks/run", body)
    assert answer.status == 201
    started = runs.find_run(answer.json["run"], answer.json["dag"], home=client.home)
    assert started.only == ("a",)
    list(runs.follow(started, home=client.home))
    ended = runs.find_run(answer.json["run"], answer.json["dag"], home=client.home)
    assert ended.state is RunState.SUCCESS
    assert dict(ended.parameters) == body["parameters"]


def test_a_proposal_is_written_beside_the_notebook_under_a_new_name(client):
    folder = client.home.root.parent
    cells = ("N = 3", "rows = list(range(N))", "even = rows[::2]\nprint(even)", "odd = rows[1::2]\nprint(odd)")
    path = write_notebook(folder, *cells, name="plain.ipynb")
    before = path.read_bytes()
    first, second = (client.post("notebooks/suggest", {"path": "plain.ipynb"}) for _ in range(2))
    assert (first.status, first.json["path"], second.json["path"]) == (201, "plain_tasks.ipynb", "plain_tasks_2.ipynb")
    assert path.read_bytes() == before
    tasks = {task["name"]: task for task in first.json["tasks"]}
    found = notebooks.read(folder / "plain_tasks.ipynb")
    assert list(tasks) == list(found.order)
    for name, task in tasks.items():
        assert found.cells[task["cell"]].task == name
        assert task["after"] == list(found.upstream[name])
    refused = client.post("notebooks/suggest", {"path": "plain_tasks.ipynb"})
    assert refused.status == 422
    assert "has tasks already" in refused.json["detail"]


def test_the_copy_of_a_text_notebook_has_its_name_without_the_suffix(client):
    text = "# %%\nrows = [1, 2]\n\n# %%\nprint(sum(rows))\n"
    (client.home.root.parent / "script.py").write_text(text, encoding="utf-8")
    assert client.post("notebooks/suggest", {"path": "script.py"}).json["path"] == "script_tasks.ipynb"


def test_rehearsals_leave_threads_to_other_requests_and_end_with_the_server(client):
    path = write_notebook(client.home.root.parent, "import time\ntime.sleep(600)", name="long.ipynb")
    with ThreadPoolExecutor() as threads:
        try:
            asked = [threads.submit(client.post, "notebooks/rehearse", {"path": path.name}) for _ in range(3)]
            refused = next(as_completed(asked)).result()
            assert (refused.status, refused.json["code"]) == (409, "RehearsalBusyError")
        finally:
            while wait(asked, timeout=0.2).not_done:  # a process that has not started yet is not terminated
                rehearsal.stop()
        others = [each.result() for each in asked if each.result() is not refused]
    assert [each.json["code"] for each in others] == ["RehearsalFailedError"] * 2


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
