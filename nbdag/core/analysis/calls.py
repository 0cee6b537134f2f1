"""Effects of calls.

A call of a function or method that the notebook defines is followed: the arguments replace the parameters, and the call
has the effects of the function's body. For any other call, `known` lists the effects by name. An unknown function is
assumed not to change its arguments, but it may call the functions among them. An unknown method is assumed to change
its object if the caller ignores the method's result. The result of an unknown function may hold any argument, even a
function. A function or method in `known.CALLS` or `known.METHODS_CALL`, such as `map`, calls one of its arguments. The
results of `map` do not hold the called function. Only the iterator or future that yields the results
(`AbstractObject.yields`) holds the called function.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from contextlib import ExitStack

from . import known
from .function_calls import CallSite, FunctionCalls
from .objects import (
    CODE,
    NOTHING,
    SYMBOLIC,
    AbstractObject,
    Arguments,
    Call,
    Kind,
    Value,
    contents,
    instance_of,
    method_of,
    origins,
    outcomes,
)

PARTIAL = "a partial"  # label of an object that functools.partial returns
DECORATOR = "a decorator of a library"  # label of an object that a library's decorator returns


class Calls(FunctionCalls):
    """Interprets calls."""

    def changes(self, method: str, site: CallSite) -> str:
        """Return how a method whose code is unknown changes its object: "" (no change), "weak" or "strong".

        See `objects.Change` for "strong".
        """
        if site.inplace or method in known.ALWAYS_CHANGE:
            return "strong"
        if (site.dropped or site.shown) and method in known.MUTATORS:
            return "strong"
        if site.dropped and not known.harmless(method):
            return "weak"
        return ""

    # -- methods

    def call_method(self, base: Value, method: str, args: Arguments, site: CallSite) -> tuple[Value, str]:
        """Call a method; return its result and how the method changes its object.

        If the method's code is known, the second item is "". Otherwise it is the result of `changes`.
        """
        result: set[AbstractObject] = set()
        change = ""
        symbolic = frozenset(obj for obj in base if obj.kind in SYMBOLIC)
        plain: set[AbstractObject] = set()
        for obj in sorted(base - symbolic, key=_order):
            found, certain = (None, False)
            if obj.kind is Kind.CLASS or obj.classes:
                found, certain = method_of(obj, method)
            if found is not None:
                result |= self._follow_method(obj, found, args, site)
                if certain:
                    continue
            if obj.kind is Kind.IMPORT or obj.kind is Kind.BUILTIN:
                result |= self.call_named(f"{obj.label}.{method}", args, site)
            elif certain:
                # The class has no method of this name, so the attribute holds a function.
                result |= self.call(frozenset(t for t in contents({obj}) if t.kind in CODE), args, site)
            else:
                if method not in known.CONSUME_NOTHING:
                    self.consume(frozenset({obj}), site.line)
                if obj.consumable and method == "shuffle" and args.positional:
                    self.change(args.positional[0], site.line)
                plain.add(obj)
        if symbolic:
            change = self.changes(method, site)
            result |= self._defer_call(symbolic, method, args, site, change)
        if plain or not base:
            change = self.changes(method, site) or change
            result |= self._unknown_method(frozenset(plain), method, args, site)
        return frozenset(result), change

    def _follow_method(self, obj: AbstractObject, method: AbstractObject, args: Arguments, site: CallSite) -> Value:
        bound_to = method.code.bound_to if method.code is not None else ""
        if bound_to == "static" or (obj.kind is Kind.CLASS and bound_to != "class"):
            return self.invoke(method, args, site)
        own = frozenset(obj.classes or {obj}) if bound_to == "class" and obj.kind is not Kind.CLASS else {obj}
        return self.invoke(method, args._replace(positional=(frozenset(own), *args.positional)), site)

    def _unknown_method(self, base: Value, method: str, args: Arguments, site: CallSite) -> Value:
        if method in known.STORE:
            # The first of two arguments, as in `d.setdefault(key, value)`, is a key or a position and is not stored.
            stored = args._replace(positional=args.positional[1:]) if len(args.positional) > 1 else args
            self.hold(base, stored.all(), site.line)
        elif method in known.STORE_CONTENTS:
            for name, value in args.named:
                self.hold(base, value, site.line, ("key", name))
            self.hold(base, self.inside(args.all(), ("stored", site.place), site.line), site.line)
        for obj in base:
            # The call may run a function stored under this name, or functions that the object wraps.
            if method == "__call__" or (obj.parts and method in obj.parts):
                self.call_held_functions(self.carried({obj}), args, site)
        called, rest = _split(known.METHODS_CALL.get(method, 0), args)
        at_once = self._calls_at_once(base, method)
        if not at_once and method not in known.METHODS_CALL:
            called, rest = NOTHING, args.all()
        elif at_once and method in known.METHODS_CALL_NAMED:
            rest -= {obj for _, value in args.named for obj in value if obj.kind is Kind.FUNCTION}
        if self.frame.body_frame.code is not None and any(obj.kind in SYMBOLIC for obj in called):
            return self._defer_call(base, method, args, site, "")
        # Results of a pool or an executor do not hold the pool or the executor.
        own = NOTHING if origins(base) <= known.EXECUTORS and method in known.METHODS_CALL else base
        found = self.call_arguments(args, site, also=own)
        if method not in known.STORE and method not in known.STORE_CONTENTS:
            self.consume(args.all(), site.line)
        if method in known.COROUTINE_METHODS and any(obj.yields is not None for obj in args.all()):
            return self._await_later(method, args, site)
        if called and not at_once:
            # If the notebook defines the function, `found` has all results. Otherwise an argument may be a result, too.
            defined = all(obj.kind is Kind.FUNCTION or (obj.label == PARTIAL and _only_calls(obj)) for obj in called)
            items = found if defined else self._items(method, rest | own, found, site)
            unknown = self.object_created_at("unknown result", site.place, method)
            unknown.carries |= self.carried(outcomes(rest | own))
            return self._call_later(method, args, items | {unknown}, site, base)
        made = self.object_created_at("method", site.place)
        made.origins |= origins(base) if method != "pipe" else {""}
        if at_once:
            rest |= found
        elif method in known.EXHAUST_METHODS:
            rest = outcomes(rest)
        made.carries |= self.carried(outcomes(own) if method in known.WAIT else own) | self.carried(rest)
        result: set[AbstractObject] = {made}
        if method in known.WAIT:
            result |= outcomes(obj for obj in base if obj.yields is not None)
        if at_once:
            result |= found if method in ("pipe", "apply") else NOTHING
            self.fill(made, found)
        if method in known.RETURN_SELF:
            result |= base
        if method in known.TAKE:
            result |= contents(base) | self.take(base, None, ("take", site.place), site.line)
            result |= NOTHING.union(*args.positional[1:]) if method == "setdefault" else NOTHING
        elif method in known.REPACK:
            self.fill(made, self.inside(base | args.all(), ("repacked", site.place), site.line))
        return frozenset(result)

    # -- functions

    def call(self, callee: Value, args: Arguments, site: CallSite) -> Value:
        """Call each object of a value; return the results of all these calls."""
        result: set[AbstractObject] = set()
        symbolic = frozenset(obj for obj in callee if obj.kind in SYMBOLIC)
        for obj in sorted(callee - symbolic, key=_order):
            if obj.code is not None:
                result |= self.invoke(obj, args, site)
            elif obj.kind is Kind.CLASS:
                result |= self.construct(obj, args, site)
            elif obj.kind in (Kind.IMPORT, Kind.BUILTIN):
                result |= self.call_named(obj.label, args, site)
            else:
                found, certain = method_of(obj, "__call__")
                if found is not None:
                    result |= self._follow_method(obj, found, args, site)
                if not certain:
                    if obj.label == DECORATOR and args.positional:
                        result |= args.positional[0]
                        continue
                    result |= self.call_held_functions(self.carried({obj}) - {obj}, args, site)
                    result |= self.call_named("", args, site)
        if symbolic:
            result |= self._defer_call(symbolic, None, args, site, "")
        if not callee:
            result |= self.call_named("", args, site)
        return frozenset(result)

    def _defer_call(self, callee: Value, method: str | None, args: Arguments, site: CallSite, change: str) -> Value:
        if self.frame.body_frame.code is None:
            return frozenset({self.object_created_at("unknown", site.place)})
        result = self.object_created_at("result", site.place, kind=Kind.RESULT)
        event = Call(callee, method, args, site.line, self.maybe_depth > 0, change, result)
        self.event(("call", site.place, callee, args), event)
        return frozenset({result})

    def call_named(self, name: str, args: Arguments, site: CallSite) -> Value:
        """Call a library function by its dotted name; "" stands for an unknown function."""
        line = site.line
        first = args.positional[0] if args.positional else NOTHING
        if name in known.CHANGE_FIRST:
            self.change(first, line)
            if name == "setattr" or name.endswith((".append", ".add", "heappush", "insort")):
                self.hold(first, args._replace(positional=args.positional[1:]).all(), line)
        for keyword, value in args.named:
            if keyword == "out":
                self.change(value, line)
        if name in known.HIDING and not (name in known.HIDING_WITHOUT_ARGUMENTS and args.positional):
            self.note("opaque", f"{name}()", line)
        if not self.note_state(name, line) and (site.dropped or site.shown) and _changes_attribute(name):
            self.note("module", name.rpartition(".")[0], line)
        if name in known.CONFIGURE:
            self.note("module", name, line)
        if name in ("setattr", "delattr") and any(obj.kind is Kind.IMPORT for obj in first):
            self.note("module", next(obj.label for obj in first if obj.kind is Kind.IMPORT), line)
        if name not in known.CONSUME_NOTHING:
            self.consume(args.all(), line)
        if name in known.SHOW:
            self.display(args.all(), site)
        if name in known.PLAIN_RESULT:
            return NOTHING
        found = self.call_arguments(args, site, iterates=name in known.CALLS)
        if name in known.CALLS:
            called, rest = _split(known.CALLS[name], args)
            if called and name in known.CALL_LATER:
                return self._call_later(name, args, self._items(name, rest, found, site), site)
            if called:
                return self._call_at_once(name, rest, found, site)
        if name in known.FUTURES:
            return self._futures(name, args, site)
        if name in known.RUN_COROUTINE | known.WRAP_COROUTINE | known.GATHER:
            return self._await_later(name, args, site)
        if name in known.PASS_THROUGH and any(obj.kind in CODE for obj in first) and name != "functools.wraps":
            return first
        if name == "type" and len(args.positional) == 1:
            return NOTHING.union(*(obj.classes for obj in first)) or first
        if name in known.ITERATE and any(obj.yields is not None for obj in args.all()):
            return self._call_later(name, args, self._items(name, args.all(), found, site), site)
        made = self.object_created_at("call", site.place)
        made.consumable = name in known.CONSUMABLE
        made.carries |= self.carried(outcomes(args.all()) if name in known.EXHAUST else args.all())
        made.origins.add(name.partition(".")[0] if ".style." not in name else "")
        result: set[AbstractObject] = {made}
        self.fill(made, found)
        if name in known.PASS_THROUGH:
            made.label = DECORATOR
        elif name in known.REPACK_CALLS:
            self.fill(made, self.inside(args.all(), ("repacked", site.place), site.line))
            self.fill(made, NOTHING.union(*(value for _, value in args.named)))
            if name in ("zip", "enumerate", "map", "filter", "iter", "reversed"):
                self.fill(made, args.all())
        elif name in known.PICK_CALLS:
            result |= contents(args.all())
            if name != "next":
                result |= outcomes(args.all()) if name in known.EXHAUST else args.all()
        elif name.endswith("partial"):
            made.label = PARTIAL
            self.fill(made, first, "func")
            self.fill(made, args._replace(positional=args.positional[1:]).all())
        elif name.partition(".")[0] not in known.EXECUTORS:
            result |= found
        return frozenset(result)

    # -- functions that a library calls

    def _call_at_once(self, name: str, rest: Value, found: Value, site: CallSite) -> Value:
        """Return the result of a library function that calls one of its arguments before it returns.

        `rest` are the other arguments, and `found` is what the called function returned.
        """
        made = self.object_created_at("called", site.place, name)
        made.origins.add(name.partition(".")[0])
        items = self._items(name, rest, found, site)
        made.carries |= self.carried(outcomes(items))
        self.fill(made, items)
        return items | {made} if name in known.PICK_CALLS else frozenset({made})

    def _call_later(self, name: str, args: Arguments, items: Value, site: CallSite, base: Value = NOTHING) -> Value:
        """Return an iterator or a future, which holds the function that it calls.

        The results that the iterator or future yields do not hold the function.
        """
        made = self.object_created_at("later", site.place, name)
        made.consumable = name in known.CONSUMABLE
        made.origins |= origins(base)
        if name in known.METHODS_CALL_FOR_LIST:
            several = self.object_created_at("several", site.place, name)
            self.fill(several, items)
            items = frozenset({several})
        made.yields = (made.yields or set()) | items
        made.carries |= self.carried(base | args.all())
        self.fill(made, args.all() | items)
        return frozenset({made})

    def _items(self, name: str, rest: Value, found: Value, site: CallSite) -> Value:
        """Return the objects that a library function may return after it has called one of its arguments.

        `rest` are the other arguments, and `found` is what the called function returned.
        """
        item = self.object_created_at("item", site.place, name)
        item.carries |= self.carried(outcomes(rest))
        self.fill(item, outcomes(rest))
        inside = self.inside(rest, ("items", site.place), site.line)
        if name in ("itertools.chain", "itertools.chain.from_iterable"):
            inside |= self.inside(inside, ("inside items", site.place), site.line)
        if name == "itertools.groupby":
            group = self.object_created_at("group", site.place, name)
            self.fill(group, inside | {item})
            self.fill(item, {group})
        results = NOTHING if name in known.CALL_TO_CHOOSE else found
        return results | inside | {item} | (outcomes(rest) if name in known.PICK_CALLS else NOTHING)

    def _await_later(self, name: str, args: Arguments, site: CallSite) -> Value:
        """Return the value of a call of the function `name`, to which awaitables are passed.

        For functions in `known.RUN_COROUTINE`, such as `asyncio.run`, it is the result of awaiting them. For all other
        functions, it is an awaitable with that result.
        """
        made = self.object_created_at("awaited", site.place, name)
        results = outcomes(args.all())
        made.carries |= self.carried(results)
        if name in known.RUN_COROUTINE:
            return results | {made}
        if name in known.GATHER:
            self.fill(made, results)
            results = NOTHING
        task = self.object_created_at("task", site.place, name)
        task.yields = (task.yields or set()) | results | {made}
        task.carries |= self.carried(args.all())
        self.fill(task, args.all() | results | {made})
        return frozenset({task})

    def _futures(self, name: str, args: Arguments, site: CallSite) -> Value:
        """Return the futures in a collection of futures or coroutines.

        A function named `wait` returns them as two sets, any other function as an iterator.
        """
        made = self.object_created_at("futures", site.place, name)
        inside = self.inside(args.all(), ("futures", site.place), site.line)
        # If the outcomes of an object are unknown, the object may be a future, or a value in a dict whose keys are
        # futures. One new future stands for all such objects.
        future = self.object_created_at("future", site.place, name)
        future.yields = (future.yields or set()) | outcomes(inside)
        self.fill(future, inside)
        future.carries |= self.carried(args.all())
        futures = frozenset({future, *(obj for obj in inside if obj.yields is not None)})
        if name.endswith(".wait"):
            several = self.object_created_at("set of futures", site.place, name)
            self.fill(several, futures)
            futures = frozenset({several})
        self.fill(made, futures)
        return frozenset({made})

    def _calls_at_once(self, base: Value, method: str) -> bool:
        """Return whether a method of these objects calls the functions among its arguments before it returns."""
        return bool(base) and all(method in known.METHODS_CALL_AT_ONCE.get(each, ()) for each in origins(base))

    def display(self, value: Value, site: CallSite) -> None:
        """Call the display methods, such as `__repr__`, of objects of the notebook's classes."""
        for obj in sorted(value | contents(value), key=_order):
            for name in sorted(known.SHOWN_BY) if obj.classes else ():
                method, _ = method_of(obj, name)
                if method is not None:
                    with self.maybe(), self.optionally():
                        self._follow_method(obj, method, Arguments(), site._replace(place=(name, site.place, obj)))

    def call_arguments(self, args: Arguments, site: CallSite, also: Value = NOTHING, iterates: bool = False) -> Value:
        """Call the functions among the arguments of a library function.

        Each called function may get any other argument. If `iterates`, it gets the elements of an iterator, but not the
        iterator itself.
        """
        if not args.positional and not args.named and not args.spread:
            return NOTHING
        everything = args.all()
        functions = {obj for obj in everything | contents(everything) if obj.kind is Kind.FUNCTION}
        symbolic = {obj for obj in everything if obj.kind in SYMBOLIC}
        # An iterator such as `map(f, xs)` calls its function only now, with objects that the iterator holds.
        iterators = frozenset(obj for obj in everything if obj.yields is not None)
        held = NOTHING.union(*(obj.holds for obj in iterators))
        late = {obj for obj in held if obj.kind is Kind.FUNCTION} - functions
        if not functions and not symbolic and not late:
            return NOTHING
        found: set[AbstractObject] = set()
        rest = _passed_on(everything | also, functions)
        handed = Arguments(spread=(outcomes(rest) if iterates else rest) | contents(rest))
        late_rest = _passed_on((rest - iterators) | held, late)
        late_handed = Arguments(spread=late_rest | contents(late_rest))
        with self.maybe():
            for obj in sorted(late, key=_order):
                with self.optionally():
                    found |= self.invoke(obj, late_handed, site._replace(place=("argument", site.place, obj)))
            for obj in sorted(functions, key=_order):
                with ExitStack() as stack:
                    if obj.label != "<lambda>":
                        stack.enter_context(self.optionally())
                    found |= self.invoke(obj, handed, site._replace(place=("argument", site.place, obj)))
            if symbolic and self.frame.body_frame.code is not None:
                # When the event is replayed, a parameter is replaced by its argument, which may be a function.
                result = self.object_created_at("argument", site.place, kind=Kind.RESULT)
                event = Call(frozenset(symbolic), "<perhaps>", handed, site.line, True, "", result)
                self.event(("argument", site.place, event.callee), event)
                found.add(result)
        return frozenset(found)

    def call_held_functions(self, functions: Iterable[AbstractObject], args: Arguments, site: CallSite) -> Value:
        """Call the functions that an object holds, because a call of the object may call them."""
        found: set[AbstractObject] = set()
        if self.limit_reached:
            return NOTHING
        with self.maybe(), self.optionally():
            for obj in sorted((each for each in functions if each.kind is Kind.FUNCTION), key=_order):
                everything = args.all()
                handed = Arguments(spread=everything | contents(everything))
                found |= self.invoke(obj, handed, site._replace(place=("hidden", site.place, obj)))
        return frozenset(found)

    def construct(self, obj: AbstractObject, args: Arguments, site: CallSite) -> Value:
        """Create an instance of a class."""
        made = instance_of(self.object_created_at("instance", site.place, obj), {obj})
        self.use(frozenset({obj}), site.line)
        found, certain = method_of(obj, "__init__")
        if found is not None:
            positional = (frozenset({made}), *args.positional)
            self.invoke(found, args._replace(positional=positional), site._replace(place=("init", site.place)))
        if found is None or not certain:
            self.fill(made, args.all())  # an instance of a data class holds the arguments
        for name in ("__new__", "__post_init__"):
            hook, _ = method_of(obj, name)
            if hook is not None:
                own = {obj} if name == "__new__" else {made}
                handed = args._replace(positional=(frozenset(own), *args.positional))
                self.invoke(hook, handed, site._replace(place=(name, site.place)))
        return frozenset({made})

    # -- names of libraries

    def dotted(self, node: ast.expr) -> str:
        """Return the dotted name of a library's function or object, or "" for any other expression.

        Imports and aliases are resolved: `np.sum` is "numpy.sum".
        """
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        with self.optionally():
            value = self.load(node.id, node.lineno)
        roots = {obj.label for obj in value if obj.kind is Kind.IMPORT}
        return ".".join([roots.pop(), *reversed(parts)]) if len(roots) == 1 and len(value) == 1 else ""


