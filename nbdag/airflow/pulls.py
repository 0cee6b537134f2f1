"""Which XComs the code of a task pulls and pushes, found in its source before anything runs.

nbdag passes values between tasks by name, so it must know who reads what. `ti.xcom_pull(task_ids="extract")` with
constant ids is exact. If ids are computed, the task gets the values of all tasks upstream of it.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, NamedTuple

from ..templates import read_template

RETURN_VALUE = "return_value"  # key of the XCom that a function's result becomes

_ARGUMENTS = ("task_ids", "dag_id", "key")  # of xcom_pull
_UNKNOWN: Any = object()  # the value of an argument that is computed


class Pull(NamedTuple):
    """One call of `xcom_pull`."""

    tasks: tuple[str, ...] | None  # None: computed
    key: str | None = RETURN_VALUE  # None: computed


def pulls_of_template(text: str, what: str) -> list[Pull]:
    """Return the XComs that a template pulls. Raise `TemplateError`."""
    return [
        Pull(None if each.task is None else (each.task,), RETURN_VALUE if each.key is None else each.key or None)
        for each in read_template(text, what=what).pulls
    ]


def pulls_of_code(function: Callable[..., Any], source: ast.AST | None) -> list[Pull]:
    """Return the XComs that a function pulls. `source` is its syntax tree, if it is known already."""
    if not mentions(function, "xcom_pull"):
        return []
    tree = source or _tree(function)
    found = []
    for call in ast.walk(tree) if tree is not None else ():
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "xcom_pull":
            given = dict(zip(_ARGUMENTS, map(_constant, call.args), strict=False))
            found.append(_pull(given | {each.arg or "": _constant(each.value) for each in call.keywords}))
    return found or [Pull(None, None)]


def mentions(function: Callable[..., Any], name: str) -> bool:
    """Return whether the code of a function uses a global name or an attribute of this name."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return isinstance(code, CodeType) and any(name in each.co_names for each in _codes(code))


def returns_something(function: Callable[..., Any], source: ast.AST | None) -> bool:
    """Return whether a function may return anything but None."""
    tree = source or _tree(function)
    if tree is None or not isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        return True
    ahead: list[ast.AST] = list(tree.body)
    while ahead:
        node = ahead.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom) or (isinstance(node, ast.Return) and node.value is not None):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            ahead += ast.iter_child_nodes(node)
    return False


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes(each)


def _pull(given: dict[str, Any]) -> Pull:
    tasks, key = given.get("task_ids", ()), given.get("key", RETURN_VALUE)
    if isinstance(tasks, str):
        tasks = (tasks,)
    constant = isinstance(tasks, list | tuple | set) and all(isinstance(each, str) for each in tasks)
    return Pull(tuple(tasks) if constant else () if tasks is None else None, key if isinstance(key, str) else None)


def _constant(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return _UNKNOWN


def _tree(function: Callable[..., Any]) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
