"""Find out from a function's code, before it runs, which XComs it pulls and whether it returns a value.

The analysis of the notebook also finds the pulls, and makes edges of them. The pulls are needed earlier, while the
cells are written: to order the cells, and to reject edges that would change what a trigger rule decides.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from types import CodeType
from typing import Any


def pulled_tasks(function: Callable[..., Any], source: ast.AST | None) -> set[str]:
    """Return the tasks that a function names in `xcom_pull`. `source` is the function's syntax tree, if known."""
    found: set[str] = set()
    for call in ast.walk(source or _tree(function)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "xcom_pull":
            given = {each.arg: each.value for each in call.keywords}
            node = given.get("task_ids", call.args[0] if call.args else None)
            items = node.elts if isinstance(node, ast.List | ast.Tuple | ast.Set) else [node]
            texts = (each.value for each in items if isinstance(each, ast.Constant))
            found.update(text for text in texts if isinstance(text, str))
    return found


def mentions(function: Callable[..., Any], name: str) -> bool:
    """Return whether the code of a function uses `name` as a global name or as an attribute."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    ahead = [code]
    while ahead:
        each = ahead.pop()
        if isinstance(each, CodeType):
            if name in each.co_names:
                return True
            ahead += each.co_consts
    return False


def returns_something(function: Callable[..., Any], source: ast.AST | None) -> bool:
    """Return whether a function may return anything but None."""
    tree = source or _tree(function)
    if not isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        return True
    ahead: list[ast.AST] = list(tree.body)
    while ahead:
        node = ahead.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom) or (isinstance(node, ast.Return) and node.value is not None):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            ahead += ast.iter_child_nodes(node)
    return False


def _tree(function: Callable[..., Any]) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0]
    except (OSError, TypeError, SyntaxError):
        return ast.Pass()
