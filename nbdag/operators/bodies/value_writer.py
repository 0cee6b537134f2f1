"""Write values of a %%dag cell as source into the cells that it builds.

A task runs in a separate kernel, without the variables of the %%dag cell. So a value that is passed to a task is
written as source: numbers, texts and collections as literals, functions and classes by name. Names that setup sets also
exist in the task's kernel. Names that the %%dag cell itself defines, imports or sets are copied, with their
dependencies, into a setup cell above the tasks: if possible as a literal of the final value, otherwise as the statement
that binds the name. If the cell binds the name in a loop or more than once, or changes the value, there is no such
statement, and an error with advice is raised. Statements inside a `with` block count as statements of the cell.

`definition` also copies a function that is defined inside another function. The copy lacks the decorators that made a
task of the function.

A secret or a connection is written as a call that looks it up by name.
"""

from __future__ import annotations

import ast
import builtins
import copy
import math
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from datetime import date, time, timedelta, tzinfo
from pathlib import PurePath
from types import FunctionType, ModuleType
from typing import Any

from ...core.analysis.names import uses
from ...core.analysis.symbols import global_reads, top_level_names
from ...core.cells.source import Python, SyntaxProblem, to_python
from ...secrets import Connection
from ...secrets.lookup import name_of
from ..base import OperatorError
from .function_source import FunctionSource, find_function, find_lambda, first_line, source_text

_COPYABLE = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Import,
    ast.ImportFrom,
    ast.Assign,
    ast.AnnAssign,
    ast.If,
    ast.Try,
)
_FUTURE = "from __future__ import annotations"
_PLAIN = (bool, int, str, bytes, type(None), type(...))
# (line, column, name). Line and column are the position of a statement. If a literal for one name is written instead of
# the statement, `name` is this name, else "".
_Position = tuple[int, int, str]


