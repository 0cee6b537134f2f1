"""What the names of an expression stand for, in words: for a check that did not hold."""

from __future__ import annotations

import ast
import builtins
import types
from collections.abc import Mapping
from typing import Any

from ..values import summarise


def describe(expression: str, names: Mapping[str, Any]) -> str:
    """Such as `accuracy = 0.83, floor = 0.9`: the data that the expression names, attributes included."""
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except SyntaxError:
        return ""
    found: dict[str, str] = {}
    whole: set[int] = set()  # parts of what is shown already: after `row.total`, `row` says nothing more
    for node in ast.walk(tree):  # the whole comes before its parts
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and id(node) not in whole:
            value = _value(node, names)
            if value is not None:
                found.setdefault(ast.unparse(node), value)
                whole.update(id(part) for part in ast.walk(node))
    return ", ".join(f"{text} = {value}" for text, value in found.items())


def _value(node: ast.expr, names: Mapping[str, Any]) -> str | None:
    root: ast.expr = node
    while isinstance(root, ast.Attribute | ast.Subscript):
        root = root.value
    if not isinstance(root, ast.Name) or root.id not in names or hasattr(builtins, root.id):
        return None
    try:
        value = eval(compile(ast.Expression(body=node), "<header>", "eval"), dict(names))
    except Exception:
        return None
    return None if callable(value) or isinstance(value, types.ModuleType) else summarise(value)
