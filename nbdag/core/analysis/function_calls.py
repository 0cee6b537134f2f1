"""Calls of functions that the notebook defines.

A call replays the recorded events of the function. In these events, the arguments replace the function's parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from .effects import Effects
from .objects import (
    NOTHING,
    SYMBOLIC,
    AbstractObject,
    Arguments,
    Call,
    Change,
    ClassModel,
    Delete,
    Event,
    FunctionEffects,
    Kind,
    Note,
    Read,
    StoreInObject,
    TakeFromObject,
    Value,
    Write,
    contents,
    hold,
    instance_of,
)

# Limits on how many calls are followed. Code that exceeds a limit is reported as code with unknown effects.
LIMIT = 300  # maximum number of calls followed in one statement
DEPTH = 15  # maximum depth of nested calls
MOST_STEPS = 500_000  # maximum number of objects visited for one cell
PLAIN_DEPTH = 3  # nesting depth beyond which equal calls of one function are followed only once


class CallSite(NamedTuple):
    """The place and the context of a call in the code."""

    place: object  # key of the place in the code; repeated calls at this place share it
    line: int
    dropped: bool = False  # whether the caller ignores the result
    shown: bool = False  # whether the call is the cell's last expression, so that its result is displayed
    inplace: bool = False  # whether the call has the argument inplace=True


class CallLimitError(Exception):
    """A call exceeds the limits. This module catches the error."""


class FunctionCalls(Effects, ABC):
    """Interprets calls of functions that the notebook defines."""

    active: tuple[FunctionEffects, ...] = ()  # functions that are being followed
    followed = 0  # calls since the start of the statement

    def __init__(self, outer: Callable[[str], Value | None]) -> None:
        super().__init__(outer)
        self.results: dict[object, Value] = {}  # results of calls followed since the start of the statement

    @abstractmethod
    def call(self, callee: Value, args: Arguments, site: CallSite) -> Value:
        """Call each object of a value; return the results of all these calls."""

    @abstractmethod
    def call_method(self, base: Value, method: str, args: Arguments, site: CallSite) -> tuple[Value, str]:
        """Call a method; return its result and how the method changes its object.

        If the method's code is known, the second item is "". Otherwise it is the result of `Calls.changes`.
        """

    @abstractmethod
    def call_held_functions(self, functions: Value, args: Arguments, site: CallSite) -> Value:
        """Call the functions that an object holds, because a call of the object may call them."""

    @property
    def limit_reached(self) -> bool:
        """Return whether a limit is reached, so that no further call is followed."""
        return self.followed > LIMIT or self.steps > MOST_STEPS

    def invoke(self, obj: AbstractObject, args: Arguments, site: CallSite) -> Value:
        """Follow a call of a function that the notebook defines."""
        code = obj.code
        assert code is not None
        self.followed += 1
        if self.active:
            if self.limit_reached or len(self.active) > DEPTH:
                raise CallLimitError
            return self._follow_again(obj, code, args, site)
        try:
            if not self.limit_reached:
                return self._follow(obj, code, args, site)
        except CallLimitError:
            self.active = ()
        self.note("tangle", f"the large number of nested calls in {code.name}()", site.line)
        return self._unknown(obj, site)

    def _unknown(self, obj: AbstractObject, site: CallSite) -> Value:
        unknown = self.object_created_at("unknown", site.place)
        unknown.carries.add(obj)
        return frozenset({unknown})

    def _follow_again(self, obj: AbstractObject, code: FunctionEffects, args: Arguments, site: CallSite) -> Value:
        """Follow a nested call; reuse the result of an equal call that was followed before."""
        if code in self.active:
            return self._unknown(obj, site) | args.all()
        if len(self.active) < PLAIN_DEPTH:
            return self._follow(obj, code, args, site)
        again = (obj, args, self.bindings)
        if again not in self.results:
            self.results[again] = self._follow(obj, code, args, site)
        return self.results[again]

    def _follow(self, obj: AbstractObject, code: FunctionEffects, args: Arguments, site: CallSite) -> Value:
        self.steps += 3 * len(args.spread)
        memo = _bind(
            code,
            args,
            self.object_created_at("rest", site.place, code),
            self.object_created_at("keywords", site.place, code),
        )
        memo = {**obj.closure, **memo}
        before = self.active
        self.active = (*before, code)
        try:
            with ExitStack() as stack:
                if code.lazy:
                    stack.enter_context(self.optionally())
                for event in tuple(code.events.values()):
                    self._apply(event, code, memo, site)
                result = self._substitute(code.result, code, memo, site)
        finally:
            self.active = before
        if code.stateful:
            self.change(frozenset({obj}), site.line)
        if code.cached and self.frame.body_frame.code is None:
            for each in result:
                each.kept_by = code.name
        if code.lazy:
            # The body of a generator runs later, while the generator is consumed, so the generator holds the arguments.
            lazy = self.object_created_at("lazy", site.place, code)
            lazy.consumable = True
            lazy.carries |= self.carried({obj})
            self.fill(lazy, args.all() | result)
            # The arguments may change before the body runs, so a result may also hold what the arguments hold by then.
            # A function among the arguments is part of a result only if the body returns that function.
            functions = frozenset(obj for obj in args.all() if obj.kind is Kind.FUNCTION)
            given = (args.all() - functions) | contents(functions)
            if code.awaited and given:
                late = self.object_created_at("late", site.place, code)
                self.fill(late, given)
                self.fill(lazy, {late})
                given = frozenset({late})
            lazy.yields = (lazy.yields or set()) | result | given
            result |= {lazy}
        return result

    def _apply(self, event: Event, code: FunctionEffects, memo: dict[AbstractObject, Value], site: CallSite) -> None:
        line = site.line
        match event:
            case Read(name=name, soft=soft):
                with ExitStack() as stack:
                    if soft:
                        stack.enter_context(self.optionally())
                    self.use(self.load_global(name, line), line)
            case Write(name=name, value=value, maybe=maybe):
                self.store_global(name, self._substitute(value, code, memo, site), line, maybe)
            case Delete(name=name, maybe=maybe):
                with ExitStack() as stack:
                    if maybe:
                        stack.enter_context(self.maybe())
                    self._drop_global(name, line)
            case Change(value=value, strong=strong):
                for each in value:
                    put = self._substitute(frozenset({each}), code, memo, site)
                    if each.kind is Kind.GLOBAL:
                        self.change_name(each.label, put, line, strong=strong)
                    else:
                        self.change(put, line, strong=strong)
            case StoreInObject(base=base, item=item, key=key):
                self.hold(self._substitute(base, code, memo, site), self._substitute(item, code, memo, site), line, key)
            case TakeFromObject(base=base, key=key, result=result):
                place = ("part", site.place, result)
                taken = self.take(self._substitute(base, code, memo, site), key, place, line)
                memo[result] = memo.get(result, NOTHING) | self.attribute(taken, key, place, line)
            case Call():
                with ExitStack() as stack:
                    if event.maybe:
                        stack.enter_context(self.maybe())
                    found = self._call_now(event, code, memo, site)
                memo[event.result] = memo.get(event.result, NOTHING) | found
            case Note(kind="assigned" | "called" as kind, text=text):
                self.note_path(kind, text, line)
            case Note(kind=kind, text=text):
                self.note(kind, text, line)

    def _call_now(self, event: Call, code: FunctionEffects, memo: dict[AbstractObject, Value], site: CallSite) -> Value:
        callee = self._substitute(event.callee, code, memo, site)
        args = Arguments(
            tuple(self._substitute(value, code, memo, site) for value in event.args.positional),
            tuple((name, self._substitute(value, code, memo, site)) for name, value in event.args.named),
            self._substitute(event.args.spread, code, memo, site),
        )
        here = CallSite(
            (site.place, event.result), site.line, dropped=bool(event.changes), inplace=event.changes == "strong"
        )
        if event.method is None:
            return self.call(callee, args, here)
        if event.method == "<decorate>":
            codes = frozenset(obj for obj in callee if obj.code is not None or obj.kind in SYMBOLIC)
            return (self.call(codes, args, here) if codes else NOTHING) or args.all()
        if event.method == "<perhaps>":
            functions = frozenset(obj for obj in callee | contents(callee) if obj.kind is Kind.FUNCTION)
            later = frozenset(obj for obj in callee if obj.kind in SYMBOLIC)
            found = self.call_held_functions(functions, args, here)
            if later and self.frame.body_frame.code is not None:
                self.event(("argument", here.place, later), event._replace(callee=later, args=args))
                found |= {event.result}
            return found
        result, change = self.call_method(callee, event.method, args, here)
        if change:
            for each in event.callee:
                put = self._substitute(frozenset({each}), code, memo, site)
                if each.kind is Kind.GLOBAL:
                    self.change_name(each.label, put, site.line, strong=change == "strong")
                else:
                    self.change(put, site.line, strong=change == "strong")
        return result

    def _drop_global(self, name: str, line: int) -> None:
        self.load_global(name, line)
        with self.within(self.frame.body_frame):
            frame = self.frame
            frame.globals, before = frame.globals | {name}, frame.globals
            self.drop(name, line)
            frame.globals = before

    def _substitute(
        self, value: Value, code: FunctionEffects, memo: dict[AbstractObject, Value], site: CallSite
    ) -> Value:
        """Return a value with the function's symbolic objects replaced by the caller's objects."""
        if not value:
            return value
        found: set[AbstractObject] = set()
        for obj in value:
            if obj in memo:
                found |= memo[obj]
            elif obj.kind is Kind.GLOBAL:
                with self.optionally():
                    found |= self.load_global(obj.label, site.line)
            elif obj in code.own:
                made = self.object_created_at("own", site.place, obj, label=obj.label, kind=obj.kind)
                memo[obj] = frozenset({made})
                made.consumable = obj.consumable
                made.code = obj.code
                made.outline = obj.outline and self._substitute_outline(obj.outline, code, memo, site)
                self.fill(
                    made, self._substitute(frozenset(obj.holds.difference(*obj.keyed.values())), code, memo, site)
                )
                for key, items in obj.keyed.items():
                    self.fill(made, self._substitute(frozenset(items), code, memo, site), key)
                instance_of(made, self._substitute(frozenset(obj.classes), code, memo, site))
                made.carries |= self._substitute(frozenset(obj.carries), code, memo, site)
                if obj.yields is not None:
                    made.yields = (made.yields or set()) | self._substitute(frozenset(obj.yields), code, memo, site)
                made.origins |= obj.origins
                made.part_of |= self._substitute(frozenset(obj.part_of), code, memo, site)
                if obj.code is not None:
                    made.closure = {**obj.closure, **memo}
                    self.fill(made, NOTHING.union(*(memo[p] for p in code.parameters if p in memo)))
                found.add(made)
            elif obj.kind is Kind.RESULT or (obj.kind is Kind.PARAMETER and self.frame.body_frame.code is None):
                continue
            else:
                found.add(obj)
        return frozenset(found)

    def _substitute_outline(
        self, outline: ClassModel, code: FunctionEffects, memo: dict[AbstractObject, Value], site: CallSite
    ) -> ClassModel:
        methods = {}
        for name, method in outline.methods.items():
            put = self._substitute(frozenset({method}), code, memo, site)
            methods[name] = next((obj for obj in put if obj.code is not None), method)
        return ClassModel(methods, self._substitute(outline.bases, code, memo, site), outline.known, outline.state)

    @abstractmethod
    def attribute(self, taken: Value, key: object, place: object, line: int, base: Value = NOTHING) -> Value:
        """Return the value of an attribute, including bound methods and property results of the notebook's classes."""


def _bind(
    code: FunctionEffects, args: Arguments, rest: AbstractObject, keywords: AbstractObject
) -> dict[AbstractObject, Value]:
    memo: dict[AbstractObject, Value] = {}
    parameters = list(code.parameters)
    for parameter, value in zip(parameters, args.positional, strict=False):
        memo[parameter] = value
    hold({rest}, NOTHING.union(*args.positional[len(parameters) :], args.spread))
    by_name = {parameter.label: parameter for parameter in parameters}
    for name, value in args.named:
        if name in by_name:
            memo[by_name[name]] = memo.get(by_name[name], NOTHING) | value
        else:
            hold({keywords}, value)
    hold({keywords}, args.spread)
    for parameter in parameters:
        if parameter not in memo:
            memo[parameter] = args.spread | code.defaults.get(parameter, NOTHING)
    if code.rest is not None:
        memo[code.rest] = frozenset({rest})
    if code.keywords is not None:
        memo[code.keywords] = frozenset({keywords})
    return memo
