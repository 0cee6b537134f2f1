"""The operator `http`: a cell that is one HTTP request, in the form of the protocol itself.

    %%task orders --operator http --out orders
    GET https://api.example.com/orders/{customer}?day={day}
    Authorization: Bearer {token}

    {"limit": 100, "ids": ids}

The first line is the method and the URL, then come headers. Below an empty line is the body of the request: a Python
expression. A dict, list or number is sent as JSON, a text or bytes unchanged. `{name}` is a value of the notebook. A
value that begins the URL, as in `{base}/orders`, or is part of the host, is inserted unchanged. Elsewhere in the URL, a
value is percent-encoded. In a header, a value must not contain a line break.

If the status is 429 or 5xx, the request is repeated: after the time in the response's header Retry-After, or else
after 1, 2, 4 … seconds. If the connection is lost, the request is repeated if its method may be repeated (GET, HEAD,
PUT, DELETE, OPTIONS). Any other status of 400 or above fails the task. The result is the decoded JSON of the
response, or else its text. The result is assigned to the variable of --out, or else displayed.
"""

from __future__ import annotations

import ast
import email.utils
import json
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from .. import secrets
from ..core.model.secret_names import without_passwords
from ..core.options import option_types
from ..core.options.operator_options import operator_option
from ..core.options.options import TaskOptions
from ..errors import NbdagError, error
from .base import OperatorError
from .bodies.calls import Piece, assigned, fields, filled, only_name, render_literals, write_call, write_pieces
from .bodies.plain import plain_value
from .tasks import Operator

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_REPEATABLE = frozenset(METHODS) - {"POST", "PATCH"}
_REQUEST_LINE = re.compile(r"\s*(?:(?P<method>[A-Z]+)\s+)?(?P<url>\S.*)", re.DOTALL)
_HEADER = re.compile(r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(?P<value>.*)")
_LONGEST_BACKOFF = 60.0  # longest wait before a repeated request, in seconds


@error
class HttpError(NbdagError):
    """A server answered with an error."""

    method: str
    url: str
    status: int
    reason: str
    body: str  # the body of the response
    template = "{method} {url} failed with status {status} {reason}{detail}"

    @property
    def detail(self) -> str:
        """The first line of the response, as a suffix of the message."""
        return f": {self.body}" if self.body else ""

    def _render_traceback_(self) -> list[str]:
        # IPython calls this method. The traceback is omitted, because it shows no code of the user.
        return [f"{type(self).__name__}: {self}"]


@error
class RequestError(NbdagError):
    """A request cannot be sent, or gets no response."""

    reason: str
    hint: str
    template = "{reason}; {hint}"

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


def _read_status(text: str) -> int:
    if not re.fullmatch(r"[1-5]\d\d", text):
        raise ValueError("is not a status of HTTP; write one such as 404")
    return int(text)


class Http(Operator):
    """Translates a request into a call of `request`."""

    summary = (
        "The body is a request: METHOD URL, lines with headers, an empty line, and a Python expression that is sent as "
        "JSON. {name} is a value of the notebook. Statuses 429 and 5xx are tried again. --out NAME is the decoded "
        "response."
    )
    example = (
        "%%task orders --operator http --out orders\n"
        "POST https://api.example.com/orders/{customer}?day={day}\n"
        "Authorization: Bearer {token}\n\n"
        '{"limit": 100}'
    )
    own_options = (
        operator_option(
            "connection", option_types.NAME, "name of a connection: its host and login, so that the URL is a path"
        ),
        operator_option(
            "tries", option_types.integer(1), "requests in all while the status is 429 or 5xx; default 5", default=5
        ),
        operator_option(
            "longest-wait",
            option_types.POSITIVE_DURATION,
            "fail immediately if a server asks to wait longer; default 5m",
            default=300.0,
        ),
        operator_option(
            "answer-within", option_types.POSITIVE_DURATION, "time limit of one request; default 60s", default=60.0
        ),
        operator_option(
            "accept",
            option_types.Kind(metavar="STATUS…", read=_read_status, many=True, commas=True),
            "other statuses that are not failures, such as 404",
            default=(),
        ),
    )

    def source(self, body: str, options: TaskOptions) -> str:
        out = only_name(options.out, "a request has one response")
        head, gap, content = _parts(body)
        self._check_head(head)
        defaults = {each.field: each.default for each in self.own_options}
        given = {name: value for name, value in self.given(options).items() if value != defaults[name]}
        call = write_call("nbdag.operators.http:request", write_pieces(head, fields(head), what="the request"), **given)
        if content:
            call = f"{call[:-1]}, body={gap}({_expression(content, head + gap)}))"
        return assigned(out, call) + "\n" * (body.count("\n") - call.count("\n"))

    def _check_head(self, head: str) -> None:
        """Raise `OperatorError` for an invalid request line or header."""
        request = True
        for number, line in _head_lines(head):
            if request:
                request = False
                method = (_REQUEST_LINE.fullmatch(line) or {"method": None})["method"]
                if method is not None and method not in METHODS:
                    near = option_types.nearest(method, METHODS)
                    hint = f"did you mean {near}?" if near else f"expected one of {', '.join(METHODS)}"
                    raise OperatorError(f"unknown method {method}", hint=hint, line=number)
            elif not _HEADER.fullmatch(line):
                hint = "write a header as `Name: value`, or an empty line above the body of the request"
                raise OperatorError(f"{line!r} is not a header", hint=hint, line=number)
        if request:
            raise OperatorError("the cell has no request", hint="write GET https://… below the header")


def _head_lines(head: str) -> list[tuple[int, str]]:
    """Return the request line and headers with their line numbers, without blank lines and comments."""
    lines = ((number, line.strip()) for number, line in enumerate(head.split("\n"), 1))
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def _parts(body: str) -> tuple[str, str, str]:
    """Return the head (request line and headers), the line breaks below it, and the body of the request."""
    lines = body.split("\n")
    first = next((n for n, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), len(lines))
    end = next((n for n in range(first, len(lines)) if not lines[n].strip()), len(lines))
    below = next((n for n in range(end, len(lines)) if lines[n].strip()), len(lines))
    content = "\n".join(lines[below:]).rstrip()
    return "\n".join(lines[:end]), "\n" * (below - end + 1), content


def _expression(content: str, above: str) -> str:
    """Return the Python expression of a body, which may be JSON. Raise `OperatorError`."""
    try:
        tree = ast.parse(content, mode="eval")
        if {"true", "false", "null"} & {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}:
            raise ValueError
    except (SyntaxError, ValueError) as failure:
        try:
            value = repr(json.loads(content))
            return render_literals(value, first_line=above.count("\n") + 1) + "\n" * content.count("\n")
        except ValueError:
            line = above.count("\n") + (getattr(failure, "lineno", None) or 1)
            hint = "write a dict, a list or a quoted text"
            raise OperatorError("the body of the request is not a Python expression", hint=hint, line=line) from None
    return render_literals(content, first_line=above.count("\n") + 1) + (
        "\n" if "#" in content.rsplit("\n", 1)[-1] else ""
    )


# -- when the task runs ------------------------------------------------------------------------------------------------

_NOTHING: Any = object()


def request(
    *pieces: Piece,
    body: Any = _NOTHING,
    connection: str | None = None,
    tries: int = 5,
    longest_wait: float = 300.0,
    answer_within: float = 60.0,
    accept: tuple[int, ...] = (),
    wait: Callable[[float], None] = time.sleep,
) -> Any:
    """Send a request and return the decoded response. Repeat the request after a status 429 or 5xx.

    Raise `HttpError` for a status of 400 or above that is not in `accept`, `RequestError` if there is no answer.
    """
    import requests

    (_, first), *lines = _head_lines(filled(pieces, _escaped, what="the request"))
    match = _REQUEST_LINE.fullmatch(first)
    assert match is not None
    method = match["method"] or ("GET" if body is _NOTHING else "POST")
    headers = dict(line.partition(":")[::2] for _, line in lines)
    sent: dict[str, Any] = {"headers": {name: value.strip().encode() for name, value in headers.items()}}
    url = match["url"]
    if connection is not None:
        url, sent["auth"] = _of_connection(connection, url)
    if not re.match(r"https?://[^/]", url):
        raise RequestError(f"{url!r} is not a URL of HTTP", "write GET https://host/path, or use --connection")
    if body is not _NOTHING:
        sent["data"], kind = _content(body)
        if not any(name.lower() == "content-type" for name in headers):
            sent["headers"]["Content-Type"] = kind
    shown = without_passwords(url)
    for n in range(1, tries + 1):
        try:
            response = requests.request(method, url, timeout=answer_within, **sent)
        except requests.exceptions.InvalidHeader as failure:
            raise RequestError(f"a header is invalid ({failure})", "remove line breaks from its value") from None
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as failure:
            broken = isinstance(failure, requests.exceptions.ChunkedEncodingError)
            why = "only a part of the answer" if broken else "no answer"
            if n == tries or method not in _REPEATABLE:
                reason = f"{method} {shown} got {why} ({_cause(failure)})"
                raise RequestError(reason, "check the host, or give the task --retries") from None
            delay = _backoff(n)
        except (requests.RequestException, ValueError) as failure:
            raise RequestError(f"{method} {shown} cannot be sent ({failure})", "check the URL") from None
        else:
            status = response.status_code
            if status < 400 or status in accept:
                try:
                    return _decoded(response)
                except requests.JSONDecodeError as failure:
                    reason = f"the answer to {method} {shown} is not the JSON that its type promises ({failure})"
                    raise RequestError(reason, "check the URL, or ask the server for another type") from None
            asked = _retry_after(response.headers.get("Retry-After", ""), datetime.now(UTC))
            delay, why = _backoff(n) if asked is None else asked, f"status {status}"
            too_long = asked is not None and asked > longest_wait
            if n == tries or not (status == 429 or status >= 500) or too_long:
                line = next((each.strip() for each in response.text.splitlines() if each.strip()), "")[:300]
                if too_long and status in (429, 503):
                    line = f"{line} (it asks to wait {delay:g} s)".strip()
                raise HttpError(method, shown, status, response.reason or "", line)
        print(f"{method} {shown}: {why}; trying again in {delay:g} s", file=sys.stderr)
        wait(delay)
    raise AssertionError("the last try returns or raises")


def _escaped(value: str, before: str) -> str:
    """Return a value, escaped for its position in the URL or in a header."""
    line = before.rpartition("\n")[2]
    if _head_lines(before.rpartition("\n")[0]):  # the value is below the request line, so it is in a header
        if re.search(r"[\r\n\0]", value):
            raise RequestError(f"the value {value!r} cannot be a part of a header", "remove its line breaks and NULs")
        return value
    if re.fullmatch(r"\s*(?:[A-Z]+\s+)?", line):  # the value begins the URL
        if not re.fullmatch(r"https?://[^\s\0]+", value):
            raise RequestError(f"the URL begins with {value!r}", "pass a value such as https://api.example.com")
        return value
    if re.search(r"https?://[^/?#]*\Z", line):  # the value is part of the host
        if not re.fullmatch(r"[\w.~-]*(?::\d+)?", value, re.ASCII):
            raise RequestError(f"the value {value!r} cannot be a part of a host", "pass a value such as example.com")
        return value
    if value in (".", "..") and "?" not in line:
        raise RequestError(f"the value {value!r} cannot be a part of a path", "pass another value")
    return quote(value, safe="")


def _of_connection(name: str, path: str) -> tuple[str, tuple[str, str] | None]:
    """Return the URL of a path at a connection's host, and the login, which is sent only to this host."""
    found = secrets.connection(name)
    if not found.is_http:
        hint = f"set it to a URL such as https://{found.host or 'api.example.com'}"
        raise RequestError(f"connection {name!r} is not a web service but {found.conn_type}", hint)
    if re.match(r"\w+://", path):
        raise RequestError(f"{path!r} is a whole URL, but --connection gives the host", "write a path such as /orders")
    auth = (found.login, found.password) if found.login else None
    return f"{found.url.rstrip('/')}/{path.lstrip('/')}", auth


def _content(body: Any) -> tuple[bytes, str]:
    """Return the bytes of a request's body, and their content type."""
    if isinstance(body, bytes):
        return body, "application/octet-stream"
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    try:
        return json.dumps(body, default=plain_value, allow_nan=False).encode(), "application/json"
    except (TypeError, ValueError) as failure:
        raise RequestError(
            f"the body cannot be sent as JSON ({failure})", "send a dict, a list, a text or bytes"
        ) from None


def _decoded(response: Any) -> Any:
    if not response.content:
        return None
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind.endswith("json"):
        return response.json()
    is_text = not kind or kind.startswith("text/") or kind.endswith(("xml", "javascript", "yaml", "urlencoded"))
    return response.text if is_text else response.content


def _backoff(tries: int) -> float:
    return min(2.0 ** (tries - 1), _LONGEST_BACKOFF)


def _retry_after(text: str, now: datetime) -> float | None:
    """Return the seconds to wait, from a Retry-After header with seconds or a date.

    Return None if the header contains neither.
    """
    if re.fullmatch(r"\d{1,9}", text.strip()):
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())


def _cause(failure: BaseException) -> str:
    while failure.__context__ is not None:
        failure = failure.__context__
    return str(failure) or type(failure).__name__
