"""Requests of HTTP: what the server gets, what the task gets, and when a request is sent again."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from nbdag import operators
from nbdag.core.options.options import TaskOptions
from nbdag.operators import OperatorError, http
from nbdag.operators.http import HttpError, RequestError

from .conftest import WebServer

JSON = {"Content_Type": "application/json"}


def run(body: str, *, own: dict[str, Any] | None = None, **names: Any) -> Any:
    """Run a request as a task does, and return its result."""
    options = TaskOptions(operator="http", out=("result",), operator_options=tuple((own or {}).items()))
    made = operators.source(body, options, set(names))
    comment_at_end = "#" in body.rsplit("\n", 1)[-1]  # a line break must follow it
    assert made.count("\n") == body.count("\n") + comment_at_end
    namespace = dict(names)
    exec(compile(made, "cell", "exec"), namespace)
    return namespace["result"]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the waits between two requests, which take no time here."""
    found: list[float] = []
    monkeypatch.setitem(http.request.__kwdefaults__, "wait", found.append)
    return found


def test_a_request_is_sent_as_it_is_written(web: WebServer) -> None:
    web.answer(200, b'{"n": 1}', **JSON)
    body = 'PUT {base}/orders/{customer}?day={day:%d}\n# a comment\nX-Token: t {token}\nAccept: a/b\n\n{"ids": ids,\n "ok": True}\n'
    names = {"base": web.url, "customer": "a/b c?", "token": "é", "ids": [1, 2], "day": datetime(2026, 1, 31)}
    assert run(body, **names) == {"n": 1}
    (got,) = web.received
    assert (got.method, got.path) == ("PUT", "/orders/a%2Fb%20c%3F?day=31")
    assert (got.headers["X-Token"].encode("latin-1").decode(), got.headers["Accept"]) == ("t é", "a/b")
    assert (got.headers["Content-Type"], json.loads(got.body)) == ("application/json", {"ids": [1, 2], "ok": True})


METHODS = [
    ("{base}", "GET", b"", None),
    ("{base}\n\n'text'", "POST", b"text", "text/plain; charset=utf-8"),
    ("DELETE {base}", "DELETE", b"", None),
    ("PATCH {base}\nContent-Type: a/b\n\n{'x': None}", "PATCH", b'{"x": null}', "a/b"),
    ('POST {base}\n\n{"x": null, "y": [true]}', "POST", b'{"x": null, "y": [true]}', "application/json"),
    ("POST {base}\n\nb'raw'", "POST", b"raw", "application/octet-stream"),
    ("POST {base}\n\n[x, # first\n 2] # last", "POST", b"[1, 2]", "application/json"),
]


@pytest.mark.parametrize(("body", "method", "content", "kind"), METHODS)
def test_the_method_and_the_body(web: WebServer, body: str, method: str, content: bytes, kind: str | None) -> None:
    run(body, base=web.url, x=1)
    (got,) = web.received
    assert (got.method, got.body, got.headers.get("Content-Type")) == (method, content, kind)


ANSWERS = [
    (b'{"a": [1]}', "application/problem+json; charset=utf-8", {"a": [1]}),
    ("é".encode(), "text/plain; charset=utf-8", "é"),
    (b"<a/>", "application/xml", "<a/>"),
    (b"\x00\x01", "image/png", b"\x00\x01"),
    (b"", "application/json", None),
]


@pytest.mark.parametrize(("content", "kind", "value"), ANSWERS)
def test_a_response_is_decoded_by_its_type(web: WebServer, content: bytes, kind: str, value: object) -> None:
    web.answer(200, content, Content_Type=kind)
    assert run("{base}/x", base=web.url) == value


