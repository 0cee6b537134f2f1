"""Detection of objects that two values share and that can be changed.

After `b = {"data": a}`, the list `a` is part of two values. If the values were stored separately, each would contain a
list of its own. So the objects in the pickles of both values are compared. Immutable objects are ignored, and so are
arrays that pandas copies before it changes them. The rules in `types` define both kinds of objects.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .pickling import Pickled
from .summaries import type_name
from .types import rule_of

MAX_PICKLES = 1 << 30  # larger pickles (in bytes) are not compared, because that would take too long
_STATE = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")
_MAX_OVERLAPS = 100  # maximum number of objects of one value whose memory is compared


@dataclass(frozen=True, slots=True)
class Sharing:
    """Two names and the type of the object that they share."""

    one: str
    other: str
    type: str
    # Whether the object can change; False for an object that is only compared by identity, such as a sentinel.
    changeable: bool = True


def find_sharing(pickled: Mapping[str, Pickled], ignored: Collection[int] = ()) -> list[Sharing]:
    """Return the pairs of names that share an object.

    An object counts if it can change or is compared by identity, and if its id is not in `ignored`.
    Values that are too large are not compared; `too_large` finds them.
    """
    large = set(too_large(pickled))
    found = []
    for (one, first), (other, second) in itertools.combinations(pickled.items(), 2):
        if one in large or other in large:
            continue
        shared = _common(first, second, ignored)
        if shared is None:  # `or` would fail here, because an array has no truth value
            shared = _overlap(first, second)
        if shared is not None:
            found.append(Sharing(one, other, type_name(shared), _is_data(shared)))
    return found


def too_large(pickled: Mapping[str, Pickled]) -> list[str]:
    """Return the names of values that are too large for the check of shared objects."""
    if len(pickled) < 2:
        return []
    return [name for name, value in pickled.items() if len(value.data) > MAX_PICKLES]


def _common(first: Pickled, second: Pickled, ignored: Collection[int]) -> object | None:
    """Return an object that is part of both values, preferably one that can change; None if there is none."""
    unshared = first.unshared | second.unshared
    by_identity = None
    for key in first.memo.keys() & second.memo.keys():
        shared = first.memo[key]
        if key in unshared or key in ignored or rule_of(shared).immutable or _is_function(shared):
            continue
        if _is_data(shared):
            return shared
        if type(shared).__eq__ is object.__eq__ and not _is_of_module(shared):
            by_identity = shared
    return by_identity


def _is_data(obj: Any) -> bool:
    """Return whether an object may contain data of the notebook.

    A library's registries, loggers and sentinels do not contain such data.
    """
    cls = type(obj)
    if cls in (list, dict, set, bytearray) or cls.__module__ == "__main__":
        return True
    if hasattr(obj, "__setitem__") or hasattr(obj, "fit") or hasattr(obj, "append"):
        return True
    return _has_state(cls, obj) and not _is_of_module(obj)


def _is_function(obj: object) -> bool:
    """Return whether an object is a function, including functions of compiled libraries."""
    return callable(obj) and hasattr(obj, "__qualname__")


def _has_state(cls: type, obj: object) -> bool:
    """Return whether an object has attributes, slots, or internal state of a C type."""
    frozen = getattr(cls, "__dataclass_params__", None)
    if frozen is not None and frozen.frozen:
        return False
    if getattr(obj, "__dict__", None) or any(vars(base).get("__slots__") for base in cls.__mro__):
        return True
    return any(name in vars(base) for base in cls.__mro__ if base is not object for name in _STATE)


def _is_of_module(obj: object) -> bool:
    """Return whether the object is a constant of the module that defines its type, such as a registry."""
    module = sys.modules.get(str(type(obj).__module__))
    return module is not None and any(value is obj for value in list(vars(module).values()))


def _overlap(first: Pickled, second: Pickled) -> object | None:
    """Return an object of the first value that shares memory with an object of the second value, or None."""
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