class ValueWriter:
    """Writes the values of one %%dag cell, and collects the names that tasks need from the cell."""

    def __init__(self, code: str, namespace: Mapping[str, Any]) -> None:
        python = to_python(code)
        self._tree = ast.Module([], []) if isinstance(python, SyntaxProblem) else python.tree
        self._statements: list[ast.stmt] = list(_without_blocks(self._tree.body))
        self._lines = code.split("\n")
        self._namespace = namespace
        self._before = dict(namespace)  # the namespace as it was before the %%dag cell ran
        self._bound: dict[str, list[int]] = {}  # key: name; value: numbers of the statements that bind the name
        self._reads: list[set[str]] = []  # for each statement, the names that it reads
        self._wanted: dict[str, str] = {}  # key: name; value: the function that needs the name
        # Key: name; value: the copied function of that name.
        self._definitions: dict[str, tuple[FunctionSource, FunctionType]] = {}
        # Key: name from a library of operators; value: the statement that imports it.
        self._imports: dict[str, str] = {}
        for n, statement in enumerate(self._statements):
            alone = ast.Module([statement], [])
            self._reads.append(global_reads(alone))
            for name in top_level_names(alone):
                self._bound.setdefault(name, []).append(n)

    def binds(self, name: str) -> bool:
        """Return whether the %%dag cell itself binds this name."""
        return name in self._bound

    def expression(self, value: Any) -> str:
        """Return source that evaluates to this value in a task's kernel. Raise `OperatorError`."""
        from ..tasks import Operator, TaskOutput

        if isinstance(value, Operator):
            value = value.output
        if isinstance(value, TaskOutput):
            return value.name
        if isinstance(value, float) and type(value) is float:
            return repr(value) if math.isfinite(value) else f"float({str(value)!r})"
        if type(value) is str and (secret := name_of(value)) is not None:
            return f"__import__('nbdag').secret({secret!r})"
        if isinstance(value, Connection) and value.named:
            return f"__import__('nbdag').connection({value.id!r})"
        if type(value) in _PLAIN:
            return repr(value)
        if type(value) in (list, tuple, set, frozenset):
            return self._collection(value)
        if type(value) is dict:
            return f"{{{', '.join(f'{self.expression(a)}: {self.expression(b)}' for a, b in value.items())}}}"
        if isinstance(value, date | time | timedelta | tzinfo | PurePath):
            return _imported(value)
        scalar = getattr(value, "item", None)  # numbers of NumPy have this method, which converts them
        if callable(scalar) and getattr(value, "ndim", None) == 0:
            return self.expression(scalar())
        return self.name(value)

    def name(self, value: Any) -> str:
        """Return the expression, often only a name, for a function, class or other object in a task's kernel."""
        label = getattr(value, "__name__", "")
        names = [label, *self._namespace] if isinstance(label, str) else list(self._namespace)
        # Names that the %%dag cell binds are tried last, because they may be loop variables.
        for name in sorted(names, key=lambda name: name != label and name in self._bound):
            if name in self._namespace and self._namespace[name] is value and not name.startswith("_"):
                if name in self._bound:
                    if callable(value) or isinstance(value, ModuleType):
                        self._wanted.setdefault(name, name)
                        return name
                elif name in self._before:
                    return name
        if label and getattr(builtins, label, None) is value:
            return label
        for name, holder in self._namespace.items() if label else ():
            if isinstance(holder, ModuleType) and getattr(holder, label, None) is value and holder is not builtins:
                return f"{self.name(holder)}.{label}" if not name.startswith("_") else label
        module, path = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
        if module and module != "__main__" and _found(module, path) is value:
            return f"__import__({module!r}, fromlist=['']).{path}"
        raise _unwritable(value)

    def source_of(self, function: FunctionType) -> FunctionSource | None:
        """Return the definition of a function in the %%dag cell, or None if another cell or a module defines it."""
        if any(value is function for value in self._before.values()):
            return None
        return find_function(self._tree, function)

    def definition(self, function: FunctionType, decorators: int = 0) -> str:
        """Return the name by which a task calls a function that the %%dag cell defines in any scope.

        The first `decorators` decorators of the function are omitted. For a function of another cell or of a module,
        return the result of `name`.
        """
        if function.__name__ == "<lambda>":
            return self._inline(function)
        source = self.source_of(function)
        if source is None:
            return self.name(function)
        name = source.name
        known = self._definitions.setdefault(name, (source.without(decorators), function))[0]
        if known.line != source.line:
            message = f"two functions of tasks are named {name}; the other is in line {known.line}"
            raise OperatorError(message, hint="rename one of them", line=source.line)
        return name

    def require(self, name: str, module: str) -> str:
        """Import a name into the setup cell, and return its new name, which begins with _."""
        self._imports[f"_{name}"] = f"from {module} import {name} as _{name}"
        return f"_{name}"

    def _inline(self, function: FunctionType) -> str:
        """Return a lambda as an expression, with the values of its defaults."""
        node = find_lambda(self._tree, function)
        if node is None or function.__closure__:
            raise _unwritable(function)
        arguments = copy.copy(node.args)
        arguments.defaults = [
            ast.parse(self.expression(each), mode="eval").body for each in function.__defaults__ or ()
        ]
        made = ast.Expression(ast.copy_location(ast.Lambda(arguments, node.body), node))
        for name in global_reads(ast.Module([ast.copy_location(ast.Expr(made.body), node)], [])):
            if name in self._bound:
                self._wanted.setdefault(name, "the lambda")
        return f"({ast.unparse(made)})"

    def cells(self, made_at: Collection[int]) -> Iterator[tuple[str, int]]:
        """Yield the setup cell, if tasks need any names: its source, and the line of its first statement.

        `made_at` are the lines that create tasks. Raise `OperatorError`.
        """
        # Key: position of a statement or literal; value: its source.
        texts: dict[_Position, str] = {(0, 0, name): text for name, text in sorted(self._imports.items())}
        ahead = [(name, by) for name, by in self._wanted.items() if name not in self._definitions]
        copied: set[str] = set()
        while len(copied) < len(self._definitions):  # repeat, because a copied function may need another function
            for name, (source, function) in list(self._definitions.items()):
                if name not in copied:
                    copied.add(name)
                    texts[source.line, 0, name] = source.text(self._lines)
                    ahead += self._needs(source, function, texts)
        while ahead:
            name, wanted_by = ahead.pop()
            if name in self._definitions:
                continue
            number = self._statement(name, wanted_by, made_at)
            statement, written = self._statements[number], self._written(name, number)
            if written is not None:
                texts[statement.lineno, statement.col_offset, name] = written
            elif (statement.lineno, statement.col_offset, "") not in texts:
                self._check_unchanged(name, wanted_by, number, made_at)
                texts[statement.lineno, statement.col_offset, ""] = self._text(statement)
                ahead += [(each, wanted_by) for each in self._reads[number] if each in self._bound and each != name]
        if texts:
            # Without this import, Python would evaluate the annotations. Some contain names that only a type checker
            # imports.
            future = [_FUTURE] if any(map(_is_future, self._tree.body)) else []
            yield "\n".join([*future, *(texts[key] for key in sorted(texts))]), max(1, min(texts)[0])

    def _needs(
        self, source: FunctionSource, function: FunctionType, texts: dict[_Position, str]
    ) -> Iterator[tuple[str, str]]:
        """Yield the cell's names that a copied function reads, and write the variables of its enclosing functions."""
        closure = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        for name, cell in closure.items():
            try:
                value = cell.cell_contents
            except ValueError:
                continue  # the variable is not set: the copy fails, as the original function would
            if isinstance(value, FunctionType) and self.definition(value) == name:
                continue
            try:
                written = _import_of(value, name) or f"{name} = {self.expression(value)}"
            except OperatorError as error:
                message = f"{source.name} reads {name} of the enclosing function: {error.message}"
                raise OperatorError(message, hint=f"pass {name} as an argument", line=source.line) from None
            others = [text for (*_, other), text in texts.items() if other == name]
            if name in self._bound or name in self._before or any(text != written for text in others):
                message = f"{source.name} reads {name} of the enclosing function, but {name} has other values, too"
                raise OperatorError(message, hint=f"pass {name} as an argument", line=source.line)
            if written != f"{name} = {name}":
                texts[0, 0, name] = written
        for name in source.reads - closure.keys():
            if name in self._bound and name != source.name:
                yield name, source.name

    def _written(self, name: str, number: int) -> str | None:
        """Return an assignment of the name's value as a literal, or None if the value cannot be a literal."""
        if not isinstance(self._statements[number], ast.Assign | ast.AnnAssign):
            return None
        try:
            text = self.expression(self._namespace[name])
        except (OperatorError, KeyError):
            return None
        return None if text == name else f"{name} = {text}"

    def _check_unchanged(self, name: str, wanted_by: str, number: int, made_at: Collection[int]) -> None:
        is_class = isinstance(self._namespace.get(name), type)
        for n, statement in enumerate(self._statements):
            if n == number or isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if is_class and _is_at(statement, made_at):
                continue  # a method such as `Load.partial` creates a task, and does not change the class
            if name in uses(Python(ast.Module([statement], []), "", shown=False)).changes:
                hint = f"pass the needed part of {name} as an argument, or create {name} in setup"
                message = f"{wanted_by} reads {name}, which %%dag changes in line {statement.lineno}"
                raise OperatorError(message, hint=hint, line=statement.lineno)

    def _statement(self, name: str, wanted_by: str, made_at: Collection[int]) -> int:
        found = self._bound[name]
        statement = self._statements[found[-1]]
        own = name == wanted_by
        if len(found) > 1 or not isinstance(statement, _COPYABLE):
            how = "in a loop" if not isinstance(statement, _COPYABLE) else "more than once"
            message = f"{name} is defined {how}" if own else f"{wanted_by} reads {name}, which %%dag sets {how}"
            hint = (
                "define it once, outside of loops, and pass the differences as arguments"
                if own
                else f"pass it as an argument: Python('…', {wanted_by}, {name}={name})"
            )
            raise OperatorError(message, hint=hint, line=statement.lineno)
        if _is_at(statement, made_at):
            message = f"{name} creates tasks" if own else f"{wanted_by} reads {name}, which creates tasks"
            hint = "use another function for the task" if own else f"pass the needed part of {name} as an argument"
            raise OperatorError(message, hint=hint, line=statement.lineno)
        return found[0]

    def _text(self, statement: ast.stmt) -> str:
        last = statement.end_lineno or statement.lineno
        # A statement that shares a line with another statement cannot be copied, so its syntax tree is unparsed.
        shared = any(
            other is not statement and other.lineno <= last and (other.end_lineno or 0) >= first_line(statement)
            for other in self._statements
        )
        return ast.unparse(statement) if shared else source_text(statement, self._lines)

    def _collection(self, value: Any) -> str:
        items = [self.expression(each) for each in value]
        if isinstance(value, list):
            return f"[{', '.join(items)}]"
        if isinstance(value, tuple):
            return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
        inside = f"{{{', '.join(sorted(items))}}}" if items else ""
        return f"frozenset({inside})" if isinstance(value, frozenset) else inside or "set()"


