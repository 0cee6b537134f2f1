"""Whether what a front end sends is one of the requests in `messages`: it may be an older page, or none of ours."""

from __future__ import annotations

from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from ..errors import NbdagError
from .messages import Request

_ASKED: dict[str, dict[str, Any]] = {
    get_args(hints["kind"])[0]: hints for hints in (get_type_hints(each) for each in get_args(Request))
}


class RequestError(NbdagError):
    """A front end asks for what nobody here knows."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"the page has asked for something that this kernel does not know ({self.what}); reload the page"


def read(content: object) -> Request:
    """The request, checked."""
    said = content if isinstance(content, dict) else {}
    hints = _ASKED.get(str(said.get("kind")))
    if hints is None:
        raise RequestError(f"kind: {str(said.get('kind'))[:40]}")
    for name, hint in hints.items():
        if name not in said or not _is(said[name], hint):
            raise RequestError(f"{said['kind']}, {name}: {str(said.get(name))[:40]}")
    return cast(Request, said)


def _is(value: object, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    return type(value) is hint
