"""What `--when` and `--check` say of values: asked in the same way in the live notebook and in a task's kernel."""

from __future__ import annotations

import ast
import reprlib
from collections.abc import Iterable
from typing import Any

from ..errors import NbdagError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = _SHORT.maxdict = 6


class CheckFailed(NbdagError):
    """A task's `--check` does not hold."""

    def __init__(self, expression: str, values: dict[str, str], reason: str = "") -> None:
        super().__init__(expression, values, reason)
        self.expression = expression
        self.values = values  # what it is made of → a short repr
        self.reason = reason  # why it could not be told, else empty

    def __str__(self) -> str:
        told = ", ".join(f"{name} is {value}" for name, value in self.values.items())
        what = f"cannot be told ({self.reason})" if self.reason else "does not hold"
        return f"--check {self.expression} {what}" + (f": {told}" if told else "")


def holds(expression: str, namespace: dict[str, Any]) -> bool:
    """Whether an expression is true where the names are these. Raises what the expression raises."""
    return bool(eval(compile(expression.strip(), "<header>", "eval"), namespace))


def check(expressions: Iterable[str], namespace: dict[str, Any]) -> None:
    """Raise `CheckFailed` for the first expression that does not hold or cannot be told."""
    for expression in expressions:
        try:
            true = holds(expression, namespace)
        except Exception as error:
            raise CheckFailed(expression, values(expression, namespace), f"{type(error).__name__}: {error}") from error
        if not true:
            raise CheckFailed(expression, values(expression, namespace))


def values(expression: str, namespace: dict[str, Any]) -> dict[str, str]:
    """What an expression is made of, and what each part is: `accuracy`, `len(df)`, `model.score_`, as short reprs."""
    found: dict[str, str] = {}
    for part in _parts(ast.parse(expression.strip(), mode="eval").body):
        text = ast.unparse(part)
        try:
            found[text] = _SHORT.repr(eval(compile(ast.Expression(part), "<header>", "eval"), namespace))
        except Exception:  # a part that only means something within the whole, or what cannot be shown
            continue
    return found


def _parts(node: ast.expr) -> list[ast.expr]:
    """The parts that a reader would ask about: comparisons and logic are opened, anything else is one part."""
    if isinstance(node, ast.BoolOp):
        return [part for value in node.values for part in _parts(value)]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _parts(node.operand)
    if isinstance(node, ast.Compare):
        return [part for value in (node.left, *node.comparators) for part in _parts(value)]
    return [] if isinstance(node, ast.Constant) else [node]
