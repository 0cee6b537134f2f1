"""What a call of a function of the notebook does, from what its code was read to do.

The things of the call take the places of the function's parameters, and each of its events happens here and now.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from .effects import Effects
from .objects import (
    NOTHING,
    SYMBOLIC,
    Call,
    Change,
    Code,
    Delete,
    Event,
    Given,
    Hold,
    Kind,
    Note,
    Outline,
    Part,
    Read,
    Thing,
    Value,
    Write,
    contents,
    hold,
    instance_of,
)

# Calls followed for one statement, and how deep. A tangle beyond that is not worth following, and is said to be one.
LIMIT = 300
DEPTH = 15
MOST_STEPS = 500_000  # objects looked through for one cell
PLAIN_DEPTH = 3  # deeper calls of one function with the same arguments are taken to do the same


class Way(NamedTuple):
    """How a call stands in the code."""

    place: object  # identifies it
    line: int
    dropped: bool = False  # its result is not used
    shown: bool = False  # its result is displayed, as the cell's last expression
    inplace: bool = False  # inplace=True


class TangledError(Exception):
    """Calls lead to calls for longer than it is worth following them; never leaves this module."""


class Follow(Effects):
    """Follows functions of the notebook."""

    active: tuple[Code, ...] = ()  # functions that are being followed
    followed = 0  # calls since the statement began

    def __init__(self, outer: Callable[[str], Value | None]) -> None:
        super().__init__(outer)
        self.results: dict[object, Value] = {}  # of calls that have been followed, since the statement began

    def call(self, callee: Value, given: Given, way: Way) -> Value:
        """Call whatever a value may be."""
        raise NotImplementedError

    def call_method(self, base: Value, method: str, given: Given, way: Way) -> tuple[Value, str]:
        """Call a method."""
        raise NotImplementedError

    def call_hidden(self, functions: Value, given: Given, way: Way) -> Value:
        """Functions that an object hides may be called when it is."""
        raise NotImplementedError

    @property
    def tangled(self) -> bool:
        """Whether calls are followed no further, for this statement or the whole cell."""
        return self.followed > LIMIT or self.steps > MOST_STEPS

    def invoke(self, thing: Thing, given: Given, way: Way) -> Value:
        """Follow a function of the notebook."""
        code = thing.code
        assert code is not None
        self.followed += 1
        if self.active:
            if self.tangled or len(self.active) > DEPTH:
                raise TangledError
            return self._follow_again(thing, code, given, way)
        try:
            if not self.tangled:
                return self._follow(thing, code, given, way)
        except TangledError:
            self.active = ()
        self.note("tangle", f"the tangle of calls in {code.name}()", way.line)
        return self._unknown(thing, way)

    def _unknown(self, thing: Thing, way: Way) -> Value:
        unknown = self.fresh("unknown", way.place)
        unknown.carries.add(thing)
        return frozenset({unknown})

    def _follow_again(self, thing: Thing, code: Code, given: Given, way: Way) -> Value:
        """Follow a call within a call, unless the same was done before."""
        if code in self.active:
            return self._unknown(thing, way) | given.all()
        if len(self.active) < PLAIN_DEPTH:
            return self._follow(thing, code, given, way)
        again = (thing, given, self.bindings)
        if again not in self.results:
            self.results[again] = self._follow(thing, code, given, way)
        return self.results[again]

    def _follow(self, thing: Thing, code: Code, given: Given, way: Way) -> Value:
        self.steps += 3 * len(given.spread)
        memo = _bind(code, given, self.fresh("rest", way.place, code), self.fresh("keywords", way.place, code))
        memo = {**thing.closure, **memo}
        before = self.active
        self.active = (*before, code)
        try:
            with ExitStack() as stack:
                if code.lazy:
                    stack.enter_context(self.softly())
                for event in tuple(code.events.values()):
                    self._happen(event, code, memo, way)
                result = self._put(code.result, code, memo, way)
        finally:
            self.active = before
        if code.stateful:
            self.change(frozenset({thing}), way.line)
        if code.lazy:
            # What it does happens while it is consumed: whoever holds the generator holds what it was given.
            lazy = self.fresh("lazy", way.place, code)
            lazy.carries |= self.carried({thing})
            self.fill(lazy, given.all() | result)
            result |= {lazy}
        return result

    def _happen(self, event: Event, code: Code, memo: dict[Thing, Value], way: Way) -> None:
        line = way.line
        match event:
            case Read(name=name, soft=soft):
                with ExitStack() as stack:
                    if soft:
                        stack.enter_context(self.softly())
                    self.use(self.load_global(name, line), line)
            case Write(name=name, value=value, maybe=maybe):
                self.store_global(name, self._put(value, code, memo, way), line, maybe)
            case Delete(name=name, maybe=maybe):
                with ExitStack() as stack:
                    if maybe:
                        stack.enter_context(self.perhaps())
                    self._drop_global(name, line)
            case Change(value=value, strong=strong):
                for each in value:
                    put = self._put(frozenset({each}), code, memo, way)
                    if each.kind is Kind.GLOBAL:
                        self.change_name(each.label, put, line, strong=strong)
                    else:
                        self.change(put, line, strong=strong)
            case Hold(base=base, item=item, key=key):
                self.hold(self._put(base, code, memo, way), self._put(item, code, memo, way), line, key)
            case Part(base=base, key=key, result=result):
                place = ("part", way.place, result)
                taken = self.take(self._put(base, code, memo, way), key, place, line)
                memo[result] = memo.get(result, NOTHING) | self.look(taken, key, place, line)
            case Call():
                with ExitStack() as stack:
                    if event.maybe:
                        stack.enter_context(self.perhaps())
                    found = self._call_now(event, code, memo, way)
                memo[event.result] = memo.get(event.result, NOTHING) | found
            case Note(kind=kind, text=text):
                self.note(kind, text, line)

    def _call_now(self, event: Call, code: Code, memo: dict[Thing, Value], way: Way) -> Value:
        callee = self._put(event.callee, code, memo, way)
        given = Given(
            tuple(self._put(value, code, memo, way) for value in event.given.positional),
            tuple((name, self._put(value, code, memo, way)) for name, value in event.given.named),
            self._put(event.given.spread, code, memo, way),
        )
        here = Way((way.place, event.result), way.line, dropped=bool(event.changes), inplace=event.changes == "strong")
        if event.method is None:
            return self.call(callee, given, here)
        if event.method == "<decorate>":
            codes = frozenset(thing for thing in callee if thing.code is not None or thing.kind in SYMBOLIC)
            return (self.call(codes, given, here) if codes else NOTHING) or given.all()
        if event.method == "<perhaps>":
            functions = frozenset(thing for thing in callee | contents(callee) if thing.kind is Kind.FUNCTION)
            later = frozenset(thing for thing in callee if thing.kind in SYMBOLIC)
            found = self.call_hidden(functions, given, here)
            if later and self.frame.home.code is not None:
                self.event(("argument", here.place, later), event._replace(callee=later, given=given))
                found |= {event.result}
            return found
        result, change = self.call_method(callee, event.method, given, here)
        if change:
            for each in event.callee:
                put = self._put(frozenset({each}), code, memo, way)
                if each.kind is Kind.GLOBAL:
                    self.change_name(each.label, put, way.line, strong=change == "strong")
                else:
                    self.change(put, way.line, strong=change == "strong")
        return result

    def _drop_global(self, name: str, line: int) -> None:
        self.load_global(name, line)
        with self.within(self.frame.home):
            frame = self.frame
            frame.globals, before = frame.globals | {name}, frame.globals
            self.drop(name, line)
            frame.globals = before

    def _put(self, value: Value, code: Code, memo: dict[Thing, Value], way: Way) -> Value:
        """The caller's things for a function's."""
        if not value:
            return value
        found: set[Thing] = set()
        for thing in value:
            if thing in memo:
                found |= memo[thing]
            elif thing.kind is Kind.GLOBAL:
                with self.softly():
                    found |= self.load_global(thing.label, way.line)
            elif thing in code.own:
                made = self.fresh("own", way.place, thing, label=thing.label, kind=thing.kind)
                memo[thing] = frozenset({made})
                made.code = thing.code
                made.outline = thing.outline and self._put_outline(thing.outline, code, memo, way)
                self.fill(made, self._put(frozenset(thing.holds.difference(*thing.keyed.values())), code, memo, way))
                for key, items in thing.keyed.items():
                    self.fill(made, self._put(frozenset(items), code, memo, way), key)
                instance_of(made, self._put(frozenset(thing.classes), code, memo, way))
                made.carries |= self._put(frozenset(thing.carries), code, memo, way)
                made.part_of |= self._put(frozenset(thing.part_of), code, memo, way)
                if thing.code is not None:
                    made.closure = {**thing.closure, **memo}
                    self.fill(made, NOTHING.union(*(memo[p] for p in code.parameters if p in memo)))
                found.add(made)
            elif thing.kind is Kind.RESULT or (thing.kind is Kind.PARAMETER and self.frame.home.code is None):
                continue
            else:
                found.add(thing)
        return frozenset(found)

    def _put_outline(self, outline: Outline, code: Code, memo: dict[Thing, Value], way: Way) -> Outline:
        methods = {}
        for name, method in outline.methods.items():
            put = self._put(frozenset({method}), code, memo, way)
            methods[name] = next((thing for thing in put if thing.code is not None), method)
        return Outline(methods, self._put(outline.bases, code, memo, way), outline.known, outline.state)

    def look(self, taken: Value, key: object, place: object, line: int, base: Value = NOTHING) -> Value:
        """What an attribute is, where classes of the notebook say more than objects do."""
        raise NotImplementedError


def _bind(code: Code, given: Given, rest: Thing, keywords: Thing) -> dict[Thing, Value]:
    memo: dict[Thing, Value] = {}
    parameters = list(code.parameters)
    for parameter, value in zip(parameters, given.positional, strict=False):
        memo[parameter] = value
    hold({rest}, NOTHING.union(*given.positional[len(parameters) :], given.spread))
    by_name = {parameter.label: parameter for parameter in parameters}
    for name, value in given.named:
        if name in by_name:
            memo[by_name[name]] = memo.get(by_name[name], NOTHING) | value
        else:
            hold({keywords}, value)
    hold({keywords}, given.spread)
    for parameter in parameters:
        if parameter not in memo:
            memo[parameter] = given.spread | code.defaults.get(parameter, NOTHING)
    if code.rest is not None:
        memo[code.rest] = frozenset({rest})
    if code.keywords is not None:
        memo[code.keywords] = frozenset({keywords})
    return memo
