"""Read the state of the user's own modules, compare it, and observe imports.

Only modules outside of site-packages and the standard library are read. For libraries, probes read the settings, and
all other state is ignored. A module's state consists of its attributes, the data in its classes and functions
(defaults, attributes, closures), and its context and thread-local variables.

Private attributes and the state of functions are compared leniently, because they often cache results: a later task
fills its own cache with the same results. So new keys, new attributes, and objects in the place of None are ignored.
Everything named as a cache is ignored, too.
"""

from __future__ import annotations

import contextvars
import dis
import itertools
import random
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from typing import Any, Protocol

from ...values import small_fingerprint
from ...values.libraries import is_users_class


class ImportListener(Protocol):
    """An object that is notified of modules that are imported from files."""

    def enter_import(self, name: str, path: str) -> None:
        """Record that the import of a module begins."""

    def leave_import(self, name: str, path: str) -> None:
        """Record that the import of a module has ended."""


def watch_imports(listener: ImportListener) -> Callable[[], None]:
    """Call `enter_import` and `leave_import` around each import of a file. Return a function that ends this."""
    original = SourceFileLoader.exec_module
    main = threading.get_ident()

    def exec_module(self: SourceFileLoader, module: types.ModuleType) -> None:
        if threading.get_ident() != main:
            original(self, module)
            return
        listener.enter_import(module.__name__, self.path)
        try:
            original(self, module)
        finally:
            listener.leave_import(module.__name__, self.path)

    def stop() -> None:
        SourceFileLoader.exec_module = original  # type: ignore[method-assign]

    SourceFileLoader.exec_module = exec_module  # type: ignore[method-assign, assignment]
    return stop


_LIMIT = 1000  # maximum number of elements of a container that are compared
_BUDGET = 1500  # maximum number of objects of a module that are compared
_DEPTH = 6  # maximum number of objects within each other that are compared
_PLAIN = (str, bytes, int, float, complex, bool, type(None))
_FUNCTIONS = (types.FunctionType, staticmethod, classmethod, property)
_Span = tuple[tuple[float, float], ...]  # for each clock, its times before and after the cell
_CLOCKS = (time.time, time.monotonic, time.perf_counter)


def clock_times() -> tuple[float, ...]:
    """Return the time of each clock that a module may read."""
    return tuple(clock() for clock in _CLOCKS)


def attributes(module: types.ModuleType | None) -> dict[str, Any]:
    """Return copies of the attributes of a module, so that later changes in place do not affect them.

    The value of an attribute that raises an exception when it is read is `_UNREADABLE`. An example is the `settings` of
    Django before they are configured.
    """
    found: dict[str, Any] = {}
    copier = _Copier()
    for name, value in list(vars(module).items()) if module is not None else ():
        if not _is_ignored(name):
            try:
                found |= _of_attribute(name, value, module.__name__, copier)  # type: ignore[union-attr]
            except Exception:
                found[name] = _UNREADABLE
    return found


def _of_attribute(name: str, value: object, module: str, copier: _Copier) -> dict[str, Any]:
    """Return the copy of one attribute of a module and, for a class of this module, the copies of its attributes."""
    if isinstance(value, types.ModuleType):
        return {}
    own = getattr(value, "__module__", None) == module
    if own and isinstance(value, types.FunctionType):
        return {name: _Lenient(copier.function(value), id(value))}
    found = _of_class(value, copier) if own and isinstance(value, type) else {}
    found[name] = _attribute(name, copier.copy(value, _DEPTH))
    return found


def changed_attributes(
    before: Mapping[str, Any], after: Mapping[str, Any], module: types.ModuleType | None, since: tuple[float, ...]
) -> Iterator[str]:
    """Yield the names of the attributes that differ between two results of `attributes`.

    `since` is the result of `clock_times` before the cell. A private attribute may store a later time.
    """
    span = tuple(zip(since, clock_times(), strict=True))
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name, _MISSING), after.get(name, _MISSING)
        if old is _UNREADABLE or new is _UNREADABLE:
            continue
        if isinstance(new, _Lenient) and (isinstance(old, _Lenient) or old is _MISSING):
            if _private_differs(name, old, new, module, span):
                yield name
        elif _differs(old, new, span, lenient=False):
            yield name


def _private_differs(name: str, old: Any, new: _Lenient, module: types.ModuleType | None, span: _Span) -> bool:
    then = old.copy if isinstance(old, _Lenient) else _MISSING
    if isinstance(old, _Lenient) and old.identity != new.identity:
        return True  # another function
    if _differs(then, new.copy, span, lenient=True):
        return True
    return then != new.copy and _is_filled_later(then, new.copy) and _is_only_stored(name, module)


def imported_by(module: types.ModuleType, others: Collection[str]) -> Iterator[str]:
    """Yield those of the other modules that this module uses."""
    by_last_part = {name.rpartition(".")[2]: name for name in others}
    for value in list(vars(module).values()):
        try:
            name = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
        except Exception:  # see `attributes`
            continue
        if isinstance(name, str) and name in others and name != module.__name__:
            yield name
        if isinstance(value, types.FunctionType) and name == module.__name__:
            for used in value.__code__.co_names:  # modules that the function imports
                if used.rpartition(".")[2] in by_last_part:
                    yield by_last_part[used.rpartition(".")[2]]


