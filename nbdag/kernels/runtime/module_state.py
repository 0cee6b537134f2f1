"""Read the state of the user's own modules, compare it, and observe imports.

Only modules outside of site-packages and the standard library are read. For libraries, `state_probes` reads the
settings, and all other state is ignored. A module's state consists of its attributes, the data in its classes and
functions (defaults, attributes, closures), and its context and thread-local variables.

Private attributes and the state of functions are compared leniently, because they often cache results, and a later
task fills its own cache with the same results. In a lenient comparison, new keys, new attributes, and objects that
replace None are ignored. Attributes whose names contain "cache" or "memo" are always ignored.
"""

from __future__ import annotations

import dis
import threading
import time
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from typing import Any, Protocol

from .first_use import used_parts
from .mutation_check import kept_results
from .object_copies import (
    MISSING,
    UNREADABLE,
    Copier,
    Lenient,
    Number,
    Parts,
    Same,
    Sequence,
    attributes_content,
    complete,
    is_ignored,
    result_count,
)


class ImportListener(Protocol):
    """An object that is notified when a module is imported from a file."""

    def enter_import(self, name: str, path: str) -> None:
        """Record that the import of a module begins."""

    def leave_import(self, name: str, path: str) -> None:
        """Record that the import of a module has ended."""


def watch_imports(listener: ImportListener) -> Callable[[], None]:
    """Call `enter_import` and `leave_import` around each import of a file. Return a function that stops these calls."""
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
    copier: Copier  # contains everything that was copied

    def is_current(self, module: types.ModuleType | None) -> bool:
        """Return whether each copied object still has the same content, so that the state is certainly unchanged."""
        if module is not self.module:
            return False
        try:
            return self.copier.is_current()
        except Exception:  # see `state_of`
            return False

    def completed(self) -> dict[str, Any]:
        """Return the copies that can be compared, by the name of the attribute."""
        found = {name: complete(copy) for name, copy in self.attributes.items()}
        for cls in self.copier.classes:
            found |= cls.completed()
        return found


def state_of(module: types.ModuleType | None) -> ModuleState:
    """Return a copy of a module's state, so that later changes in place do not affect the copy.

    If reading an attribute raises an exception, its copy is `UNREADABLE`. An example is Django's `settings` before they
    are configured.
    """
    copier = Copier()
    found: dict[str, Any] = {}
    if module is not None:
        own = dict(vars(module))
        copier.contents.append((attributes_content, module, [*own, *own.values()]))
        for name, value in own.items():
            if is_ignored(name):
                continue
            try:
                copy = copier.attribute(name, value, module.__name__)
            except Exception:
                copy = UNREADABLE
            if copy is not MISSING:
                found[name] = copy
    return ModuleState(module, found, copier)


def changed_attributes(state: ModuleState, module: types.ModuleType | None, since: tuple[float, ...]) -> Iterator[str]:
    """Yield the names of the attributes of a module that differ from an earlier state.

    `since` is the result of `clock_times` before the cell. A private attribute counts as unchanged if its new value is
    a time after `since`.
    """
    if state.is_current(module):
        return
    before, after = state.completed(), state_of(module).completed()
    span = tuple(zip(since, clock_times(), strict=True))
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name, MISSING), after.get(name, MISSING)
        if old is UNREADABLE or new is UNREADABLE:
            continue
        if isinstance(new, Lenient) and (isinstance(old, Lenient) or old is MISSING):
            if _private_differs(name, old, new, module, span):
                yield name
        elif _differs(old, new, span, lenient=False):
            yield name
    yield from _used_on_first_use(state, before, after, module)


def _used_on_first_use(
    state: ModuleState, before: Mapping[str, Any], after: Mapping[str, Any], module: types.ModuleType | None
) -> Iterator[str]:
    """Yield the used parts of objects that the module created during the cell.

    Such an object has replaced None in a private attribute, or is a new result in the cache of a function.
    """
    for name, new in after.items():
        old = before.get(name)
        if isinstance(new, Lenient) and isinstance(old, Lenient) and old.copy == (type(None), None):
            value = getattr(_same_of(new.copy), "value", None)
            yield from (f"{name}{part}" for part in used_parts(value, name, module))
    sizes = {id(value): size for read, value, size in state.copier.states if read is result_count}
    for name, value in list(vars(module).items()) if module is not None and sizes else ():
        if id(value) in sizes and sizes[id(value)] != result_count(value):
            for result in kept_results(value):
                yield from (f"{name}(){part}" for part in used_parts(result, name, module))


