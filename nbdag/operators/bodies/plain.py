"""Convert values to JSON and to lists, for operators that pass values to other programs."""

from __future__ import annotations

import os
from datetime import date, time
from typing import Any


def plain_value(value: Any) -> Any:
    """Convert a value into a value that JSON supports. Raise `TypeError` if this is impossible."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    scalar = getattr(value, "item", None)  # numbers of NumPy have this method
    if callable(scalar) and getattr(value, "ndim", None) == 0:
        return scalar()
    items = list_of(value)
    if items is None:
        raise TypeError(f"a {type(value).__name__} cannot be written as JSON")
    return items


def list_of(value: Any) -> list[Any] | None:
    """Return the elements of a list, or of an array or series of one dimension. Return None for any other value."""
    if isinstance(value, list | tuple | range):
        return list(value)
    to_list = getattr(value, "tolist", None)  # arrays of NumPy, and series and indexes of pandas, have this method
    return list(to_list()) if callable(to_list) and getattr(value, "ndim", 0) == 1 else None
