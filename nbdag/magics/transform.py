"""Transform a tagged cell into ordinary code.

`%%task NAME …` at the top of a cell becomes the line magic `%task NAME …` in the same line. IPython runs the rest of
the cell unchanged, so displayed values, tracebacks, top-level await, `%time`, `!ls`, `?` and the debugger work as
without a header. In a `%%dag` cell, the header becomes a call that starts to collect tasks, and a second call follows
the code. `--when`, `--check`, `--map`, `--branch`, `--short-circuit` and `nbdag.Skip` need code around the body. This
code is added to the syntax tree, in which every node keeps its line. If a headless run would skip the task, a call that
reports the reason replaces the body. In a task with an operator, the code that the operator generates replaces the
body. This module executes no user code.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from typing import Any

from IPython.core.getipython import get_ipython

from .. import operators
from ..core.cells import header
from ..core.cells.source import SyntaxProblem, to_python
from ..core.options.options import TaskOptions
from ..errors import NbdagError

CELL_MAGICS = ("task", "setup", "params", "skip")
BUILDER = "get_ipython()._nbdag.builder"  # the `builder.Builder` that the code of a %%dag cell calls
RUNNING_CELL = "get_ipython()._nbdag.running"  # the `running_cell.RunningCell` that the code of a task's cell calls


class HeaderTransformer:
    """An input transformer for IPython that turns the header into a line magic and preserves line numbers."""

    def __init__(self, options: Callable[[Mapping[str, Any]], TaskOptions]) -> None:
        self.options = options  # returns a header's options, with %dag's defaults

    def __call__(self, lines: list[str]) -> list[str]:
        first = next((at for at, line in enumerate(lines) if line.strip()), None)
        if first is None or not header.is_header(lines[first]):
            return lines
        end = first + 1
        while lines[end - 1].rstrip("\r\n").endswith("\\") and end < len(lines):
            end += 1
        text = re.sub(r"\\\r?\n", " ", "".join(lines[first:end])).strip()
        kind = text.lstrip("%").split(None, 1)[0]
        blank = ["\n"] * (end - first - 1)
        if kind == "dag" and text.startswith("%%"):
            if isinstance(to_python("".join(lines[end:])), SyntaxProblem):
                return [*lines[:first], "\n", *blank, *lines[end:]]  # Python then reports the syntax error at its line
            *above, last = _with_magic_called(lines[end:]) or ["\n"]
            body = [*above, last if last.endswith("\n") else f"{last}\n"]
            return [*lines[:first], f"{BUILDER}.begin({text!r})\n", *blank, *body, f"{BUILDER}.done()\n"]
        if kind not in CELL_MAGICS:
            return lines  # such as %%edges, which then reports that it is not a cell magic
        line_magic = [f"%{text.lstrip('%')}\n", *blank]
        return [*lines[:first], *line_magic, *self._body(text, lines[end:])]

    def _body(self, text: str, lines: list[str]) -> list[str]:
        try:
            found = header.parse(text, default_operator=self.options({}).operator)
        except NbdagError:
            return lines  # the magic reports the invalid header when it runs; the body does not run
        options = self.options(found.options)
        if found.kind == "task" and options.operator != "python":
            try:
                return operators.source("".join(lines), options, user_names(options)).splitlines(keepends=True)
            except NbdagError as error:
                return [f"{RUNNING_CELL}.reject({str(error)!r})\n"]
        return _with_magic_called(lines)


def user_names(options: TaskOptions) -> set[str]:
    """Return the names that cells have set in this kernel, and the names that the task's --map sets."""
    shell = get_ipython()
    found = set() if shell is None else {name for name in shell.user_ns if name not in shell.user_ns_hidden}
    return found | {name for name, _ in options.map}


def _with_magic_called(lines: list[str]) -> list[str]:
    """Return the code below a header. A cell magic in the first line of the code, such as %%time, becomes a call."""
    for first, line in enumerate(lines):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line.startswith("%%") or line.rstrip().endswith("?"):
            return lines
        name, _, rest = line[2:].rstrip("\r\n").partition(" ")
        body = "".join(lines[first + 1 :])
        return [*lines[:first], f"get_ipython().run_cell_magic({name!r}, {rest!r}, {body!r})\n"]
    return lines


