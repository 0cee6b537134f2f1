"""The sources of secrets, connections and variables: the environment, `.env`, installed backends, the keyring.

A package adds a backend by an entry point in the group `nbdag.secrets`. The entry point names an object with the
method of `Backend`, or a class of such objects:

    [project.entry-points."nbdag.secrets"]
    vault = "mypackage.vault:Vault"

    class Vault:
        def get(self, kind, name):  # kind: "secret", "connection" or "variable"
            return client.read(f"{kind}/{name}")  # a text, or None if the vault does not know the name

Backends are queried in the order of their names. A backend may have a method `names(kind)`, which returns the names
that it knows, for `nbdag connections list`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from .. import home
from ..errors import NbdagError, error
from .masker import hide, hide_named, mask

GROUP = "nbdag.secrets"
# Environment variable with the path of a file that is used instead of the .env beside the home.
ENV_FILE = "NBDAG_ENV_FILE"
# Environment variable with the path of the .env beside a run's home; the file need not exist. nbdag sets the variable
# for processes in which `home.find` may find another home.
HOME_ENV_FILE = "NBDAG_HOME_ENV_FILE"
KEYRING_SERVICE = "nbdag"
# Environment variable with the path of a file to which child processes add the names that they look up. So the parent
# can mask the values in the children's output. For values of the environment and of `.env`, the file is not needed.
LOOKUPS = "NBDAG_LOOKUPS"


class Kind(StrEnum):
    """The kinds of names: secret, connection, variable."""

    SECRET = "secret"
    CONNECTION = "connection"
    VARIABLE = "variable"


_PREFIXES = {
    Kind.SECRET: ("NBDAG_SECRET_",),
    Kind.CONNECTION: ("NBDAG_CONN_", "AIRFLOW_CONN_"),
    Kind.VARIABLE: ("NBDAG_VAR_", "AIRFLOW_VAR_"),
}
_KIND_OF = {prefix: kind for kind, prefixes in _PREFIXES.items() for prefix in prefixes}
_ALL = tuple(_KIND_OF)
# Environment variable with the database URL, whose password is in the environment of every task.
_DATABASE = "NBDAG_DB_URL"
_ENVIRONMENT, _GIVEN = "environment", "a parameter"
# Secrets that were given to this process as parameters of a run. Key: environment variable under which child processes
# get the secret; value: the secret.
GIVEN: dict[str, str] = {}


@error
class BackendError(NbdagError):
    """A backend has failed, so it is unknown whether the backend knows the name."""

    backend: str
    name: str
    why: str
    template = "the secrets backend {backend!r} failed for {name!r} ({why}); repair it, or remove its package"


@error
class EnvFileError(NbdagError):
    """The file with variables cannot be used."""

    path: Path
    why: str
    template = "{path} {why}"


class Backend(Protocol):
    """The interface of a backend."""

    def get(self, kind: str, name: str) -> str | None:
        """Return the text of a secret, connection or variable, or None if this backend does not know the name."""


@dataclass(frozen=True, slots=True)
class Found:
    """The text of a secret, connection or variable, and the source in which it was found."""

    text: str
    source: str  # the source, for messages: "environment", the path of a .env, the name of a backend, or "keyring"


def find(kind: Kind, name: str) -> Found | None:
    """Return the text of a name from the first source that knows the name, or None if no source knows it."""
    keys = keys_of(kind, name)
    for source, values in _mappings():
        for key in keys:
            if key in values:
                return Found(values[key], source)
    for backend_name in backend_names():
        text = _ask(backend_name, kind, name)
        if text is not None:
            return Found(text, backend_name)
    for key in keys:
        text = _from_keyring(key)
        if text is not None:
            return Found(text, "keyring")
    return None


def keys_of(kind: Kind, name: str) -> tuple[str, ...]:
    """Return the environment variables that can set this secret, connection or variable, the usual one first."""
    spellings = dict.fromkeys((re.sub(r"\W", "_", name).upper(), name.upper(), name))
    return tuple(f"{prefix}{each}" for prefix in _PREFIXES[kind] for each in spellings)


def names(kind: Kind) -> dict[str, str]:
    """Return the names that the sources list, each with its source. Names of environment variables are in lower case.

    A keyring cannot list its names, and a backend may be unable to do so.
    """
    found: dict[str, str] = {}
    for source, values in _mappings():
        for key in values:
            for prefix in _PREFIXES[kind]:
                if key.startswith(prefix) and len(key) > len(prefix):
                    found.setdefault(key[len(prefix) :].lower(), source)
    for name in backend_names():
        listed = getattr(_backend(name), "names", None)
        for each in () if listed is None else _call(name, "names", lambda listed=listed: list(listed(str(kind)))):
            found.setdefault(str(each), name)
    return found


def env_file() -> Path:
    """Return the path of `.env`, or the path in an environment variable for it; the file need not exist."""
    chosen = os.environ.get(ENV_FILE) or os.environ.get(HOME_ENV_FILE)
    return Path(chosen) if chosen else home.find().root.parent / ".env"


def environment() -> dict[str, str]:
    """Return the environment for a child process, so that the child can look up the same names."""
    return {**os.environ, **GIVEN}


def hide_known_values() -> None:
    """Mask all secrets of the environment and of `.env`. They need no lookup: a script may print its environment.

    The password of nbdag's own database is masked too. If `.env` cannot be read, the error is not raised here, but by
    the first lookup that needs the file.
    """
    _hide_all(os.environ)
    hide_named("url", os.environ.get(_DATABASE))
    try:
        _hide_all(_env_file_values())
    except NbdagError:
        return


def record_lookup(kind: Kind, name: str, source: str) -> None:
    """Record a name that was looked up, so that other processes can mask the value in this process's output."""
    path = os.environ.get(LOOKUPS)
    if path and source not in (_ENVIRONMENT, _GIVEN, str(env_file())):
        with contextlib.suppress(OSError), Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {kind} {name}\n")


