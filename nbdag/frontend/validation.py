"""Validate requests, because a page from another version of nbdag, or another program, may send invalid ones."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, cast, get_args, get_origin, get_type_hints

from ..errors import NbdagError, error
from .messages import Request

_FIELDS_OF_KIND: dict[str, dict[str, Any]] = {
    get_args(hints["kind"])[0]: hints
    for hints in (get_type_hints(each, include_extras=True) for each in get_args(Request))
}


@error
class InvalidRequestError(NbdagError):
    """A request from the front end is unknown or malformed."""

    reason: str
    template = "invalid request from the page ({reason}); reload the page"


def parse_request(content: object) -> Request:
    """Return the content of a message as a request. Raise `InvalidRequestError` if it is not a valid request."""
    given = content if isinstance(content, dict) else {}
    kind = str(given.get("kind"))[:40]
    fields = _FIELDS_OF_KIND.get(kind)
    if fields is None:
        raise InvalidRequestError(f"unknown kind {kind!r}")
    for name, hint in fields.items():
        if get_origin(hint) is NotRequired:
            if name not in given:
                continue
            (hint,) = get_args(hint)
        if name not in given or not _has_type(given[name], hint):
            raise InvalidRequestError(f"kind {kind!r}, field {name!r}: {str(given.get(name))[:40]!r}")
    return cast(Request, given)


def _has_type(value: object, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_has_type(each, get_args(hint)[0]) for each in value)
    if get_origin(hint) is dict:
        return isinstance(value, dict) and all(
            _has_type(part, kind) for item in value.items() for part, kind in zip(item, get_args(hint), strict=True)
        )
    if hint is Any:
        return True
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint
