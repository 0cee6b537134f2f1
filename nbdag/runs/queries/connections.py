"""The connections that this machine knows, and whether they work."""

from __future__ import annotations

import base64
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import secrets
from ...errors import NbdagError
from ...secrets import Connection, mask
from ...secrets.sources import Kind, names

TIMEOUT = 10.0  # time limit of one connection test, in seconds
_MEMORY = ":memory:"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownConnection:
    """A connection, and the source that lists it."""

    name: str
    source: str  # the source: "environment", the path of a .env, or the name of a backend
    connection: Connection | None  # the connection; None if its text is malformed
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for display.

        The password is masked, and so is each extra value whose name is the name of a secret.
        """
        shown = self.connection.to_dict() if self.connection is not None else {"id": self.name}
        found: dict[str, Any] = secrets.masked({**shown, "source": self.source, "error": self.error})
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedConnection:
    """The result of an attempt to connect."""

    name: str
    conn_type: str
    state: str  # result of the test: "ok", "failed", or "untested" if the type of the connection is unknown
    message: str
    seconds: float | None = None  # seconds that connecting took; None if the connection was not tested


class _Untested(Exception):
    """A connection is not tested because its type is unknown; the message has the reason and the next step."""


def list_connections() -> list[KnownConnection]:
    """Return the connections of the environment, of `.env` and of backends that list their names, sorted by name.

    Connections in a keyring work but are not listed, because a keyring cannot list its names.
    """
    found = []
    for name, source in sorted(names(Kind.CONNECTION).items()):
        try:
            found.append(KnownConnection(name=name, source=source, connection=secrets.connection(name)))
        except NbdagError as error:
            found.append(KnownConnection(name=name, source=source, connection=None, error=str(error)))
    return found


def test_connections(names: Sequence[str] = ()) -> list[TestedConnection]:
    """Test these connections, or all listed connections, and return the results without passwords.

    A database passes if it answers a query. A web service passes if it answers a request and the answer neither rejects
    the login nor reports a server error.
    """
    return [_test(name) for name in names or [each.name for each in list_connections()]]


def _test(name: str) -> TestedConnection:
    kind, started = "", time.monotonic()
    try:
        made = secrets.connection(name)
        kind = made.conn_type
        message = _test_http(made) if made.is_http else _test_database(made)
        state = "ok"
    except _Untested as reason:
        state, message = "untested", str(reason)
    except NbdagError as reason:
        state, message = "failed", str(reason)
    except Exception as reason:
        lines = str(getattr(reason, "orig", None) or reason).strip().splitlines()
        state, message = "failed", f"{type(reason).__name__}: {lines[0]}" if lines else type(reason).__name__
    seconds = time.monotonic() - started if state == "ok" else None
    # The name is not shown, because an invalid name may be the secret itself.
    return TestedConnection(name=mask(name), conn_type=kind, state=state, message=mask(message), seconds=seconds)


def _test_http(made: Connection) -> str:
    request = urllib.request.Request(made.url, headers={"User-Agent": "nbdag"})
    if made.login or made.password:
        login = base64.b64encode(f"{made.login}:{made.password}".encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {login}")  # a redirect may lead to another host
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
        if status in (401, 403, 407) or status >= 500:
            raise ConnectionError(f"{made.url} answered {status} {error.reason}") from None
    except urllib.error.URLError as error:
        raise ConnectionError(f"{made.url}: {error.reason}") from None
    return f"{made.url} answered {status}"


def _test_database(made: Connection) -> str:
    import sqlalchemy
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    from sqlalchemy.pool import NullPool

    if made.conn_type in ("sqlite", "duckdb"):
        file = made.schema or made.host
        if file and not file.startswith(_MEMORY) and not Path(file).is_file():
            raise FileNotFoundError(f"no file {file}")  # rejected here, because connecting would create the file
    more = {"connect_timeout": int(TIMEOUT)} if made.conn_type in ("postgres", "mysql") else {}
    try:
        engine = sqlalchemy.create_engine(made.url, poolclass=NullPool, connect_args=more)
    except (NoSuchModuleError, ArgumentError):
        raise _Untested(
            f"{made.conn_type or 'its type'} is neither http nor a database that SQLAlchemy knows here; if it is a "
            "database, install its SQLAlchemy dialect"
        ) from None
    except ModuleNotFoundError as error:
        raise _Untested(f"the driver of {made.conn_type} is missing; install it (`pip install {error.name}`)") from None
    with engine.connect() as opened:
        opened.execute(sqlalchemy.select(sqlalchemy.literal(1))).scalar_one()
    return f"{engine.url.get_backend_name()} answered a query"
