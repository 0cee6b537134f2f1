"""What a call does.

A function or method that the notebook defines is followed: the things of the call take the places of its parameters,
and its effects happen here. Of any other, what is known by name counts; what is not known leaves its arguments alone,
may call the functions among them, and changes the object that it is a method of if its result is dropped.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from contextlib import ExitStack

from . import known
from .follow import Follow, Way
from .objects import CODE, NOTHING, SYMBOLIC, Call, Given, Kind, Thing, Value, contents, instance_of, method_of

DECORATOR = "a decorator of a library"


class Calls(Follow):
    """Follows calls."""

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
            self.hold(base, self.inside(given.all(), ("stored", way.place), way.line), way.line)
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
            self.fill(made, self.inside(base | given.all(), ("repacked", way.place), way.line))
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
            self.fill(made, self.inside(given.all(), ("repacked", way.place), way.line))
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


def _order(thing: Thing) -> int:
    return thing.number
