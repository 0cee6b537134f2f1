"""Effects of code on names and objects, recorded while the code is interpreted.

Effects at the top level of a cell apply immediately to the namespace of the cell. At first, this namespace has the
names that earlier cells set.
Inside a function, effects are recorded as events of the function. Each call of the function replays these events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from . import hidden_state, known
from .objects import (
    CODE,
    NOTHING,
    SYMBOLIC,
    AbstractObject,
    Change,
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
    involved_objects,
    items_under,
    origins,
    outcomes,
)
from .scopes import Bound, Frame, Scope, Slot, State, all_values_of, join, restore, save

AWAITED, ITERATED = ("awaited",), ("iterated",)  # keys of `Effects.take`
MAX_PAIRS = 10_000  # maximum number of (holder, held object) pairs that one `hold` records


class NameRead(NamedTuple):
    """A read of a name from outside the cell."""

    line: int
    # Whether the name may be missing, as in a `try` that catches NameError or in a function that may never be called.
    soft: bool
    deferred: bool  # whether the read happens only if some function is called
    certain: bool  # whether every path through the cell reads the name


class DeletedRead(NamedTuple):
    """A read of a name that the cell has deleted."""

    name: str
    line: int
    deleted: int  # line of the `del` statement


class Mutation(NamedTuple):
    """A change of an object in place."""

    line: int
    strong: bool  # whether objects that contain the changed object also count as changed; see `objects.Change`


@dataclass(slots=True)
class Log:
    """The effects of a cell, other than its bindings."""

    reads: dict[str, NameRead] = field(default_factory=dict)
    # Key: a name that an earlier cell set and whose object this cell changes; value: the line of the change.
    changed: dict[str, int] = field(default_factory=dict)
    mutated: dict[AbstractObject, Mutation] = field(default_factory=dict)  # objects that the cell changed in place
    compared: set[AbstractObject] = field(default_factory=set)  # objects whose identity was compared with `is`
    deleted_reads: list[DeletedRead] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


class Effects:
    """The namespace of a cell, and of the function that is being interpreted."""

    def __init__(self, outer: Callable[[str], Value | None]) -> None:
        self.outer = outer  # returns the value of a name before the cell, or None if no earlier cell sets the name
        self.module = Frame(Scope.MODULE)
        self.frame = self.module
        self.log = Log()
        self.unreachable = False  # whether control flow never reaches this point of the code
        self.maybe_depth = 0  # nesting depth of code that is not certain to run
        self.soft_depth = 0  # nesting depth of code whose names may be missing
        self.deferred_depth = 0  # nesting depth of functions that may never be called
        self.made: dict[object, AbstractObject] = {}  # key: place in the code; value: object created there
        self.bindings = 0  # number of global bindings so far; each new binding may change what a repeated call does
        self.steps = 0  # number of objects visited; see `function_calls.MOST_STEPS`
        self.used: set[tuple[AbstractObject, Frame]] = set()  # functions whose free names have been read
        self.restored: frozenset[str] = frozenset()  # kinds of state that an enclosing `with` statement restores
        self.consumes = True  # whether using a random generator or an iterator counts as changing it
        self.captured: set[str] | None = (
            None  # global names read so far by the definition being interpreted; None outside a definition
        )

    # -- places

    def object_created_at(self, *place: object, label: str = "", kind: Kind = Kind.OBJECT) -> AbstractObject:
        """Return the object that stands for all objects created at this place of the code."""
        found = self.made.get(place)
        if found is None:
            found = self.made[place] = AbstractObject(kind, label)
        code = self.frame.body_frame.code
        if code is not None and kind is not Kind.RESULT:
            code.own.add(found)  # an inner function is interpreted twice, so the object may already exist
        return found

    @contextmanager
    def maybe(self) -> Iterator[None]:
        """Interpret code that is not certain to run, then merge the state before the code with the state after it."""
        before = save(self.frame)
        self.maybe_depth += 1
        try:
            yield
        finally:
            self.maybe_depth -= 1
        if not self.unreachable:
            self.merge_paths(before, save(self.frame))
        else:
            self.merge_paths(before)

    @contextmanager
    def optionally(self) -> Iterator[None]:
        """Interpret code in which a missing name is not an error."""
        self.soft_depth += 1
        try:
            yield
        finally:
            self.soft_depth -= 1

    @contextmanager
    def unconditionally(self) -> Iterator[None]:
        """Interpret the body of a function, ignoring the conditions around its definition."""
        before = self.maybe_depth, self.soft_depth, self.deferred_depth
        self.maybe_depth = self.soft_depth = self.deferred_depth = 0
        try:
            yield
        finally:
            self.maybe_depth, self.soft_depth, self.deferred_depth = before

    @contextmanager
    def within(self, frame: Frame) -> Iterator[Frame]:
        """Interpret code of another scope."""
        before, unreachable = self.frame, self.unreachable
        self.frame, self.unreachable = frame, False
        try:
            yield frame
        finally:
            self.frame, self.unreachable = before, unreachable

    def snapshot(self) -> State | None:
        """Return a snapshot of the names at this point, or None if the point is unreachable."""
        return None if self.unreachable else save(self.frame)

    def merge_paths(self, *states: State | None) -> None:
        """Merge the states of several control-flow paths and continue from the result."""
        state = join(states)
        self.unreachable = state is None
        if state is not None:
            restore(state)

    # -- names

    def load(self, name: str, line: int) -> Value:
        """Return the value of a name at this point."""
        frame: Frame | None = self.frame
        passed_function = False
        while frame is not None:
            if frame.scope is Scope.COMPREHENSION:
                if name in frame.local:
                    return frame.names[name].value if name in frame.names else NOTHING
                # The body of a comprehension in a class does not see the class's names.
                passed_function = True
            elif frame.scope is Scope.CLASS:
                if name in frame.globals:
                    return self.load_global(name, line)
                if not passed_function and name in frame.names:
                    slot = frame.names[name]
                    if slot.bound is Bound.YES:
                        return slot.value
                    if slot.bound is Bound.MAYBE:
                        with self.optionally():
                            return slot.value | self.load_global(name, line)
            elif frame.scope is Scope.FUNCTION:
                if name in frame.globals:
                    return self.load_global(name, line)
                if name in frame.local:
                    if frame is not self.frame.body_frame:
                        return all_values_of(frame, name)
                    return frame.names[name].value if name in frame.names else all_values_of(frame, name)
                passed_function = True
            frame = frame.parent
        return self.load_global(name, line)

    def load_global(self, name: str, line: int) -> Value:
        """Return the value of a global name at this point."""
        body = self.frame.body_frame
        slot = body.global_slots.get(name)
        if slot is not None and slot.bound is Bound.YES:
            return slot.value
        if body.code is not None:
            if slot is not None and slot.bound is Bound.NO:
                return NOTHING
            # The name is missing only on some paths. This is not reported, because it is unknown which path runs.
            soft = self.soft_depth > 0 or self.maybe_depth > 0 or slot is not None
            self.event(("read", name, soft), Read(name, line, soft))
            if name not in body.global_objects:
                body.global_objects[name] = AbstractObject(Kind.GLOBAL, name)
            return frozenset({body.global_objects[name]}) | (slot.value if slot else NOTHING)
        if slot is not None and slot.bound is Bound.NO:
            if not self.soft_depth:
                self.log.deleted_reads.append(DeletedRead(name, line, slot.line))
            return NOTHING
        return self._read(name, line, self.soft_depth > 0 or slot is not None) | (slot.value if slot else NOTHING)

    def _read(self, name: str, line: int, soft: bool) -> Value:
        seen = self.log.reads.get(name)
        deferred = self.deferred_depth > 0
        certain = (not soft and self.maybe_depth == 0) or (seen is not None and seen.certain)
        if seen is None or (seen.soft and not soft) or (seen.deferred and not deferred):
            self.log.reads[name] = NameRead(line, soft, deferred, certain)
        elif certain:
            self.log.reads[name] = seen._replace(certain=True)
        if self.captured is not None:
            self.captured.add(name)
        value = self.outer(name)
        if value is None and name in known.BUILTINS:
            value = frozenset({self.object_created_at("builtin", name, label=name, kind=Kind.BUILTIN)})
        return NOTHING if value is None else value

    def use(self, value: Value, line: int) -> Value:
        """Read the free names of the functions in a value, because a use of the value may call these functions."""
        body = self.frame.body_frame
        ahead = list(self.carried(value)) if value else []
        while ahead:
            obj = ahead.pop()
            if obj.code is None or (obj, body) in self.used:
                continue
            self.used.add((obj, body))
            self.deferred_depth += 1
            with self.optionally():
                for name in obj.code.free_names():
                    ahead += self.carried(self.load_global(name, line))
            self.deferred_depth -= 1
        return value

    def store(self, name: str, value: Value, line: int) -> None:
        """Bind a name in its scope."""
        frame = self.frame
        while frame.scope is Scope.COMPREHENSION and name not in frame.local and frame.parent is not None:
            frame = frame.parent
        if frame.scope is Scope.MODULE or name in frame.globals:
            self.store_global(name, value, line)
        elif frame.scope is Scope.FUNCTION and name in frame.nonlocals:
            if frame.code is not None:
                frame.code.stateful = True
            outer = frame.parent
            while outer is not None and name not in outer.local:
                outer = outer.parent
            if outer is not None:
                outer.all_values[name] = outer.all_values.get(name, NOTHING) | value
        else:
            frame.names[name] = Slot(value, Bound.YES, line)
            if frame.scope is Scope.FUNCTION:
                frame.all_values[name] = frame.all_values.get(name, NOTHING) | value

    def store_global(self, name: str, value: Value, line: int, maybe: bool = False) -> None:
        """Bind a global name."""
        body = self.frame.body_frame
        self.bindings += 1
        if maybe:
            with self.maybe():
                body.global_slots[name] = Slot(value, Bound.YES, line)
        else:
            body.global_slots[name] = Slot(value, Bound.YES, line)
        if value and self.carried(value):
            self.used.clear()  # a function that calls the rebound name may now read other names
        if body.code is not None:
            write = Write(name, value, line, maybe or self.maybe_depth > 0)
            self.event(("write", write), write)

    def unbind(self, name: str, line: int) -> None:
        """Interpret `del name`, which reads the name first."""
        self.load(name, line)
        self.drop(name, line)

    def drop(self, name: str, line: int) -> None:
        """Unbind a name without reading it."""
        frame = self.frame
        unbound = Slot(NOTHING, Bound.NO, line)
        if frame.scope is Scope.MODULE or name in frame.globals:
            body = frame.body_frame
            body.global_slots[name] = unbound
            if body.code is not None:
                self.event(("delete", name, line), Delete(name, line, self.maybe_depth > 0))
        elif frame.scope is Scope.CLASS:
            frame.names.pop(name, None)
        else:
            frame.names[name] = unbound

    # -- objects

    def change(self, value: Value, line: int, *, strong: bool = True) -> None:
        """Record that objects are changed in place."""
        value = frozenset(obj for obj in value if obj.kind not in (Kind.IMPORT, Kind.BUILTIN))
        if not value:
            return
        code = self.frame.body_frame.code
        if code is not None:
            self.event(("change", line, value), Change(value, strong, line))
            if any(self._of_enclosing(obj) for obj in value):
                code.stateful = True
            return
        for obj in value:
            if strong and obj.kept_by:
                self.note("cached", obj.kept_by, line)
            before = self.log.mutated.get(obj)
            if before is None or (strong and not before.strong):
                self.log.mutated[obj] = Mutation(line, strong)

    def _of_enclosing(self, obj: AbstractObject) -> bool:
        frame = self.frame.body_frame.parent
        while frame is not None:
            code = frame.code
            if code is not None and (obj in code.own or obj in code.parameters):
                return True
            frame = frame.parent
        return False

    def change_name(self, name: str, value: Value, line: int, *, strong: bool = True) -> None:
        """Record that the object behind a name is changed in place."""
        if value and all(obj.kind in (Kind.IMPORT, Kind.BUILTIN) for obj in value):
            return  # tasks do not pass modules to each other; `note_path` records changes of modules
        self.change(value, line, strong=strong)
        body = self.frame.body_frame
        if body.code is None and self._is_global(name):
            slot = body.global_slots.get(name)
            if slot is None or slot.bound is Bound.MAYBE:
                self.log.changed.setdefault(name, line)

    def _is_global(self, name: str) -> bool:
        frame: Frame | None = self.frame
        while frame is not None:
            if name in frame.local or (
                frame.scope is Scope.CLASS and name in frame.names and name not in frame.globals
            ):
                return False
            frame = frame.parent
        return True

    def hold(self, base: Value, item: Value, line: int, key: object = None) -> None:
        """Record that an object now holds another object."""
        if not base or not item:
            return
        if self.frame.body_frame.code is not None:
            self.event(("hold", line, base, item), StoreInObject(base, item, key))
        code = self.frame.body_frame.code
        if len(base) * len(item) > MAX_PAIRS:
            # Instead of too many pairs, record one new object that holds all items, and let the holders hold this new
            # object. This is less exact.
            between = self.object_created_at("between", line)
            hold((between,), item)
            item = frozenset({between})
        self.steps += len(base) * len(item)
        real = [obj for obj in item if obj.kind not in SYMBOLIC]
        for obj in base:
            if obj.kind not in SYMBOLIC:
                # An object created in this function may hold the parameters themselves. An object from outside can hold
                # only the arguments of a call; each call records this.
                hold((obj,), item if code is not None and obj in code.own else real, key)

    def take(self, base: Value, key: object, place: object, line: int) -> Value:
        """Return what the objects of `base` hold under `key`, which is an attribute's name or a constant key.

        The key None stands for any key, AWAITED for the result of an `await`, and ITERATED for an element.
        """
        symbolic = frozenset(obj for obj in base if obj.kind in SYMBOLIC)
        found = self._taken(base - symbolic, key, place)
        if self.frame.body_frame.code is None:
            # An object that stands for a global of a function is replaced by the current value of the global.
            with self.optionally():
                for obj in sorted(symbolic, key=lambda each: each.number):
                    if obj.kind is Kind.GLOBAL:
                        found |= self._taken(self.load_global(obj.label, line), key, place)
        elif symbolic:
            result = self.object_created_at("part", place, kind=Kind.RESULT)
            result.part_of |= symbolic
            self.event(("part", place), TakeFromObject(base, key, result))
            found |= {result}
        return found

    def _taken(self, base: Value, key: object, place: object) -> Value:
        if key == AWAITED:
            return outcomes(base)
        if key != ITERATED:
            return items_under(base, key)
        return items_under(base, None) | self.unknown_element(base, place)

    def unknown_element(self, value: Value, place: object) -> Value:
        """Return an object that stands for the unknown elements of an iterable."""
        made = self.object_created_at("element", place)
        made.carries |= self.carried(outcomes(value))
        made.origins |= origins(value)
        # If each known element is a coroutine or a future, an unknown element is one, too.
        items = contents(value)
        later = frozenset(obj for obj in items if obj.yields is not None)
        if later and items - later <= outcomes(later):
            made.yields = (made.yields or set()) | outcomes(later)
        return frozenset({made})

    def fill(self, obj: AbstractObject, items: Iterable[AbstractObject], key: object = None) -> None:
        """Add items to an object that is under construction."""
        items = list(items)
        self.steps += len(items)
        hold((obj,), items, key)

    def carried(self, value: Value | set[AbstractObject]) -> set[AbstractObject]:
        """Return the functions and classes whose code may run when the value is used."""
        found = involved_objects(value)
        self.steps += len(found)
        return {obj for obj in found if obj.kind in CODE}

    def inside(self, value: Value, place: object, line: int) -> Value:
        """Return the objects that a value contains, for a new container with the same content."""
        symbolic = frozenset(obj for obj in value if obj.kind in SYMBOLIC)
        return contents(value) | (self.take(symbolic, None, ("inside", place), line) if symbolic else NOTHING)

    # -- notes

    def note(self, kind: str, text: str, line: int) -> None:
        """Record something in the code that `nbdag check` should report."""
        if kind in self.restored or (kind == "module" and text.startswith("nbdag.state")):
            return  # nbdag keeps `nbdag.state` outside of the kernel
        if self.frame.body_frame.code is not None:
            self.event(("note", kind, text, line), Note(kind, text, line))
        else:
            self.log.notes.append(Note(kind, text, line))

    def note_state(self, name: str, line: int, *, assigned: bool = False) -> bool:
        """Record the hidden state that a call of this name changes; with `assigned`, that an assignment changes.

        Return whether any hidden state changes.
        """
        keys = tuple(hidden_state.keys_changed_by(name, assigned=assigned))
        for key in keys:
            self.note(key, name, line)
        return bool(keys)

    def note_path(self, kind: str, path: str, line: int) -> None:
        """Record the state of a library that changes if code assigns or calls a dotted path.

        `kind` is "assigned" or "called".
        """
        root, _, rest = path.partition(".")
        root, called, _ = root.partition("(")
        if not root or (called == "(" and kind == "assigned" and not rest):
            return
        with self.optionally():
            value = self.load(root, line)
        if any(obj.kind is Kind.GLOBAL for obj in value) and self.frame.body_frame.code is not None:
            self.note(kind, path, line)  # inside a function, the value of a global is known only at a call
        elif len(value) == 1 and (obj := next(iter(value))).kind is Kind.IMPORT:
            name = f"{obj.label}{path[len(root) :]}"
            known_state = self.note_state(name, line, assigned=kind == "assigned")
            if kind == "assigned" and not known_state and "(" not in name and "." in name:
                self.note("module", name, line)

    def consume(self, value: Value, line: int) -> None:
        """Record that the iterators and random generators in a value are used, which changes them."""
        if self.consumes and (used := frozenset(obj for obj in value if obj.consumable)):
            self.change(used, line)

    def event(self, key: object, event: Event) -> None:
        """Add an event to the function that is being interpreted, unless it already has an event with this key."""
        code: FunctionEffects | None = self.frame.body_frame.code
        assert code is not None
        code.events.setdefault(key, event)
