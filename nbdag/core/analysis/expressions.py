"""Values of expressions, and the effects of evaluating them."""

from __future__ import annotations

import ast
import re
from abc import abstractmethod
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from . import known
from .call_patterns import changes_database, constant_key, exchange, is_inplace, is_shell, plots_a_frame, text_key
from .calls import Calls
from .effects import AWAITED, ITERATED
from .function_calls import CallSite
from .objects import (
    KEYS,
    NOTHING,
    SYMBOLIC,
    AbstractObject,
    Arguments,
    FunctionEffects,
    Kind,
    Value,
    class_attributes,
    contents,
    method_of,
    only_keys,
    origins,
    outcomes,
)
from .scopes import Bound, Frame, Scope, Slot, names_of


class Expressions(Calls):
    """Interprets expressions."""

    @abstractmethod
    def block(self, body: Iterable[ast.stmt]) -> None:
        """Interpret statements."""

    def expr(self, node: ast.expr | None) -> Value:
        """Evaluate an expression; return the objects that its value may be."""
        if node is None:
            return NOTHING
        visit: Callable[[Any], Value] = getattr(self, f"expr_{type(node).__name__}", self._parts)
        return visit(node)

    def alias(self, node: ast.expr) -> Value:
        """Evaluate the right side of an assignment.

        If the right side is only a name, the assignment makes an alias. This does not count as a use of the object.
        """
        if isinstance(node, ast.Name):
            return self.load(node.id, node.lineno)
        return self.expr(node)

    def _parts(self, node: ast.AST) -> Value:
        """Evaluate all subexpressions; return a new object that may call the functions in their values."""
        values: list[Value] = []
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                values.append(self.expr(child))
            elif not isinstance(child, ast.expr_context | ast.operator | ast.unaryop | ast.cmpop | ast.boolop):
                self._parts(child)
        everything = NOTHING.union(*values)
        if not everything:
            return NOTHING
        made = self.object_created_at("expression", node)
        made.carries |= self.carried(everything)
        made.origins |= origins(everything)
        return frozenset({made})

    def expr_Constant(self, node: ast.Constant) -> Value:
        return NOTHING

    def expr_Name(self, node: ast.Name) -> Value:
        value = self.use(self.load(node.id, node.lineno), node.lineno)
        if any(obj.kind is Kind.BUILTIN and obj.label == "__builtins__" for obj in value):
            self.note("opaque", node.id, node.lineno)
        return value

    def expr_Attribute(self, node: ast.Attribute) -> Value:
        base = self.expr(node.value)
        if node.attr in ("user_ns", "user_global_ns"):
            self.note("opaque", node.attr, node.lineno)
        if node.attr in ("__class__", "__dict__"):
            classes = NOTHING.union(*(obj.classes for obj in base))
            return classes if node.attr == "__class__" and classes else base
        taken: set[AbstractObject] = set()
        plain: set[AbstractObject] = set()
        for obj in base:
            if obj.kind in (Kind.IMPORT, Kind.BUILTIN):
                label = f"{obj.label}.{node.attr}"
                taken.add(self.object_created_at("attribute", label, label=label, kind=Kind.IMPORT))
            else:
                plain.add(obj)
        found = self.take(frozenset(plain), node.attr, node, node.lineno)
        return frozenset(taken) | self.attribute(found, node.attr, node, node.lineno, frozenset(plain))

    def attribute(self, taken: Value, key: object, place: object, line: int, base: Value = NOTHING) -> Value:
        """Return the value of an attribute, including bound methods and property results of the notebook's classes."""
        found = set(taken)
        for obj in base or NOTHING.union(*(each.part_of for each in taken)):
            if not isinstance(key, str) or not (obj.classes or obj.kind is Kind.CLASS):
                continue
            found |= class_attributes(obj, key)
            method, _ = method_of(obj, key)
            if method is None or method.code is None:
                continue
            own = frozenset({obj})
            if method.code.bound_to == "property" and obj.classes:
                found |= self.invoke(method, Arguments((own,)), CallSite(("property", place), line))
            elif obj.kind is Kind.CLASS or method.code.bound_to == "static" or not method.code.parameters:
                found.add(method)
            else:
                bound = self.object_created_at("bound", place, obj, label=key, kind=Kind.FUNCTION)
                bound.code = _without_first(method.code)
                bound.closure = {**method.closure, method.code.parameters[0]: own}
                self.fill(bound, own)
                found.add(bound)
        return frozenset(found)

    def expr_Subscript(self, node: ast.Subscript) -> Value:
        base = self.expr(node.value)
        self.expr(node.slice)
        if isinstance(node.slice, ast.Slice):
            made = self.object_created_at("slice", node)
            made.carries |= self.carried(base)
            made.origins |= origins(base)
            self.fill(made, self.inside(base, node, node.lineno))
            return frozenset({made})
        key = constant_key(node.slice)
        made = self.object_created_at("subscript", node)
        keys = NOTHING.union(*(only_keys(obj) for obj in base))
        for obj in base:
            held = (obj.holds | obj.carries) - keys if keys & obj.holds else {obj}
            made.carries |= self.carried(held)
        made.origins |= origins(base)
        if key is None and not any(obj.kind in SYMBOLIC for obj in base):
            # Indexing with a mask or a list of columns returns a copy; indexing with a variable may return any known
            # element.
            return (contents(base) - keys) | {made}
        return self.take(base, key, node, node.lineno) or frozenset({made})

    def expr_Starred(self, node: ast.Starred) -> Value:
        return self.inside(self.expr(node.value), node, node.lineno)

    def expr_IfExp(self, node: ast.IfExp) -> Value:
        self.expr(node.test)
        with self.maybe():
            first = self.alias(node.body)
        with self.maybe():
            second = self.alias(node.orelse)
        return first | second

    def expr_BoolOp(self, node: ast.BoolOp) -> Value:
        found = self.alias(node.values[0])
        for value in node.values[1:]:
            with self.maybe():
                found |= self.alias(value)
        return found

    def expr_NamedExpr(self, node: ast.NamedExpr) -> Value:
        value = self.alias(node.value)
        self.store(node.target.id, value, node.lineno)
        return value

    def expr_Compare(self, node: ast.Compare) -> Value:
        values = [self.expr(each) for each in (node.left, *node.comparators)]
        if any(isinstance(op, ast.Is | ast.IsNot) for op in node.ops) and self.frame.body_frame.code is None:
            for one, other in pairwise(values):
                self.log.compared |= one & other
        return NOTHING

    def expr_JoinedStr(self, node: ast.JoinedStr) -> Value:
        for value in node.values:
            self.expr(value)
        return NOTHING

    def expr_FormattedValue(self, node: ast.FormattedValue) -> Value:
        self.expr(node.value)
        self.expr(node.format_spec)
        return NOTHING

    def expr_BinOp(self, node: ast.BinOp) -> Value:
        # This is a loop, because the syntax tree of a long sum is nested deeper than Python's recursion limit.
        terms: list[ast.expr] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp):
            terms.append(left.right)
            left = left.left
        everything = self.expr(left).union(*[self.expr(term) for term in reversed(terms)])
        if not everything:
            return NOTHING
        made = self.object_created_at("expression", node)
        made.carries |= self.carried(everything)
        made.origins |= origins(everything)
        # The sum of two lists holds the elements of both lists.
        self.fill(made, self.inside(everything, node, node.lineno))
        return frozenset({made})

    def expr_UnaryOp(self, node: ast.UnaryOp) -> Value:
        value = self._parts(node)
        return NOTHING if isinstance(node.op, ast.Not) else value

    def expr_List(self, node: ast.List | ast.Tuple | ast.Set) -> Value:
        items = NOTHING.union(*(self.expr(each) for each in node.elts))
        made = self.object_created_at("display", node)
        self.fill(made, items)
        return frozenset({made})

    expr_Tuple = expr_Set = expr_List

    def expr_Dict(self, node: ast.Dict) -> Value:
        made = self.object_created_at("display", node)
        for key, value in zip(node.keys, node.values, strict=True):
            self.expr(key)
            found = self.expr(value)
            self.fill(made, contents(found) if key is None else found, text_key(key))
        return frozenset({made})

    def expr_Await(self, node: ast.Await) -> Value:
        return self._awaited(self.expr(node.value), node)

    def _awaited(self, value: Value, node: ast.Await) -> Value:
        symbolic = frozenset(obj for obj in value if obj.kind in SYMBOLIC)
        return outcomes(value - symbolic) | self.take(symbolic, AWAITED, node, node.lineno)

    def expr_Yield(self, node: ast.Yield) -> Value:
        code = self.frame.body_frame.code
        value = self.expr(node.value)
        if code is not None:
            code.result |= value
        return NOTHING

    def expr_YieldFrom(self, node: ast.YieldFrom) -> Value:
        code = self.frame.body_frame.code
        value = contents(self.expr(node.value))
        if code is not None:
            code.result |= value
        return NOTHING

    # -- scopes of their own

    def expr_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> Value:
        return self._comprehension(node, node.generators, [node.elt])

    expr_SetComp = expr_GeneratorExp = expr_ListComp

    def expr_DictComp(self, node: ast.DictComp) -> Value:
        return self._comprehension(node, node.generators, [node.key, node.value])

    def _comprehension(self, node: ast.expr, generators: list[ast.comprehension], elements: list[ast.expr]) -> Value:
        first = self.expr(generators[0].iter)
        local = names_of([each.target for each in generators]).bound
        made = self.object_created_at("display", node)
        with self.within(Frame(Scope.COMPREHENSION, self.frame, local=local)) as frame:
            for number, each in enumerate(generators):
                items = first if number == 0 else self.expr(each.iter)
                self._comprehension_target(each.target, self.element(items, each), frame)
                for condition in each.ifs:
                    self.expr(condition)
            with self.maybe():
                for element in elements:
                    key = KEYS if isinstance(node, ast.DictComp) and element is node.key else None
                    self.fill(made, self.effect(element, CallSite(element, element.lineno, shown=True)), key)
        return frozenset({made})

    def _comprehension_target(self, target: ast.expr, value: Value, frame: Frame) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found = value if node is target else value | contents(value)
                frame.names[node.id] = Slot(found, Bound.YES, node.lineno)

    def element(self, value: Value, place: object) -> Value:
        """Return an element of an iterable."""
        self.consume(value, getattr(place, "lineno", 1))
        symbolic = frozenset(obj for obj in value if obj.kind in SYMBOLIC)
        taken = self.take(symbolic, ITERATED, ("item", place), 0)
        return contents(value) | taken | self.unknown_element(value - symbolic, place)

    def expr_Lambda(self, node: ast.Lambda) -> Value:
        return frozenset({self.function(node, "<lambda>", [node.body])})

    def function(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda,
        name: str,
        body: list[ast.stmt] | list[ast.expr],
    ) -> AbstractObject:
        """Record the effects of a function's body as events, which each call replays. Defaults are evaluated now."""
        arguments = node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        named = [*positional, *arguments.kwonlyargs]
        objects = {each.arg: AbstractObject(Kind.PARAMETER, each.arg) for each in named}
        defaults = {}
        for each, default in zip(reversed(positional), reversed(arguments.defaults), strict=False):
            defaults[objects[each.arg]] = self.expr(default)
        for each, default_or_none in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            defaults[objects[each.arg]] = self.expr(default_or_none)
        names = names_of(body)
        code = FunctionEffects(name, node.lineno, tuple(objects[each.arg] for each in named), defaults=defaults)
        code.awaited = isinstance(node, ast.AsyncFunctionDef) and not names.generator
        code.lazy = names.generator or code.awaited
        if arguments.vararg is not None:
            code.rest = AbstractObject(Kind.PARAMETER, arguments.vararg.arg)
        if arguments.kwarg is not None:
            code.keywords = AbstractObject(Kind.PARAMETER, arguments.kwarg.arg)
        given = {obj.label: obj for obj in (*objects.values(), code.rest, code.keywords) if obj is not None}
        local = (names.bound | frozenset(given)) - names.globals - names.nonlocals
        made = self.object_created_at("function", node, label=name, kind=Kind.FUNCTION)
        frame = Frame(
            Scope.FUNCTION, self.frame, local=local, globals=names.globals, nonlocals=names.nonlocals, code=code
        )
        with self.within(frame), self.unconditionally():
            # An inner function also sees values that are assigned after its definition, so the body of the outer
            # function is interpreted twice.
            for _ in range(2 if names.nested else 1):
                self.unreachable = False
                frame.names = {each: Slot(frozenset({obj}), Bound.YES, node.lineno) for each, obj in given.items()}
                frame.global_slots = {}
                for label, obj in given.items():
                    frame.all_values[label] = frame.all_values.get(label, NOTHING) | {obj}
                for part in body:
                    if isinstance(part, ast.expr):
                        code.result |= self.effect(part, CallSite(part, part.lineno, shown=True))
                if body and isinstance(body[0], ast.stmt):
                    self.block(body)
        made.code = code
        self.fill(made, NOTHING.union(*defaults.values()) if defaults else ())
        return made

    # -- calls

    def effect(self, node: ast.expr, site: CallSite) -> Value:
        """Evaluate an expression statement, the body of a lambda, or an element of a comprehension."""
        if isinstance(node, ast.Await):
            return self._awaited(self.effect(node.value, site), node)
        if isinstance(node, ast.Call):
            return self.expr_Call(node, site)
        if isinstance(node, ast.BoolOp):
            self.expr(node.values[0])
            for value in node.values[1:]:
                with self.maybe():
                    self.effect(value, site)
            return NOTHING
        if isinstance(node, ast.IfExp):
            self.expr(node.test)
            for value in (node.body, node.orelse):
                with self.maybe():
                    self.effect(value, site)
            return NOTHING
        return self.expr(node)

    def expr_Call(self, node: ast.Call, site: CallSite | None = None) -> Value:
        site = site or CallSite(node, node.lineno)
        dropped = site.dropped and not plots_a_frame(node)
        site = CallSite(node, node.lineno, dropped, site.shown, is_inplace(node))
        function = node.func
        if is_shell(function):
            return self.shell_call(node, function.attr)  # type: ignore[attr-defined]
        if isinstance(function, ast.Name) and function.id == "super" and not node.args:
            return self._own()
        if not isinstance(function, ast.Attribute):
            callee = self.expr(function)
            return self.call(callee, self._arguments(node), site)
        base = self.expr(function.value)
        args = self._arguments(node)
        if function.attr in ("query", "eval"):
            self._query(node)
        if function.attr in known.EXCHANGES:
            self.note(*exchange(node, function.attr), node.lineno)
        if function.attr == "__subclasses__":
            self.note("subclasses", "__subclasses__()", node.lineno)
        name = self.dotted(function)
        if name:
            if name.startswith("duckdb.") and changes_database(node):
                self.note("duckdb/default", name, node.lineno)
            return self.call_named(name, args, site)
        if isinstance(function.value, ast.Attribute | ast.Call):
            self.note_path("called", self.path(function), node.lineno)
        found, change = self.call_method(base, function.attr, args, site)
        # The effect of a method call on a parameter is known only when the function is called.
        later = isinstance(function.value, ast.Name) and bool(base) and all(obj.kind in SYMBOLIC for obj in base)
        if change and not later:
            self.change_chain(function.value, base, node.lineno, strong=change == "strong")
        return found

    def path(self, node: ast.expr) -> str:
        """Return a chain such as `a.b().c` as text, with `()` for each call, or "" if `a` is no name."""
        ends = ""
        while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
            if isinstance(node, ast.Attribute):
                ends = f".{node.attr}{ends}"
                node = node.value
            elif isinstance(node, ast.Call):
                ends = f"(){ends}"
                node = node.func
            else:
                node = node.value
        return f"{node.id}{ends}" if isinstance(node, ast.Name) else ""

    def _own(self) -> Value:
        """Return the value of `super()`: the `self` of the method."""
        code = self.frame.body_frame.code
        return frozenset({code.parameters[0]}) if code is not None and code.parameters else NOTHING

    def _arguments(self, node: ast.Call) -> Arguments:
        positional: list[Value] = []
        spread = NOTHING
        for each in node.args:
            if isinstance(each, ast.Starred):
                spread |= self.expr(each)
            else:
                positional.append(self.expr(each))
        named: list[tuple[str, Value]] = []
        for keyword in node.keywords:
            if keyword.arg is None:
                spread |= contents(self.expr(keyword.value))
            else:
                named.append((keyword.arg, self.expr(keyword.value)))
        return Arguments(tuple(positional), tuple(named), spread)

    def change_chain(self, node: ast.expr, value: Value, line: int, *, strong: bool = True) -> None:
        """Record a change of an object such as `a.b[0].c`, which also changes `a`."""
        root = node
        while True:
            match root:
                case ast.Attribute(value=inner) | ast.Subscript(value=inner) | ast.Await(value=inner):
                    root = inner
                case ast.Call(func=ast.Attribute(value=inner, attr=method)) if not (
                    method in known.RETURN_NEW or (known.harmless(method) and method not in known.TAKE | known.REPACK)
                ):
                    root = inner
                case _:
                    break
        if not isinstance(root, ast.Name):
            self.change(value, line, strong=strong)
            return
        with self.optionally():
            own = self.load(root.id, root.lineno)
        if own and all(obj.kind in (Kind.IMPORT, Kind.BUILTIN) for obj in own):
            return
        self.change(value, line, strong=strong)
        self.change_name(root.id, own, line, strong=strong)

    def _query(self, node: ast.Call) -> None:
        """Record reads of the names in a query: `df.query("a > @t")` reads t."""
        for argument in node.args[:1] + [each.value for each in node.keywords if each.arg == "expr"]:
            for part in ast.walk(argument):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    for name in re.findall(r"@([^\W\d]\w*)", part.value):
                        self.use(self.load(name, node.lineno), node.lineno)

    @abstractmethod
    def shell_call(self, node: ast.Call, method: str) -> Value:
        """Interpret `get_ipython().…`, the form into which IPython translates magics and shell lines."""


def _without_first(code: FunctionEffects) -> FunctionEffects:
    """Return a method's code without its first parameter `self`, which the caller binds."""
    bound = FunctionEffects(
        code.name, code.line, code.parameters[1:], code.rest, code.keywords, code.defaults, code.events
    )
    bound.result, bound.own, bound.stateful = code.result, code.own, code.stateful
    bound.lazy, bound.awaited = code.lazy, code.awaited
    return bound
