"""Connections: the address of a database or a service, and the login for it.

The text of a connection is a URI, `postgres://user:password@host:5432/database?sslmode=require`, or a JSON object with
the keys `conn_type`, `host`, `login`, `password`, `port`, `schema` and `extra`. Both are Airflow's forms. Special
characters of a URI's parts are escaped as in any URL (`%40` for `@`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from ..core.model.secret_names import MASK, masked_value
from ..errors import NbdagError, error
from .masker import known

# Key: connection type; value: (package, SQLAlchemy's name of database and driver). The first package that is installed
# is used.
_DRIVERS = {
    "postgres": (("psycopg", "postgresql+psycopg"), ("psycopg2", "postgresql+psycopg2")),
    "mysql": (("MySQLdb", "mysql"), ("pymysql", "mysql+pymysql")),
    "mssql": (("pyodbc", "mssql+pyodbc"), ("pymssql", "mssql+pymssql")),
}
_DIALECTS = {"postgres": "postgresql"}
# Types of databases that are files; the path of the file is the last part of the URI.
_FILES = frozenset({"sqlite", "duckdb"})
_HTTP = frozenset({"http", "https"})
_SHOWN = ("conn_type", "host", "login", "password", "port", "schema", "extra")


@error
class ConnectionFormatError(NbdagError):
    """The text of a connection is neither a URI nor a JSON object."""

    name: str
    why: str
    template = (
        "connection {name!r} {why}; write it as a URI, such as postgres://me@host:5432/database, or as a JSON object "
        "with conn_type, host, login, password, port, schema and extra"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The address of a database or a service, and the login for it.

    The repr hides the password, and only the name is pickled.
    """

    id: str
    conn_type: str = ""  # type of the connection, such as postgres, sqlite or http
    host: str = ""
    login: str = ""
    password: str = field(default="", repr=False)
    port: int | None = None
    schema: str = ""  # name of the database, or path of the database's file
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    driver: str = ""  # the driver in a URI such as postgresql+psycopg2://…
    named: bool = field(default=False, repr=False)  # whether the connection can be looked up again by `id`

    @classmethod
    def parse(cls, id: str, text: str) -> Connection:
        """Return the connection that a URI or a JSON object describes. Raises `ConnectionFormatError`."""
        text = text.strip()
        return cls._from_json(id, text) if text.startswith("{") else cls._from_uri(id, text)

    @classmethod
    def _from_json(cls, id: str, text: str) -> Connection:
        try:
            data = json.loads(text)
            extra = data.get("extra") or {}
            if isinstance(extra, str):
                extra = json.loads(extra)
            port = data.get("port")
            port = None if port in (None, "") else int(port)
            if not isinstance(extra, dict):
                raise TypeError
        except (ValueError, TypeError, RecursionError):
            raise ConnectionFormatError(id, "is not valid JSON, or its port or extra is invalid") from None
        kind, driver = _kind(str(data.get("conn_type") or ""))
        words = {name: str(data.get(name) or "") for name in ("host", "login", "password", "schema")}
        return cls(id=id, conn_type=kind, driver=driver, port=port, extra=extra, named=True, **words)

    @classmethod
    def _from_uri(cls, id: str, text: str) -> Connection:
        scheme, separator, rest = text.partition("://")
        if not separator:
            raise ConnectionFormatError(id, "has no ://")
        inner, separator, after = rest.rpartition("://")  # as in Airflow, http://https://host means https on this host
        prefix = ""
        if separator and inner.rpartition("@")[2] in _HTTP:
            prefix, rest = f"{inner.rpartition('@')[2]}://", inner[: -len(inner.rpartition("@")[2])] + after
        try:
            parts = urlsplit(f"//{rest}")
            port = parts.port
        except ValueError:
            raise ConnectionFormatError(id, "has a host or port that is not valid") from None
        host = parts.netloc.rpartition("@")[2]
        host = host[: host.index("]") + 1].strip("[]") if host.startswith("[") else host.partition(":")[0]
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        extra: Any = query
        if "__extra__" in query:
            try:
                extra = json.loads(query["__extra__"])
            except (ValueError, RecursionError):
                extra = None
            if not isinstance(extra, dict):
                raise ConnectionFormatError(id, "has an __extra__ that is not a JSON object")
        kind, driver = _kind(scheme)
        return cls(
            id=id,
            conn_type=kind,
            driver=driver,
            host=prefix + unquote(host),
            login=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            port=port,
            schema=unquote(parts.path[1:]),
            extra=extra,
            named=True,
        )

    @property
    def conn_id(self) -> str:
        """The connection's id under Airflow's name."""
        return self.id

    @property
    def extra_dejson(self) -> Mapping[str, Any]:
        """The extra values under Airflow's name."""
        return self.extra

    @property
    def is_http(self) -> bool:
        """Whether the connection is to a web service."""
        return self.conn_type in _HTTP

    @property
    def url(self) -> str:
        """The URL for SQLAlchemy, with the password. For a web service, the base URL without login and password.

        Extra values that are texts, numbers or booleans become the query of the URL.
        """
        if self.is_http:
            return self._base_url()
        name = self._dialect()
        if self.conn_type in _FILES:
            return f"{name}:///{self.schema or self.host}{self._query()}"
        return f"{name}://{self._netloc()}/{quote(self.schema, safe='/')}{self._query()}"

    def get_uri(self) -> str:
        """Return the connection as Airflow's URI, with the password."""
        scheme = (self.conn_type + (f"+{self.driver}" if self.driver else "")).replace("_", "-")
        plain = all(isinstance(each, str) for each in self.extra.values())
        query = self.extra if plain else {"__extra__": json.dumps(dict(self.extra))}
        path = quote(self.schema, safe="")
        return f"{scheme}://{self._netloc()}/{path}{'?' + urlencode(query) if self.extra else ''}"

    def get_password(self) -> str:
        """Return the password. Airflow has a method of this name."""
        return self.password

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for display.

        The password is masked, and so is each extra value whose name is the name of a secret.
        """
        data = {"id": self.id, **{name: getattr(self, name) or None for name in _SHOWN}}
        data["password"] = MASK if self.password else None
        data["extra"] = {name: known.masked(masked_value(name, each)) for name, each in self.extra.items()}
        return data

    def _dialect(self) -> str:
        base = _DIALECTS.get(self.conn_type, self.conn_type.replace("_", "-"))
        if self.driver:
            return f"{base}+{self.driver}"
        choices = _DRIVERS.get(self.conn_type, ())
        return next((name for package, name in choices if find_spec(package) is not None), base)

    def _netloc(self) -> str:
        password = f":{quote(self.password, safe='')}" if self.password else ""
        login = f"{quote(self.login, safe='')}{password}@" if self.login or password else ""
        host = f"[{self.host}]" if ":" in self.host and "://" not in self.host else self.host
        return f"{login}{host}{f':{self.port}' if self.port is not None else ''}"

    def _query(self) -> str:
        plain = {name: each for name, each in self.extra.items() if isinstance(each, str | int | float)}
        return f"?{urlencode(plain)}" if plain else ""

    def _base_url(self) -> str:
        protocol, _, host = self.host.rpartition("://")
        path = "" if self.schema in _HTTP or not self.schema else f"/{self.schema}"
        protocol = protocol or (self.schema if self.schema in _HTTP else self.conn_type)
        return f"{protocol}://{host}{f':{self.port}' if self.port is not None else ''}{path}"


def _kind(scheme: str) -> tuple[str, str]:
    """Return the connection type and the driver in the scheme of a URI."""
    base, _, driver = scheme.lower().partition("+")
    base = base.replace("-", "_")
    return {"postgresql": "postgres"}.get(base, base), driver
