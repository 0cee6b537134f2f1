"""Functions that find what the code of a cell uses and binds, before `script` writes the cell into a script."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from ..core.cells.source import expanded_names, parse_line


def top_level_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes outside of functions, classes and lambdas."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from top_level_nodes(node)


def bound_names(tree: ast.AST, by_star: Iterable[str]) -> Iterator[str]:
    """Yield the names that code binds anywhere, except those that it binds by `import name`.

    `from module import *` may bind each name of `by_star`.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
            case ast.ImportFrom(names=names):
                for each in names:
                    yield from by_star if each.name == "*" else (each.asname or each.name,)
            case ast.Import(names=names):
                yield from (each.asname for each in names if each.asname not in (None, each.name))


def names_in(expression: str) -> set[str]:
    """Return the names that an expression uses."""
    return {node.id for node in ast.walk(ast.parse(expression, mode="eval")) if isinstance(node, ast.Name)}


def code_of_magics(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the Python code in the texts of magics and shell lines, such as `%time f()` and `!echo {x}`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=method), args=arguments
            ):
                texts = [each.value for each in arguments if isinstance(each, ast.Constant)]
                for text in (text for text in texts if isinstance(text, str)):
                    if method in ("system", "getoutput"):
                        yield from expanded_names(text)
                    elif (found := parse_line(text, node.lineno)) is not None:
                        yield found


def attributes_of_run(tree: ast.AST) -> Iterator[str]:
    """Yield the attribute of each use of `dag_run`, or "" for a use of `dag_run` itself."""
    within: set[int] = set()  # `id()` of each node `dag_run` that is part of a use such as `dag_run.ds`
    for node in ast.walk(tree):  # each node before its children
        match node:
            case ast.Attribute(value=ast.Name(id="dag_run") as run, attr=name):
                within.add(id(run))
                yield name
            case ast.Name(id="dag_run") if id(node) not in within:
                yield ""


def is_skip(raised: ast.expr | None) -> bool:
    """Return whether `raise` with this expression skips the task."""
    match raised:
        case ast.Call(func=kind):
            return is_skip(kind)
        case ast.Name(id="Skip") | ast.Attribute(value=ast.Name(id="nbdag"), attr="Skip"):
            return True
    return False


def uses_nbdag(tree: ast.AST) -> bool:
    """Return whether the code imports the package nbdag or uses it by this name."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="nbdag"):
                return True
            case ast.Call(func=ast.Name(id="__import__"), args=[ast.Constant(value=str(module)), *_]):
                if _of_nbdag(module):
                    return True
            case ast.Import(names=names):
                if any(_of_nbdag(each.name) for each in names):
                    return True
            case ast.ImportFrom(module=str(module)) if _of_nbdag(module):
                return True
    return False


def _of_nbdag(module: str) -> bool:
    return module.partition(".")[0] == "nbdag"