class BodyTransformer(ast.NodeTransformer):
    """A syntax tree transformer for IPython that wraps a task's body for `--when`, `--check`, `--map` and `Skip`."""

    def __init__(
        self, options: Callable[[Mapping[str, Any]], TaskOptions], skip_reason: Callable[[str], str] = lambda task: ""
    ) -> None:
        self.options = options  # returns a header's options, with %dag's defaults
        self.skip_reason = skip_reason  # returns why a headless run would skip this task now, or ""

    def visit_Module(self, tree: ast.Module) -> ast.Module:
        line = _task_line(tree)
        if line is None:
            return tree
        try:
            found = header.parse(f"%task {line}", default_operator=self.options({}).operator)
        except NbdagError:
            return tree  # the magic reports the invalid header when it runs; the body does not run
        options = self.options(found.options)
        if reason := self.skip_reason(found.name or ""):
            skip = ast.Expr(_call("skip_task", ast.Constant(reason)))
            _set_line(skip, tree.body[0])
            tree.body = [tree.body[0], skip]
            return tree
        skips = any(isinstance(node, ast.Name | ast.Attribute) and _name(node) == "Skip" for node in ast.walk(tree))
        if options.when or options.check or options.map or options.branch or options.short_circuit or skips:
            tree.body = [tree.body[0], *wrap_body(tree.body[1:], options, tree.body[0], skips=skips)]
        return tree


def _task_line(tree: ast.Module) -> str | None:
    """Return the argument of the call of `%task`, or None without a call. `tree` is the code that IPython made from a
    cell.
    """
    match tree.body:
        case [ast.Expr(value=ast.Call(func=ast.Attribute(attr="run_line_magic"), args=[name, line])), *_]:
            if isinstance(name, ast.Constant) and name.value == "task" and isinstance(line, ast.Constant):
                return str(line.value)
    return None


def _name(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def wrap_body(body: list[ast.stmt], options: TaskOptions, at: ast.stmt, *, skips: bool = False) -> list[ast.stmt]:
    """Wrap the statements of a body in code that applies the options. New nodes get the line of `at`, the header.

    With `skips`, the body may raise `nbdag.Skip`, which ends the body without an error.
    """
    future = [node for node in body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    inner = [node for node in body if node not in future]
    result: list[ast.stmt] = []
    last = inner.pop() if inner and isinstance(inner[-1], ast.Expr) else None
    value: ast.expr | None = last.value if isinstance(last, ast.Expr) else None
    if options.check or options.map or options.branch or options.short_circuit or skips:
        # The call is the last expression, so that IPython displays its value as it would without a header.
        finish = "finish_and_display" if options.map or skips else "finish"
        value = _call(finish, *([value] if value is not None else []))
    if options.when:
        test = _call("evaluate_when")
        if inner:
            result.append(ast.If(test=test, body=inner, orelse=[]))
            test = _call("body_ran")
        if value is not None:
            result.append(ast.Expr(ast.IfExp(test=test, body=value, orelse=ast.Constant(None))))
    else:
        result.extend(inner)
        if value is not None:
            result.append(ast.Expr(value))
    if skips:
        handler = ast.ExceptHandler(type=_attribute("Skip"), name=None, body=[ast.Expr(_call("skip"))])
        result = [ast.Try(body=result or [ast.Pass()], handlers=[handler], orelse=[], finalbody=[])]
    if options.map:
        names: list[ast.expr] = [ast.Name(id=variable, ctx=ast.Store()) for variable, _ in options.map]
        target = ast.Tuple(elts=names, ctx=ast.Store())
        result = [ast.For(target=target, iter=_call("elements"), body=result or [ast.Pass()], orelse=[])]
    for node in result:
        _set_line(node, at)
    return [*future, *result]


def _attribute(name: str) -> ast.expr:
    """Return a syntax node, without a position, for an attribute of the `RunningCell`."""
    node = ast.parse(f"{RUNNING_CELL}.{name}", mode="eval").body
    for each in ast.walk(node):
        for place in ("lineno", "col_offset", "end_lineno", "end_col_offset"):
            if hasattr(each, place):
                delattr(each, place)
    return node


def _call(method: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(func=_attribute(method), args=list(arguments), keywords=[])


def _set_line(node: ast.AST, at: ast.stmt) -> None:
    """Give the position of `at` to all nodes without a position. Only the nodes of the body have positions already."""
    if "lineno" in node._attributes and not hasattr(node, "lineno"):
        ast.copy_location(node, at)
    for child in ast.iter_child_nodes(node):
        _set_line(child, at)
