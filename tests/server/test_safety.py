"""No route of the server can be read or used without permission, and hostile ids and outputs do no harm.

The routes come from the server's own table, so these tests cover a new route without a change.
"""

from __future__ import annotations

import json
import re
import sqlite3
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jupyter_server.auth import Authorizer
from tornado.websocket import WebSocketHandler

from nbdag import runs
from nbdag.home import Home
from nbdag.server.app import PageHandler
from nbdag.server.events import EventsHandler
from nbdag.server.handlers import ROUTES
from nbdag.server.handlers.base import PROBLEM, ApiHandler
from nbdag.testing import InProcessExecutor

from .conftest import BASE_URL, TOKEN, Client, write_notebook
from .walk import PRIVATE, Reply, Route, address, body_of, routes_of, send

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
HOSTILE = {
    "a folder above": "../../etc/passwd",
    "an encoded folder above": "..%2F..%2Fetc%2Fpasswd",
    "encoded dots": "%2e%2e",
    "a zero byte": "a%00b",
    "a line break": "a%0d%0aSet-Cookie:%20a=b",
    "invalid UTF-8": "%ff%fe",
    "10 kB": "a" * 10_000,
    "a script": "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "SQL": "'%20OR%20'1'='1",
}


class ReadOnly(Authorizer):
    """Allows users to look, and nothing else."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return action == "read"


class NothingOfNbdag(Authorizer):
    """Allows users everything but nbdag."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return resource != "nbdag"


