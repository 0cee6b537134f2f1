"""A Jupyter Server with only nbdag, in a thread of the test process, and a client for its API.

The server is shared by the tests of a module; a test that changes the home uses a home of its own.
"""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.serverapp import ServerApp
from patience import LONG
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

import nbdag.executors.local
from nbdag.home import Home
from nbdag.testing import InProcessExecutor

TOKEN = "a-token-of-the-tests"
BASE_URL = "/of/tests/"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import a module whose tests are all slow in a run without slow tests."""
    without_slow = config.option.markexpr == "not slow"
    return True if without_slow and collection_path.name == "test_schema_fuzz_slow.py" else None


class QuietServer(ServerApp):
    """A server that leaves the signals of the test process alone."""

    def init_signal(self) -> None:
        pass


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"{self.status} {self.body[:2000]!r}"


@dataclass(frozen=True)
class Client:
    """Sends requests to a server of the tests."""

    url: str  # URL of the server, with its base URL
    home: Home
    headers: Mapping[str, str] = field(default_factory=dict)
    app: ServerApp | None = field(default=None, repr=False)  # the server itself

    def request(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, **query: Any
    ) -> Answer:
        """Send a request to a path below the base URL."""
        url = self.url + path
        if query:
            url += "?" + urllib.parse.urlencode(query, doseq=True)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method, headers={**self.headers, **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=LONG) as found:
                return Answer(found.status, found.headers, found.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def get(self, path: str, **query: Any) -> Answer:
        """Ask the API."""
        return self.request("GET", f"nbdag/api/{path}", **query)

    def post(self, path: str, body: Any = None) -> Answer:
        """Ask the API to act."""
        return self.request("POST", f"nbdag/api/{path}", {} if body is None else body)

    def without_token(self) -> Client:
        """Return a client that does not know the token."""
        return Client(self.url, self.home, app=self.app)


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., Client]]:
    """Start servers, which end with the module."""
    ends: list[Callable[[], None]] = []

    def serve(root: Path, **config: Any) -> Client:
        client, end = start_server(root, **config)
        ends.append(end)
        return client

    yield serve
    for end in ends:
        end()


def start_server(root: Path, **config: Any) -> tuple[Client, Callable[[], None]]:
    """Start a server for a root directory, and return a client and a function that ends the server.

    `config` are traits of `ServerApp`.
    """
    ready = threading.Event()
    found: dict[str, Any] = {}

    def run() -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        app = QuietServer(
            root_dir=str(root),
            base_url=BASE_URL,
            open_browser=False,
            log_level="ERROR",
            jpserver_extensions={"nbdag.server": True},
            **config,
        )
        app.config.IdentityProvider.token = TOKEN
        app.initialize(argv=[], find_extensions=False, new_httpserver=False)

        async def start() -> None:
            sockets = bind_sockets(0, "127.0.0.1")
            found["http"] = HTTPServer(app.web_app)
            found["http"].add_sockets(sockets)
            found["port"] = sockets[0].getsockname()[1]
            found["app"], found["loop"] = app, loop
            ready.set()

        loop.run_until_complete(start())
        loop.run_forever()
        loop.close()

    thread = threading.Thread(target=run, name="jupyter-server", daemon=True)
    thread.start()
    assert ready.wait(LONG)

    def end() -> None:
        async def stop() -> None:
            found["http"].stop()
            await found["http"].close_all_connections()
            await found["app"]._cleanup()
            found["loop"].stop()

        asyncio.run_coroutine_threadsafe(stop(), found["loop"])
        thread.join(LONG)

    url = f"http://127.0.0.1:{found['port']}{BASE_URL}"
    return Client(url, Home(root / ".nbdag"), {"Authorization": f"token {TOKEN}"}, found["app"]), end


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> type[InProcessExecutor]:
    monkeypatch.setattr(nbdag.executors.local, "LocalExecutor", InProcessExecutor)
    return InProcessExecutor


def write_notebook(folder: Path, *cells: str, name: str = "churn.ipynb") -> Path:
    """Write a notebook of these code cells."""
    document = {
        "cells": [
            {"cell_type": "code", "execution_count": None, "id": f"c{n}", "metadata": {}, "outputs": [], "source": cell}
            for n, cell in enumerate(cells)
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path = folder / name
    path.write_text(json.dumps(document))
    return path
