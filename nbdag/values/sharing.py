"""Do two values share an object that somebody could change?

`b = {"data": a}` makes a list part of two values: stored apart they would be two lists. What was pickled on the way
to each value tells; objects that cannot change, and arrays that pandas copies before it changes them, do not count.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import itertools
import numbers
import pathlib
import re
import sys
import types
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .pickling import Pickled
from .summaries import type_name

_MAX_PICKLES = 1 << 27  # bytes of pickles beyond which looking would cost more than it is worth

_UNCHANGING: tuple[type, ...] = (
    str, bytes, tuple, frozenset, type, range, slice, numbers.Number, type(None), type(Ellipsis), types.FunctionType,
    types.BuiltinFunctionType, types.ModuleType, types.CodeType, types.MappingProxyType, datetime.date, datetime.time,
    datetime.timedelta, datetime.tzinfo, decimal.Decimal, fractions.Fraction, enum.Enum, pathlib.PurePath, re.Pattern,
    uuid.UUID,
)  # fmt: skip
_UNCHANGING_ABROAD = {
    "numpy": ("dtype", "generic", "ufunc"),
    "pandas": ("Index", "Timestamp", "Timedelta", "Period", "Interval"),
    "pandas.api.extensions": ("ExtensionDtype", "ExtensionArray"),
    "pyarrow": ("_Weakrefable",),
    "polars": ("DataFrame", "Series", "DataType"),
}


@dataclass(frozen=True, slots=True)
class Sharing:
    """Two names, and the type of what they share."""

    one: str
    other: str
    type: str


def find_sharing(pickled: Mapping[str, Pickled]) -> list[Sharing]:
    """The pairs of names that share an object that can be changed."""
    if len(pickled) < 2 or sum(len(value.data) for value in pickled.values()) > _MAX_PICKLES:
        return []
    unchanging = _UNCHANGING + tuple(_abroad())
    found = []
    for (one, first), (other, second) in itertools.combinations(pickled.items(), 2):
        thing = _common(first, second, unchanging)
        if thing is None:  # not `or`: an array has no truth
            thing = _overlap(first, second)
        if thing is not None:
            found.append(Sharing(one, other, type_name(thing)))
    return found


def _common(first: Pickled, second: Pickled, unchanging: tuple[type, ...]) -> object | None:
    guarded = first.guarded | second.guarded
    for key in first.memo.keys() & second.memo.keys():
        thing = first.memo[key]
        if key not in guarded and not isinstance(thing, unchanging) and _of_a_notebook(thing):
            return thing
    return None


def _of_a_notebook(thing: Any) -> bool:
    """Objects that libraries keep one of (registries, loggers, sentinels) do not count as shared."""
    cls = type(thing)
    if cls in (list, dict, set, bytearray) or cls.__module__ == "__main__":
        return True
    return hasattr(thing, "__setitem__") or hasattr(thing, "fit") or hasattr(thing, "append")


def _overlap(first: Pickled, second: Pickled) -> object | None:
    """An array that is a view of the other value's memory."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    for one, other in itertools.product(_arrays(numpy, first), _arrays(numpy, second)):
        try:
            if numpy.shares_memory(one, other, max_work=1000):
                return one  # type: ignore[no-any-return]
        except numpy.exceptions.TooHardError:
            return one  # type: ignore[no-any-return]
    return None


def _arrays(numpy: Any, value: Pickled) -> Iterator[Any]:
    arrays = (
        thing for key, thing in value.memo.items() if isinstance(thing, numpy.ndarray) and key not in value.guarded
    )
    return itertools.islice(arrays, 100)


def _abroad() -> Iterator[type]:
    for module, names in _UNCHANGING_ABROAD.items():
        if (there := sys.modules.get(module)) is not None:
            yield from (found for name in names if isinstance(found := getattr(there, name, None), type))
