"""Detection of objects that two values share and that can be changed.

`b = {"data": a}` makes a list part of two values: stored apart, they would be two lists. The objects in the pickles of
both values are compared. Immutable objects do not count, nor do arrays that pandas copies before it changes them; the
registry of types lists both.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .pickling import Pickled
from .summaries import type_name
from .types import rule_of

_MAX_PICKLES = 1 << 27  # bytes of pickles above which the check would take too long
_MAX_OVERLAPS = 100  # objects of one value whose memory is compared


@dataclass(frozen=True, slots=True)
class Sharing:
    """Two names and the type of the object that they share."""

    one: str
    other: str
    type: str


def find_sharing(pickled: Mapping[str, Pickled]) -> list[Sharing]:
    """Return the pairs of names that share an object that can be changed."""
    if len(pickled) < 2 or sum(len(value.data) for value in pickled.values()) > _MAX_PICKLES:
        return []
    found = []
    for (one, first), (other, second) in itertools.combinations(pickled.items(), 2):
        shared = _common(first, second)
        if shared is None:  # not `or`: an array has no truth value
            shared = _overlap(first, second)
        if shared is not None:
            found.append(Sharing(one, other, type_name(shared)))
    return found


def _common(first: Pickled, second: Pickled) -> object | None:
    """Return an object that is part of both values and can be changed."""
    unshared = first.unshared | second.unshared
    for key in first.memo.keys() & second.memo.keys():
        shared = first.memo[key]
        if key not in unshared and not rule_of(shared).immutable and _is_data(shared):
            return shared
    return None


def _is_data(obj: Any) -> bool:
    """Return whether an object may hold data of the notebook, unlike a library's registries, loggers and sentinels."""
    cls = type(obj)
    if cls in (list, dict, set, bytearray) or cls.__module__ == "__main__":
        return True
    return hasattr(obj, "__setitem__") or hasattr(obj, "fit") or hasattr(obj, "append")


def _overlap(first: Pickled, second: Pickled) -> object | None:
    """Return an object of the first value that uses the same memory as one of the second."""
    for (one, overlap), (other, of_other) in itertools.product(_with_memory(first), _with_memory(second)):
        if overlap is of_other and overlap(one, other):
            return one
    return None


def _with_memory(value: Pickled) -> list[tuple[object, Callable[[Any, Any], bool]]]:
    found = (
        (obj, overlap)
        for key, obj in value.memo.items()
        if (overlap := rule_of(obj).overlap) is not None and key not in value.unshared
    )
    return [*itertools.islice(found, _MAX_OVERLAPS)]
