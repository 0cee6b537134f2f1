"""Values as JSON and as lists, for operators that pass values to other programs."""

from __future__ import annotations

import os
from datetime import date, time
from typing import Any


def plain_value(value: Any) -> Any:
    """Return a value that JSON does not know as one that it knows. Raise `TypeError` if there is none."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    scalar = getattr(value, "item", None)  # numbers of NumPy
    if callable(scalar) and getattr(value, "ndim", None) == 0:
        return scalar()
    items = list_of(value)
    if items is None:
        raise TypeError(f"a {type(value).__name__} has no JSON")
    return items


def list_of(value: Any) -> list[Any] | None:
    """Return the elements of a list, or of an array or series of one dimension; None for another value."""
    if isinstance(value, list | tuple | range):
        return list(value)
    to_list = getattr(value, "tolist", None)  # arrays of NumPy, series and indexes of pandas
    return list(to_list()) if callable(to_list) and getattr(value, "ndim", 0) == 1 else None
