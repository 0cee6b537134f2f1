"""How a tagged cell becomes ordinary code.

`%%task NAME …` at the top of a cell becomes the line magic `%task NAME …` in the same line, so that the rest of the
cell is IPython's to run, line for line: what it displays, its tracebacks, top-level await, `%time`, `!ls`, `?`, the
debugger. A `%%dag` cell is framed by two calls, one in its header's line and one below it. Only `--when`, `--check`,
`--map` and `nbdag.Skip` put something around the body, and they do so in its syntax tree, where every node keeps its
line. An operator's cell becomes the code that the operator makes. Nothing is run here.
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
BUILDER = "get_ipython()._nbdag.builder"  # what the code of a %%dag cell calls: `builder.Builder`
AROUND = "get_ipython()._nbdag.around"  # the object that the syntax tree calls: `live.Around`


class Unwrap:
    """IPython's input transformer: the header as a line magic, everything else in its own line."""

    def __init__(self, options: Callable[[Mapping[str, Any]], TaskOptions]) -> None:
        self.options = options  # a header's options, with %dag's defaults

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
                return [*lines[:first], "\n", *blank, *lines[end:]]  # Python says so, and where
            *above, last = _called(lines[end:]) or ["\n"]
            body = [*above, last if last.endswith("\n") else f"{last}\n"]
            return [*lines[:first], f"{BUILDER}.begin({text!r})\n", *blank, *body, f"{BUILDER}.done()\n"]
        if kind not in CELL_MAGICS:
            return lines  # such as %%edges: IPython finds that magic, which says what is wrong
        told = [f"%{text.lstrip('%')}\n", *blank]
        return [*lines[:first], *told, *self._body(text, lines[end:])]

    def _body(self, text: str, lines: list[str]) -> list[str]:
        try:
            found = header.parse(text)
        except NbdagError:
            return lines  # the magic says so when it runs, and nothing below it does
        options = self.options(found.options)
        if found.kind == "task" and options.operator != "python":
            try:
                return operators.source("".join(lines), options, _set_here()).splitlines(keepends=True)
            except NbdagError as error:
                return [f"{AROUND}.cannot({str(error)!r})\n"]
        return _called(lines)


def _set_here() -> set[str]:
    """The names that this kernel's cells have set."""
    shell = get_ipython()
    return set() if shell is None else {name for name in shell.user_ns if name not in shell.user_ns_hidden}


def _called(lines: list[str]) -> list[str]:
    """The code below a header; where it begins with a cell magic such as %%time, that is called by name."""
    for first, line in enumerate(lines):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line.startswith("%%") or line.rstrip().endswith("?"):
            return lines
        name, _, rest = line[2:].rstrip("\r\n").partition(" ")
        body = "".join(lines[first + 1 :])
        return [*lines[:first], f"get_ipython().run_cell_magic({name!r}, {rest!r}, {body!r})\n"]
    return lines


class Wrap(ast.NodeTransformer):
    """IPython's syntax tree transformer: what `--when`, `--check` and `--map` put around a task's body."""

    def __init__(self, options: Callable[[Mapping[str, Any]], TaskOptions]) -> None:
        self.options = options  # a header's options, with %dag's defaults

    def visit_Module(self, tree: ast.Module) -> ast.Module:
        said = _said(tree)
        if said is None:
            return tree
        try:
            found = header.parse(f"%task {said}")
        except NbdagError:
            return tree  # the magic says so when it runs, and nothing below it does
        options = self.options(found.options)
        skips = any(isinstance(node, ast.Name | ast.Attribute) and _name(node) == "Skip" for node in ast.walk(tree))
        if options.when or options.check or options.map or skips:
            tree.body = [tree.body[0], *wrapped(tree.body[1:], options, tree.body[0], skips=skips)]
        return tree


def _said(tree: ast.Module) -> str | None:
    """What the header of a cell says, given the cell as IPython transformed it."""
    match tree.body:
        case [ast.Expr(value=ast.Call(func=ast.Attribute(attr="run_line_magic"), args=[name, said])), *_]:
            if isinstance(name, ast.Constant) and name.value == "task" and isinstance(said, ast.Constant):
                return str(said.value)
    return None


def _name(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def wrapped(body: list[ast.stmt], options: TaskOptions, at: ast.stmt, *, skips: bool = False) -> list[ast.stmt]:
    """The body with what its options put around it. What is new stands in the header's line.

    `skips` says that the body may raise `nbdag.Skip`, which ends it without an error.
    """
    future = [node for node in body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    inner = [node for node in body if node not in future]
    result: list[ast.stmt] = []
    last = inner.pop() if inner and isinstance(inner[-1], ast.Expr) else None
    value: ast.expr | None = last.value if isinstance(last, ast.Expr) else None
    if options.check or options.map or skips:
        # One expression, so that the last value displays as it would have without the header.
        value = _call("shown" if options.map or skips else "done", *([value] if value is not None else []))
    if options.when:
        runs = _call("goes")
        if inner:
            result.append(ast.If(test=runs, body=inner, orelse=[]))
            runs = _call("went")
        if value is not None:
            result.append(ast.Expr(ast.IfExp(test=runs, body=value, orelse=ast.Constant(None))))
    else:
        result.extend(inner)
        if value is not None:
            result.append(ast.Expr(value))
    if skips:
        caught = ast.ExceptHandler(type=_part("Skip"), name=None, body=[ast.Expr(_call("skip"))])
        result = [ast.Try(body=result or [ast.Pass()], handlers=[caught], orelse=[], finalbody=[])]
    if options.map:
        names: list[ast.expr] = [ast.Name(id=variable, ctx=ast.Store()) for variable, _ in options.map]
        target = ast.Tuple(elts=names, ctx=ast.Store())
        result = [ast.For(target=target, iter=_call("elements"), body=result or [ast.Pass()], orelse=[])]
    for node in result:
        # Nodes of the body keep the places that they have.
        _place(node, at)
    return [*future, *result]


def _part(name: str) -> ast.expr:
    """An attribute of what is around the cell, without a place."""
    node = ast.parse(f"{AROUND}.{name}", mode="eval").body
    for each in ast.walk(node):
        for place in ("lineno", "col_offset", "end_lineno", "end_col_offset"):
            if hasattr(each, place):
                delattr(each, place)
    return node


def _call(method: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(func=_part(method), args=list(arguments), keywords=[])


def _place(node: ast.AST, at: ast.stmt) -> None:
    if "lineno" in node._attributes and not hasattr(node, "lineno"):
        ast.copy_location(node, at)
    for child in ast.iter_child_nodes(node):
        _place(child, at)
