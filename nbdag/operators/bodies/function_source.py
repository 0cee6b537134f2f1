"""Find the source of functions that a %%dag cell defines, at the top level of the cell or inside other functions.

A function is found by its name and the line of its first decorator. `FunctionSource.text` is a copy of
the function, as a definition at the top level.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import CodeType, FunctionType

from ...core.analysis.symbols import global_reads

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class FunctionSource:
    """The definition of one function in a cell."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    omitted: int = 0  # number of decorators, counted from the top, that the copy omits

    @property
    def name(self) -> str:
        """Return the function's name."""
        return self.node.name

    @property
    def line(self) -> int:
        """Return the line of its `def` in the cell, from 1."""
        return self.node.lineno

    @property
    def reads(self) -> frozenset[str]:
        """Return the global names that the copied definition reads."""
        return frozenset(global_reads(ast.Module([self._copy()], [])))

    def without(self, decorators: int) -> FunctionSource:
        """Return this definition without its first decorators."""
        return replace(self, omitted=decorators)

    def text(self, lines: Sequence[str]) -> str:
        """Return the source of the copy. `lines` are the lines of the cell."""
        return source_text(self._copy(), lines)

    def _copy(self) -> ast.FunctionDef | ast.AsyncFunctionDef:
        fields = {**dict(ast.iter_fields(self.node)), "decorator_list": self.node.decorator_list[self.omitted :]}
        return ast.copy_location(type(self.node)(**fields), self.node)


def find_function(tree: ast.Module, function: FunctionType) -> FunctionSource | None:
    """Return the definition of a function in a cell's syntax tree, or None if the cell does not define it."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if not isinstance(code, CodeType):
        return None
    for node in ast.walk(tree):
        is_same = isinstance(node, _FUNCTIONS) and (node.name, first_line(node)) == (code.co_name, code.co_firstlineno)
        if isinstance(node, _FUNCTIONS) and is_same:
            return FunctionSource(node)
    return None


def find_lambda(tree: ast.Module, function: FunctionType) -> ast.Lambda | None:
    """Return a lambda of a cell's syntax tree, or None if the tree does not contain the lambda."""
    wanted = function.__code__
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda) and node.lineno == wanted.co_firstlineno:
            compiled = compile(ast.Expression(node), "<lambda>", "eval").co_consts
            made = next(each for each in compiled if isinstance(each, CodeType))
            if all(getattr(made, each) == getattr(wanted, each) for each in ("co_code", "co_names", "co_varnames")):
                return node
    return None


def first_line(statement: ast.stmt) -> int:
    """Return the first line of a statement, decorators included."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(each.lineno for each in decorators)])


def source_text(statement: ast.stmt, lines: Sequence[str]) -> str:
    """Return the source of a statement without indentation, if possible as the user wrote it."""
    first, last = first_line(statement), statement.end_lineno or statement.lineno
    copied, indent = list(lines[first - 1 : last]), statement.col_offset
    if indent:
        # The lines of a multi-line string must keep their indentation.
        texts = (each for each in ast.walk(statement) if isinstance(each, ast.Constant | ast.JoinedStr))
        moved = any((each.end_lineno or 0) > each.lineno for each in texts)
        if moved or any(line.strip() and line[:indent].strip() for line in copied):
            return ast.unparse(statement)
        copied = [line[indent:] for line in copied]
    return "\n".join(copied)
