"""Who is told how a run ended, and what comes of one who cannot be told."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import patience
import pytest

import nbdag
import nbdag.store
from nbdag import runs
from nbdag.core.model.states import RunState
from nbdag.home import Home
from nbdag.page_urls import run_url, task_url
from nbdag.runs.execution.notify import Notifier, send

pytestmark = pytest.mark.usefixtures("in_process")
Write = Callable[..., Path]
LISTENER = "def heard(what):\n    open('heard.txt', 'a').write(what['event'] + ' ' + str(what['task']) + '\\n')\n"


@pytest.mark.parametrize(
    ("cell", "heard"),
    [
        ("%%task a\nx = 1", "success None\n"),
        ("%%task a --retries 1 --retry-delay 0\n1 / 0", "retry a\nfailure None\n"),
    ],
)
def test_a_function_is_notified_of_the_outcome_of_a_run(
    write: Write, home: Home, tmp_path: Path, cell: str, heard: str
) -> None:
    (tmp_path / "listener.py").write_text(LISTENER)
    whom = "listener:heard"
    nbdag.run(write(f"%dag churn --on-failure {whom} --on-success {whom} --on-retry {whom}", cell), home=home)
    assert sorted((tmp_path / "heard.txt").read_text().splitlines()) == sorted(heard.splitlines())


TELL = (
    "def tell(context):\n    about = context['event'], context['dag_run'].dag_id, context['ti'].task_id, context['params']['n']\n"
    "    open('heard.txt', 'a').write(f\"{about} {context['reason']}\")"
)


@pytest.mark.parametrize(
    ("parameters", "heard"),
    [({}, "('success', 'churn', 'a', 1) "), ({"n": 0}, "('failure', 'churn', 'a', 0) a failed")],
)
def test_a_function_of_the_notebook_gets_the_context_of_the_run(
    write: Write, home: Home, tmp_path: Path, parameters: dict[str, Any], heard: str
) -> None:
    path = write("%dag churn --on-failure :tell --on-success :tell", "%%params\nn = 1", TELL, "%%task a\nx = 1 / n")
    nbdag.run(path, parameters=parameters, home=home)
    assert (tmp_path / "heard.txt").read_text().startswith(heard)


def test_an_unknown_function_of_the_notebook_is_the_reason(tmp_path: Path) -> None:
    setup = {"context": {"params": {}}, "parameter_names": [], "parameter_cells": [], "setup_cells": ["x = 1"]}
    why = send(":tel", {"message": ""}, cwd=str(tmp_path), setup=setup)
    assert why == "no setup cell defines the function tel"


@pytest.mark.slow
def test_one_that_fails_is_a_note_and_the_run_succeeds(write: Write, home: Home) -> None:
    run = nbdag.run(write("%dag churn --on-success nosuchmodule:f", "%%task a\nx = 1"), home=home)
    assert run.state is RunState.SUCCESS
    (note,) = runs.find_run(run.id, home=home).warnings
    assert note.code == "NB415"
    assert "No module named 'nosuchmodule'" in note.message


def test_one_that_never_answers_is_ended(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ndef f(what): time.sleep(600)\n")
    assert send("slow:f", {}, cwd=str(tmp_path), limit=1.0) == "sending took more than 1 s"


class Heard(ThreadingHTTPServer):
    """A service on this machine, which apprise tells by json://, and which answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.status = 200
        self.words: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"json://user:s3cret@127.0.0.1:{self.server_address[1]}"


class Receiver(BaseHTTPRequestHandler):
    server: Heard

    def do_POST(self) -> None:
        self.server.words.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *words: object) -> None: ...