def hide_looked_up(path: Path) -> None:
    """Mask the values of all names in this file, which other processes have looked up."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in dict.fromkeys(lines):
        pid, _, rest = line.partition(" ")
        kind, _, name = rest.partition(" ")
        if pid != str(os.getpid()):
            with contextlib.suppress(NbdagError, ValueError):
                found = find(Kind(kind), name)
                if found is not None:
                    hide_text(Kind(kind), name, found.text)


def _hide_all(values: Mapping[str, str]) -> None:
    for key in values:
        if key.startswith(_ALL):
            prefix = next(each for each in _ALL if key.startswith(each))
            hide_text(_KIND_OF[prefix], key[len(prefix) :], values[key])


def hide_text(kind: Kind, name: str, text: str) -> None:
    """Mask the secret part of the text that was found for a name."""
    from .connections import Connection, ConnectionFormatError

    if kind is Kind.SECRET:
        hide(text)
    elif kind is Kind.VARIABLE:
        hide_named(name, text)
    else:
        try:
            made = Connection.parse(name, text)
        except ConnectionFormatError:
            hide(text)  # the text may be a password by mistake
            return
        hide(made.password)
        hide_named("", made.extra)


def _mappings() -> Iterator[tuple[str, Mapping[str, str]]]:
    if GIVEN:
        yield _GIVEN, GIVEN
    yield _ENVIRONMENT, os.environ
    values = _env_file_values()
    if values:
        yield str(env_file()), values


def _env_file_values() -> Mapping[str, str]:
    path = env_file()
    try:
        seen = path.stat()
    except OSError as reason:
        if os.environ.get(ENV_FILE):
            why = f"cannot be read ({reason.strerror}), but {ENV_FILE} names it; correct or unset this variable"
            raise EnvFileError(path, why) from None
        return {}
    return _parsed(str(path), seen.st_mtime_ns, seen.st_size, seen.st_uid)


@cache
def _parsed(path: str, _changed: int, _size: int, owner: int) -> Mapping[str, str]:
    file = Path(path)
    if hasattr(os, "getuid") and owner not in (0, os.getuid()):
        why = f"belongs to another user, so nbdag does not use it; copy it, or set {ENV_FILE} to another file"
        raise EnvFileError(file, why)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as reason:
        raise EnvFileError(file, f"cannot be read ({reason}); make it a readable text file in UTF-8") from None
    if not any(prefix in text for prefix in _ALL):
        return {}  # not an error: the file may be meant for other programs
    try:
        from io import StringIO

        from dotenv import dotenv_values
    except ImportError:
        why = "cannot be read without python-dotenv; install it (`pip install python-dotenv`)"
        raise EnvFileError(file, why) from None
    # Suppress python-dotenv's warning about an invalid line: the name in that line is then unknown.
    logging.getLogger("dotenv").setLevel(logging.ERROR)
    values = dotenv_values(stream=StringIO(text), interpolate=False)
    return {key: value for key, value in values.items() if value is not None and key.startswith(_ALL)}


@cache
def _installed() -> Mapping[str, Any]:
    # Imported here because it is slow to import and not needed for environment variables.
    from importlib.metadata import entry_points

    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda each: each.name)}


def backend_names() -> Iterable[str]:
    """Return the names of the installed backends, in the order in which they are queried."""
    return _installed()


@cache
def _backend(name: str) -> Any:
    def load() -> Any:
        made = _installed()[name].load()
        return made() if isinstance(made, type) else made

    return _call(name, name, load)


def _ask(backend: str, kind: Kind, name: str) -> str | None:
    text = _call(backend, name, lambda: _backend(backend).get(str(kind), name))
    if text is not None and not isinstance(text, str):
        raise BackendError(backend, name, f"it returned {type(text).__name__}, not a text")
    return text


def _call(backend: str, name: str, function: Any) -> Any:
    try:
        return function()
    except NbdagError:
        raise
    except Exception as reason:
        raise BackendError(backend, name, mask(f"{type(reason).__name__}: {reason}")) from None


def _from_keyring(key: str) -> str | None:
    try:
        import keyring
    except ImportError:
        return None
    try:
        return keyring.get_password(KEYRING_SERVICE, key)
    except keyring.errors.NoKeyringError:
        return None  # this machine has no keyring
    except Exception as reason:
        raise BackendError("keyring", key, f"{type(reason).__name__}: {reason}") from None
