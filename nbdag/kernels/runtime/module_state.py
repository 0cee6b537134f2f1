"""Read the attributes of the user's own modules, and observe imports.

Only modules outside of site-packages and the standard library are read. For libraries, probes read the settings, and
all other state is ignored. Attributes that are private or named as a cache are ignored, too.
"""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
import threading
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, Protocol


@functools.cache
def _library_folders() -> tuple[str, ...]:
    folders = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple({f"{folder}{os.sep}" for folder in (*folders, Path(__file__).parents[2])})


def is_library(path: str) -> bool:
    """Return whether a module's file belongs to a library, or to nbdag."""
    return path.startswith(_library_folders()) or f"{os.sep}site-packages{os.sep}" in path


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
    found = {}
    for name, value in vars(module).items() if module is not None else ():
        if name.startswith("_") or "cache" in name.lower() or isinstance(value, types.ModuleType):
            continue
        found[name] = _frozen(value, 2)
    return found


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
