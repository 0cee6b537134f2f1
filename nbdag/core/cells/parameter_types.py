"""Whether what a run says of a parameter is of the kind that its default is.

On a command line everything is text, and a text where a list is meant runs for a while before it fails, letter by
letter. A default is known by its source; what is no plain list, mapping or number there may be anything.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import NbdagError

_KINDS: Mapping[type[ast.expr], str] = {
    ast.List: "list",
    ast.ListComp: "list",
    ast.Tuple: "tuple",
    ast.Set: "set",
    ast.SetComp: "set",
    ast.Dict: "dict",
    ast.DictComp: "dict",
}


class ParameterTypeError(NbdagError):
    """A text for a parameter whose default is a list, or the like."""

    exit_code = 2

    def __init__(self, name: str, kind: str, text: str) -> None:
        super().__init__(name, kind, text)
        self.name = name
        self.kind = kind
        self.text = text

    def __str__(self) -> str:
        said = self.text.strip()
        if not (said[:1] + said[-1:] in ("[]", "{}") and said.isprintable() and "'" not in said):
            said = "{name: value}" if self.kind == "dict" else "[1, 2]"
        return (
            f"{self.name} is a {self.kind} in the parameters cell, and is given the text {self.text!r}; write "
            f"-y '{self.name}: {said}'"
        )


def reject_text(defaults: Mapping[str, str], said: Mapping[str, Any]) -> None:
    """Raise `ParameterTypeError` where a text is given for a list, tuple, set or dict; `defaults` are sources."""
    for name, value in said.items():
        kind = _kind(defaults.get(name)) if isinstance(value, str) else ""
        if isinstance(value, str) and kind not in ("", "number"):
            raise ParameterTypeError(name, kind, value)


def texts_given_for_numbers(defaults: Mapping[str, str], said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The names, with their texts, whose default is a number."""
    for name, value in said.items():
        if isinstance(value, str) and _kind(defaults.get(name)) == "number":
            yield name, value


def _kind(source: str | None) -> str:
    if source is None:
        return ""
    match ast.parse(source, mode="eval").body:
        case ast.Constant(value=bool()):
            return ""
        case ast.Constant(value=int() | float()) | ast.UnaryOp(operand=ast.Constant(value=int() | float())):
            return "number"
        case ast.Call(func=ast.Name(id="list" | "tuple" | "set" | "dict" as kind)):
            return kind
        case other:
            return _KINDS.get(type(other), "")
