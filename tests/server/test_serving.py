"""Properties that all operations of the API share: caching, and that a slow one delays no other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from patience import LONG

from nbdag import runs
from nbdag.core.model.job import Key
from nbdag.home import Home
from nbdag.server.handlers import ROUTES, pools
from nbdag.testing import InProcessExecutor

from .conftest import Client, write_notebook
from .walk import address, send


@pytest.fixture(scope="module")
def client(serve: Callable[..., Client], tmp_path_factory: pytest.TempPathFactory) -> Client:
    """A deployed notebook with a run."""
    folder = tmp_path_factory.mktemp("project")
    home = Home(folder / ".nbdag")
    notebook = write_notebook(folder, '%dag --schedule "0 6 * * *"', "%%task load --out confidential_rows\nx = 1")
    runs.set_pool("confidential-pool", 1, home=home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbdag.executors.local.LocalExecutor", InProcessExecutor)
        runs.deploy(notebook, home=home)
        runs.run(notebook, home=home)
    return serve(folder)


@pytest.mark.slow
def test_every_unchanged_answer_is_sent_once(client: Client) -> None:
    compared = 0
    for operation in ROUTES.operations:
        if operation.method == "GET" and operation.path != "health":  # it reports the free space of the disk
            first = send(client, "GET", address(operation), client.headers)
            if first.status == 200:
                tag = first.headers["Etag"]
                again = send(client, "GET", address(operation), {**client.headers, "If-None-Match": tag})
                assert (again.status, again.body, again.headers["Etag"]) == (304, b"", tag), operation
                compared += 1
    assert compared > 20


def test_a_slow_query_delays_no_other(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, end = threading.Semaphore(0), threading.Event()

    def slow(home: Home) -> list[runs.Pool]:
        begun.release()
        assert end.wait(LONG)
        return []

    monkeypatch.setattr(pools.runs, "list_pools", slow)
    with ThreadPoolExecutor(5) as viewers:
        waiting = [viewers.submit(client.get, "pools") for _ in range(5)]
        try:
            for _ in waiting:
                assert begun.acquire(timeout=LONG)
            assert client.get("dags").status == 200
            assert client.request("GET", "nbdag/").status == 200
            assert not [each for each in waiting if each.done()]
        finally:
            end.set()
        assert [each.result().status for each in waiting] == [200] * 5


def test_a_log_is_followed_to_its_end(client: Client) -> None:
    """A reader asks again with the offset after the last byte that it has."""
    run = client.get("runs").json["items"][0]["id"]
    path = client.home.attempt(Key(dag="churn", run=run, task="load")).with_suffix(".log")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    seen = b""
    for line in (b"one\n", "zwei ü".encode()[:-1], "ü".encode()[-1:] + b"\n", b""):
        with path.open("ab") as log:
            log.write(line)
        answer = client.get(f"dags/churn/runs/{run}/tasks/load/attempts/-1/1/log", offset=len(seen), limit=1000)
        assert (answer.status, answer.body, int(answer.headers["Log-Offset"])) == (200, line, len(seen))
        seen += answer.body
    assert seen.decode() == "one\nzwei ü\n"
