"""The operations and routes of a server, each with a request that it accepts, for tests that walk all of them.

Both come from the server's own tables, so a new operation or route is covered without a change of such a test.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from patience import LONG
from tornado.web import RequestHandler

from nbdag.server.handlers.base import Operation

from .conftest import BASE_URL, Client

PRIVATE = b"confidential"  # occurs in the notebook, in the outputs of its run, and in the names of pool and asset
KNOWN = {
    "dag": "churn",
    "run": "latest",
    "task": "load",
    "instance": "load",
    "map_index": "-1",
    "try_number": "1",
    "version": "1",
    "other": "1",
    "pool": "confidential-pool",
    "asset": "confidential-orders",
    "name": "confidential_rows",
}
CELL = {"id": "c", "type": "code", "source": "%%task a", "tags": []}
OPEN_NOTEBOOK = {"path": "churn.ipynb", "language": "python", "cells": [CELL]}
# A valid body for each operation whose body has required fields.
BODIES: Mapping[str, Any] = {
    "POST dags": {"path": "churn.ipynb"},
    "POST dags/{dag}/backfill": {"first": "2026-01-01", "last": "2026-01-03"},
    "POST dags/{dag}/runs/{run}/mark": {"tasks": ["load"], "state": "failed"},
    "POST dags/{dag}/runs/{run}/approve": {"task": "load", "approved": True},
    "PUT pools/{pool}": {"slots": 7},
    "POST notebooks/analyze": OPEN_NOTEBOOK,
    "POST notebooks/task": {**OPEN_NOTEBOOK, "task": "a"},
    "POST notebooks/tag": {"cells": [CELL], "index": 0, "role": "task"},
    "POST notebooks/run": {"path": "churn.ipynb", "action": "only", "task": "load"},
    "POST headers/parse": {"source": "%%task a"},
    "POST headers/format": {"source": "", "tags": [], "kind": "task", "name": "a", "values": {}},
    "POST headers/complete": {"text": "%%task a --", "cursor": 11, "tasks": []},
}
QUERIES = {"GET dags/{dag}/calendar": "?first=2026-01-01&last=2026-01-31"}  # required parameters


@dataclass(frozen=True)
class Route:
    """A route of the server, with a path that it answers, relative to the base URL."""

    path: str
    handler: type[RequestHandler]


@dataclass(frozen=True)
class Reply:
    """An answer as it was sent: redirects are not followed."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def send(client: Client, method: str, path: str, headers: Mapping[str, str], body: Any = None) -> Reply:
    """Send a request with exactly this path and these headers."""
    url = urllib.parse.urlsplit(client.url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=LONG)
    try:
        connection.request(method, url.path + path, None if body is None else json.dumps(body), dict(headers))
        answer = connection.getresponse()
        endless = answer.headers.get("Content-Type") == "text/event-stream"
        return Reply(answer.status, answer.headers, b"" if endless else answer.read())
    finally:
        connection.close()


def routes_of(client: Client) -> list[Route]:
    """Return all routes of nbdag, and Jupyter's endpoint of metrics, to which nbdag adds its own."""
    assert client.app is not None
    application = client.app.web_app
    found = []
    for rule in _rules([*application.default_router.rules, *application.wildcard_router.rules]):
        pattern = rule.matcher.regex.pattern
        if re.match(rf"{re.escape(BASE_URL)}(nbdag|metrics)\b", pattern):
            path = _sample(pattern, getattr(rule.target, "operations", {}))
            assert rule.matcher.regex.match(path), f"no path is known for the route {pattern}"
            found.append(Route(path.removeprefix(BASE_URL), rule.target))
    return found


def _rules(rules: Iterable[Any]) -> Iterator[Any]:
    for rule in rules:
        if hasattr(rule.target, "rules"):
            yield from _rules(rule.target.rules)
        elif hasattr(rule.matcher, "regex"):
            yield rule


def _sample(pattern: str, operations: Mapping[str, Operation]) -> str:
    """Return a path that a route answers, with ids that exist."""
    for operation in operations.values():
        return f"{BASE_URL}nbdag/api/{filled(operation)}"
    return re.sub(r"\(.*\)", "page.js", re.sub(r"\(\?:[^()]*\)\?", "", pattern.removesuffix("$")))


def filled(operation: Operation, **given: str) -> str:
    """Return the path of an operation, relative to nbdag/api/, with ids that exist or with given ones."""
    path = operation.path
    for name in operation.segments:
        path = path.replace(f"{{{name}}}", given.get(name, KNOWN[name]))
    return path


def body_of(operation: Operation) -> Any:
    return BODIES.get(f"{operation.method} {operation.path}", {} if operation.method in ("POST", "PUT") else None)


def address(operation: Operation, **given: str) -> str:
    path = filled(operation, **given)
    return f"nbdag/api/{path}{QUERIES.get(f'{operation.method} {operation.path}', '')}"
