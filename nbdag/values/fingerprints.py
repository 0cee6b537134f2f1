"""Has this object changed?

A fingerprint is taken before a task's cell and after it; when the two differ, the object was changed in place. It says
nothing between kernels. What an object merely remembers does not count: cached properties, and how pandas has laid
out its blocks. An object that cannot be looked into has no fingerprint.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle
import xxhash

from .definitions import definition_digest
from .files import Region
from .pickling import is_definition, user_namespace


def fingerprint(obj: object, regions: Sequence[Region] = ()) -> bytes | None:
    """Equal while the object is unchanged. Memory in `regions` is not read where nobody wrote to it."""
    state = xxhash.xxh3_128()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _Fingerprinter(_Hashing(state), lambda buffer: _count(buffer, state, regions)).dump(obj)
    except Exception:  # it refuses to be pickled, or something in it does
        return None
    return state.digest()


class _Hashing(io.RawIOBase):
    """Takes a pickle without keeping it."""

    def __init__(self, state: xxhash.xxh3_128) -> None:
        super().__init__()
        self._state = state

    def write(self, data: Any, /) -> int:
        self._state.update(data)
        return len(data)


def _count(buffer: pickle.PickleBuffer, state: xxhash.xxh3_128, regions: Sequence[Region]) -> bool:
    raw = buffer.raw()
    for number, region in enumerate(regions):
        if (place := region.unchanged_span(raw)) is not None:
            state.update(f"{number}:{place}".encode())
            return False
    state.update(raw)
    return False


class _Fingerprinter(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Never unpickled: what it writes need only be the same for the same."""

    def __init__(self, file: Any, buffers: Callable[[pickle.PickleBuffer], bool]) -> None:
        super().__init__(file, 5, buffers)

    def reducer_override(self, obj: Any) -> Any:
        """How what has a state beyond its pickle, or a pickle beyond its state, is looked at."""
        if isinstance(obj, types.FunctionType):
            if obj.__globals__ is not user_namespace():
                return super().reducer_override(obj)
            return _Function, (definition_digest(obj), obj.__defaults__, obj.__kwdefaults__, _cells(obj), vars(obj))
        if isinstance(obj, type):
            if is_definition(obj, user_namespace()):
                return _Class, (obj.__qualname__, definition_digest(obj))
            return super().reducer_override(obj)
        if isinstance(obj, types.GeneratorType):
            frame = obj.gi_frame
            return _Generator, (id(obj), frame.f_lasti, dict(frame.f_locals)) if frame else (id(obj),)
        if (pandas := sys.modules.get("pandas")) is not None and isinstance(obj, pandas.DataFrame):
            columns = [obj.iloc[:, n].array for n in range(obj.shape[1])]
            return _Frame, (type(obj).__name__, obj.index, obj.columns, columns, obj.attrs)
        if cached := _cached_properties(type(obj)):  # type: ignore[arg-type]  # mypy doubts that classes hash
            return _without(obj, cached)
        return super().reducer_override(obj)


# Names under which the above stand in the stream.
class _Function: ...


class _Class: ...


class _Generator: ...


class _Frame: ...


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
        except ValueError:  # not set yet
            found.append(None)
    return tuple(found)