def _private_differs(name: str, old: Any, new: Lenient, module: types.ModuleType | None, span: _Span) -> bool:
    then = old.copy if isinstance(old, Lenient) else MISSING
    if isinstance(old, Lenient) and old.identity != new.identity:
        return True  # another function
    if _differs(then, new.copy, span, lenient=True):
        return True
    return then != new.copy and _is_filled_later(then, new.copy) and _is_only_stored(name, module)


def imported_by(module: types.ModuleType, others: Collection[str]) -> Iterator[str]:
    """Yield the names of those modules in `others` that this module uses."""
    by_last_part = {name.rpartition(".")[2]: name for name in others}
    for value in list(vars(module).values()):
        try:
            name = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
        except Exception:  # see `state_of`
            continue
        if isinstance(name, str) and name in others and name != module.__name__:
            yield name
        if isinstance(value, types.FunctionType) and name == module.__name__:
            for used in value.__code__.co_names:  # modules that the function imports
                if used.rpartition(".")[2] in by_last_part:
                    yield by_last_part[used.rpartition(".")[2]]


def _differs(old: Any, new: Any, span: _Span, *, lenient: bool) -> bool:
    """Return whether two copies differ. With `lenient`, new parts, and objects that replace None, are ignored.

    One side may have no copy of an object's content, because other objects used up the budget of copies. Then the
    object is compared by identity, or with `lenient` by type.
    """
    if old is MISSING or new is MISSING:
        is_counter = isinstance(new, tuple) and new[0] is int
        return is_counter or not lenient
    if isinstance(old, Same) and old.is_unread:
        new = _same_of(new)
    elif isinstance(new, Same) and new.is_unread:
        old = _same_of(old)
    if isinstance(old, Parts) and isinstance(new, Parts):
        return (not lenient and old.same != new.same) or _parts_differ(old, new, span, lenient=lenient)
    if isinstance(old, Sequence) and isinstance(new, Sequence):
        if old.same != new.same and not lenient:
            return True
        if not isinstance(old.parts, list) or not isinstance(new.parts, list) or len(old.parts) != len(new.parts):
            return bool(old.parts != new.parts)
        return any(_differs(one, other, span, lenient=lenient) for one, other in zip(old.parts, new.parts, strict=True))
    if lenient:
        if _is_filled_later(old, new) or _is_time(new, span):
            return False
        if isinstance(old, Same) and isinstance(new, Same):
            return type(old.value) is not type(new.value)
        if isinstance(old, Number) and isinstance(new, Number):
            return bool(old.state != new.state)
    return bool(old != new)


def _same_of(copy: Any) -> Any:
    return copy.same if isinstance(copy, Number | Sequence | Parts) else copy


def _parts_differ(old: Parts, new: Parts, span: _Span, *, lenient: bool) -> bool:
    lenient = lenient or new.of_library
    for name in dict.fromkeys((*old.parts, *new.parts)):
        one, other = old.parts.get(name, MISSING), new.parts.get(name, MISSING)
        if one is MISSING and lenient and not new.is_object:
            continue  # a new key of a dict
        is_local = isinstance(new.same.value, threading.local) and isinstance(other, tuple)
        is_private = new.is_object and isinstance(name, str) and name.startswith("_")
        if _differs(one, other, span, lenient=(lenient or is_private) and not is_local):
            return True
    return False


def _is_filled_later(old: Any, new: Any) -> bool:
    """Return whether a first call probably set a value: None became a value that is no int, or False became True."""
    if isinstance(new, tuple) and new[0] is int:
        return False
    return bool(old == (type(None), None)) or (old == (bool, False) and new == (bool, True))


def _is_time(copy: Any, span: _Span) -> bool:
    """Return whether a value is a time that one of the clocks had during the cell."""
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
