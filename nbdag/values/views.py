"""Arrays that are views of another array's memory.

numpy pickles a view as an array of its own, so that a change of the one is no longer a change of the other. Where the
array that owns the memory is in the same value, a view is stored as one.
"""

from __future__ import annotations

import sys
from typing import Any


class Owners:
    """The arrays of one value whose memory others may look into."""

    def __init__(self) -> None:
        self._seen: set[int] = set()  # by id; the pickler keeps them alive

    def reduced(self, array: Any) -> Any:
        """How to pickle an array as a view of one that was pickled before; None where it is not one."""
        owner = array
        while type(owner.base) is type(array):
            owner = owner.base
        if owner is array:
            self._seen.add(id(array))
            return None
        if id(owner) not in self._seen or not owner.flags.c_contiguous or array.dtype.hasobject:
            return None
        offset = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
        return view, (owner, offset, array.shape, array.strides, array.dtype, bool(array.flags.writeable))


def is_array(obj: object) -> bool:
    """Whether it is a plain numpy array."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(obj) is getattr(numpy, "ndarray", None)


def is_view(obj: object) -> bool:
    """Whether it is an array on another one's memory."""
    return is_array(obj) and is_array(getattr(obj, "base", None))


def view(owner: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any, writeable: bool) -> Any:
    """The view, made again."""
    made = type(owner)(shape, dtype, owner, offset, strides)
    if not writeable:
        made.flags.writeable = False
    return made
