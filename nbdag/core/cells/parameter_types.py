"""Compare the types of a run's parameters with those of their defaults.

Parameters on a command line are text. If a cell expects a list but gets a text, it fails late, or iterates over single
characters. The type of a default is known if the default is written as a list, tuple, set, dict or number; otherwise
any value is accepted.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ...errors import NbdagError, error
from ..model.masking import masked_value
from .source import Python, to_python

_KINDS: Mapping[type[ast.expr], str] = {
    ast.List: "list",
    ast.ListComp: "list",
    ast.Tuple: "tuple",
    ast.Set: "set",
    ast.SetComp: "set",
    ast.Dict: "dict",
    ast.DictComp: "dict",
}


@error
class ParameterTypeError(NbdagError):
    """A parameter whose default is a list, tuple, set or dict was given a text."""

    name: str
    kind: str  # name of the default's type, such as list
    text: str
    exit_code = 2
    template = "parameter {name} is a {kind}, but its value is the text {text!r}; write -y '{name}: {example}'"

    @property
    def example(self) -> str:
        """An example of a valid value: the given text if it is a YAML collection, else a short collection."""
        text = self.text.strip()
        if text[:1] + text[-1:] in ("[]", "{}") and text.isprintable() and "'" not in text:
            return text
        return "{name: value}" if self.kind == "dict" else "[1, 2]"


def reject_text(defaults: Mapping[str, str], given: Mapping[str, Any]) -> None:
    """Raise `ParameterTypeError` if a text is given for a list, tuple, set or dict; `defaults` are source code."""
    for name, value in given.items():
        kind = _kind(defaults.get(name)) if isinstance(value, str) else ""
        if isinstance(value, str) and kind not in ("", "number"):
            raise ParameterTypeError(name, kind, str(masked_value(name, value)))


def texts_given_for_numbers(defaults: Mapping[str, str], given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and text of each parameter that is a text although its default is a number."""
    for name, value in given.items():
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


def marked_secret(cells: Iterable[str]) -> frozenset[str]:
    """Return the parameters that the code of these cells annotates as secret: `nbdag.Secret`, alone or in a type."""
    found = set()
    for code in cells:
        python = to_python(code)
        for statement in python.tree.body if isinstance(python, Python) else ():
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                    if any(_is_mark(node) for node in ast.walk(annotation)):
                        found.add(name)
    return frozenset(found)


def _is_mark(node: ast.AST) -> bool:
    match node:
        case ast.Name(id="Secret") | ast.Attribute(attr="Secret"):
            return True
        case ast.Constant(value=str() as text):  # an annotation in quotes
            return re.search(r"\bSecret\b", text) is not None
    return False
