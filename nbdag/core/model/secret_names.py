"""Hide passwords and tokens in results, reports and logs. A name such as `password` makes a value secret.

A value is hidden because of its name (`password`, `api_key`, `db_token`), or because it is a URL with a password.
`secret_masking` hides the values of known secrets in texts. Numbers are hidden too, since a command line turns
`-p password 1234` into a number. A name for the size or the file of a secret (`max_tokens`, `token_count`,
`password_file`) does not make a value secret.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

MASK = "***"

_REFERENCE = "$secret"
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# fmt: off
_SECRET_WORDS = frozenset({
    "password", "passwords", "passwd", "passphrase", "passcode", "pwd", "pw", "secret", "secrets", "token",
    "credential", "credentials", "apikey", "apitoken", "authtoken", "accesskey", "privatekey", "secretkey", "auth",
    "authorization", "bearer", "jwt", "cookie",
})
_SECRET_PAIRS = frozenset({("api", "key"), ("access", "key"), ("private", "key"), ("account", "key"), ("auth", "key")})
_MEASURES = frozenset({
    "count", "counts", "length", "len", "limit", "size", "type", "types", "ttl", "expiry", "name", "names", "file",
    "path", "folder", "dir", "field", "column",
})
# fmt: on

_USERINFO = re.compile(r"(://)([^\s/?#:]*):([^\s]*)@")  # the match ends at the last @, because a password may contain @
_QUERY = re.compile(r"([?&][^=&\s]*(?:pass|secret|scram|token|api_?key)[^=&\s]*=)[^&\s]*", re.IGNORECASE)


def reference(name: str, *, shown: Any = MASK, json: bool = False) -> dict[str, Any]:
    """Return what a run records in place of a secret parameter: the secret's name, and what to show.

    `json`: the secret is the JSON text of the value.
    """
    return {_REFERENCE: name, "shown": shown, **({"json": True} if json else {})}


def is_reference(value: object) -> bool:
    """Return whether a recorded value of a parameter refers to a secret."""
    return isinstance(value, Mapping) and isinstance(value.get(_REFERENCE), str)


def is_secret(name: str) -> bool:
    """Return whether a value with this name must be hidden."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[-1] in _MEASURES:
        return False
    return bool(_SECRET_WORDS.intersection(words)) or any(pair in _SECRET_PAIRS for pair in pairwise(words))


def masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with a mask in place of each secret, also inside lists and mappings.

    A key is the name of its value, and the name can make the value a secret.
    """
    return {name: masked_value(name, value) for name, value in values.items()}


def masked_value(name: str, value: Any) -> Any:
    """Return the value, or a mask if the value is secret. None and "" are never secret."""
    if is_reference(value):
        return value["shown"]
    if is_secret(name):
        return value if value is None or value == "" else MASK
    if isinstance(value, str):
        return without_passwords(value)
    if isinstance(value, Mapping):
        return {key: masked_value(str(key), each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [masked_value("", each) for each in value]
    return value


def masked_sources(sources: Mapping[str, str]) -> dict[str, str]:
    """Return the source code of defaults, by name.

    A secret written as a literal is masked. Code that looks up a secret is returned unchanged.
    """
    found = {}
    for name, source in sources.items():
        try:
            value = ast.literal_eval(source)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found[name] = without_passwords(source)
            continue
        hidden = masked_value(name, value)
        found[name] = source if hidden == value or isinstance(value, tuple) else repr(hidden)
    return found


def masked_assignments(source: str) -> str:
    """Return code that assigns constants to names, with a comment in place of each assignment of a secret."""
    try:
        tree = ast.parse(source)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return source
    lines: list[str | None] = list(source.split("\n"))
    for node in tree.body:
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            continue
        name = node.targets[0].id
        try:
            value = ast.literal_eval(node.value)
        except (ValueError, TypeError, MemoryError, RecursionError):
            value = None
        hidden = masked_value(name, value)
        if hidden != (list(value) if isinstance(value, tuple) else value):
            first, last = node.lineno - 1, node.end_lineno or node.lineno
            lines[first:last] = [f"# {name} = {MASK}", *[None] * (last - first - 1)]
    return "\n".join(line for line in lines if line is not None)


def without_passwords(text: str) -> str:
    """Hide the passwords of URLs in a text."""
    if "://" not in text:
        return text
    return _QUERY.sub(rf"\1{MASK}", _USERINFO.sub(rf"\1\2:{MASK}@", text))


def masked_recipient(recipient: str) -> str:
    """Return how to show a recipient of notifications.

    A URL is reduced to its scheme, because the rest may be a token.
    """
    scheme, separator, _ = recipient.partition("://")
    return f"{scheme}{separator}{MASK}" if separator else recipient