def test_a_busy_server_is_asked_again_after_the_time_that_it_names(
    web: WebServer, waits: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    for status, headers in (
        (429, {"Retry_After": "7"}),
        (503, {"Retry_After": "Fri, 01 Jan 1999 00:00:00 GMT"}),
        (500, {}),
        (502, {}),
    ):
        web.answer(status, **headers)
    web.answer(200, b"3", **JSON)
    assert run("POST {base}/x\n\n1", base=web.url) == 3
    assert waits == [7, 0, 4, 8]
    assert "POST " in (said := capsys.readouterr().err)
    assert "status 429; trying again in 7 s" in said
    assert [each.body for each in web.received] == [b"1"] * 5


def test_a_lost_connection_is_tried_again_if_the_request_may_be_repeated(web: WebServer, waits: list[float]) -> None:
    web.answer(0)
    assert run("{base}/x", base=web.url) is None
    assert waits == [1]
    web.answer(0)
    with pytest.raises(RequestError, match=r"POST .* got no answer .*; check the host, or give the task --retries"):
        run("POST {base}/x\n\n1", base=web.url)


def test_a_part_of_an_answer_is_asked_for_again(web: WebServer, waits: list[float]) -> None:
    web.answer(200, b"7\r\nhalf", Transfer_Encoding="chunked", Content_Length="", Connection="close")
    web.answer(200, b"3", **JSON)
    assert run("{base}/x", base=web.url) == 3
    assert waits == [1]
    web.answer(200, b"7\r\nhalf", Transfer_Encoding="chunked", Content_Length="", Connection="close")
    with pytest.raises(RequestError, match=r"POST .* got only a part of the answer .*; check the host"):
        run("POST {base}/x\n\n1", base=web.url)


def test_an_answer_that_is_no_json_names_the_request(web: WebServer) -> None:
    web.answer(200, b"<html>", **JSON)
    with pytest.raises(RequestError, match=r"the answer to GET http://.*/x is not the JSON that its type promises"):
        run("{base}/x", base=web.url)


def test_only_a_wait_that_the_server_asks_for_can_be_too_long(web: WebServer, waits: list[float]) -> None:
    for _ in range(3):
        web.answer(500)
    assert run("{base}/x", base=web.url, own={"longest_wait": 1.0}) is None
    assert waits == [1, 2, 4]
    web.answer(503, Retry_After="2")
    with pytest.raises(HttpError, match="asks to wait 2 s"):
        run("{base}/x", base=web.url, own={"longest_wait": 1.0})


def test_an_error_names_the_status_and_the_first_line(web: WebServer, waits: list[float]) -> None:
    web.answer(404, b"\nno such order\nmore")
    with pytest.raises(HttpError, match=r"GET http://.*/x failed with status 404 Not Found: no such order$"):
        run("{base}/x", base=web.url)
    web.answer(404, b"{}", **JSON)
    assert run("{base}/x", base=web.url, own={"accept": (404,)}) == {}
    web.answer(503, Retry_After="3600")
    with pytest.raises(HttpError, match="asks to wait 3600 s"):
        run("{base}/x", base=web.url)
    web.answer(500)
    with pytest.raises(HttpError, match="status 500"):
        run("{base}/x", base=web.url, own={"tries": 1})
    assert waits == []


@pytest.mark.parametrize(
    ("text", "seconds"), [("120", 120), ("Sat, 31 Jan 2026 06:00:30 GMT", 30), ("soon", None), ("", None), ("-1", None)]
)
def test_a_delay_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert http._retry_after(text, datetime(2026, 1, 31, 6, tzinfo=UTC)) == seconds


MISTAKES = [
    ("", "the cell has no request", 1),
    ("# nothing\n", "the cell has no request", 1),
    ("GTE https://x", "unknown method GTE; did you mean GET?", 1),
    ("GET https://x\nAccept json", "'Accept json' is not a header; write a header as `Name: value`", 2),
    ("POST https://x\n\n\n<a>", "the body of the request is not a Python expression", 4),
    ("POST https://x\n\nx = 1", "the body of the request is not a Python expression", 3),
]


@pytest.mark.parametrize(("body", "told", "line"), MISTAKES)
def test_a_mistake_is_found_before_the_run(body: str, told: str, line: int) -> None:
    with pytest.raises(OperatorError) as caught:
        operators.source(body, TaskOptions(operator="http"))
    assert told in str(caught.value)
    assert caught.value.line == line


REFUSED = [
    ("{base}/x", {"base": "file:///etc/passwd"}, "the URL begins with 'file:///etc/passwd'"),
    ("{base}/x", {"base": "http://a b"}, "the URL begins with 'http://a b'"),
    ("http://{h}/x", {"h": "other.example/?"}, "the value 'other.example/?' cannot be a part of a host"),
    ("http://{h}.example/x", {"h": "me:pw@other"}, "the value 'me:pw@other' cannot be a part of a host"),
    ("ftp://host/x", {}, "'ftp://host/x' is not a URL of HTTP"),
    ("http://127.0.0.1:1/{x}/y", {"x": ".."}, "the value '..' cannot be a part of a path"),
    ("http://127.0.0.1:1\nA: {x}", {"x": "a\r\nB: c"}, "cannot be a part of a header; remove its line breaks"),
    (
        "POST http://127.0.0.1:1\n\nx",
        {"x": object()},
        "the body cannot be sent as JSON (a object cannot be written as JSON)",
    ),
    ("POST http://127.0.0.1:1\n\nx", {"x": float("nan")}, "the body cannot be sent as JSON"),
]


@pytest.mark.parametrize(("body", "names", "told"), REFUSED)
def test_a_value_that_cannot_be_sent_is_refused_in_a_sentence(body: str, names: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestError) as caught:
        run(body, **names)
    assert told in str(caught.value)


def test_a_connection_gives_the_host_and_the_login(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    host = web.url.removeprefix("http://")
    monkeypatch.setenv("NBDAG_CONN_API", f"http://me:hidden@{host}/v1")
    run("GET /orders/{n}", own={"connection": "api"}, n=3)
    (got,) = web.received
    assert got.path == "/v1/orders/3"
    assert base64.b64decode(got.headers["Authorization"].removeprefix("Basic ")) == b"me:hidden"
    with pytest.raises(RequestError, match=r"'http://other.example/' is a whole URL, but --connection gives the host"):
        run("GET http://other.example/", own={"connection": "api"})
    monkeypatch.setenv("NBDAG_CONN_SECURE", '{"conn_type": "http", "host": "api.example.com", "schema": "https"}')
    assert http._of_connection("secure", "x") == ("https://api.example.com/x", None)
    monkeypatch.setenv("NBDAG_CONN_DB", "sqlite:///x.db")
    with pytest.raises(RequestError, match="connection 'db' is not a web service but sqlite; set it to a URL"):
        run("GET /x", own={"connection": "db"})