def _is_ignored(name: str) -> bool:
    return name.startswith("__") or "cache" in name.lower() or "memo" in name.lower()


def _of_class(cls: type, copier: _Copier) -> dict[str, Any]:
    """Return the attributes of a class that contain data, and its methods that do."""
    found: dict[str, Any] = {}
    for name, value in list(vars(cls).items()):
        key = f"{cls.__name__}.{name}"
        if isinstance(value, _FUNCTIONS):
            function = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
            if isinstance(function, types.FunctionType):
                found[key] = _Lenient(copier.function(function), id(function))
        elif not _is_ignored(name) and not hasattr(value, "__get__"):
            found[key] = _attribute(name, copier.copy(value, _DEPTH))
    return found


def _attribute(name: str, copy: Any) -> Any:
    is_variable = isinstance(copy, _Mapping) and isinstance(copy.same.value, contextvars.ContextVar)
    return _Lenient(copy) if name.startswith("_") and not is_variable else copy


@dataclass(slots=True, unsafe_hash=True)  # not frozen, because frozen dataclasses take longer to create
class _Same:
    """An object that is compared by identity."""

    value: Any = field(compare=False)
    identity: int
    is_unread: bool = field(default=False, compare=False)  # whether a limit prevented a copy of the content


@dataclass(slots=True)
class _Number:
    """The state of a counter or of a generator of random numbers."""

    same: _Same
    state: Any


@dataclass(slots=True)
class _Sequence:
    """A list, tuple or set; or the parts of a function."""

    same: _Same
    parts: Any


@dataclass(slots=True)
class _Mapping:
    """A dict, or the attributes of an object."""

    same: _Same
    parts: dict[Any, Any]
    is_object: bool = False
    of_library: bool = False  # a library changes attributes of its objects when they are used


@dataclass(slots=True)
class _Lenient:
    """The copy of an attribute that is private, or of a function."""

    copy: Any
    identity: int = 0  # of a function


_MISSING = object()
_UNREADABLE = object()


@dataclass(slots=True)
class _Copier:
    """Copies values, until it has copied as many objects as its budget allows."""

    budget: int = _BUDGET

    def copy(self, value: Any, depth: int) -> Any:
        """Return a copy of a value, so that later changes in place do not affect it."""
        if isinstance(value, _PLAIN):
            return (type(value), value)
        same = _Same(value, id(value))
        self.budget -= 1
        if isinstance(value, itertools.count):
            return _Number(same, repr(value))
        if isinstance(value, random.Random):
            return _Number(same, None if isinstance(value, random.SystemRandom) else hash(value.getstate()))
        if (bits := _numpy_generator(value)) is not None:
            return _Number(same, repr(bits.state))
        if isinstance(value, type | types.BuiltinFunctionType | types.ModuleType):
            return same
        if depth == 0 or self.budget <= 0:
            return _Same(value, id(value), is_unread=True)
        if isinstance(value, types.FunctionType):
            return self.function(value, depth - 1) if value.__closure__ or value.__dict__ else same
        if isinstance(value, contextvars.ContextVar):
            return _Mapping(same, {"": self.copy(value.get(None), depth - 1)}, True)
        if isinstance(value, threading.local):
            return _Mapping(same, self._values(vars(value), depth - 1), True)
        if isinstance(value, dict):
            return _Mapping(same, self._items(value, depth - 1) if len(value) <= _LIMIT else {"": len(value)})
        if isinstance(value, list | tuple | deque | set | frozenset):
            if len(value) > _LIMIT:
                return _Sequence(same, len(value))
            if isinstance(value, set | frozenset):
                return _Sequence(same, {_key(each) for each in value})
            return _Sequence(same, [self.copy(each, depth - 1) for each in value])
        root = type(value).__module__.partition(".")[0]
        if root in ("numpy", "pandas", "polars"):
            return _Number(same, small_fingerprint(value, tolerant=True))
        if root not in sys.stdlib_module_names:
            own = getattr(value, "__dict__", None)
            if isinstance(own, dict) and len(own) <= _LIMIT:
                of_library = not is_users_class(type(value))
                return _Mapping(
                    same, self._values(own, min(depth - 1, 1) if of_library else depth - 1), True, of_library
                )
        return same

    def function(self, value: types.FunctionType, depth: int = _DEPTH) -> Any:
        """Return a copy of the values that live in a function: defaults, attributes, and variables of its closure."""
        if not (value.__closure__ or value.__defaults__ or value.__kwdefaults__ or value.__dict__):
            return _Same(value, id(value))
        parts: dict[str, Any] = {}
        closure = zip(value.__code__.co_freevars, value.__closure__ or (), strict=False)
        for name, cell in closure:
            if not _is_ignored(name):
                try:
                    parts[f"closure {name}"] = self.copy(cell.cell_contents, depth - 1)
                except ValueError:  # the variable has no value
                    continue
        for name, each in vars(value).items():
            if not _is_ignored(name):
                parts[f"attribute {name}"] = self.copy(each, depth - 1)
        for name, each in (value.__kwdefaults__ or {}).items():
            if not _is_ignored(name):
                parts[f"default {name}"] = self.copy(each, depth - 1)
        code, defaults = value.__code__, value.__defaults__ or ()
        names = code.co_varnames[: code.co_argcount][-len(defaults) :] if defaults else ()
        for name, each in zip(names, defaults, strict=False):
            if not isinstance(each, _PLAIN) and not _is_ignored(name):
                parts[f"default {name}"] = self.copy(each, depth - 1)
        same = _Same(value, id(value))
        return _Mapping(same, parts, True) if parts else same

    def _items(self, values: Mapping[Any, Any], depth: int) -> dict[Any, Any]:
        return {_key(key): self.copy(item, depth) for key, item in list(values.items())}

    def _values(self, values: Mapping[str, Any], depth: int) -> dict[Any, Any]:
        return {name: self.copy(item, depth) for name, item in list(values.items()) if not _is_ignored(name)}


