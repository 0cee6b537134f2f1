"""The model of the objects behind names.

An `AbstractObject` stands for one object, or for all objects that one place of the code creates. A `Value` is the set
of abstract objects that a name may refer to. Two names whose values overlap may refer to one object. An empty value
stands for an immutable object: a number, a text, None. An abstract object never loses the objects that it holds, so an
imprecise analysis assumes too much sharing rather than too little.

Inside a function, symbolic objects stand for the function's parameters and for the globals that the function reads. A
call replaces these symbolic objects by the caller's objects. This module is independent of syntax.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple, TypeAlias


class Kind(Enum):
    """The kinds of abstract objects."""

    OBJECT = auto()  # an object that the code creates: a list, an instance, the result of a call
    FUNCTION = auto()
    CLASS = auto()
    IMPORT = auto()  # a module or an attribute of a module; `label` is the dotted name
    BUILTIN = auto()
    PARAMETER = auto()  # symbolic: a parameter, which each call replaces by an argument
    GLOBAL = auto()  # symbolic: a global that a function reads, which each call replaces by the global's current value
    RESULT = auto()  # symbolic: the result of a call or the element of an object, if it depends on the arguments


SYMBOLIC = frozenset({Kind.PARAMETER, Kind.GLOBAL, Kind.RESULT})


@dataclass(slots=True, eq=False)
class AbstractObject:
    """One object, or all objects that one place of the code creates."""

    kind: Kind = Kind.OBJECT
    label: str = ""
    code: FunctionEffects | None = None  # the effects of a call, if the object is a function
    outline: ClassModel | None = None  # the methods and bases, if the object is a class
    # Only for an inner function or a bound method. Key: parameter that is already bound; value: its argument.
    closure: Mapping[AbstractObject, Value] = field(default_factory=dict)
    classes: set[AbstractObject] = field(default_factory=set)  # the classes of an instance
    holds: set[AbstractObject] = field(default_factory=set)  # objects that this object refers to directly
    held_by: set[AbstractObject] = field(default_factory=set)
    # Subset of `holds`: objects that are held only under the given key.
    keyed: dict[object, set[AbstractObject]] = field(default_factory=dict)
    # Unknown objects taken out of this object; key: attribute's name or key.
    parts: dict[object, AbstractObject] = field(default_factory=dict)
    part_of: set[AbstractObject] = field(default_factory=set)
    # Functions and classes that a use of this object may call, even if no attribute refers to them.
    carries: set[AbstractObject] = field(default_factory=set)
    consumable: bool = False  # whether each use changes the object, as with an iterator or a random generator
    # Only for an iterator or a coroutine: the objects that a loop or an `await` gets from this object. None means
    # unknown: a loop or an `await` may get any object that this object holds.
    yields: set[AbstractObject] | None = None
    origins: set[str] = field(default_factory=set)  # libraries that may have created the object; "": any other creator
    kept_by: str = ""  # name of the function whose cache contains this object
    number: int = field(default_factory=itertools.count().__next__)  # serial number, in order of creation


Value: TypeAlias = frozenset[AbstractObject]
NOTHING: Value = frozenset()
KEYS = ("keys",)  # `AbstractObject.keyed` stores the keys of a dict under this key


@dataclass(slots=True, eq=False)
class ClassModel:
    """The methods, bases and state of a class, as far as the code shows them."""

    methods: dict[str, AbstractObject] = field(default_factory=dict)
    bases: Value = NOTHING
    known: bool = True  # whether all bases are known; then a method that is not listed does not exist
    state: bool = False  # whether the class holds mutable objects, so that a change of an instance may change the class


@dataclass(slots=True, eq=False)
class FunctionEffects:
    """The effects of a call of a function, as symbolic events in order."""

    name: str
    line: int
    parameters: tuple[AbstractObject, ...] = ()  # parameters except *args and **kwargs, in order
    rest: AbstractObject | None = None  # *args
    keywords: AbstractObject | None = None  # **kwargs
    defaults: dict[AbstractObject, Value] = field(default_factory=dict)
    events: dict[object, Event] = field(default_factory=dict)
    result: Value = NOTHING
    own: set[AbstractObject] = field(default_factory=set)  # objects that each call creates again
    stateful: bool = False  # whether the function changes variables of the enclosing function
    lazy: bool = False  # whether the function is a generator or coroutine, whose body does not run at the call
    awaited: bool = False  # whether the function is a coroutine, so that an `await` returns its result
    cached: bool = False  # whether the function caches its results, as with functools.lru_cache
    bound_to: str = ""  # "class" or "static" for a classmethod or staticmethod, "property" for a property, else ""

    def free_names(self) -> dict[str, int]:
        """Return the global names that a call reads, each with the line of its first read."""
        found: dict[str, int] = {}
        for event in self.events.values():
            if isinstance(event, Read):
                found.setdefault(event.name, event.line)
        return found


class Read(NamedTuple):
    """The event that a global name is read."""

    name: str
    line: int
    soft: bool  # the name may be missing


class Write(NamedTuple):
    """The event that a global name is bound."""

    name: str
    value: Value
    line: int
    maybe: bool


class Delete(NamedTuple):
    """The event that a global name is unbound."""

    name: str
    line: int
    maybe: bool


class Change(NamedTuple):
    """The event that objects are changed in place."""

    value: Value
    strong: bool  # whether objects that contain the changed objects also count as changed
    line: int


class StoreInObject(NamedTuple):
    """The event that an object is stored in another object."""

    base: Value
    item: Value
    key: object  # attribute's name or constant key; None: unknown


class Call(NamedTuple):
    """The event of a call of a symbolic object."""

    callee: Value
    method: str | None  # name of the called method of `callee`; None: `callee` itself is called
    args: Arguments
    line: int
    maybe: bool
    changes: str  # how an unknown method changes its object: "" (no change), "weak" or "strong" (see `Change`)
    result: AbstractObject


class TakeFromObject(NamedTuple):
    """The event that an object is taken out of a symbolic object."""

    base: Value
    key: object  # attribute's name or constant key; None: unknown
    result: AbstractObject


class Note(NamedTuple):
    """Something that the code does and that `check` should report, such as setting a seed."""

    kind: str
    text: str
    line: int


Event: TypeAlias = Read | Write | Delete | Change | StoreInObject | Call | TakeFromObject | Note


class Arguments(NamedTuple):
    """The arguments of a call."""

    positional: tuple[Value, ...] = ()
    named: tuple[tuple[str, Value], ...] = ()
    spread: Value = NOTHING  # values that `*xs` and `**kw` may pass to any parameter

    def all(self) -> Value:
        """Return all values that are passed."""
        return NOTHING.union(*self.positional, *(value for _, value in self.named), self.spread)


def hold(base: Iterable[AbstractObject], items: Iterable[AbstractObject], key: object = None) -> None:
    """Record that each object of `base` holds each object of `items`.

    `key` is an attribute's name or a constant key, or None if the key is unknown. An object may hold itself, as after
    `xs.append(xs)`. A copy of such an object holds the original.
    """
    items = [item for item in items if item.kind is not Kind.BUILTIN and item.kind is not Kind.IMPORT]
    for obj in base:
        for item in items:
            known = item in obj.holds and not any(item in keyed for keyed in obj.keyed.values())
            obj.holds.add(item)
            item.held_by.add(obj)
            if key is None:
                for keyed in obj.keyed.values():
                    keyed.discard(item)
            elif not known:
                obj.keyed.setdefault(key, set()).add(item)


def instance_of(obj: AbstractObject, classes: Iterable[AbstractObject]) -> AbstractObject:
    """Make `obj` an instance of the classes, so that a change of a class counts as a change of the instance."""
    for each in classes:
        obj.classes.add(each)
        obj.carries.add(each)
        each.held_by.add(obj)
    return obj


def contents(value: Iterable[AbstractObject]) -> Value:
    """Return the objects that can be taken out of a value."""
    return NOTHING.union(*(obj.holds if obj.yields is None else obj.yields for obj in value))


def outcomes(value: Iterable[AbstractObject]) -> Value:
    """Return the objects that a loop over a value or an `await` of the value yields.

    If it is unknown what an object yields, the object itself is returned instead.
    """
    return NOTHING.union(*({obj} if obj.yields is None else obj.yields for obj in value))


def origins(value: Iterable[AbstractObject]) -> set[str]:
    """Return the libraries that may have created the objects of a value; "" stands for any other library."""
    return set().union(*(obj.origins or {""} for obj in value))


def only_keys(obj: AbstractObject) -> set[AbstractObject]:
    """Return the objects that a dict holds as keys and not as values."""
    return obj.keyed.get(KEYS, set()).difference(*(items for key, items in obj.keyed.items() if key != KEYS))


def held_objects(value: Iterable[AbstractObject]) -> set[AbstractObject]:
    """Return the objects of a value and all objects that they hold, at any depth.

    A class is included only if it has state.
    """
    found: set[AbstractObject] = set()
    ahead = set(value)
    while ahead:
        found |= ahead
        following: set[AbstractObject] = set()
        for obj in ahead:
            following |= obj.holds
            following.update(obj.parts.values())
            if obj.classes:
                following.update(each for each in obj.classes if each.outline is not None and each.outline.state)
        ahead = following - found
    return found


def holders(value: Iterable[AbstractObject], strong: bool = True) -> set[AbstractObject]:
    """Return the objects of a value and all objects that hold them, at any depth.

    If `strong`, an object also counts as held by the object that it was taken out of.
    """
    found: set[AbstractObject] = set()
    ahead = set(value)
    while ahead:
        found |= ahead
        following: set[AbstractObject] = set()
        for obj in ahead:
            following |= obj.held_by
            if strong:
                following |= obj.part_of
        ahead = following - found
    return found


def items_under(value: Iterable[AbstractObject], key: object) -> Value:
    """Return the objects that a value may hold under an attribute's name or a constant key; None stands for any key."""
    found: set[AbstractObject] = set()
    for obj in value:
        if obj.kind is Kind.IMPORT:
            if isinstance(key, str):
                found.add(obj.parts.setdefault(key, AbstractObject(Kind.IMPORT, f"{obj.label}.{key}")))
        elif key is None:
            found |= contents({obj})
            found.update(obj.parts.values())
        else:
            found |= obj.holds.difference(*obj.keyed.values()) | obj.keyed.get(key, set())
            if key not in obj.parts:
                inner = AbstractObject(carries={obj}, origins=origins({obj}) if key != "style" else set())
                inner.part_of.add(obj)
                obj.parts[key] = inner
            found.add(obj.parts[key])
    return frozenset(found)


