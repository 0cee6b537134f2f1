"""What `--when`, `--check` and `--map` say: asked alike in a task's kernel and in the live notebook."""

from __future__ import annotations

import ast
import builtins
import itertools
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import Fail
from ...values import summarise


def evaluate(expression: str, names: dict[str, Any]) -> Any:
    """The value of an expression, where the names stand for these. Raises what it raises."""
    return eval(compile(expression.strip(), "<header>", "eval"), names)


def allows(expression: str, names: dict[str, Any]) -> bool:
    """Whether `--when` lets the task run. Raises `Fail`."""
    try:
        return bool(evaluate(expression, names))
    except Exception as error:
        raise Fail(f"--when {expression} cannot be told: {type(error).__name__}: {error}") from error


def check(expression: str, names: dict[str, Any]) -> None:
    """Raise `Fail` where a `--check` does not hold, with the values that it is made of."""
    try:
        holds = bool(evaluate(expression, names))
    except Exception as error:
        raise Fail(f"--check {expression} cannot be told: {type(error).__name__}: {error}") from error
    if not holds:
        values = describe(expression, names)
        raise Fail(f"--check {expression} is false{f', with {values}' if values else ''}")


def elements(
    maps: Sequence[tuple[str, str]], names: dict[str, Any], *, in_step: bool, limit: int
) -> tuple[dict[str, list[Any]], list[tuple[int, ...]]]:
    """What a mapped task is given: each variable's values, and per instance the index into each of them.

    Several maps make their product, the last one fastest, or go in step. Raises `Fail`.
    """
    columns: dict[str, list[Any]] = {}
    for name, expression in maps:
        try:
            columns[name] = list(evaluate(expression, names))
        except Exception as error:
            raise Fail(f"--map {name}={expression} cannot be told: {type(error).__name__}: {error}") from error
    lengths = {name: len(column) for name, column in columns.items()}
    if in_step and len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise Fail(f"--zip needs maps of one length, and {told}: leave out --zip for their product")
    length = next(iter(lengths.values()), 0) if in_step else math.prod(lengths.values())
    if length > limit:
        raise Fail(
            f"--map makes {length:,} instances, more than {limit:,}: pass --max-map-length {length} if that is meant"
        )
    indices = [range(length) for length in lengths.values()]
    return columns, list(zip(*indices, strict=True) if in_step else itertools.product(*indices))


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
