"""The code shared by all resources, for operations, parsing, threads, and errors as problem+json.

An operation is a plain function with typed arguments:

    @ROUTES.get("dags/{dag}")
    def get_dag(call: Call, dag: Id) -> Pipeline:
        \"\"\"Return a deployed pipeline.\"\"\"
        return pipeline(call.home, dag)

Each name in braces is an argument. The arguments `query` and `body` are msgspec structures: `query` is read from
the query string, `body` from the JSON of the request. The function runs in a thread, so it may wait for a
database. It returns plain data, which is sent as JSON, or `Content`. It raises an `NbdagError` to report a problem.
The OpenAPI document follows from the signature and the docstring.

Every operation requires Jupyter's authentication and its authorization for the resource "nbdag". GET and HEAD need the
action "read", other methods need "write".
"""

from __future__ import annotations

import asyncio
import inspect
import re
import types
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, TypedDict, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web
from tornado.httputil import HTTPServerRequest

from ...errors import NbdagError, error
from ...home import Home

RESOURCE = "nbdag"  # the name of this API for a Jupyter authorizer
SETTING = "nbdag_server"  # key in the settings of Tornado's application; the value is a `Server`
MAX_BODY = 4 << 20  # bytes
_PART = 1 << 20  # bytes of a file that are read at once
PROBLEM = "application/problem+json"
_SEGMENT = re.compile(r"\{(\w+)\}")
# Names of assets may contain slashes, and some proxies decode %2F, so `{asset}` matches several parts of a path.
_LONG = frozenset({"asset"})
# Parameters of a query string that operations do not get. `_` only prevents caching; Jupyter reads the others.
_OF_JUPYTER = frozenset({"token", "_xsrf", "no_track_activity", "_"})
_READS = frozenset({"GET", "HEAD"})

# Key: name of an error's class, or of a base class of it; value: HTTP status of the answer that reports the error.
STATUS: Mapping[str, int] = {
    "UnknownRunError": 404, "NotDeployedError": 404, "TaskNotInRunError": 404, "UnknownInstanceError": 404,
    "UnknownPoolError": 404, "UnknownAssetError": 404, "NoLogError": 404, "PinnedNotebookMissingError": 404,
    "ValueNotStoredError": 404, "FailedWriterError": 404, "UnknownVersionError": 404, "UnknownTaskError": 404,
    "UnknownAttemptError": 404, "NoReportError": 404, "NotFoundError": 404, "NotInRootError": 404,
    "AmbiguousRunError": 409, "AmbiguousInstanceError": 409, "RunBusyError": 409, "RunEndedError": 409,
    "RunOwnedError": 409, "RunSucceededError": 409, "BackfillRunningError": 409, "NothingToClearError": 409,
    "NoQuestionError": 409, "DefaultPoolError": 409, "RunExistsError": 409, "IllegalMoveError": 409,
    "NoSchedulerError": 409, "RehearsalBusyError": 409,
    "NotApproverError": 403, "HomeError": 403, "UntrustedHomeError": 403, "StoreReadOnlyError": 403,
    "StoreBusyError": 503, "StoreError": 503,
    "RequestSyntaxError": 400, "RangeError": 416, "UnsafeIdError": 400,
    "NbdagError": 422,
}  # fmt: skip


@error
class RequestSyntaxError(NbdagError):
    """The request cannot be read."""

    problem: str
    template = "cannot read the request: {problem}"


@error
class InvalidArgumentError(NbdagError):
    """An argument of the request has a wrong value."""

    place: str  # "path", "query" or "body"
    problem: str
    template = "invalid {place} of the request: {problem}; see api/openapi.json"


@error
class RangeError(NbdagError):
    """The header `Range` asks for bytes that do not exist."""

    size: int
    template = "the file has {size} bytes, so the requested range does not exist"