def _key(value: Any) -> Any:
    return (type(value), value) if isinstance(value, _PLAIN) else _Same(value, id(value))


def _numpy_generator(value: object) -> Any:
    """Return the bit generator of a numpy generator, or None for any other object."""
    if type(value).__module__.partition(".")[0] != "numpy":
        return None
    return getattr(value, "bit_generator", getattr(value, "_bit_generator", None))


def _differs(old: Any, new: Any, span: _Span, *, lenient: bool) -> bool:
    """Return whether two copies differ; leniently, new parts do not count, nor objects in the place of None.

    Objects with a copy of the content on one side only are compared by identity, or leniently by type. Additions to
    another object may have used up the budget of one side.
    """
    if old is _MISSING or new is _MISSING:
        is_counter = isinstance(new, tuple) and new[0] is int
        return is_counter or not lenient
    if isinstance(old, _Same) and old.is_unread:
        new = _same(new)
    elif isinstance(new, _Same) and new.is_unread:
        old = _same(old)
    if isinstance(old, _Mapping) and isinstance(new, _Mapping):
        return (not lenient and old.same != new.same) or _parts_differ(old, new, span, lenient=lenient)
    if isinstance(old, _Sequence) and isinstance(new, _Sequence):
        if old.same != new.same and not lenient:
            return True
        if not isinstance(old.parts, list) or not isinstance(new.parts, list) or len(old.parts) != len(new.parts):
            return bool(old.parts != new.parts)
        return any(_differs(one, other, span, lenient=lenient) for one, other in zip(old.parts, new.parts, strict=True))
    if lenient:
        if _is_filled_later(old, new) or _is_time(new, span):
            return False
        if isinstance(old, _Same) and isinstance(new, _Same):
            return type(old.value) is not type(new.value)
        if isinstance(old, _Number) and isinstance(new, _Number):
            return bool(old.state != new.state)
    return bool(old != new)


def _same(copy: Any) -> Any:
    return copy.same if isinstance(copy, _Number | _Sequence | _Mapping) else copy


def _parts_differ(old: _Mapping, new: _Mapping, span: _Span, *, lenient: bool) -> bool:
    lenient = lenient or new.of_library
    for name in dict.fromkeys((*old.parts, *new.parts)):
        one, other = old.parts.get(name, _MISSING), new.parts.get(name, _MISSING)
        if one is _MISSING and lenient and not new.is_object:
            continue  # a new key of a dict
        is_local = isinstance(new.same.value, threading.local) and isinstance(other, tuple)
        is_private = new.is_object and isinstance(name, str) and name.startswith("_")
        if _differs(one, other, span, lenient=(lenient or is_private) and not is_local):
            return True
    return False


def _is_filled_later(old: Any, new: Any) -> bool:
    """Return whether a value looks like the result of a first call: None or False before, anything afterwards."""
    if isinstance(new, tuple) and new[0] is int:
        return False
    return bool(old == (type(None), None)) or (old == (bool, False) and new == (bool, True))


def _is_time(copy: Any, span: _Span) -> bool:
    """Return whether a value is the time of one of the clocks during the cell."""
    return isinstance(copy, tuple) and copy[0] is float and any(start <= copy[1] <= end for start, end in span)


def _is_only_stored(name: str, module: types.ModuleType | None) -> bool:
    """Return whether one function of a module sets this attribute without reading it, and another function reads it."""
    is_stored = is_read = False
    for value in list(vars(module).values()) if module is not None else ():
        if type(value) is not types.FunctionType or name not in value.__code__.co_names:
            continue
        used = [each.opname for each in dis.get_instructions(value) if each.argval == name]
        reads = any(op.startswith("LOAD_") for op in used)
        if "STORE_GLOBAL" in used:
            if reads:
                return False  # such a function fills a cache
            is_stored = True
        is_read = is_read or reads
    return is_stored and is_read
