"""What a call does.

A function or method that the notebook defines is followed: the things of the call take the places of its parameters,
and its effects happen here. Of any other, what is known by name counts; what is not known leaves its arguments alone,
may call the functions among them, and changes the object that it is a method of if its result is dropped.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import NamedTuple

from . import known
from .effects import Effects
from .objects import (
    CODE,
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
    method_of,
)

# Calls followed for one statement, and how deep. A tangle beyond that is not worth following, and is said to be one.
LIMIT = 300
DEPTH = 15
MOST_STEPS = 500_000  # objects looked through for one cell
PLAIN_DEPTH = 3  # deeper calls of one function with the same arguments are taken to do the same


DECORATOR = "a decorator of a library"


class Way(NamedTuple):
    """How a call stands in the code."""

    place: object  # identifies it
    line: int
    dropped: bool = False  # its result is not used
    shown: bool = False  # its result is displayed, as the cell's last expression
    inplace: bool = False  # inplace=True


class TangledError(Exception):
    """Calls lead to calls for longer than it is worth following them; never leaves this module."""


class Calls(Effects):
    """Follows calls."""

    active: tuple[Code, ...] = ()  # functions that are being followed
    followed = 0  # calls since the statement began

    def __init__(self, outer: Callable[[str], Value | None]) -> None:
        super().__init__(outer)
        self.results: dict[object, Value] = {}  # of calls that have been followed, since the statement began

    def changes(self, method: str, way: Way) -> str:
        """How a method that cannot be followed treats its object: "", "weak" or "strong"."""
        if way.inplace or method in known.ALWAYS_CHANGE:
            return "strong"
        if (way.dropped or way.shown) and method in known.MUTATORS:
            return "strong"
        if way.dropped and not known.harmless(method):
            return "weak"
        return ""

    # -- methods

    def call_method(self, base: Value, method: str, given: Given, way: Way) -> tuple[Value, str]:
        """Call a method. The second answer says how it treats its object, where it could not be followed."""
        result: set[Thing] = set()
        change = ""
        symbolic = frozenset(thing for thing in base if thing.kind in SYMBOLIC)
        plain: set[Thing] = set()
        for thing in sorted(base - symbolic, key=_order):
            found, certain = (None, False)
            if thing.kind is Kind.CLASS or thing.classes:
                found, certain = method_of(thing, method)
            if found is not None:
                result |= self._follow_method(thing, found, given, way)
                if certain:
                    continue
            if thing.kind is Kind.IMPORT or thing.kind is Kind.BUILTIN:
                result |= self.call_named(f"{thing.label}.{method}", given, way)
            elif certain:
                # Not a method of its class: a function kept in an attribute.
                result |= self.call(frozenset(t for t in contents({thing}) if t.kind in CODE), given, way)
            else:
                plain.add(thing)
        if symbolic:
            change = self.changes(method, way)
            result |= self._later(symbolic, method, given, way, change)
        if plain or not base:
            change = self.changes(method, way) or change
            result |= self._unknown_method(frozenset(plain), method, given, way)
        return frozenset(result), change

    def _follow_method(self, thing: Thing, method: Thing, given: Given, way: Way) -> Value:
        bound_to = method.code.bound_to if method.code is not None else ""
        if bound_to == "static" or (thing.kind is Kind.CLASS and bound_to != "class"):
            return self.invoke(method, given, way)
        own = frozenset(thing.classes or {thing}) if bound_to == "class" and thing.kind is not Kind.CLASS else {thing}
        return self.invoke(method, given._replace(positional=(frozenset(own), *given.positional)), way)

    def _unknown_method(self, base: Value, method: str, given: Given, way: Way) -> Value:
        if method in known.STORE:
            # The first of two is a key or a position.
            stored = given._replace(positional=given.positional[1:]) if len(given.positional) > 1 else given
            self.hold(base, stored.all(), way.line)
        elif method in known.STORE_CONTENTS:
            for name, value in given.named:
                self.hold(base, value, way.line, ("key", name))
            self.hold(base, contents(given.all()), way.line)
        for thing in base:
            # An attribute or key may hold a function, and the object may be one that wraps others.
            if method == "__call__" or (thing.parts and method in thing.parts):
                self.call_hidden(self.carried({thing}), given, way)
        self.call_arguments(given, way, also=base)
        made = self.fresh("method", way.place)
        made.carries |= self.carried(base) | self.carried(given.all())
        result: set[Thing] = {made}
        if method in known.RETURN_SELF:
            result |= base
        if method in known.TAKE:
            result |= contents(base) | self.take(base, None, ("take", way.place), way.line)
            result |= NOTHING.union(*given.positional[1:]) if method == "setdefault" else NOTHING
        elif method in known.REPACK:
            self.fill(made, contents(base) | contents(given.all()))
        return frozenset(result)

    # -- functions

    def call(self, callee: Value, given: Given, way: Way) -> Value:
        """Call whatever a value may be."""
        result: set[Thing] = set()
        symbolic = frozenset(thing for thing in callee if thing.kind in SYMBOLIC)
        for thing in sorted(callee - symbolic, key=_order):
            if thing.code is not None:
                result |= self.invoke(thing, given, way)
            elif thing.kind is Kind.CLASS:
                result |= self.construct(thing, given, way)
            elif thing.kind in (Kind.IMPORT, Kind.BUILTIN):
                result |= self.call_named(thing.label, given, way)
            else:
                found, certain = method_of(thing, "__call__")
                if found is not None:
                    result |= self._follow_method(thing, found, given, way)
                if not certain:
                    if thing.label == DECORATOR and given.positional:
                        result |= given.positional[0]
                        continue
                    result |= self.call_hidden(self.carried({thing}) - {thing}, given, way)
                    result |= self.call_named("", given, way)
        if symbolic:
            result |= self._later(symbolic, None, given, way, "")
        if not callee:
            result |= self.call_named("", given, way)
        return frozenset(result)

    def _later(self, callee: Value, method: str | None, given: Given, way: Way, change: str) -> Value:
        if self.frame.home.code is None:
            return frozenset({self.fresh("unknown", way.place)})
        result = self.fresh("result", way.place, kind=Kind.RESULT)
        event = Call(callee, method, given, way.line, self.perhaps_depth > 0, change, result)
        self.event(("call", way.place, callee, given), event)
        return frozenset({result})

    def call_named(self, name: str, given: Given, way: Way) -> Value:
        """Call a function of a library, or one that nothing is known of (an empty name)."""
        line = way.line
        first = given.positional[0] if given.positional else NOTHING
        if name in known.CHANGE_FIRST:
            self.change(first, line)
            if name == "setattr" or name.endswith((".append", ".add", "heappush", "insort")):
                self.hold(first, given.all() - first, line)
        for keyword, value in given.named:
            if keyword == "out":
                self.change(value, line)
        if name in known.HIDING and not (name in known.HIDING_WITHOUT_ARGUMENTS and given.positional):
            self.note("opaque", f"{name}()", line)
        elif name in known.SEEDS:
            self.note("seed", name, line)
        elif name in known.SETS_ENVIRONMENT:
            self.note("environment", name, line)
        elif name in known.SETS_DIRECTORY:
            self.note("directory", name, line)
        if name in known.PLAIN_RESULT:
            return NOTHING
        found = self.call_arguments(given, way)
        if name in known.PASS_THROUGH and any(thing.kind in CODE for thing in first) and name != "functools.wraps":
            return first
        if name == "type" and len(given.positional) == 1:
            return NOTHING.union(*(thing.classes for thing in first)) or first
        made = self.fresh("call", way.place)
        made.carries |= self.carried(given.all())
        result: set[Thing] = {made}
        self.fill(made, found)
        if name in known.PASS_THROUGH:
            made.label = DECORATOR
        elif name in known.REPACK_CALLS:
            self.fill(made, contents(given.all()))
            self.fill(made, NOTHING.union(*(value for _, value in given.named)))
            if name in ("zip", "enumerate", "map", "filter", "iter", "reversed"):
                self.fill(made, given.all())
        elif name in known.PICK_CALLS:
            result |= contents(given.all()) | (given.all() if name != "next" else NOTHING)
        elif name.endswith("partial"):
            self.fill(made, given.all())
        else:
            result |= found
        return frozenset(result)

    def call_arguments(self, given: Given, way: Way, also: Value = NOTHING) -> Value:
        """Functions handed to something that is not known may be called by it, with anything else that it got."""
        if not given.positional and not given.named and not given.spread:
            return NOTHING
        everything = given.all()
        functions = {thing for thing in everything | contents(everything) if thing.kind is Kind.FUNCTION}
        symbolic = {thing for thing in everything if thing.kind in SYMBOLIC}
        if not functions and not symbolic:
            return NOTHING
        found: set[Thing] = set()
        rest = (everything | also) - functions
        handed = Given(spread=frozenset(rest | contents(rest)))
        with self.perhaps():
            for thing in sorted(functions, key=_order):
                with ExitStack() as stack:
                    if thing.label != "<lambda>":
                        stack.enter_context(self.softly())
                    found |= self.invoke(thing, handed, way._replace(place=("argument", way.place, thing)))
            if symbolic and self.frame.home.code is not None:
                # A parameter may turn out to be a function, once the caller is known.
                result = self.fresh("argument", way.place, kind=Kind.RESULT)
                event = Call(frozenset(symbolic), "<perhaps>", handed, way.line, True, "", result)
                self.event(("argument", way.place, event.callee), event)
                found.add(result)
        return frozenset(found)

    def call_hidden(self, functions: Iterable[Thing], given: Given, way: Way) -> Value:
        """Functions that an object hides may be called when it is."""
        found: set[Thing] = set()
        if self.tangled:
            return NOTHING
        with self.perhaps(), self.softly():
            for thing in sorted((each for each in functions if each.kind is Kind.FUNCTION), key=_order):
                everything = given.all()
                handed = Given(spread=everything | contents(everything))
                found |= self.invoke(thing, handed, way._replace(place=("hidden", way.place, thing)))
        return frozenset(found)

    def construct(self, thing: Thing, given: Given, way: Way) -> Value:
        """Make an instance."""
        made = instance_of(self.fresh("instance", way.place, thing), {thing})
        self.use(frozenset({thing}), way.line)
        found, certain = method_of(thing, "__init__")
        if found is not None:
            positional = (frozenset({made}), *given.positional)
            self.invoke(found, given._replace(positional=positional), way._replace(place=("init", way.place)))
        if found is None or not certain:
            self.fill(made, given.all())  # a data class keeps what it is given
        for name in ("__new__", "__post_init__"):
            hook, _ = method_of(thing, name)
            if hook is not None:
                own = {thing} if name == "__new__" else {made}
                handed = given._replace(positional=(frozenset(own), *given.positional))
                self.invoke(hook, handed, way._replace(place=(name, way.place)))
        return frozenset({made})

    # -- following

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

    # -- names of libraries

    def dotted(self, node: ast.expr) -> str:
        """The dotted name of a library's function or object, by what the names stand for here; else empty."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        with self.softly():
            value = self.load(node.id, node.lineno)
        roots = {thing.label for thing in value if thing.kind is Kind.IMPORT}
        return ".".join([roots.pop(), *reversed(parts)]) if len(roots) == 1 and len(value) == 1 else ""


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


def _order(thing: Thing) -> int:
    return thing.number
