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
import operator
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
_ATOMS = frozenset(_PLAIN)
_CONTAINERS = frozenset([dict, list, tuple])
_SETS = (set, frozenset)
_ALL_CONTAINERS = (dict, list, tuple, deque, *_SETS)
_OPAQUE = (type, types.BuiltinFunctionType, types.ModuleType)  # compared by identity
_OF_EACH_CLASS = frozenset(["__module__", "__doc__", "__dict__", "__weakref__", "__annotations__"])
_FUNCTIONS = (types.FunctionType, staticmethod, classmethod, property)
# A function that reads the content or the state of an object, the object, and the result of the function.
_Reading = tuple[Callable[[Any], Any], Any, Any]
_Span = tuple[tuple[float, float], ...]  # for each clock, its times before and after the cell
_CLOCKS = (time.time, time.monotonic, time.perf_counter)


def clock_times() -> tuple[float, ...]:
    """Return the time of each clock that a module may read."""
    return tuple(clock() for clock in _CLOCKS)


@dataclass(slots=True)
class ModuleState:
    """Copies of the attributes of a module."""

    module: types.ModuleType | None
    attributes: dict[str, Any]
    contents: list[_Reading]  # of each object that was copied: its reader, the object, and the objects in it
    states: list[_Reading]  # of each object with a state: its reader, the object, and the state

    def is_current(self, module: types.ModuleType | None) -> bool:
        """Return whether the module certainly has this state still, because each object has the same content."""
        if module is not self.module:
            return False
        try:
            return all(_are_identical(read(value), content) for read, value, content in self.contents) and all(
                read(value) == state for read, value, state in self.states
            )
        except Exception:  # see `_attributes`
            return False


def state_of(module: types.ModuleType | None) -> ModuleState:
    """Return the state of a module, which later changes in place do not affect."""
    copier = _Copier()
    return ModuleState(module, _attributes(module, copier), copier.contents, copier.states)


def _attributes(module: types.ModuleType | None, copier: _Copier) -> dict[str, Any]:
    """Return copies of the attributes of a module.

    The value of an attribute that raises an exception when it is read is `_UNREADABLE`. An example is the `settings` of
    Django before they are configured.
    """
    found: dict[str, Any] = {}
    if module is None:
        return found
    copier.note(_attributes_content, module)
    for name, value in list(vars(module).items()):
        if not _is_ignored(name):
            try:
                found |= _of_attribute(name, value, module.__name__, copier)
            except Exception:
                found[name] = _UNREADABLE
    return found


def _of_attribute(name: str, value: object, module: str, copier: _Copier) -> dict[str, Any]:
    """Return the copy of one attribute of a module and, for a class of this module, the copies of its attributes."""
    if isinstance(value, types.ModuleType):
        return {}
    own = getattr(value, "__module__", None) == module
    if own and isinstance(value, types.FunctionType):
        return {name: copier.own_function(value)}
    found = _of_class(value, copier) if own and isinstance(value, type) else {}
    found[name] = _attribute(name, copier.copy(value, _DEPTH))
    return found


