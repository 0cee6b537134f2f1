"""The class of the rules in the registry of types."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(slots=True)
class PickleState:
    """State that the `reduce` functions share while one pickle is written."""

    unshared: set[int] = field(default_factory=set)  # ids of objects that `unshared` functions returned
    # Objects whose memory is in the pickle, by the id of the object that owns the memory.
    owners: dict[int, Any] = field(default_factory=dict)


class Refusal(NamedTuple):
    """The reason that a value cannot be passed to another task, and what to do instead."""

    why: str  # for example "what a task writes to an open file does not reach another task"
    remedy: str  # for example "open it in each task that uses it"


@dataclass(frozen=True, slots=True)
class TypeRule:
    """The rule for one type. Every part is optional, and applies to subclasses too."""

    type: str  # "module:qualname"
    # Return a result like that of `__reduce__`, to pickle the value differently; None: pickle it as usual.
    reduce: Callable[[Any, PickleState], Any] | None = None
    # Return why a value cannot be passed to another task although it can be pickled; None if it can.
    refused: Callable[[Any], Refusal | None] | None = None
    # Return an object whose pickle changes exactly when the value does, such as a tuple of its parts.
    fingerprint: Callable[[Any], object] | None = None
    # Return the inner objects that are copied before the value changes them, so that sharing one is harmless.
    unshared: Callable[[Any], Iterable[object]] | None = None
    # Return whether two values of this type use the same memory.
    overlap: Callable[[Any, Any], bool] | None = None
    # Return whether the value uses memory of another object; the owner is pickled first.
    is_view: Callable[[Any], bool] | None = None
    # Return one line about the value.
    summary: Callable[[Any], str] | None = None
    # The value itself never changes, or is copied on write: sharing it is harmless. Objects inside it may change.
    immutable: bool | None = None
    # The value, apart from the objects inside it, loads unchanged, so no trial is needed.
    loads: bool | None = None
    # Neither the value nor any object inside it can change, so it is never compared after a task's cell.
    safe: bool | None = None