def _is_future(statement: ast.stmt) -> bool:
    """Return whether a statement is `from __future__ import annotations`."""
    if not isinstance(statement, ast.ImportFrom) or statement.module != "__future__":
        return False
    return any(each.name == "annotations" for each in statement.names)


def _is_at(statement: ast.stmt, lines: Collection[int]) -> bool:
    return any(statement.lineno <= line <= (statement.end_lineno or statement.lineno) for line in lines)


def _without_blocks(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements. Instead of a `with` statement, yield its first line, then the statements of its block."""
    for each in statements:
        if isinstance(each, ast.With):
            head = ast.copy_location(ast.With(each.items, [ast.copy_location(ast.Pass(), each)]), each)
            head.end_lineno = max(item.context_expr.end_lineno or each.lineno for item in each.items)
            yield head
            yield from _without_blocks(each.body)
        else:
            yield each


def _import_of(value: Any, name: str) -> str:
    """Return the statement that imports a module under this name, or "" if the value is not a module."""
    return f"import {value.__name__} as {name}" if isinstance(value, ModuleType) else ""


def _unwritable(value: Any) -> OperatorError:
    if isinstance(value, FunctionType):
        if value.__name__ == "<lambda>":
            return OperatorError("a lambda has no name by which a task could call it", hint="define it with def")
        hint = "define it at the top level of %%dag or in setup, and pass the differences as arguments"
        return OperatorError(f"the function {value.__qualname__} has no name in the notebook", hint=hint)
    kind = type(value).__name__
    hint = "create it in setup or in a task, and use its name in the task's text: Python('train', 'model = fit(X)')"
    return OperatorError(f"a {kind} cannot be written into the cell of a task", hint=hint)


def _imported(value: Any) -> str:
    """Return an expression like `datetime.date(2026, 1, 31)` that also imports the module."""
    module = type(value).__module__.partition(".")[0]
    text = repr(value)
    text = re.sub(rf"\b{module}\.", f"__import__({module!r}).", text) if f"{module}." in text else text
    text = text if "__import__" in text else f"__import__({module!r}).{text}"
    try:
        if eval(text) == value:
            return text
    except Exception:  # any exception means that the repr of the value is not an expression
        pass
    raise _unwritable(value)


def _found(module: str, path: str) -> Any:
    value: Any = sys.modules.get(module)
    for part in path.split(".") if path else ():
        value = getattr(value, part, None)
    return value
