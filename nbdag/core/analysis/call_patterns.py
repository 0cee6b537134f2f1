"""Recognize kinds of calls by their syntax: XCom, SQL, changes in place, plots and shell lines."""

from __future__ import annotations

import ast
import re

from . import known

_CHANGES_DATABASE = re.compile(
    r"\s*(create|insert|update|delete|drop|alter|attach|detach|use|set|reset|pragma|load|install|import)\b",
    re.IGNORECASE,
)


def constant_key(node: ast.expr) -> object:
    """Return a key for a constant expression, or None for any other expression. All numbers have the same key."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
        return "number"
    if isinstance(node, ast.Constant) and node.value is not None:
        # Only a text identifies an element. The element at a numeric position may change.
        return text_key(node) or "number"
    return None


def text_key(node: ast.expr | None) -> object:
    """Return a constant text as a key, or None for any other expression."""
    return ("key", node.value) if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def exchange(node: ast.Call, method: str) -> tuple[str, str]:
    """Return the kind and the text of the note about a call of `ti.xcom_pull` or `ti.xcom_push`.

    The kind is "pull" or "push". The text of a push is the key. The text of a pull is the key and the tasks, separated
    by tabs. "?" stands for a task or key that the code computes.
    """
    given = {each.arg: each.value for each in node.keywords}
    spread = None in given or any(isinstance(each, ast.Starred) for each in node.args)
    names = ("task_ids", "dag_id", "key") if method == "xcom_pull" else ("key", "value")
    given |= dict(zip(names, node.args, strict=False))
    key = _constant_text(given.get("key"), "?" if spread or method == "xcom_push" else "return_value")
    if method == "xcom_push":
        return "push", key
    tasks = given.get("task_ids")
    if spread and tasks is None:
        return "pull", f"{key}\t?"
    items = tasks.elts if isinstance(tasks, ast.List | ast.Tuple | ast.Set) else [tasks]
    return "pull", "\t".join([key, *(_constant_text(each, "?") for each in items)])


def _constant_text(node: ast.expr | None, default: str) -> str:
    if node is None:
        return default
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "?"


def changes_database(node: ast.Call) -> bool:
    """Return whether the text of a query changes a database or a connection."""
    first = node.args[0] if node.args else None
    return (
        isinstance(first, ast.Constant) and isinstance(first.value, str) and bool(_CHANGES_DATABASE.match(first.value))
    )


def is_inplace(node: ast.Call) -> bool:
    """Return whether a call may have `inplace=True` and so change its object."""
    return any(
        each.arg == "inplace" and not (isinstance(each.value, ast.Constant) and not each.value.value)
        for each in node.keywords
    )


def plots_a_frame(node: ast.Call) -> bool:
    """Return whether a call plots a frame or series. Plotting does not change the frame or series.

    matplotlib's axes have methods of the same names, but those methods take data and no `ax` argument.
    """
    if not isinstance(node.func, ast.Attribute) or node.func.attr not in known.PLOTS:
        return False
    named = {each.arg: each.value for each in node.keywords}
    columns = [*node.args, *(named[name] for name in ("x", "y", "column", "by") if name in named)]
    return "ax" in named or all(isinstance(part, ast.Constant) for each in columns for part in _items(each))


def _items(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.List | ast.Tuple) else [node]


def is_shell(node: ast.expr) -> bool:
    """Return whether an expression is `get_ipython().…`, the form of magics and shell lines."""
    match node:
        case ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython"))):
            return True
    return False
