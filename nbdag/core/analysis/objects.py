"""What the analysis believes of the objects behind names.

A `Thing` stands for one object, or for all objects made at one place of the code. A value is a set of things: what a
name may be. Two names that share a thing may be one object; a value without things is known to be immutable (a number,
a text, None). What a thing holds only ever grows, so every answer errs on the side of more sharing.

Inside a function, things are told in the function's own terms (its parameters, the globals it looks up when called);
a call puts the caller's things in their place. Nothing here knows of syntax.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple, TypeAlias


class Kind(Enum):
    """What a thing is."""

    OBJECT = auto()  # made by the code: a list, an instance, what a call returned
    FUNCTION = auto()
    CLASS = auto()
    IMPORT = auto()  # a module, or something of one; `label` is its dotted name
    BUILTIN = auto()
    PARAMETER = auto()  # of a function that is being read, to be replaced by an argument
    GLOBAL = auto()  # a global name of a function that is being read, to be looked up when it is called
    RESULT = auto()  # of a call, or a part of something, that only the caller's things will tell


SYMBOLIC = frozenset({Kind.PARAMETER, Kind.GLOBAL, Kind.RESULT})


@dataclass(slots=True, eq=False)
class Thing:
    """One object, or all objects made at one place."""

    kind: Kind = Kind.OBJECT
    label: str = ""
    code: Code | None = None  # of a function
    outline: Outline | None = None  # of a class
    closure: Mapping[Thing, Value] = field(default_factory=dict)  # what the function that made this one was given
    classes: set[Thing] = field(default_factory=set)  # of an instance
    holds: set[Thing] = field(default_factory=set)  # objects that can be reached from it
    held_by: set[Thing] = field(default_factory=set)
    keyed: dict[object, set[Thing]] = field(default_factory=dict)  # of what it holds, that under a known key only
    parts: dict[object, Thing] = field(default_factory=dict)  # unknown objects taken out of it, by attribute or key
    part_of: set[Thing] = field(default_factory=set)
    carries: set[Thing] = field(default_factory=set)  # functions and classes that it may use, however hidden
    number: int = field(default_factory=itertools.count().__next__)  # in the order of making


Value: TypeAlias = frozenset[Thing]
NOTHING: Value = frozenset()


@dataclass(slots=True, eq=False)
class Outline:
    """A class, as far as the code shows it."""

    methods: dict[str, Thing] = field(default_factory=dict)
    bases: Value = NOTHING
    known: bool = True  # all its bases are known, so a method that is not here does not exist
    state: bool = False  # holds objects that can change: what changes an instance may change the class


@dataclass(slots=True, eq=False)
class Code:
    """A function, told in its own terms: what a call of it does, in order."""

    name: str
    line: int
    parameters: tuple[Thing, ...] = ()  # those that a position or a keyword can fill, in order
    rest: Thing | None = None  # *args
    keywords: Thing | None = None  # **kwargs
    defaults: dict[Thing, Value] = field(default_factory=dict)
    events: dict[object, Event] = field(default_factory=dict)
    result: Value = NOTHING
    own: set[Thing] = field(default_factory=set)  # made anew by every call
    stateful: bool = False  # changes variables of the function around it
    lazy: bool = False  # a generator or coroutine: a call does not run it yet
    bound_to: str = ""  # "class" or "static" for such methods; "property" runs when it is looked at

    def free_names(self) -> dict[str, int]:
        """The global names that a call looks up, each with its first line."""
        found: dict[str, int] = {}
        for event in self.events.values():
            if isinstance(event, Read):
                found.setdefault(event.name, event.line)
        return found


class Read(NamedTuple):
    """A global name is looked up."""

    name: str
    line: int
    soft: bool  # it may be missing


class Write(NamedTuple):
    """A global name is bound."""

    name: str
    value: Value
    line: int
    maybe: bool


class Delete(NamedTuple):
    """A global name is unbound."""

    name: str
    line: int
    maybe: bool


class Change(NamedTuple):
    """Objects are changed in place."""

    value: Value
    strong: bool  # certain enough to be a change of what they were taken out of
    line: int


class Hold(NamedTuple):
    """An object comes to hold another."""

    base: Value
    item: Value
    key: object  # under which, where the code says so


class Call(NamedTuple):
    """Something that only the caller knows is called."""

    callee: Value
    method: str | None  # a method of `callee`, or `callee` itself
    args: Arguments
    line: int
    maybe: bool
    changes: str  # how a method that is not known treats its object: "", "weak" or "strong"
    result: Thing


class Part(NamedTuple):
    """Something is taken out of what only the caller knows."""

    base: Value
    key: object  # an attribute's name, a constant index, or None
    result: Thing


class Note(NamedTuple):
    """Something that `check` should mention, such as a seed."""

    kind: str
    text: str
    line: int


Event: TypeAlias = Read | Write | Delete | Change | Hold | Call | Part | Note


class Arguments(NamedTuple):
    """The arguments of a call."""

    positional: tuple[Value, ...] = ()
    named: tuple[tuple[str, Value], ...] = ()
    spread: Value = NOTHING  # what `*xs` and `**kw` may put in any place

    def all(self) -> Value:
        """Everything that is handed over."""
        return NOTHING.union(*self.positional, *(value for _, value in self.named), self.spread)


def hold(base: Iterable[Thing], items: Iterable[Thing], key: object = None) -> None:
    """Let each of `base` hold each of `items`, under an attribute's name or a constant key where that is known."""
    items = [item for item in items if item.kind is not Kind.BUILTIN and item.kind is not Kind.IMPORT]
    for thing in base:
        for item in items:
            if item is thing:
                continue
            known = item in thing.holds and not any(item in keyed for keyed in thing.keyed.values())
            thing.holds.add(item)
            item.held_by.add(thing)
            if key is None:
                for keyed in thing.keyed.values():
                    keyed.discard(item)
            elif not known:
                thing.keyed.setdefault(key, set()).add(item)


