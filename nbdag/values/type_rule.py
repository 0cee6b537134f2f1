"""The class of the rules in the registry of types."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(slots=True)
class PickleState:
    """State that the `reduce` functions share while one pickle is written."""

    # Ids of the objects that the `unshared` functions of the rules returned.
    unshared: set[int] = field(default_factory=set)
    # Key: id of the object that owns a block of memory; value: the pickled object that contains this block.
    owners: dict[int, Any] = field(default_factory=dict)


class Refusal(NamedTuple):
    """Why a value cannot be passed to another task, and what to do instead."""

    why: str  # the reason, for example "what a task writes to an open file does not reach another task"
    remedy: str  # what to do instead, for example "open it in each task that uses it"


@dataclass(frozen=True, slots=True)
class TypeRule:
    """The rule for one type and its subclasses. Every field but `type` is optional."""

    type: str  # the type, as "module:qualname"
    # Returns how to pickle the value, in the form of a result of `__reduce__`, or None to pickle the value as usual.
    reduce: Callable[[Any, PickleState], Any] | None = None
    # Returns why a value that can be pickled must not be passed to another task, or None if it may be passed.
    refused: Callable[[Any], Refusal | None] | None = None
    # Returns an object, such as a tuple of attributes, that stands for the value in fingerprints. The pickle of this
    # object must change exactly when the value changes.
    fingerprint: Callable[[Any], object] | None = None
    # Returns the objects inside the value that its methods copy before a change, so that two values may share them.
    unshared: Callable[[Any], Iterable[object]] | None = None
    # Returns whether two values of this type use the same memory.
    overlap: Callable[[Any, Any], bool] | None = None
    # Returns whether the value uses memory of another object. If so, the other object is pickled first.
    is_view: Callable[[Any], bool] | None = None
    # Returns a description of the value in one line.
    summary: Callable[[Any], str] | None = None
    # Whether other values may share the value itself, because it never changes or is copied on write. Objects inside it
    # may change.
    immutable: bool | None = None
    # Whether the value itself certainly loads unchanged, so that it needs no test. Objects inside it may
    # need a test.
    loads: bool | None = None
    # Whether neither the value nor any object inside it can change, so that it is never compared after a task's cell.
    safe: bool | None = None