class Problem(TypedDict):
    """An error, as RFC 9457 describes it."""

    type: str
    title: str
    status: int
    detail: str  # one sentence with the cause and, often, the next step
    next: str | None  # the next step alone
    code: str  # name of the error's class, such as UnknownRunError


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Facts about a request. The operation gets them in addition to its arguments."""

    home: Home
    root: Path  # root directory of the server, to which Jupyter's paths are relative
    user: str | None  # name of the user; None if Jupyter knows no name: then the user is the one who runs the server
    base_url: str  # URL path of the server, with a slash at both ends
    headers: Mapping[str, str]  # headers of the request


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """An answer that is not JSON."""

    mime: str
    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None  # the file that is sent in place of `body`, in parts
    start: int = 0  # first byte of the file that is sent
    length: int = 0  # number of bytes of the file that are sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Objects that the handlers of one server share."""

    home: Callable[[], Home]  # returns the home of the server's root directory
    root: Callable[[], Path]  # returns the server's root directory
    threads: ThreadPoolExecutor


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operation of the API: an HTTP method of a path."""

    method: str  # such as GET
    path: str  # relative to nbdag/api/, such as dags/{dag}
    function: Callable[..., Any]
    action: str  # "read" or "write", for Jupyter's authorizer
    mime: str | None = None  # MIME type of an answer that is not JSON; "" for an answer without content
    statuses: tuple[int, ...] = (200,)  # statuses of successful responses, the usual status first

    @cached_property
    def hints(self) -> dict[str, Any]:
        """Return the types of the arguments and of the answer (`return`)."""
        return get_type_hints(self.function, include_extras=True)

    @cached_property
    def segments(self) -> tuple[str, ...]:
        """Return the names of the arguments in the path."""
        return tuple(_SEGMENT.findall(self.path))

    @property
    def doc(self) -> str:
        """Return the docstring of the function."""
        return inspect.getdoc(self.function) or ""

    def arguments(self, request: HTTPServerRequest, segments: Sequence[str]) -> dict[str, Any]:
        """Return the arguments of the function. Raise `RequestSyntaxError` or `InvalidArgumentError`."""
        found: dict[str, Any] = {
            name: _converted(value, self.hints[name], "path", name)
            for name, value in zip(self.segments, segments, strict=True)
        }
        query = _query(request.query_arguments, self.hints.get("query"))
        if query is not None:
            found["query"] = query
        if "body" in self.hints:
            found["body"] = _body(request.body, self.hints["body"])
        return found


class Routes:
    """The operations of the API, in the order in which they are declared."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def get(self, path: str, **more: Any) -> Callable[[Any], Any]:
        """Declare a query."""
        return self._declare("GET", path, more)

    def post(self, path: str, **more: Any) -> Callable[[Any], Any]:
        """Declare an action, or with `action="read"` a query whose arguments are too long for a URL."""
        return self._declare("POST", path, more)

    def put(self, path: str, **more: Any) -> Callable[[Any], Any]:
        """Declare an operation that creates or replaces a resource."""
        return self._declare("PUT", path, more)

    def delete(self, path: str, **more: Any) -> Callable[[Any], Any]:
        """Declare an operation that deletes a resource."""
        return self._declare("DELETE", path, more)

    def _declare(self, method: str, path: str, more: dict[str, Any]) -> Callable[[Any], Any]:
        def declare(function: Callable[..., Any]) -> Callable[..., Any]:
            action = more.pop("action", "read" if method in _READS else "write")
            if "status" in more:
                more["statuses"] = (more.pop("status"),)
            self.operations.append(Operation(method=method, path=path, function=function, action=action, **more))
            return function

        return declare

    def handlers(self) -> list[tuple[str, type[ApiHandler]]]:
        """Return pairs: the pattern of a path, relative to nbdag/api/, and the class of its handlers."""
        by_path: dict[str, list[Operation]] = {}
        for each in self.operations:
            by_path.setdefault(each.path, []).append(each)
        # If one path has a fixed name where another has an argument, the path with the fixed name comes first.
        ordered = sorted(by_path, key=lambda path: [(_SEGMENT.fullmatch(part) is not None) for part in path.split("/")])
        return [(_pattern(path), _handler(by_path[path])) for path in ordered]


