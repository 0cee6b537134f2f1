"""Fingerprints that detect in-place changes of an object.

A fingerprint is computed before a task's cell and after it. If the two differ, the cell changed the object.
Fingerprints of different kernels cannot be compared. Caches of an object, such as cached properties and the layout of
pandas' blocks, are ignored.

An object that cannot be pickled is fingerprinted in another way. If the user defines the object's class, the attributes
are fingerprinted. If a library defines the class, the rule of the type (see `types`) determines the fingerprint.
Without such a rule, only the identity of the object counts, because libraries may change their objects implicitly.
"""

from __future__ import annotations

import functools
import io
import itertools
import math
import pickle
import pickletools
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cloudpickle
import xxhash

from .definitions import definition_digest
from .files import Region
from .libraries import is_users_class
from .pickling import MAX_CAPTURED, dump, is_definition, user_namespace
from .types import rule_of

_MAX_COMPARED = 10_000_000  # maximum size in bytes of a pickle whose operations are compared


def small_fingerprint(obj: object, *, tolerant: bool = False) -> bytes | None:
    """Return the fingerprint of an object, or None if the object is large or cannot be pickled.

    If `tolerant`, an object that cannot be pickled gets the same fingerprint as from `fingerprint`.
    """
    found = _attempt(_Fingerprinter, obj, (), MAX_CAPTURED)
    return _attempt(_Tolerant, obj, (), MAX_CAPTURED) if found is None and tolerant else found


def fingerprint(obj: object, regions: Sequence[Region] = ()) -> bytes | None:
    """Return a digest that stays equal as long as the object is unchanged, or None if no digest can be computed.

    Memory of `regions`, which is mapped from files, is not read if it is unchanged.
    """
    found = _attempt(_Fingerprinter, obj, regions)
    return found if found is not None else _attempt(_Tolerant, obj, regions)


def is_same(one: object, other: object) -> bool:
    """Return whether two objects have the same content.

    Unlike fingerprints, this comparison ignores whether equal texts and numbers are the same object, because a library
    may replace a text by an equal text. Large contents with different fingerprints count as different.
    """
    print = fingerprint(one)
    if print is None or print == fingerprint(other):
        return print is not None
    try:
        return all(a == b for a, b in itertools.zip_longest(_operations(one), _operations(other)))
    except Exception:  # the object cannot be pickled, or is too large
        return False


def _operations(obj: object) -> Iterator[object]:
    """Yield the operations of an object's pickle. For an operation that refers to an earlier text, yield the text."""
    data, buffers = io.BytesIO(), xxhash.xxh3_128()

    def keep(buffer: pickle.PickleBuffer) -> bool:
        buffers.update(buffer.raw())
        return False

    _Fingerprinter(data, keep).dump(obj)
    if data.tell() > _MAX_COMPARED:
        raise OverflowError
    yield buffers.digest()
    texts: dict[int, object] = {}  # key: number in the memo
    numbers: dict[int, int] = {}  # key: number in the memo of an object that is no text; value: its number among these
    last: object = None  # the object that the last operation created or named
    for operation, argument, _ in pickletools.genops(data.getvalue()):
        name = operation.name
        if name == "FRAME":
            continue
        if name == "MEMOIZE":
            number = len(texts) + len(numbers)
            if isinstance(last, str | bytes):
                texts[number] = last
            else:
                numbers[number] = len(numbers)
            continue
        last = argument
        if name in ("BINGET", "LONG_BINGET"):
            number = int(argument or 0)
            yield ("text", texts[number]) if number in texts else ("again", numbers[number])
        elif isinstance(argument, str | bytes):
            yield "text", argument
        else:
            yield name, repr(argument)  # as text, because NaN does not equal itself


def _attempt(
    kind: type[_Fingerprinter], obj: object, regions: Sequence[Region], limit: float = math.inf
) -> bytes | None:
    state = _Limited(limit)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind(_Hashing(state), lambda buffer: _count(buffer, state, regions)).dump(obj)
    except Exception:  # the object, or an object in it, cannot be pickled
        return None
    return state.digest()


class _Limited:
    """A hash that raises `OverflowError` once it has received more bytes than a limit."""

    def __init__(self, limit: float) -> None:
        self._state = xxhash.xxh3_128()
        self._left = limit
        self.digest = self._state.digest

    def update(self, data: Any) -> None:
        self._left -= memoryview(data).nbytes
        if self._left < 0:
            raise OverflowError
        self._state.update(data)


