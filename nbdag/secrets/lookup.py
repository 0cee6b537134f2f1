"""Look up secrets, connections and variables by name."""

from __future__ import annotations

import copyreg
import json
import re
from typing import Annotated, Any

from ..core.model.secret_masking import SHORTEST
from ..core.options.option_types import nearest
from ..errors import NbdagError, error
from .connections import Connection
from .kernel_output_masking import protect_kernel
from .masker import hide
from .sources import Found, Kind, env_file, find, hide_text, keys_of, names, record_lookup

# Marks a parameter as secret: `key: nbdag.Secret = ""`, or `Annotated[str, nbdag.Secret]`.
Secret = Annotated[str, "nbdag.Secret"]

_NAME = re.compile(r"[^\W\d][\w.-]{0,199}")
_MISSING: Any = object()
_looked_up: dict[str, str] = {}  # key: value of a secret that this process has looked up; value: the secret's name


@error
class UnknownSecretError(NbdagError):
    """No source knows this secret, connection or variable."""

    kind: str
    name: str
    file: str  # path of the .env file
    similar: str | None = None
    template = "unknown {kind} {name!r}{hint}; set {variable} in the environment or in {file}, {keyring}"

    @property
    def hint(self) -> str:
        return f" (did you mean {self.similar!r}?)" if self.similar else ""

    @property
    def variable(self) -> str:
        """The environment variable that would set the missing value."""
        return keys_of(Kind(self.kind), self.name)[0]

    @property
    def keyring(self) -> str:
        return f"or run `keyring set nbdag {self.variable}`"


@error
class SecretNameError(NbdagError):
    """A name is not valid, for instance because the secret itself was passed instead of its name."""

    kind: str
    template = (
        "the name of a {kind} is at most 200 letters, digits, '_', '.' and '-', beginning with a letter or '_'; pass "
        "the name, not the value"
    )


@error
class VariableFormatError(NbdagError):
    """A variable is not JSON."""

    name: str
    template = "variable {name!r} is not valid JSON; correct it, or read it as a text (json=False)"


def secret(name: str, default: Any = _MISSING) -> str:
    """Return the secret of this name as a text, and mask it in all outputs from now on.

    If no source knows the name, `default` is returned and not masked; without `default`, `UnknownSecretError` is
    raised. `help(nbdag.secrets)` explains where names are looked up, and what cannot be masked.
    """
    found = _found(Kind.SECRET, name)
    if found is not None:
        _looked_up[found.text] = name
        return found.text
    if default is not _MISSING:
        return default  # type: ignore[no-any-return]
    raise _unknown(Kind.SECRET, name)


def connection(name: str) -> Connection:
    """Return the connection of this name; its password is masked in all outputs from now on.

    `nbdag connections list` shows the known names, `nbdag connections test NAME` connects.
    """
    found = _found(Kind.CONNECTION, name)
    if found is None:
        raise _unknown(Kind.CONNECTION, name)
    return Connection.parse(name, found.text)


def variable(name: str, default: Any = _MISSING, *, json: bool = False) -> Any:
    """Return the variable of this name as a text, or with `json=True` the value that its JSON describes.

    A variable is a setting, so it is masked only if its name is that of a secret, or if it is a URL with a password.
    """
    found = _found(Kind.VARIABLE, name)
    if found is None:
        if default is not _MISSING:
            return default
        raise _unknown(Kind.VARIABLE, name)
    return _decoded(name, found.text) if json else found.text


def name_of(value: str) -> str | None:
    """Return the name under which this process has looked up this value, or None if the value was not looked up."""
    return _looked_up.get(value)


def looked_up_in(text: str) -> str | None:
    """Return the name of a looked-up secret whose value the text contains, or None if it contains no such value."""
    return next((name for value, name in _looked_up.items() if len(value) >= SHORTEST and value in text), None)


def _found(kind: Kind, name: str) -> Found | None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        hide(name)  # the invalid name may be the secret itself
        raise SecretNameError(str(kind))
    protect_kernel()
    found = find(kind, name)
    if found is not None:
        hide_text(kind, name, found.text)
        record_lookup(kind, name, found.source)
    return found


def _decoded(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise VariableFormatError(name) from None


def _unknown(kind: Kind, name: str) -> UnknownSecretError:
    return UnknownSecretError(str(kind), name, str(env_file()), nearest(name, names(kind)))


def _reduced(made: Connection) -> tuple[Any, ...]:
    """Return how to pickle a connection: by its name, so that the password is not stored or sent to another host."""
    if made.named:
        return connection, (made.id,)
    return _made, ({name: getattr(made, name) for name in Connection.__slots__},)


def _made(fields: dict[str, Any]) -> Connection:
    return Connection(**fields)


copyreg.pickle(Connection, _reduced)
