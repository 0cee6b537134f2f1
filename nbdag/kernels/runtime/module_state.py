"""Read the attributes of the user's own modules, and observe imports.

Only modules outside of site-packages and the standard library are read. For libraries, probes read the settings, and
all other state is ignored. Private attributes and attributes named as a cache are ignored. Private counters and
generators are not ignored: a later task would get the same numbers as an earlier task.
"""

from __future__ import annotations

import itertools
import random
import sys
import threading
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from typing import Any, Protocol


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
_PLAIN = (str, bytes, int, float, complex, bool, type(None))


def attributes(module: types.ModuleType | None) -> dict[str, Any]:
    """Return copies of the attributes of a module, so that later changes in place do not affect them."""
    found: dict[str, Any] = {}
    for name, value in vars(module).items() if module is not None else ():
        if name.startswith("__") or "cache" in name.lower() or isinstance(value, types.ModuleType):
            continue
        if name.startswith("_") and not _counts(value):
            continue
        if isinstance(value, type) and value.__module__ == module.__name__:  # type: ignore[union-attr]
            found |= _of_class(value)
        found[name] = _frozen(value, 2)
    return found


def _of_class(cls: type) -> dict[str, Any]:
    """Return the attributes of a class that contain data."""
    return {
        f"{cls.__name__}.{name}": _frozen(value, 1)
        for name, value in vars(cls).items()
        if (_counts(value) if name.startswith("_") else not callable(value) and not hasattr(value, "__get__"))
        and "cache" not in name.lower()
        and not name.startswith("__")
    }


def _counts(value: object) -> bool:
    """Return whether a value is a counter, or a generator of numbers."""
    return (
        type(value) is int or isinstance(value, itertools.count | random.Random) or _numpy_generator(value) is not None
    )


def _numpy_generator(value: object) -> Any:
    """Return the bit generator of a numpy generator, or None for any other object."""
    if type(value).__module__.partition(".")[0] != "numpy":
        return None
    return getattr(value, "bit_generator", getattr(value, "_bit_generator", None))


@dataclass(frozen=True, slots=True)
class _Same:
    """An object that is compared by identity."""

    value: Any = field(compare=False)
    identity: int


def _frozen(value: Any, depth: int) -> Any:
    """Return a copy of a value, so that later changes in place do not affect it."""
    if isinstance(value, _PLAIN):
        return (type(value), value)
    same = _Same(value, id(value))
    if isinstance(value, itertools.count):
        return same, repr(value)
    if isinstance(value, random.Random):
        return same, None if isinstance(value, random.SystemRandom) else hash(value.getstate())
    if (bits := _numpy_generator(value)) is not None:
        return same, repr(bits.state)
    if depth == 0 or isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return same
    if isinstance(value, dict) and len(value) <= _LIMIT:
        return same, [(_frozen(key, 0), _frozen(item, depth - 1)) for key, item in value.items()]
    if isinstance(value, list | tuple) and len(value) <= _LIMIT:
        return same, [_frozen(item, depth - 1) for item in value]
    if isinstance(value, set | frozenset) and len(value) <= _LIMIT:
        return same, {(_frozen(item, 0)) for item in value}
    if isinstance(value, dict | list | tuple | set | frozenset):
        return same, len(value)
    if type(value).__module__.partition(".")[0] not in sys.stdlib_module_names:
        own = getattr(value, "__dict__", None)
        if isinstance(own, dict) and len(own) <= _LIMIT:
            return same, [(name, _frozen(item, depth - 1)) for name, item in own.items() if "cache" not in name]
    return same