CODE = frozenset({Kind.FUNCTION, Kind.CLASS}) | SYMBOLIC


def involved_objects(value: Collection[AbstractObject]) -> set[AbstractObject]:
    """Return all objects that a use of a value may involve, including functions and classes."""
    if all(obj.kind is Kind.OBJECT and not obj.holds and not obj.carries for obj in value):
        return set()
    found: set[AbstractObject] = set()
    ahead = set(value)
    while ahead:
        found |= ahead
        following: set[AbstractObject] = set()
        for obj in ahead:
            following |= obj.holds
            following |= obj.carries
            if obj.outline is not None:
                following |= obj.outline.bases
                following.update(obj.outline.methods.values())
            if obj.closure:
                following = following.union(*obj.closure.values())
        ahead = following - found
    return found


def method_of(obj: AbstractObject, name: str) -> tuple[AbstractObject | None, bool]:
    """Return the method of this name (None if there is none), and whether this answer is certain."""
    ahead = list(obj.classes) if obj.kind is not Kind.CLASS else [obj]
    certain = bool(ahead)
    seen: set[AbstractObject] = set()
    while ahead:
        each = ahead.pop(0)
        if each in seen:
            continue
        seen.add(each)
        if each.outline is None:
            certain = False
            continue
        if name in each.outline.methods:
            return each.outline.methods[name], certain
        certain = certain and each.outline.known
        ahead.extend(each.outline.bases)
    return None, certain


def class_attributes(obj: AbstractObject, name: str) -> set[AbstractObject]:
    """Return the objects that an instance's classes hold under an attribute's name."""
    found: set[AbstractObject] = set()
    seen: set[AbstractObject] = set()
    ahead = list(obj.classes)
    while ahead:
        each = ahead.pop()
        if each not in seen:
            seen.add(each)
            found |= each.keyed.get(name, set())
            ahead.extend(each.outline.bases if each.outline is not None else ())
    return found