ROUTES = Routes()


class ApiHandler(APIHandler):
    """Answers the operations of one path."""

    operations: Mapping[str, Operation] = {}

    @property
    def server(self) -> Server:
        """Return the state that all handlers share."""
        found: Server = self.settings[SETTING]
        return found

    async def answer(self, operation: Operation, segments: Sequence[str]) -> None:
        """Perform an operation in a thread, and send its answer."""
        try:
            arguments = operation.arguments(self.request, segments)
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self.server.threads, self._perform, operation, arguments)
        except NbdagError as error:
            self.send_problem(problem_of(error))
            return
        self.set_status(found.status)
        for name, value in found.headers.items():
            self.set_header(name, value)
        if not found.mime:
            self.clear_header("Content-Type")
            await super(APIHandler, self).finish()
            return
        if found.file is not None:
            await self._send_file(found.file, found.start, found.length, found.mime)
            return
        self.finish(found.body, set_content_type=found.mime)

    async def _send_file(self, path: Path, start: int, length: int, mime: str) -> None:
        """Send a part of a file without reading all of it into memory. A missing file counts as empty."""
        loop = asyncio.get_running_loop()
        while length > 0:
            part = await loop.run_in_executor(self.server.threads, _part_of, path, start, min(length, _PART))
            if not part or len(part) == length:
                self.finish(part, set_content_type=mime)
                return
            self.set_header("Content-Type", mime)
            self.write(part)
            await self.flush()
            start, length = start + len(part), length - len(part)
        self.finish(b"", set_content_type=mime)

    def _perform(self, operation: Operation, arguments: Mapping[str, Any]) -> Content:
        """Call the function of an operation, and encode its answer. A thread calls this."""
        call = Call(
            home=self.server.home(),
            root=self.server.root(),
            user=self._user_name(),
            base_url=self.base_url,
            headers=self.request.headers,
        )
        found = operation.function(call, **arguments)
        if isinstance(found, Content):
            return found
        if operation.mime == "":
            return Content(mime="", status=operation.statuses[0])
        return Content(body=msgspec.json.encode(found), mime="application/json", status=operation.statuses[0])

    def _user_name(self) -> str | None:
        """Return the name of the user, or None if Jupyter has invented a name for an unknown user."""
        user = self.current_user
        name = getattr(user, "username", None)
        return None if name is None or getattr(user, "name", "").startswith("Anonymous ") else str(name)

    def send_problem(self, problem: Problem) -> None:
        """Answer with an error."""
        self.set_status(problem["status"])
        self.finish(msgspec.json.encode(problem), set_content_type=PROBLEM)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Send an error of Tornado or Jupyter, or a bug of nbdag, as problem+json."""
        raised = (kwargs.get("exc_info") or (None, None))[1]
        if status_code == 405:
            self.set_header("Allow", ", ".join(allowed(self.operations)))
        self.send_problem(http_problem(status_code, getattr(raised, "log_message", None)))


class UnknownPathHandler(ApiHandler):
    """Answers paths that the API does not have."""

    async def prepare(self) -> None:  # type: ignore[override]  # as in Jupyter's own APIHandler
        """Answer every method."""
        await super().prepare()
        if self.current_user is None:
            raise web.HTTPError(403)
        raise web.HTTPError(404, "unknown path; api/openapi.json lists the paths")


def problem_of(error: NbdagError) -> Problem:
    """Convert an error of nbdag to a problem (RFC 9457)."""
    name = type(error).__name__
    status = next(STATUS[base.__name__] for base in type(error).__mro__ if base.__name__ in STATUS)
    sentence = str(error)
    return {
        "type": f"urn:nbdag:{name}",
        "title": (inspect.getdoc(type(error)) or name).partition("\n")[0].removesuffix("."),
        "status": status,
        "detail": sentence,
        "next": sentence.partition("; ")[2] or None,
        "code": name,
    }


def http_problem(status: int, detail: str | None = None) -> Problem:
    """Return the problem that describes an HTTP status."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail or title.lower(),
        "next": None,
        "code": title.title().replace(" ", ""),
    }