def instance_of(thing: Thing, classes: Iterable[Thing]) -> Thing:
    """Note that `thing` is an instance: a change of the class is seen through it."""
    for each in classes:
        thing.classes.add(each)
        thing.carries.add(each)
        each.held_by.add(thing)
    return thing


def contents(value: Iterable[Thing]) -> Value:
    """What can be taken out of these."""
    return NOTHING.union(*(thing.holds for thing in value))


def reached(value: Iterable[Thing]) -> set[Thing]:
    """These and all that they hold, however deep; a class only where it has state of its own."""
    found: set[Thing] = set()
    ahead = set(value)
    while ahead:
        found |= ahead
        following: set[Thing] = set()
        for thing in ahead:
            following |= thing.holds
            following.update(thing.parts.values())
            if thing.classes:
                following.update(each for each in thing.classes if each.outline is not None and each.outline.state)
        ahead = following - found
    return found


def reaching(value: Iterable[Thing], strong: bool = True) -> set[Thing]:
    """These and all that hold them, however far off; after a strong change, what they were taken out of as well."""
    found: set[Thing] = set()
    ahead = set(value)
    while ahead:
        found |= ahead
        following: set[Thing] = set()
        for thing in ahead:
            following |= thing.held_by
            if strong:
                following |= thing.part_of
        ahead = following - found
    return found


def part(value: Iterable[Thing], key: object) -> Value:
    """What may be found in these under an attribute's name or a constant key; None stands for any key."""
    found: set[Thing] = set()
    for thing in value:
        if key is None:
            found |= thing.holds
            found.update(thing.parts.values())
        else:
            found |= thing.holds.difference(*thing.keyed.values()) | thing.keyed.get(key, set())
            if key not in thing.parts:
                inner = Thing(carries={thing})
                inner.part_of.add(thing)
                thing.parts[key] = inner
            found.add(thing.parts[key])
    return frozenset(found)


CODE = frozenset({Kind.FUNCTION, Kind.CLASS}) | SYMBOLIC


def used(value: Collection[Thing]) -> set[Thing]:
    """All that may play a part when the value is used, functions and classes among them."""
    if all(thing.kind is Kind.OBJECT and not thing.holds and not thing.carries for thing in value):
        return set()
    found: set[Thing] = set()
    ahead = set(value)
    while ahead:
        found |= ahead
        following: set[Thing] = set()
        for thing in ahead:
            following |= thing.holds
            following |= thing.carries
            if thing.outline is not None:
                following |= thing.outline.bases
                following.update(thing.outline.methods.values())
            if thing.closure:
                following = following.union(*thing.closure.values())
        ahead = following - found
    return found


def method_of(thing: Thing, name: str) -> tuple[Thing | None, bool]:
    """The method of a class, or of a class of an instance; and whether that is certain."""
    ahead = list(thing.classes) if thing.kind is not Kind.CLASS else [thing]
    certain = bool(ahead)
    seen: set[Thing] = set()
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


def class_attributes(thing: Thing, name: str) -> set[Thing]:
    """What the classes of an instance hold under an attribute's name."""
    found: set[Thing] = set()
    seen: set[Thing] = set()
    ahead = list(thing.classes)
    while ahead:
        each = ahead.pop()
        if each not in seen:
            seen.add(each)
            found |= each.keyed.get(name, set())
            ahead.extend(each.outline.bases if each.outline is not None else ())
    return found