def state_of(client: Client) -> tuple[list[str], list[str]]:
    """Return the contents of the database, and the names of all other files of the project."""
    with sqlite3.connect(client.home.database) as connection:
        records = list(connection.iterdump())
    connection.close()
    files = [str(path) for path in client.home.root.parent.rglob("*") if not path.name.startswith("nbdag.db")]
    return records, sorted(files)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployed notebook with a run that has ended, a pool and an asset."""
    folder = tmp_path_factory.mktemp("project")
    home = Home(folder / ".nbdag")
    notebook = write_notebook(
        folder,
        '%dag --schedule "0 6 * * *" --owner "confidential <script>alert(1)</script>"',
        "%%params\nconfidential: int = 3",
        "%%task load --produces confidential-orders --pool confidential-pool --out confidential_rows\n"
        "confidential_rows = ['confidential'] * confidential\nprint(confidential_rows)",
    )
    runs.set_pool("confidential-pool", 3, home=home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbdag.executors.local.LocalExecutor", InProcessExecutor)
        runs.deploy(notebook, home=home)
        runs.run(notebook, home=home)
    return folder


@pytest.fixture(scope="module")
def client(serve: Callable[..., Client], project: Path) -> Client:
    return serve(project)


@pytest.fixture(scope="module")
def signed_in(client: Client) -> dict[str, str]:
    """Return the cookies of a browser in which the user has signed in, as a header."""
    first = send(client, "GET", f"nbdag/?token={TOKEN}", {})
    cookies = [each.partition(";")[0] for each in first.headers.get_all("Set-Cookie", [])]
    assert {each.partition("=")[0].split("-")[0] for each in cookies} >= {"_xsrf", "username"}
    return {"Cookie": "; ".join(cookies)}


def test_the_table_of_the_server_has_every_operation_and_no_socket(client: Client) -> None:
    routes = routes_of(client)
    operations = [each for route in routes for each in getattr(route.handler, "operations", {}).values()]
    assert sorted(map(repr, operations)) == sorted(map(repr, ROUTES.operations))
    assert {EventsHandler, PageHandler} <= {each.handler for each in routes}
    assert not [each for each in routes if issubclass(each.handler, WebSocketHandler)]
    assert "metrics" in {each.path for each in routes}


@pytest.mark.slow
def test_the_owner_reads_what_others_may_not(client: Client) -> None:
    """The other tests search answers for the same text."""
    seen = {
        operation.path
        for operation in ROUTES.operations
        if operation.method == "GET" and PRIVATE in send(client, "GET", address(operation), client.headers).body
    }
    assert seen >= {"dags", "pools", "assets", "dags/{dag}/parameters", "dags/{dag}/notebook"}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "token wrong"}, {"Cookie": "username-x=2|1:0|10:1|x"}])
def test_nothing_is_readable_without_the_token_by_any_method(client: Client, headers: dict[str, str]) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "eA==",
    }
    before = state_of(client)
    for route in routes_of(client):
        for method in METHODS:
            for more in ({}, upgrade) if method == "GET" else ({},):
                answer = send(client, method, route.path, {**headers, **more})
                what = (method, route.path, answer.status, answer.body)
                if method == "OPTIONS":
                    assert answer.body == b"" or answer.status in (403, 405), what
                elif answer.status == 302:  # the login page
                    assert urllib.parse.urlsplit(answer.headers["Location"]).path == f"{BASE_URL}login", what
                elif answer.status == 301:  # from `nbdag` to `nbdag/`
                    assert (route.path, answer.headers["Location"]) == ("nbdag", f"{BASE_URL}nbdag/"), what
                else:
                    assert answer.status in (403, 405), what
                assert PRIVATE not in _besides(route, answer), what
    assert state_of(client) == before


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://elsewhere.test", "Content-Type": "text/plain"},
        {"Origin": "null", "Content-Type": "application/x-www-form-urlencoded"},
        {"Referer": "http://elsewhere.test/", "Content-Type": "application/json", "X-XSRFToken": "guessed"},
        {},
    ],
)
def test_a_request_of_another_site_changes_nothing(
    client: Client, signed_in: dict[str, str], headers: dict[str, str]
) -> None:
    before = state_of(client)
    for operation in ROUTES.operations:
        if operation.method != "GET":
            answer = send(client, operation.method, address(operation), signed_in | headers, body_of(operation))
            assert answer.status in (403, 404), (operation, answer)
            assert answer.headers["Content-Type"] == PROBLEM
            assert json.loads(answer.body)["code"] in ("Forbidden", "NotFound")
    assert state_of(client) == before


def test_another_site_cannot_read_an_answer(client: Client, signed_in: dict[str, str]) -> None:
    for route in routes_of(client):
        answer = send(client, "GET", route.path, signed_in | {"Origin": "http://elsewhere.test"})
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert issubclass(route.handler, ApiHandler) <= (answer.status == 404), route


def test_the_page_itself_may_act(client: Client, signed_in: dict[str, str]) -> None:
    """The same requests succeed with the token that only a page of this server can read."""
    xsrf = re.search(r"_xsrf=([^;]*)", signed_in["Cookie"])
    assert xsrf is not None
    headers = signed_in | {"X-XSRFToken": xsrf[1], "Origin": client.url.partition("/of/")[0]}
    paused = send(client, "POST", "nbdag/api/dags/churn/pause", headers, {})
    assert (paused.status, json.loads(paused.body)["paused"]) == (200, True)
    assert send(client, "POST", "nbdag/api/dags/churn/unpause", headers, {}).status == 200


def test_a_read_only_user_looks_and_cannot_act(serve: Callable[..., Client], project: Path) -> None:
    client = serve(project, authorizer_class=ReadOnly)
    before = state_of(client)
    for operation in ROUTES.operations:
        answer = send(client, operation.method, address(operation), client.headers, body_of(operation))
        what = (operation, answer)
        if operation.action == "read":
            assert answer.status in (200, 404), what  # 404: a comparison with a run that does not exist
        else:
            assert (answer.status, answer.headers["Content-Type"]) == (403, PROBLEM), what
            assert json.loads(answer.body)["status"] == 403
    for path in ("nbdag/", "nbdag/static/page.js", "nbdag/api/events"):
        assert send(client, "GET", path, client.headers).status == 200, path
    assert state_of(client) == before, "a look writes nothing"


def test_a_user_without_the_resource_sees_nothing(serve: Callable[..., Client], project: Path) -> None:
    client = serve(project, authorizer_class=NothingOfNbdag)
    for route in routes_of(client):
        answer = send(client, "GET", route.path, client.headers)
        if route.path not in ("metrics", "nbdag"):  # the endpoint of Jupyter, and the redirect to the page
            assert answer.status in (403, 404, 405), (route, answer)
            assert PRIVATE not in _besides(route, answer)


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_id_is_refused(client: Client, hostile: str) -> None:
    before = state_of(client)
    for operation in ROUTES.operations:
        for name in operation.segments:
            if (operation.method, name) == ("POST", "asset"):
                continue  # an asset may have any name, such as a path; only the database contains it
            path = address(operation, **{name: hostile})
            answer = send(client, operation.method, path, client.headers, body_of(operation))
            assert 400 <= answer.status < 500, (operation.method, path[:200], answer)
            assert answer.headers["Content-Type"] == PROBLEM, (operation.method, path[:200], answer)
            assert "a=b" not in str(answer.headers)
    assert state_of(client) == before


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_argument_is_no_error_of_the_server(client: Client, hostile: str) -> None:
    before = state_of(client)
    for operation in ROUTES.operations:
        if operation.method == "GET" and "query" in operation.hints:
            for each in msgspec.structs.fields(operation.hints["query"]):
                path = f"{address(operation).partition('?')[0]}?{each.encode_name}={hostile}"
                answer = send(client, "GET", path, client.headers)
                assert answer.status < 500, (path[:200], answer)
        body = body_of(operation)
        for name in body or {}:
            wrong = {**body, name: urllib.parse.unquote(hostile, errors="replace")}
            answer = send(client, operation.method, address(operation), client.headers, wrong)
            assert answer.status < 500, (operation.path, name, answer)
            assert (operation.action == "write") <= (answer.status >= 400), (operation.path, name, answer)
    assert state_of(client) == before


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_path_of_the_page_is_not_repeated(client: Client, hostile: str) -> None:
    usual = send(client, "GET", "nbdag/", client.headers)
    for folder in ("dags", "static", "api"):
        answer = send(client, "GET", f"nbdag/{folder}/{hostile}", client.headers)
        assert answer.status == 200 or 400 <= answer.status < 500, answer
        assert not [each for each in (b"alert(1)", b"root:") if each in answer.body]
        if answer.status == 200:
            assert folder == "dags"
            assert len(answer.body) == len(usual.body)


def test_no_answer_executes_scripts(client: Client) -> None:
    """Each answer has a Content-Security-Policy that forbids scripts, besides those in the page's own files."""
    for route in routes_of(client):
        answer = send(client, "GET", route.path, client.headers)
        if route.path == "metrics" or answer.status == 301:
            continue
        policy = _policy(answer.headers["Content-Security-Policy"])
        what = (route.path, policy)
        assert answer.headers["X-Content-Type-Options"] == "nosniff", what
        if issubclass(route.handler, PageHandler):
            assert policy["default-src"] == ["'self'"], what
            assert (policy["object-src"], policy["base-uri"]) == (["'none'"], ["'none'"])
            assert not policy.keys() & {"script-src", "script-src-elem", "script-src-attr"}
            assert b"<script>" not in answer.body
            assert not re.search(rb"\son\w+=", answer.body)
        elif issubclass(route.handler, ApiHandler):
            assert policy["default-src"] == ["'none'"], what
            assert not policy.keys() & {"script-src", "script-src-elem", "object-src", "frame-src"}, what
        else:
            assert policy["sandbox"] == ["allow-scripts"], what  # without the origin of the server


def _besides(route: Route, answer: Reply) -> bytes:
    """Return the body of an answer without the ids that the request contained."""
    found = answer.body
    for each in route.path.split("/"):
        found = found.replace(each.encode(), b"") if each else found
    return found


def _policy(text: str) -> dict[str, list[str]]:
    """Return the directives of a Content-Security-Policy; the first one of a name holds, as in browsers."""
    found: dict[str, list[str]] = {}
    for each in text.split(";"):
        name, *values = each.split() or [""]
        found.setdefault(name, values)
    return found