@pytest.fixture
def service() -> Iterator[Heard]:
    pytest.importorskip("apprise")
    with Heard() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "cell", "title", "message"),
    [
        ("--on-success", "%%task a\nx = 1", "churn: run {} succeeded", "churn: run {} succeeded"),
        ("--attach html --on-failure", "%%task a\n1 / 0", "churn: run {} failed", "a failed"),
        (
            "--on-retry", "%%task a --retries 1 --retry-delay 0s\n1 / 0",
            "a of churn failed (try 1) and is retried", "run {}",
        ),
    ],
)  # fmt: skip
def test_a_service_is_notified_by_its_url(
    write: Write, home: Home, service: Heard, option: str, cell: str, title: str, message: str
) -> None:
    run = nbdag.run(write(f"%dag churn {option} {service.url}", cell), home=home)
    assert [(each["title"], each["message"]) for each in service.words] == [
        (title.format(run.id), message.format(run.id))
    ]
    assert runs.find_run(run.id, home=home).warnings == ()
    attached = service.words[0]["attachments"]
    assert [(each["filename"], each["mimetype"]) for each in attached] == (
        [("churn-report.html", "text/html")] if "--attach" in option else []
    )
    assert all("ZeroDivisionError" in base64.b64decode(each["base64"]).decode() for each in attached)


@pytest.mark.slow
def test_a_service_that_refuses_is_a_note_without_its_password(write: Write, home: Home, service: Heard) -> None:
    service.status = 500
    run = nbdag.run(write(f"%dag churn --on-success {service.url}", "%%task a\nx = 1"), home=home)
    assert run.state is RunState.SUCCESS
    (note,) = runs.find_run(run.id, home=home).warnings
    assert (note.code, note.name) == ("NB415", "json")
    assert note.message == "json was not notified of the success: apprise could not deliver the notification"


READER = (
    "import pathlib\n"
    "def heard(what):\n"
    "    text = pathlib.Path(what['report']).read_text() if what['report'] else ''\n"
    "    open('heard.txt', 'a').write(what['url'] + ' ' + str(what['report'] and 'print(7)' in text) + '\\n')\n"
    "    open('path.txt', 'w').write(what['report'])\n"
)


@pytest.mark.slow
@pytest.mark.parametrize(("attach", "found"), [("--attach html", "True"), ("", "")])
def test_a_function_may_read_the_report_and_the_link(
    write: Write, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attach: str, found: str
) -> None:
    monkeypatch.setenv("NBDAG_URL", "https://hub.example.org/user/ada/nbdag/?token=s3cret")
    (tmp_path / "listener.py").write_text(READER)
    run = nbdag.run(write(f"%dag churn --on-success listener:heard {attach}", "%%task a\nprint(7)"), home=home)
    link = f"https://hub.example.org/user/ada/nbdag/dags/churn/runs/{run.id.replace(':', '%3A').replace('+', '%2B')}"
    assert (tmp_path / "heard.txt").read_text() == f"{link} {found}\n"
    path = (tmp_path / "path.txt").read_text()
    assert not path or not Path(path).exists()  # the file lasts as long as the call
    assert run.warnings == ()


def test_a_question_has_a_link_to_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    for base in ("http://localhost:8888/nbdag", "http://localhost:8888/nbdag/"):
        monkeypatch.setenv("NBDAG_URL", base)
        assert (
            task_url("a.b", "x/../y", "t", 3) == "http://localhost:8888/nbdag/dags/a.b/runs/x%2F..%2Fy/tasks/t?index=3"
        )
    for base in ("", "javascript:alert(1)", "localhost:8888"):
        monkeypatch.setenv("NBDAG_URL", base)
        assert (task_url("a", "r", "t"), run_url("a", "r")) == ("", "")


def test_a_tracking_server_that_does_not_answer_delays_no_notification(home: Home) -> None:
    silent, sent = threading.Event(), threading.Event()
    with closing(nbdag.store.open(home)) as store, closing(Notifier(store, home)) as notifier:
        for _ in range(8):
            notifier._submit(silent.wait)
        notifier._submit(sent.set)
        try:
            assert sent.wait(patience.LONG)
        finally:
            silent.set()
