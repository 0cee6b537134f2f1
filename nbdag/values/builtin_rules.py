"""The built-in rules of the registry of types: Python's own types, numpy, pandas, pyarrow and polars.

numpy pickles a view as an array of its own, so that a change of one no longer shows in the other. Where the array that
owns the memory is in the same pickle, a view is stored as a view of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from .type_rule import PickleState, TypeRule


def _array_reduce(array: Any, state: PickleState) -> Any:
    """Return how to pickle an array as a view of one pickled before; None if it is no view, or its owner is not."""
    if not _is_plain_array(array) or id(array) in state.unshared:
        return None
    owner = array
    while type(owner.base) is type(array):
        owner = owner.base
    if owner is array:
        state.owners.add(id(array))
        return None
    if id(owner) not in state.owners or not owner.flags.c_contiguous or array.dtype.hasobject:
        return None
    offset = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
    return view, (owner, offset, array.shape, array.strides, array.dtype, bool(array.flags.writeable))


def view(owner: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any, writeable: bool) -> Any:
    """Return a new view of an array's memory."""
    made = type(owner)(shape, dtype, owner, offset, strides)
    if not writeable:
        made.flags.writeable = False
    return made


def _array_is_view(array: Any) -> bool:
    return _is_plain_array(array) and _is_plain_array(array.base)


def _is_plain_array(obj: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(obj) is getattr(numpy, "ndarray", None)


def _arrays_overlap(one: Any, other: Any) -> bool:
    numpy = sys.modules["numpy"]
    try:
        return bool(numpy.shares_memory(one, other, max_work=1000))
    except numpy.exceptions.TooHardError:
        return True


def _block_values(block: Any) -> Iterable[object]:
    return (block.values,)  # pandas copies them before it changes them


def _frame_content(frame: Any) -> object:
    """Return all of a data frame except the layout of its blocks, which pandas changes by itself."""
    columns = [frame.iloc[:, number].array for number in range(frame.shape[1])]
    return type(frame).__name__, frame.index, frame.columns, columns, frame.attrs


def _generator_content(generator: Any) -> object:
    frame = generator.gi_frame
    return (id(generator), frame.f_lasti, dict(frame.f_locals)) if frame else (id(generator),)


_SAFE = (
    "builtins:str", "builtins:bytes", "builtins:int", "builtins:float", "builtins:complex", "builtins:NoneType",
    "builtins:module",
)  # fmt: skip
_IMMUTABLE = (
    "builtins:tuple", "builtins:frozenset", "builtins:type", "builtins:range", "builtins:slice", "builtins:ellipsis",
    "builtins:function", "builtins:builtin_function_or_method", "builtins:code", "builtins:mappingproxy",
    "numbers:Number", "datetime:date", "datetime:time", "datetime:timedelta", "datetime:tzinfo", "decimal:Decimal",
    "fractions:Fraction", "enum:Enum", "pathlib:PurePath", "re:Pattern", "uuid:UUID",
    "numpy:dtype", "numpy:generic", "numpy:ufunc",
    "pandas:Index", "pandas:Timestamp", "pandas:Timedelta", "pandas:Period", "pandas:Interval",
    # Defined in one of two modules, depending on the version of pandas.
    "pandas.api.extensions:ExtensionDtype", "pandas.core.dtypes.base:ExtensionDtype",
    "pandas.api.extensions:ExtensionArray", "pandas.core.arrays.base:ExtensionArray",
    "pyarrow.lib:_Weakrefable", "polars:DataFrame", "polars:Series", "polars.datatypes:DataType",
)  # fmt: skip

BUILT_IN: tuple[TypeRule, ...] = (
    *(TypeRule(name, immutable=True, safe=True) for name in _SAFE),
    *(TypeRule(name, immutable=True) for name in _IMMUTABLE),
    TypeRule("builtins:generator", fingerprint=_generator_content),
    TypeRule("numpy:ndarray", reduce=_array_reduce, overlap=_arrays_overlap, is_view=_array_is_view),
    TypeRule("pandas:DataFrame", fingerprint=_frame_content),
    TypeRule("pandas.core.internals.blocks:Block", unshared=_block_values),
)
