"""What statements do, one after the other, on every way that they may take."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from .calls import Way
from .expressions import Expressions, text_key
from .objects import NOTHING, SYMBOLIC, Given, Kind, Outline, Value, carried, contents, hold, method_of
from .scopes import Frame, Scope, State, join

LAZY_ANNOTATIONS = sys.version_info >= (3, 14)
CATCHES_NAME_ERROR = frozenset({"NameError", "UnboundLocalError", "Exception", "BaseException"})


@dataclass(slots=True)
class Loop:
    """Where `break` and `continue` lead."""

    breaks: list[State | None] = field(default_factory=list)
    continues: list[State | None] = field(default_factory=list)


class Statements(Expressions):
    """Runs statements."""

    def __init__(self, outer: Callable[[str], Value | None], future_annotations: bool = False) -> None:
        super().__init__(outer)
        self.future_annotations = future_annotations  # `from __future__ import annotations` was seen
        self.loops: list[Loop] = []
        self.raises: list[list[State | None]] = []  # of the `try` statements around

    def block(self, body: Iterable[ast.stmt]) -> None:
        for statement in body:
            if self.dead:
                return
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        """Run one statement."""
        self.followed = 0 if self.frame.home.code is None else self.followed
        visit: Callable[[Any], None] = getattr(self, f"run_{type(node).__name__}")
        visit(node)

    # -- binding

    def run_Expr(self, node: ast.Expr) -> None:
        self.effect(node.value, Way(node.value, node.lineno, dropped=True))

    def show(self, node: ast.Expr) -> None:
        """Run the last expression of a cell, which is displayed."""
        self.effect(node.value, Way(node.value, node.lineno, shown=True))

    def run_Assign(self, node: ast.Assign) -> None:
        value = self.alias(node.value)
        for target in node.targets:
            self.assign(target, value, node.value)

    def run_AnnAssign(self, node: ast.AnnAssign) -> None:
        if self.frame.scope is not Scope.FUNCTION:
            self.annotation(node.annotation)
        if node.value is not None:
            self.assign(node.target, self.alias(node.value), node.value)
        elif not isinstance(node.target, ast.Name):
            self.expr(node.target)

    def run_AugAssign(self, node: ast.AugAssign) -> None:
        target = node.target
        if isinstance(target, ast.Name):
            own = self.use(self.load(target.id, target.lineno), target.lineno)
            added = self.expr(node.value)
            self.hold(own, contents(added), node.lineno)
            self.change_name(target.id, own, node.lineno)
            made = self.fresh("sum", node)
            made.carries |= carried(own) | carried(added)
            hold({made}, contents(own) | contents(added))
            # A list stays the object that it was; a number or a tuple becomes another.
            self.store(target.id, own | {made} if own or added else NOTHING, node.lineno)
            return
        base = self.expr(target.value)
        if isinstance(target, ast.Subscript):
            self.expr(target.slice)
        self.hold(base, self.expr(node.value), node.lineno)
        self.change_chain(target.value, base, node.lineno)

    def assign(self, target: ast.expr, value: Value, source: ast.expr | None = None) -> None:
        """Bind a target; `source` is the expression that `value` is of, where elements can be told apart."""
        match target:
            case ast.Name():
                self.store(target.id, value, target.lineno)
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                sources = _elements(source, targets)
                values = [self.alias(each) for each in sources] if sources is not None else None
                for number, each in enumerate(targets):
                    if isinstance(each, ast.Starred):
                        rest = self.fresh("star", each)
                        hold({rest}, contents(value))
                        self.assign(each.value, frozenset({rest}))
                    elif values is not None:
                        self.assign(each, values[number])
                    else:
                        self.assign(each, self.element(value, each))
            case ast.Starred():
                self.assign(target.value, value)
            case ast.Attribute() | ast.Subscript():
                base = self.expr(target.value)
                if isinstance(target, ast.Subscript):
                    self.expr(target.slice)
                self._state_without_a_name(target)
                self.change_chain(target.value, base, target.lineno)
                key = target.attr if isinstance(target, ast.Attribute) else text_key(target.slice)
                self.hold(base, value, target.lineno, key)

    def _state_without_a_name(self, target: ast.Attribute | ast.Subscript) -> None:
        name = self.dotted(target.value if isinstance(target, ast.Subscript) else target)
        if name == "os.environ":
            self.note("environment", name, target.lineno)

    def run_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._delete(target)

    def _delete(self, target: ast.expr) -> None:
        match target:
            case ast.Name():
                self.unbind(target.id, target.lineno)
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                for each in targets:
                    self._delete(each)
            case ast.Attribute() | ast.Subscript():
                base = self.expr(target.value)
                if isinstance(target, ast.Subscript):
                    self.expr(target.slice)
                self._state_without_a_name(target)
                self.change_chain(target.value, base, target.lineno)

    def run_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            label = alias.name if alias.asname else name
            self.store(name, frozenset({self.fresh("import", label, label=label, kind=Kind.IMPORT)}), node.lineno)

    def run_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            if alias.name == "*":
                self.note("star", module, node.lineno)
                continue
            if module == "__future__" and alias.name == "annotations":
                self.future_annotations = True
            label = f"{module}.{alias.name}"
            imported = self.fresh("import", label, label=label, kind=Kind.IMPORT)
            self.store(alias.asname or alias.name, frozenset({imported}), node.lineno)

    def run_Global(self, node: ast.Global) -> None:
        if self.frame.scope is Scope.CLASS:
            self.frame.globals |= frozenset(node.names)

    def run_Nonlocal(self, node: ast.Nonlocal) -> None:
        pass

    def run_Pass(self, node: ast.Pass) -> None:
        pass

    def run_TypeAlias(self, node: Any) -> None:
        # Its value is evaluated only when it is asked for.
        made = self.fresh("alias", node)
        with self.softly():
            made.carries |= carried(self._with_type_parameters(node, lambda: self.expr(node.value)))
        self.store(node.name.id, frozenset({made}), node.lineno)

    def annotation(self, node: ast.expr | None) -> None:
        """An annotation, which some ways of running Python never evaluate."""
        if node is not None and not self.future_annotations and not LAZY_ANNOTATIONS:
            self.expr(node)

    # -- definitions

    def run_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        decorators = [self.expr(each) for each in node.decorator_list]
        made = self._with_type_parameters(node, lambda: self._function(node))
        thing = next(iter(made))
        assert thing.code is not None
        thing.code.bound_to = _bound_to(node)
        value = made
        if not thing.code.bound_to:
            for each, decorator in zip(reversed(node.decorator_list), reversed(decorators), strict=True):
                value = self._decorated(decorator, value, each)
        self.store(node.name, value, node.lineno)

    run_AsyncFunctionDef = run_FunctionDef

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Value:
        arguments = node.args
        for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
            if each is not None:
                self.annotation(each.annotation)
        self.annotation(node.returns)
        return frozenset({self.function(node, node.name, node.body)})

    def _decorated(self, decorator: Value, value: Value, node: ast.expr) -> Value:
        codes = frozenset(thing for thing in decorator if thing.code is not None or thing.kind in SYMBOLIC)
        if not codes:
            return value  # taken to call what it wraps
        return self.call(codes, Given((value,)), Way(("decorator", node), node.lineno)) or value

    def _with_type_parameters(self, node: Any, then: Callable[[], Value]) -> Value:
        parameters = getattr(node, "type_params", None)
        if not parameters:
            return then()
        names = frozenset(each.name for each in parameters)
        with self.within(Frame(Scope.COMPREHENSION, self.frame, local=names)):
            with self.softly():
                for each in parameters:
                    self.expr(getattr(each, "bound", None))
            return then()

    def run_ClassDef(self, node: ast.ClassDef) -> None:
        decorators = [self.expr(each) for each in node.decorator_list]
        value = self._with_type_parameters(node, lambda: self._class(node))
        for each, decorator in zip(reversed(node.decorator_list), reversed(decorators), strict=True):
            value = self._decorated(decorator, value, each)
        self.store(node.name, value, node.lineno)

    def _class(self, node: ast.ClassDef) -> Value:
        bases = NOTHING.union(*(self.expr(each) for each in node.bases))
        for keyword in node.keywords:
            self.expr(keyword.value)
        thing = self.fresh("class", node, label=node.name, kind=Kind.CLASS)
        outline = Outline(bases=bases)
        outline.known = not node.keywords and all(
            base.kind is Kind.CLASS or (base.kind is Kind.BUILTIN and base.label == "object") for base in bases
        )
        with self.within(Frame(Scope.CLASS, self.frame)) as frame:
            self.block(node.body)
        for name, slot in frame.names.items():
            functions = [each for each in slot.value if each.code is not None]
            if functions:
                outline.methods[name] = functions[0]
                thing.carries.update(functions)
            others = [each for each in slot.value if each.code is None]
            if any(each.kind is Kind.OBJECT for each in others):
                outline.state = True
            hold({thing}, others, name)
        outline.state = outline.state or any(base.outline is not None and base.outline.state for base in bases)
        thing.outline = outline
        return frozenset({thing})

    # -- ways

    def run_If(self, node: ast.If) -> None:
        self.expr(node.test)
        if isinstance(node.test, ast.Constant):
            self.block(node.body if node.test.value else node.orelse)
            return
        before = self.point()
        self.perhaps_depth += 1
        self.block(node.body)
        after = self.point()
        self.meet(before)
        self.block(node.orelse)
        self.perhaps_depth -= 1
        self.meet(after, self.point())

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
        head = self.point()
        loop = Loop()
        self.loops.append(loop)
        self.perhaps_depth += not at_least_once
        ends: list[State | None] = []
        for _ in range(4):  # what a name may be settles in two turns or three
            begin()
            self.block(body)
            self.meet(self.point(), *loop.continues)
            if test is not None and not self.dead:
                self.expr(test)
            ends = [self.point()]
            before, head = head, join((head, *ends))
            if self.dead or before == head:
                break
            self.meet(head)
        self.perhaps_depth -= not at_least_once
        self.loops.pop()
        # The end is reached when the items or the condition run out.
        self.meet(*([] if endless else ends if at_least_once else [head]))
        if not self.dead:
            self.block(orelse)
        self.meet(self.point(), *loop.breaks)

    def run_Break(self, node: ast.Break) -> None:
        if self.loops:
            self.loops[-1].breaks.append(self.point())
        self.dead = True

    def run_Continue(self, node: ast.Continue) -> None:
        if self.loops:
            self.loops[-1].continues.append(self.point())
        self.dead = True

    def run_Return(self, node: ast.Return) -> None:
        code = self.frame.home.code
        if node.value is not None:
            value = self.alias(node.value)
            if code is not None:
                code.result |= value
        self.dead = True

    def run_Raise(self, node: ast.Raise) -> None:
        self.expr(node.exc)
        self.expr(node.cause)
        for states in self.raises:
            states.append(self.point())
        self.dead = True

    def run_Assert(self, node: ast.Assert) -> None:
        self.expr(node.test)
        with self.perhaps(), self.softly():
            self.expr(node.msg)

    def run_Try(self, node: ast.Try) -> None:
        before = self.point()
        thrown: list[State | None] = [before]
        self.raises.append(thrown)
        with self.softly() if _catches_name_error(node.handlers) else ExitStack():
            for statement in node.body:
                if self.dead:
                    break
                thrown.append(self.point())
                self.statement(statement)
        self.raises.pop()
        thrown.append(self.point())
        self.perhaps_depth += 1
        if not self.dead:
            self.block(node.orelse)
        ends = [self.point()]
        for handler in node.handlers:
            self.meet(*thrown)
            self.expr(handler.type)
            if handler.name is not None:
                made = self.fresh("exception", handler)
                self.store(handler.name, frozenset({made}), handler.lineno)
            self.block(handler.body)
            if handler.name is not None and not self.dead:
                self.drop(handler.name, handler.lineno)
            ends.append(self.point())
        self.perhaps_depth -= 1
        self.meet(*ends)
        if node.finalbody:
            finished = not self.dead
            if not finished:
                self.meet(*thrown)
            self.block(node.finalbody)
            self.dead = self.dead or not finished

    run_TryStar = run_Try

    def run_With(self, node: ast.With | ast.AsyncWith) -> None:
        before = self.point()
        suppresses = False
        soft = False
        for item in node.items:
            value = self.expr(item.context_expr)
            expression = item.context_expr
            if isinstance(expression, ast.Call) and _last_name(expression.func) == "suppress":
                suppresses = True
                soft = soft or any(_last_name(each) in CATCHES_NAME_ERROR for each in expression.args)
            entered = self._enter(value, item)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, entered)
        with self.softly() if soft else ExitStack():
            self.block(node.body)
        if suppresses:
            self.meet(before, self.point())

    run_AsyncWith = run_With

    def _enter(self, value: Value, item: ast.withitem) -> Value:
        entered = set(value)
        for thing in value:
            for name in ("__enter__", "__exit__"):
                method, _ = method_of(thing, name)
                if method is not None:
                    way = Way((name, item), item.context_expr.lineno)
                    entered |= self.invoke(method, Given((frozenset({thing}),)), way)
        made = self.fresh("entered", item)
        made.carries |= carried(value)
        return frozenset(entered | {made})

    def run_Match(self, node: ast.Match) -> None:
        subject = self.alias(node.subject)
        before = self.point()
        ends: list[State | None] = []
        complete = False
        self.perhaps_depth += 1
        for case in node.cases:
            self.meet(before)
            self._pattern(case.pattern, subject)
            self.expr(case.guard)
            missed = self.point()
            self.block(case.body)
            ends.append(self.point())
            complete = complete or (case.guard is None and _irrefutable(case.pattern))
            before = missed if case.guard is not None else before
        self.perhaps_depth -= 1
        self.meet(*ends, None if complete else before)

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
                    rest = self.fresh("star", pattern)
                    hold({rest}, value)
                    self.store(name, frozenset({rest}), pattern.lineno)
            case ast.MatchOr(patterns=patterns):
                before = self.point()
                ends = []
                for each in patterns:
                    self.meet(before)
                    self._pattern(each, value)
                    ends.append(self.point())
                self.meet(*ends)
            case ast.MatchSequence(patterns=patterns):
                for each in patterns:
                    self._pattern(each, inner)
            case ast.MatchMapping(keys=keys, patterns=patterns, rest=rest_name):
                for key in keys:
                    self.expr(key)
                for each in patterns:
                    self._pattern(each, inner)
                if rest_name is not None:
                    rest = self.fresh("star", pattern)
                    hold({rest}, inner)
                    self.store(rest_name, frozenset({rest}), pattern.lineno)
            case ast.MatchClass(cls=cls, patterns=patterns, kwd_patterns=named):
                self.expr(cls)
                for each in (*patterns, *named):
                    self._pattern(each, inner)


def _bound_to(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    for each in node.decorator_list:
        match _last_name(each.func if isinstance(each, ast.Call) else each):
            case "staticmethod":
                return "static"
            case "classmethod":
                return "class"
            case "property" | "cached_property" | "setter" | "getter" | "deleter":
                return "property"
    return ""


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _catches_name_error(handlers: list[ast.ExceptHandler]) -> bool:
    for handler in handlers:
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if any(kind is None or _last_name(kind) in CATCHES_NAME_ERROR for kind in kinds):
            return True
    return False


def _elements(source: ast.expr | None, targets: list[ast.expr]) -> list[ast.expr] | None:
    """The expressions of `a, b = x, y`, where they pair up."""
    if not isinstance(source, ast.Tuple | ast.List) or len(source.elts) != len(targets):
        return None
    if any(isinstance(each, ast.Starred) for each in (*source.elts, *targets)):
        return None
    return source.elts


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
