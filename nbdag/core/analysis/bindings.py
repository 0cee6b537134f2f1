"""Statements that bind or delete names: assignments, `del`, imports, definitions."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from typing import Any

from . import known
from .call_patterns import text_key
from .function_calls import CallSite
from .objects import NOTHING, SYMBOLIC, Arguments, ClassModel, Kind, Value, contents, outcomes
from .scopes import Frame, Scope
from .shell import Shell

LAZY_ANNOTATIONS = sys.version_info >= (3, 14)


class Bindings(Shell):
    """Interprets statements that bind names."""

    future_annotations = False  # whether the cell has `from __future__ import annotations`

    def run_Expr(self, node: ast.Expr) -> None:
        self.effect(node.value, CallSite(node.value, node.lineno, dropped=True))

    def show(self, node: ast.Expr) -> None:
        """Interpret the last expression of a cell, which IPython displays."""
        site = CallSite(node.value, node.lineno, shown=True)
        self.display(self.effect(node.value, site), site)

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
            made = self.object_created_at("sum", node)
            made.carries |= self.carried(own) | self.carried(outcomes(added))
            self.fill(made, self.inside(own | added, node, node.lineno))
            # `+=` changes a list in place, but creates a new number or tuple.
            self.store(target.id, own | {made} if own or added else NOTHING, node.lineno)
            return
        base = self.expr(target.value)
        if isinstance(target, ast.Subscript):
            self.expr(target.slice)
        self._note_state(target)
        self.hold(base, self.expr(node.value), node.lineno)
        self.change_chain(target.value, base, node.lineno)

    def assign(self, target: ast.expr, value: Value, source: ast.expr | None = None) -> None:
        """Bind a target; `source` is the expression of `value`, used to bind `a, b = x, y` element by element."""
        match target:
            case ast.Name():
                self.store(target.id, value, target.lineno)
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                sources = _elements(source, targets)
                values = [self.alias(each) for each in sources] if sources is not None else None
                for number, each in enumerate(targets):
                    if isinstance(each, ast.Starred):
                        rest = self.object_created_at("star", each)
                        self.fill(rest, contents(value))
                        self.assign(each.value, frozenset({rest}))
                    elif values is not None:
                        self.assign(each, values[number])
                    else:
                        self.assign(each, self.element(value, each))
            case ast.Starred():
                self.assign(target.value, value)
            case ast.Attribute() | ast.Subscript():
                base = self._change_owner(target)
                key = target.attr if isinstance(target, ast.Attribute) else text_key(target.slice)
                self.hold(base, value, target.lineno, key)

    def _change_owner(self, target: ast.Attribute | ast.Subscript) -> Value:
        """Record a change of the object whose attribute or item is set or deleted; return the object."""
        base = self.expr(target.value)
        if isinstance(target, ast.Subscript):
            self.expr(target.slice)
        self._note_state(target)
        self.change_chain(target.value, base, target.lineno)
        return base

    def _note_state(self, target: ast.Attribute | ast.Subscript) -> None:
        self.note_path("assigned", self.path(target), target.lineno)

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
                self._change_owner(target)

    def run_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            label = alias.name if alias.asname else name
            self.store(
                name, frozenset({self.object_created_at("import", label, label=label, kind=Kind.IMPORT)}), node.lineno
            )

    def run_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            if alias.name == "*":
                self.note("star", module, node.lineno)
                continue
            if module == "__future__" and alias.name == "annotations":
                self.future_annotations = True
            label = f"{module}.{alias.name}"
            imported = self.object_created_at("import", label, label=label, kind=Kind.IMPORT)
            self.store(alias.asname or alias.name, frozenset({imported}), node.lineno)

    def run_Global(self, node: ast.Global) -> None:
        if self.frame.scope is Scope.CLASS:
            self.frame.globals |= frozenset(node.names)

    def run_Nonlocal(self, node: ast.Nonlocal) -> None:
        pass

    def run_Pass(self, node: ast.Pass) -> None:
        pass

    def run_TypeAlias(self, node: Any) -> None:
        # Python evaluates the value of a `type` statement lazily, on first access.
        made = self.object_created_at("alias", node)
        with self.optionally():
            made.carries |= self.carried(self._with_type_parameters(node, lambda: self.expr(node.value)))
        self.store(node.name.id, frozenset({made}), node.lineno)

    def annotation(self, node: ast.expr | None) -> None:
        """Interpret an annotation, if Python evaluates it here."""
        if node is not None and not self.future_annotations and not LAZY_ANNOTATIONS:
            self.expr(node)

    # -- definitions

    def run_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        decorators = [self.expr(each) for each in node.decorator_list]
        made = self._with_type_parameters(node, lambda: self._function(node))
        obj = next(iter(made))
        assert obj.code is not None
        obj.code.bound_to = _bound_to(node)
        obj.code.cached = any(
            self.dotted(each.func if isinstance(each, ast.Call) else each) in known.CACHES
            for each in node.decorator_list
        )
        value = made
        if not obj.code.bound_to:
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
        codes = frozenset(obj for obj in decorator if obj.code is not None or obj.classes)
        later = frozenset(obj for obj in decorator if obj.kind in SYMBOLIC)
        if later and self.frame.body_frame.code is not None:
            return self._defer_call(
                later, "<decorate>", Arguments((value,)), CallSite(("decorator", node), node.lineno), ""
            )
        if not codes:
            return value  # an unknown decorator is assumed to return a wrapper that calls the function
        return self.call(codes, Arguments((value,)), CallSite(("decorator", node), node.lineno)) or value

    def _with_type_parameters(self, node: Any, then: Callable[[], Value]) -> Value:
        parameters = getattr(node, "type_params", None)
        if not parameters:
            return then()
        names = frozenset(each.name for each in parameters)
        with self.within(Frame(Scope.COMPREHENSION, self.frame, local=names)):
            with self.optionally():
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
        obj = self.object_created_at("class", node, label=node.name, kind=Kind.CLASS)
        outline = ClassModel(bases=bases)
        outline.known = not node.keywords and all(
            base.kind is Kind.CLASS or (base.kind is Kind.BUILTIN and base.label == "object") for base in bases
        )
        with self.within(Frame(Scope.CLASS, self.frame)) as frame:
            self.block(node.body)
        for name, slot in frame.names.items():
            functions = [each for each in slot.value if each.code is not None]
            if functions:
                outline.methods[name] = functions[0]
                obj.carries.update(functions)
            others = [each for each in slot.value if each.code is None]
            if any(each.kind is Kind.OBJECT for each in others):
                outline.state = True
            self.fill(obj, others, name)
        outline.state = outline.state or any(base.outline is not None and base.outline.state for base in bases)
        obj.outline = outline
        return frozenset({obj})


def _bound_to(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    for each in node.decorator_list:
        match last_name(each.func if isinstance(each, ast.Call) else each):
            case "staticmethod":
                return "static"
            case "classmethod":
                return "class"
            case "property" | "cached_property" | "setter" | "getter" | "deleter":
                return "property"
    return ""


def last_name(node: ast.expr) -> str:
    """Return the last part of a dotted name, or "" for any other expression."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _elements(source: ast.expr | None, targets: list[ast.expr]) -> list[ast.expr] | None:
    """Return the expressions `x` and `y` of `a, b = x, y`, or None if targets and expressions cannot be paired."""
    if not isinstance(source, ast.Tuple | ast.List) or len(source.elts) != len(targets):
        return None
    if any(isinstance(each, ast.Starred) for each in (*source.elts, *targets)):
        return None
    return source.elts