class _Hashing(io.RawIOBase):
    """A file that hashes the bytes written to it and does not store them."""

    def __init__(self, state: _Limited) -> None:
        super().__init__()
        self._state = state

    def write(self, data: Any, /) -> int:
        self._state.update(data)
        return len(data)


def _count(buffer: pickle.PickleBuffer, state: _Limited, regions: Sequence[Region]) -> bool:
    raw = buffer.raw()
    for number, region in enumerate(regions):
        if (place := region.unchanged_span(raw)) is not None:
            state.update(f"{number}:{place}".encode())
            return False
    state.update(raw)
    return False


class _Fingerprinter(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """A pickler whose output is only hashed, never unpickled. Equal objects must give equal bytes."""

    def __init__(self, file: Any, buffers: Callable[[pickle.PickleBuffer], bool]) -> None:
        super().__init__(file, 5, buffers)
        self._classes: set[type] = set()  # classes whose attributes are hashed already

    def reducer_override(self, obj: Any) -> Any:
        """Return what to hash in place of an object if its pickle contains more or less than its state."""
        if isinstance(obj, types.FunctionType):
            if obj.__globals__ is not user_namespace():
                return super().reducer_override(obj)
            return _Function, (definition_digest(obj), obj.__defaults__, obj.__kwdefaults__, _cells(obj), vars(obj))
        if isinstance(obj, type):
            if is_definition(obj, user_namespace()):
                return _Class, (obj.__qualname__, definition_digest(obj), self._data_of(obj))
            return super().reducer_override(obj)
        if type(obj) in self._classes and hasattr(obj, "__dict__"):
            return _Content, (type(obj).__qualname__, dict(vars(obj)))  # the object is an attribute of its class
        rule = rule_of(obj)
        if rule.fingerprint is not None:
            return _Content, (rule.type, rule.fingerprint(obj))
        if cached := _cached_properties(type(obj)):  # type: ignore[arg-type]  # mypy doubts that classes hash
            return _without(obj, cached)
        return super().reducer_override(obj)

    def _data_of(self, cls: type) -> list[tuple[str, Any]]:
        """Return the attributes of a class that the digest of its definition does not cover, such as a counter."""
        if cls in self._classes:
            return []
        self._classes.add(cls)
        return [
            (name, value)
            for name, value in vars(cls).items()
            if not name.startswith("__") and name != "_abc_impl" and not isinstance(value, _COVERED)
        ]


# Types of class attributes that need no fingerprint: the digest of the definition contains their values.
_COVERED = (
    *(str, bytes, int, float, complex, bool, type(None), type, types.FunctionType, staticmethod, classmethod, property),
    *(types.MemberDescriptorType, types.GetSetDescriptorType, functools.cached_property, functools.partialmethod),
)


class _Tolerant(_Fingerprinter):
    """A fingerprinter that hashes the identity of each object that cannot be pickled."""

    def reducer_override(self, obj: Any) -> Any:
        """Return what to hash in place of an object that cannot be pickled."""
        if isinstance(obj, types.FunctionType | type) or rule_of(obj).fingerprint is not None:
            return super().reducer_override(obj)
        if is_users_class(type(obj)) and _is_plain(type(obj)):
            return _Content, (type(obj).__qualname__, dict(vars(obj)))
        try:
            dump(obj)
        except Exception:
            return _Opaque, (type(obj).__qualname__, id(obj))
        return super().reducer_override(obj)


def _is_plain(cls: type) -> bool:
    """Return whether an instance has no state outside of its `__dict__`."""
    return cls.__basicsize__ == _Empty.__basicsize__


class _Empty: ...


# Markers in the hashed pickle, one for each kind of replacement.
class _Opaque: ...


class _Function: ...


class _Class: ...


class _Content: ...


@functools.cache
def _cached_properties(cls: type) -> frozenset[str]:
    return frozenset(
        name
        for base in cls.__mro__
        for name, value in vars(base).items()
        if isinstance(value, functools.cached_property)
    )


def _without(obj: Any, cached: frozenset[str]) -> Any:
    reduced = obj.__reduce_ex__(5)
    if not isinstance(reduced, tuple) or len(reduced) < 3 or not isinstance(reduced[2], dict):
        return NotImplemented
    kept = {name: value for name, value in reduced[2].items() if name not in cached}
    return (*reduced[:2], kept, *reduced[3:])


def _cells(function: types.FunctionType) -> tuple[Any, ...]:
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # ValueError: the cell variable is not set yet
            found.append(None)
    return tuple(found)