def changed_attributes(state: ModuleState, module: types.ModuleType | None, since: tuple[float, ...]) -> Iterator[str]:
    """Yield the names of the attributes of a module that differ from an earlier state.

    `since` is the result of `clock_times` before the cell. A private attribute may store a later time.
    """
    if state.is_current(module):
        return
    before, after = state.attributes, state_of(module).attributes
    for attributes in (before, after):
        for name, copy in attributes.items():
            attributes[name] = _complete(copy)
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
        except Exception:  # see `_attributes`
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
    copier.note(_attributes_content, cls)
    for name, value in list(vars(cls).items()):
        if name in _OF_EACH_CLASS:
            continue
        key = f"{cls.__name__}.{name}"
        if isinstance(value, _FUNCTIONS):
            function: Any = value
            if not isinstance(value, types.FunctionType):
                function = getattr(value, "__func__", None) or getattr(value, "fget", None)
            if isinstance(function, types.FunctionType):
                found[key] = copier.own_function(function)
        elif type(value) in _ATOMS:
            if not _is_ignored(name):
                found[key] = _attribute(name, (type(value), value))
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
class _Container:
    """The content of a dict, list, tuple or deque, from which `_complete` creates a `_Mapping` or a `_Sequence`.

    Most containers are never compared, because nothing in the module has changed.
    """

    value: Any
    content: list[Any]  # the keys, then the values; or the elements
    copies: list[Any]  # of those values that are not numbers, texts and the like; None for a value that was not read

    def completed(self) -> _Mapping | _Sequence:
        """Return the copy that can be compared."""
        copies = iter([_complete(each) for each in self.copies])
        same = _Same(self.value, id(self.value))
        if not isinstance(self.value, dict):
            return _Sequence(same, [_copy_of(each, copies) for each in self.content])
        half = len(self.content) // 2
        pairs = zip(self.content[:half], self.content[half:], strict=True)
        return _Mapping(same, {_key(key): _copy_of(each, copies) for key, each in pairs})


def _copy_of(value: object, copies: Iterator[Any]) -> Any:
    if type(value) in _ATOMS:
        return (type(value), value)
    copy = next(copies)
    return copy if copy is not None else _Same(value, id(value), is_unread=True)


