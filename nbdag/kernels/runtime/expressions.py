"""Evaluate the expressions of headers, and interpret the results of cells, in kernels and live notebooks.

In a task with --branch or --short-circuit, the value of the cell's last expression decides which later tasks run.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import math
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any

from ...core.options.option_types import nearest
from ...errors import Fail
from ...values import summarise


def evaluate(expression: str, names: dict[str, Any]) -> Any:
    """Return the value of an expression in this namespace; exceptions of the expression are not caught."""
    return eval(compile(expression.strip(), "<header>", "eval"), names)


def when_holds(expression: str, names: dict[str, Any]) -> bool:
    """Return whether `--when` lets the task run; raise `Fail` if the expression cannot be evaluated."""
    try:
        return bool(evaluate(expression, names))
    except Exception as error:
        raise Fail(f"cannot evaluate --when {expression}: {type(error).__name__}: {error}") from error


def check(expression: str, names: dict[str, Any]) -> None:
    """Raise `Fail` if a `--check` is false or cannot be evaluated.

    The message contains the values of the expression's names.
    """
    try:
        holds = bool(evaluate(expression, names))
    except Exception as error:
        raise Fail(f"cannot evaluate --check {expression}: {type(error).__name__}: {error}") from error
    if not holds:
        values = describe_values(expression, names)
        raise Fail(f"--check {expression} is false{f', with {values}' if values else ''}")


def choice(value: object, choices: Sequence[str], task: str) -> tuple[str, ...]:
    """Return the tasks and groups that a branch task (`--branch`) names in its last expression.

    Raise `Fail` if one of them does not directly follow the branch task.
    """
    if isinstance(value, str):
        value = [value]
    if value is None:
        return ()
    if not isinstance(value, list | tuple | set | frozenset) or not all(isinstance(name, str) for name in value):
        raise Fail(
            f"the last expression of the branch {task} is {summarise(value)}; expected the name of a task or group, a "
            "list of names, or None"
        )
    names = sorted(value) if isinstance(value, set | frozenset) else list(dict.fromkeys(value))
    for name in names:
        if name not in choices:
            near = nearest(name, choices)
            known = f"did you mean {near}?" if near else f"expected one of {', '.join(choices) or 'no task'}, or None"
            raise Fail(f"{task} chose {name!r}, which does not follow it directly; {known}")
    return tuple(names)


def describe_choice(chosen: Sequence[str]) -> str:
    """Describe the choice of a branch task as the end of a sentence: "chose train, report", or "chose no task"."""
    return f"chose {', '.join(chosen) or 'no task'}"


def is_true(value: object, task: str) -> bool:
    """Return whether the last expression of a task with --short-circuit is true.

    Raise `Fail` if `bool()` raises an exception.
    """
    try:
        return bool(value)
    except Exception as error:
        raise Fail(
            f"the last expression of {task} is neither true nor false ({type(error).__name__}: {error}); end the cell "
            "with a condition"
        ) from error


def error_kinds(error: BaseException, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the full names of an error's class and base classes, and those `wanted` names that refer to such a class.

    A class may have other names than its full name: `requests.HTTPError` is `requests.exceptions.HTTPError`.
    """
    classes = [each for each in type(error).__mro__ if each not in (object, BaseException)]
    names = [f"{each.__module__}.{each.__qualname__}" for each in classes]
    for name in wanted:
        module, _, attribute = name.rpartition(".")
        while module:
            found: Any = sys.modules.get(module)
            for part in attribute.split(".") if found is not None else ():
                found = getattr(found, part, None)
            if found is not None and found in classes:
                names.append(name)
                break
            module, _, first = module.rpartition(".")
            attribute = f"{first}.{attribute}"
    return tuple(dict.fromkeys(names))


def elements(
    maps: Sequence[tuple[str, str]], names: dict[str, Any], *, in_step: bool, limit: int
) -> tuple[dict[str, list[Any]], list[tuple[int, ...]]]:
    """Return the list of values of each `--map` variable and, for each task instance, its index into each list.

    Without --zip, there is an instance for each combination of values; the last variable varies fastest. With --zip,
    instance n gets value n of each list. Raises `Fail`.
    """
    columns: dict[str, list[Any]] = {}
    for name, expression in maps:
        try:
            columns[name] = list(evaluate(expression, names))
        except Exception as error:
            raise Fail(f"cannot evaluate --map {name}={expression}: {type(error).__name__}: {error}") from error
    lengths = {name: len(column) for name, column in columns.items()}
    if in_step and len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise Fail(f"--zip needs maps of equal length, but {listed}; remove --zip to run all combinations")
    length = next(iter(lengths.values()), 0) if in_step else math.prod(lengths.values())
    if length > limit:
        raise Fail(
            f"--map makes {length:,} instances, more than the limit of {limit:,}; pass --max-map-length {length} to "
            "allow that many"
        )
    indices = [range(length) for length in lengths.values()]
    return columns, list(zip(*indices, strict=True) if in_step else itertools.product(*indices))


def describe_values(expression: str, names: Mapping[str, Any]) -> str:
    """Return the names and attributes in an expression with their values, such as `accuracy = 0.83, floor = 0.9`."""
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except SyntaxError:
        return ""
    found: dict[str, str] = {}
    shown: set[int] = set()  # ids of nodes inside a node that is already listed: after `row.total`, `row` is not listed
    for node in ast.walk(tree):  # `ast.walk` yields a node before the nodes inside it
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and id(node) not in shown:
            value = _value(node, names)
            if value is not None:
                found.setdefault(ast.unparse(node), value)
                shown.update(id(part) for part in ast.walk(node))
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
    if callable(value) or isinstance(value, types.ModuleType):
        return None
    return summarise(_number_of(value))


def _number_of(value: Any) -> Any:
    """Return the Python number with the same text as a scalar of NumPy. Return any other value unchanged."""
    if type(value).__module__ != "numpy" or value.shape != () or value.dtype.kind not in "biufc":
        return value
    kind = value.dtype.kind
    # The text of a float32 is shorter than the text of the equal Python float.
    return float(str(value)) if kind == "f" else value.item()
