"""Digests of functions and classes, comparable between kernels.

The digest of a function covers the function's code and defaults; the digest of a class covers the names that the class
body binds. File names, comments and line numbers do not count, so a definition that is executed again in another kernel
has the same digest.
"""

from __future__ import annotations

import abc
import collections
import functools
import itertools
import types
from collections.abc import Iterable
from typing import Any

import xxhash

_DEPTH = 12
_OF_ENUMS = ("__objclass__", "_sort_order_")  # attributes that `enum` sets on members
# Attributes that Python itself sets on a class, or that differ between kernels.
_OF_PYTHON = frozenset(
    (
        *("__module__", "__qualname__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__"),
        *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__", "_abc_impl"),
        "__slotnames__",  # copyreg sets this when an instance is pickled
    )
)


def definition_digest(obj: object) -> str:
    """Return a digest of 32 hex digits that is equal for equal definitions."""
    return xxhash.xxh3_128_hexdigest(_text(obj, _DEPTH).encode(errors="surrogatepass"))


def _text(obj: object, depth: int) -> str:
    if depth == 0:
        return "…"
    if isinstance(obj, types.FunctionType):
        attributes = tuple(sorted(vars(obj).items()))  # attributes of the function, such as a counter of calls
        parts = (obj.__code__, obj.__defaults__, obj.__kwdefaults__, _closure(obj), *attributes)
        return f"def{_all(parts, depth)}"
    if isinstance(obj, types.CodeType):
        names = (obj.co_names, obj.co_varnames, obj.co_freevars)
        return f"code{_all((obj.co_code, obj.co_consts, names, obj.co_flags), depth)}"
    if isinstance(obj, type):
        name = f"{obj.__module__}.{obj.__qualname__}"
        return f"class {name}{_all(_members(obj), depth)}" if depth == _DEPTH else f"class {name}"
    if isinstance(obj, staticmethod | classmethod):
        return f"{type(obj).__name__}({_text(obj.__func__, depth - 1)})"
    if isinstance(obj, property):
        return f"property{_all((obj.fget, obj.fset, obj.fdel), depth)}"
    if isinstance(obj, functools.partial):
        return f"partial{_all((obj.func, obj.args, obj.keywords), depth)}"
    if isinstance(obj, functools.cached_property):
        return f"cached_property({_text(obj.func, depth - 1)})"
    if obj is None or type(obj) in (bool, int, float, complex, str, bytes):
        return repr(obj)
    if isinstance(obj, tuple | list):
        return f"{type(obj).__name__}{_all(obj, depth)}"
    if isinstance(obj, dict):
        return f"dict{_all(obj.items(), depth)}"
    if isinstance(obj, set | frozenset):  # sorted, because the order of a set differs between processes
        return f"set({sorted(_text(item, depth - 1) for item in obj)})"
    if isinstance(obj, collections.deque):
        return f"deque{_all((*obj, obj.maxlen), depth)}"
    if isinstance(obj, itertools.count):
        return repr(obj)
    name = f"a {type(obj).__module__}.{type(obj).__qualname__}"
    if type(obj).__module__ == "__main__" and isinstance(own := getattr(obj, "__dict__", None), dict):
        return f"{name}{_all(((key, value) for key, value in own.items() if key not in _OF_ENUMS), depth)}"
    return f"{name}({_array(obj)})" if type(obj).__module__ == "numpy" and hasattr(obj, "tobytes") else name


def _array(array: Any) -> str:
    if array.dtype.hasobject:
        return ""
    return f"{array.dtype}{array.shape}{xxhash.xxh3_128_hexdigest(array.tobytes())}"


def _all(items: Iterable[object], depth: int) -> str:
    return f"({','.join(_text(item, depth - 1) for item in items)})"


def _members(cls: type) -> list[object]:
    bases = [f"{base.__module__}.{base.__qualname__}" for base in cls.__bases__]
    return [
        bases,
        _registered(cls),
        *((name, value) for name, value in sorted(vars(cls).items()) if name not in _OF_PYTHON),
    ]


def _registered(cls: type) -> list[str]:
    """Return the names of the classes that were registered as virtual subclasses of an abstract base class."""
    if not isinstance(cls, abc.ABCMeta):
        return []
    found = [reference() for reference in abc._get_dump(cls)[0]]  # type: ignore[attr-defined]
    return sorted(f"{each.__module__}.{each.__qualname__}" for each in found if each is not None)


def _closure(function: types.FunctionType) -> tuple[object, ...]:
    return tuple(_content(cell) for cell in function.__closure__ or ())


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # ValueError: the cell variable is not set yet
        return None
