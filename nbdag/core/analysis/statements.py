"""Effects of statements in order, on every path that control flow may take."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from . import hidden_state
from .bindings import Bindings, last_name
from .function_calls import CallSite
from .objects import Arguments, Value, method_of, origins
from .scopes import State, join

CATCHES_NAME_ERROR = frozenset({"NameError", "UnboundLocalError", "Exception", "BaseException"})


@dataclass(slots=True)
class Loop:
    """The states at the `break` and `continue` statements of a loop."""

    breaks: list[State | None] = field(default_factory=list)
    continues: list[State | None] = field(default_factory=list)


class Statements(Bindings):
    """Interprets statements."""

    def __init__(self, outer: Callable[[str], Value | None], future_annotations: bool = False) -> None:
        super().__init__(outer)
        self.future_annotations = future_annotations  # the cell has `from __future__ import annotations`
        self.loops: list[Loop] = []
        self.raises: list[list[State | None]] = []  # states at `raise` statements, per enclosing `try`

    def block(self, body: Iterable[ast.stmt]) -> None:
        for statement in body:
            if self.unreachable:
                return
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        """Interpret one statement."""
        if self.frame.body_frame.code is None:
            self.followed = 0
            self.results.clear()
        visit: Callable[[Any], None] = getattr(self, f"run_{type(node).__name__}")
        visit(node)

    # -- control flow

    def run_If(self, node: ast.If) -> None:
        self.expr(node.test)
        if isinstance(node.test, ast.Constant):
            self.block(node.body if node.test.value else node.orelse)
            return
        before = self.snapshot()
        self.maybe_depth += 1
        self.block(node.body)
        after = self.snapshot()
        self.merge_paths(before)
        self.block(node.orelse)
        self.maybe_depth -= 1
        self.merge_paths(after, self.snapshot())

    def run_For(self, node: ast.For | ast.AsyncFor) -> None:
        items = self.expr(node.iter)
        at_least_once = _never_empty(node.iter)
        element = self.element(items, node)
        self._loop(lambda: self.assign(node.target, element), node.body, node.orelse, at_least_once, endless=False)

    run_AsyncFor = run_For

    def run_While(self, node: ast.While) -> None:
        endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
        self.expr(node.test)
        self._loop(lambda: None, node.body, node.orelse, endless, endless, test=node.test)

    def _loop(
        self,
        begin: Callable[[], None],
        body: list[ast.stmt],
        orelse: list[ast.stmt],
        at_least_once: bool,
        endless: bool,
        test: ast.expr | None = None,
    ) -> None:
        head = self.snapshot()
        loop = Loop()
        self.loops.append(loop)
        self.maybe_depth += not at_least_once
        ends: list[State | None] = []
        for _ in range(4):  # the values of names are stable after two or three iterations
            begin()
            self.block(body)
            self.merge_paths(self.snapshot(), *loop.continues)
            if test is not None and not self.unreachable:
                self.expr(test)
            ends = [self.snapshot()]
            before, head = head, join((head, *ends))
            if self.unreachable or before == head:
                break
            self.merge_paths(head)
        self.maybe_depth -= not at_least_once
        self.loops.pop()
        # The `else` block starts in the state in which the loop ends without `break`.
        self.merge_paths(*([] if endless else ends if at_least_once else [head]))
        if not self.unreachable:
            self.block(orelse)
        self.merge_paths(self.snapshot(), *loop.breaks)

    def run_Break(self, node: ast.Break) -> None:
        if self.loops:
            self.loops[-1].breaks.append(self.snapshot())
        self.unreachable = True

    def run_Continue(self, node: ast.Continue) -> None:
        if self.loops:
            self.loops[-1].continues.append(self.snapshot())
        self.unreachable = True

    def run_Return(self, node: ast.Return) -> None:
        code = self.frame.body_frame.code
        if node.value is not None:
            value = self.alias(node.value)
            if code is not None:
                code.result |= value
        self.unreachable = True

    def run_Raise(self, node: ast.Raise) -> None:
        self.expr(node.exc)
        self.expr(node.cause)
        for states in self.raises:
            states.append(self.snapshot())
        self.unreachable = True

    def run_Assert(self, node: ast.Assert) -> None:
        self.expr(node.test)
        with self.maybe(), self.optionally():
            self.expr(node.msg)

    def run_Try(self, node: ast.Try) -> None:
        before = self.snapshot()
        thrown: list[State | None] = [before]
        self.raises.append(thrown)
        with self.optionally() if _catches_name_error(node.handlers) else ExitStack():
            for statement in node.body:
                if self.unreachable:
                    break
                thrown.append(self.snapshot())
                self.statement(statement)
        self.raises.pop()
        thrown.append(self.snapshot())
        self.maybe_depth += 1
        if not self.unreachable:
            self.block(node.orelse)
        ends = [self.snapshot()]
        for handler in node.handlers:
            self.merge_paths(*thrown)
            self.expr(handler.type)
            if handler.name is not None:
                made = self.object_created_at("exception", handler)
                self.store(handler.name, frozenset({made}), handler.lineno)
            self.block(handler.body)
            if handler.name is not None and not self.unreachable:
                self.drop(handler.name, handler.lineno)
            ends.append(self.snapshot())
        self.maybe_depth -= 1
        self.merge_paths(*ends)
        if node.finalbody:
            finished = not self.unreachable
            if not finished:
                self.merge_paths(*thrown)
            self.block(node.finalbody)
            self.unreachable = self.unreachable or not finished

    run_TryStar = run_Try

    def run_With(self, node: ast.With | ast.AsyncWith) -> None:
        before = self.snapshot()
        suppresses = False
        soft = False
        restored_before = restored = self.restored
        for item in node.items:
            value = self.expr(item.context_expr)
            expression = item.context_expr
            if isinstance(expression, ast.Call) and last_name(expression.func) == "suppress":
                suppresses = True
                soft = soft or any(last_name(each) in CATCHES_NAME_ERROR for each in expression.args)
            restored |= hidden_state.keys_restored_by(self.dotted(_called(expression)))
            entered = self._enter(value, item)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, entered)
        self.restored = restored
        with self.optionally() if soft else ExitStack():
            self.block(node.body)
        self.restored = restored_before
        if suppresses:
            self.merge_paths(before, self.snapshot())

    run_AsyncWith = run_With

    def _enter(self, value: Value, item: ast.withitem) -> Value:
        entered = set(value)
        for obj in value:
            for name in ("__enter__", "__exit__"):
                method, _ = method_of(obj, name)
                if method is not None:
                    site = CallSite((name, item), item.context_expr.lineno)
                    entered |= self.invoke(method, Arguments((frozenset({obj}),)), site)
        made = self.object_created_at("entered", item)
        made.carries |= self.carried(value)
        made.origins |= origins(value)
        return frozenset(entered | {made})

    def run_Match(self, node: ast.Match) -> None:
        subject = self.alias(node.subject)
        before = self.snapshot()
        ends: list[State | None] = []
        complete = False
        self.maybe_depth += 1
        for case in node.cases:
            self.merge_paths(before)
            self._pattern(case.pattern, subject)
            self.expr(case.guard)
            missed = self.snapshot()
            self.block(case.body)
            ends.append(self.snapshot())
            complete = complete or (case.guard is None and _irrefutable(case.pattern))
            before = missed if case.guard is not None else before
        self.maybe_depth -= 1
        self.merge_paths(*ends, None if complete else before)

    def _pattern(self, pattern: ast.pattern, value: Value) -> None:
        inner = self.element(value, pattern)
        match pattern:
            case ast.MatchValue(value=each):
                self.expr(each)
            case ast.MatchAs(pattern=under, name=name):
                if under is not None:
                    self._pattern(under, value)
                if name is not None:
                    self.store(name, value, pattern.lineno)
            case ast.MatchStar(name=name):
                if name is not None:
                    rest = self.object_created_at("star", pattern)
                    self.fill(rest, value)
                    self.store(name, frozenset({rest}), pattern.lineno)
            case ast.MatchOr(patterns=patterns):
                before = self.snapshot()
                ends = []
                for part in patterns:
                    self.merge_paths(before)
                    self._pattern(part, value)
                    ends.append(self.snapshot())
                self.merge_paths(*ends)
            case ast.MatchSequence(patterns=patterns):
                for part in patterns:
                    self._pattern(part, inner)
            case ast.MatchMapping(keys=keys, patterns=patterns, rest=rest_name):
                for key in keys:
                    self.expr(key)
                for part in patterns:
                    self._pattern(part, inner)
                if rest_name is not None:
                    rest = self.object_created_at("star", pattern)
                    self.fill(rest, inner)
                    self.store(rest_name, frozenset({rest}), pattern.lineno)
            case ast.MatchClass(cls=cls, patterns=patterns, kwd_patterns=named):
                self.expr(cls)
                for part in (*patterns, *named):
                    self._pattern(part, inner)


def _catches_name_error(handlers: list[ast.ExceptHandler]) -> bool:
    for handler in handlers:
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if any(kind is None or last_name(kind) in CATCHES_NAME_ERROR for kind in kinds):
            return True
    return False


def _never_empty(node: ast.expr) -> bool:
    match node:
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
            return any(not isinstance(each, ast.Starred) for each in elements)
        case ast.Call(func=ast.Name(id="range"), args=[ast.Constant(value=int(stop))]):
            return stop > 0
        case ast.Constant(value=str(text)):
            return bool(text)
    return False


def _irrefutable(pattern: ast.pattern) -> bool:
    return isinstance(pattern, ast.MatchAs) and (pattern.pattern is None or _irrefutable(pattern.pattern))


def _called(node: ast.expr) -> ast.expr:
    """Return the function expression of a call; return any other expression unchanged."""
    return node.func if isinstance(node, ast.Call) else node