def _changes_attribute(name: str) -> bool:
    """Return whether a call changes an attribute of a module in place, as `config.STATE.append` does."""
    owner, _, method = name.rpartition(".")
    return method in known.MUTATORS and "." in owner


def _passed_on(value: Value, functions: Iterable[AbstractObject]) -> Value:
    """Return the objects that a library may pass to the functions that it calls."""
    partials = frozenset(obj for obj in value if obj.label == PARTIAL and _only_calls(obj))
    return ((value - partials) | contents(partials)).difference(functions)


def _split(position: int | None, args: Arguments) -> tuple[Value, Value]:
    """Return the argument that a library calls (at this position or passed by name), and all other arguments.

    If the code of the called argument is unknown, the second result also has this argument, because a call may
    return it.
    """
    missing = position is None or position >= len(args.positional)
    named = [(value, missing and name in known.CALLED_KEYWORDS) for name, value in args.named]
    at = [(value, number == position) for number, value in enumerate(args.positional)]
    called = NOTHING.union(*(value for value, is_called in (*at, *named) if is_called))
    rest = args.spread.union(*(value for value, is_called in (*at, *named) if not is_called))
    return called, rest | {obj for obj in called if not _only_calls(obj)}


def _only_calls(obj: AbstractObject) -> bool:
    """Return whether a call of this object runs one function only: the object, or the function of a partial."""
    if obj.label == PARTIAL:
        functions = {each for each in obj.holds if each.kind is Kind.FUNCTION}
        return len(functions) == 1 and functions == obj.keyed.get("func")
    return obj.kind in (Kind.FUNCTION, Kind.IMPORT, Kind.BUILTIN)


def _order(obj: AbstractObject) -> int:
    return obj.number