def _complete(copy: Any) -> Any:
    """Return a copy whose containers are of type `_Mapping` and `_Sequence`, so that it can be compared."""
    if isinstance(copy, _Container):
        return copy.completed()
    if isinstance(copy, _Mapping):
        copy.parts = {name: _complete(each) for name, each in copy.parts.items()}
    elif isinstance(copy, _Lenient):
        copy.copy = _complete(copy.copy)
    elif isinstance(copy, types.FunctionType):
        return _Lenient(_Same(copy, id(copy)), id(copy))
    return copy


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
    contents: list[_Reading] = field(default_factory=list)  # see `ModuleState`
    states: list[_Reading] = field(default_factory=list)

    def note(self, read: Callable[[Any], list[Any]], value: object) -> None:
        """Record the content of an object, so that `ModuleState.is_current` notices a change."""
        self.contents.append((read, value, read(value)))

    def copy(self, value: Any, depth: int) -> Any:
        """Return a copy of a value, so that later changes in place do not affect it."""
        kind = type(value)
        if kind in _ATOMS:
            return (kind, value)
        if kind in _CONTAINERS:
            self.budget -= 1
            if depth == 0 or self.budget <= 0:
                return _Same(value, id(value), is_unread=True)
            return self._container(value, depth)
        if isinstance(value, _PLAIN):
            return (kind, value)
        same = _Same(value, id(value))
        self.budget -= 1
        if isinstance(value, itertools.count):
            return self._number(same, repr)
        if isinstance(value, random.Random):
            return self._number(same, _random_state)
        if _numpy_generator(value) is not None:
            return self._number(same, _numpy_state)
        if isinstance(value, _OPAQUE):
            return same
        if depth == 0 or self.budget <= 0:
            return _Same(value, id(value), is_unread=True)
        if isinstance(value, types.FunctionType):
            if value.__closure__ or value.__dict__:
                return self.function(value, depth - 1)
            self.note(_function_content, value)
            return same
        if isinstance(value, contextvars.ContextVar):
            self.note(_variable_content, value)
            return _Mapping(same, {"": self.copy(value.get(None), depth - 1)}, True)
        if isinstance(value, threading.local):
            self.note(_attributes_content, value)
            return _Mapping(same, self._values(vars(value), depth - 1), True)
        if isinstance(value, _ALL_CONTAINERS):
            return self._container(value, depth)
        root = type(value).__module__.partition(".")[0]
        if root in ("numpy", "pandas", "polars"):
            return self._number(same, _fingerprint)
        if root not in sys.stdlib_module_names:
            own = getattr(value, "__dict__", None)
            if isinstance(own, dict) and len(own) > _LIMIT:
                self.states.append((_attribute_count, value, len(own)))
            elif isinstance(own, dict):
                self.note(_attributes_content, value)
                of_library = not is_users_class(type(value))
                return _Mapping(
                    same, self._values(own, min(depth - 1, 1) if of_library else depth - 1), True, of_library
                )
        return same

    def _number(self, same: _Same, read: Callable[[Any], Any]) -> _Number:
        state = read(same.value)
        self.states.append((read, same.value, state))
        return _Number(same, state)

    def _container(self, value: Any, depth: int) -> _Mapping | _Sequence | _Container:
        if len(value) > _LIMIT:
            self.states.append((len, value, len(value)))
            same = _Same(value, id(value))
            return _Mapping(same, {"": len(value)}) if isinstance(value, dict) else _Sequence(same, len(value))
        is_dict = isinstance(value, dict)
        read = _dict_content if is_dict else list
        content = read(value)
        if type(value) is not tuple:  # a tuple cannot change
            self.contents.append((read, value, content))
        if isinstance(value, _SETS):
            return _Sequence(_Same(value, id(value)), {_key(each) for each in content})
        copies: list[Any] = []
        depth -= 1
        for each in content[len(content) // 2 :] if is_dict else content:
            kind = type(each)
            if kind in _ATOMS:
                continue
            if kind not in _CONTAINERS:
                copies.append(self.copy(each, depth))
            elif depth == 0 or self.budget <= 1:
                copies.append(None)
            else:
                self.budget -= 1
                copies.append(self._container(each, depth))
        return _Container(value, content, copies)

    def own_function(self, value: types.FunctionType) -> _Lenient | types.FunctionType:
        """Return a copy of a function of the module or of its classes, or the function itself if it has no values."""
        if _has_values(value):
            return _Lenient(self.function(value), id(value))
        self.note(_function_content, value)
        return value

    def function(self, value: types.FunctionType, depth: int = _DEPTH) -> Any:
        """Return a copy of the values that live in a function: defaults, attributes, and variables of its closure."""
        self.note(_function_content, value)
        if not _has_values(value):
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

    def _values(self, values: Mapping[str, Any], depth: int) -> dict[Any, Any]:
        return {name: self.copy(item, depth) for name, item in list(values.items()) if not _is_ignored(name)}


# Readers of the content of an object. The object is unchanged if its reader returns the identical objects again.


def _attributes_content(value: object) -> list[Any]:
    own = vars(value)
    return [*own, *own.values()]


def _dict_content(value: dict[Any, Any]) -> list[Any]:
    return [*value, *value.values()]


def _variable_content(value: contextvars.ContextVar[Any]) -> list[Any]:
    return [value.get(None)]


def _has_values(value: types.FunctionType) -> bool:
    if value.__closure__ or value.__kwdefaults__ or value.__dict__:
        return True
    return value.__defaults__ is not None and not _ATOMS.issuperset(map(type, value.__defaults__))


def _function_content(value: types.FunctionType) -> list[Any]:
    content: list[Any] = [value.__closure__, value.__defaults__, value.__kwdefaults__]
    if own := value.__dict__:
        content += [*own, *own.values()]
    if value.__kwdefaults__:
        content += [*value.__kwdefaults__, *value.__kwdefaults__.values()]
    for cell in value.__closure__ or ():
        try:
            content.append(cell.cell_contents)
        except ValueError:  # the variable has no value
            content.append(_MISSING)
    return content


# Readers of the state of an object. The object is unchanged if its reader returns an equal state.


def _attribute_count(value: object) -> int:
    return len(vars(value))


def _random_state(value: random.Random) -> int | None:
    return None if isinstance(value, random.SystemRandom) else hash(value.getstate())


def _numpy_state(value: object) -> str:
    return repr(_numpy_generator(value).state)


def _fingerprint(value: object) -> bytes | None:
    return small_fingerprint(value, tolerant=True)


def _are_identical(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(map(operator.is_, one, other))


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