def allowed(operations: Mapping[str, Operation]) -> list[str]:
    """Return the HTTP methods that a path with these operations accepts."""
    return [*operations, *(["HEAD"] if "GET" in operations else []), "OPTIONS"]


def _part_of(path: Path, start: int, length: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(length)
    except OSError:
        return b""


def _pattern(path: str) -> str:
    return _SEGMENT.sub(lambda found: "(.+)" if found[1] in _LONG else "([^/]+)", path.replace(".", r"\."))


def _handler(operations: Sequence[Operation]) -> type[ApiHandler]:
    """Return a class of handlers with a method for each operation."""
    methods: dict[str, Any] = {"operations": {each.method: each for each in operations}}
    for each in operations:
        methods[each.method.lower()] = _method(each)
        if each.method == "GET":
            methods["head"] = _method(each)
    return type("PathHandler", (ApiHandler,), methods)


def _method(operation: Operation) -> Callable[..., Any]:
    async def method(self: ApiHandler, *segments: str) -> None:
        await self.answer(operation, segments)

    guard = cast(Callable[[Any], Any], authorized(action=operation.action, resource=RESOURCE))
    return web.authenticated(guard(method))


def _converted(value: Any, hint: Any, place: str, name: str = "") -> Any:
    try:
        return msgspec.convert(value, hint, strict=False)
    except msgspec.ValidationError as invalid:
        raise InvalidArgumentError(place, f"{name}: {invalid}" if name else str(invalid)) from None


def _query(given: Mapping[str, list[bytes]], hint: Any) -> Any:
    """Convert a query string to the structure `hint`. Raise `InvalidArgumentError` for an unknown parameter."""
    known = {} if hint is None else {each.encode_name: each for each in msgspec.structs.fields(hint)}
    if unknown := given.keys() - known.keys() - _OF_JUPYTER:
        raise InvalidArgumentError("query", f"unknown parameter {min(unknown)[:60]!r}")
    found: dict[str, Any] = {}
    for name in given.keys() & known.keys():
        try:
            values = [value.decode() for value in given[name]]
        except UnicodeDecodeError:
            raise RequestSyntaxError(f"the query parameter {name} is not UTF-8") from None
        wanted = without_none(known[name].type)
        if not _is_list(wanted) and len(values) > 1:
            raise InvalidArgumentError("query", f"{name}: given more than once")
        found[known[name].name] = _converted(values if _is_list(wanted) else values[0], wanted, "query", name)
    missing = [name for name, each in known.items() if each.required and each.name not in found]
    if missing:
        raise InvalidArgumentError("query", f"{missing[0]}: required")
    return None if hint is None else hint(**found)


def without_none(hint: Any) -> Any:
    """Return the type without None, because the URL of a request cannot contain JSON's null."""
    if get_origin(hint) in (Union, types.UnionType):
        return Union[tuple(each for each in get_args(hint) if each is not type(None))]  # noqa: UP007  # computed
    return hint


def _is_list(hint: Any) -> bool:
    return get_origin(getattr(hint, "__origin__", hint) if get_origin(hint) is Annotated else hint) is list


def _body(content: bytes, hint: Any) -> Any:
    if len(content) > MAX_BODY:
        raise RequestSyntaxError(f"the body has {len(content):,} bytes, at most {MAX_BODY:,} are read")
    try:
        return msgspec.json.decode(content or b"{}", type=hint)
    except msgspec.ValidationError as invalid:
        raise InvalidArgumentError("body", str(invalid)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as invalid:
        raise RequestSyntaxError(f"the body is not JSON ({invalid})") from None
