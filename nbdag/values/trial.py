"""Check that a value can be passed to another task. The check is made when the value is stored.

The stored value is loaded once as a test, unless its type is known to load unchanged. For instance, an exception whose
`__init__` takes other arguments than it passes to its base class cannot be loaded, and the pickle of an array's
subclass drops its attributes. Other values can be loaded but not used: a path in a temporary directory, a logger
without its handlers.
"""

from __future__ import annotations

import functools
import logging
import sys
import tempfile
import types
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from .pickling import Pickled, user_namespace
from .type_rule import Refusal
from .types import rule_for

# Packages whose classes are known to load unchanged.
_KNOWN = sys.stdlib_module_names | {"numpy", "pandas", "pyarrow", "polars", "scipy", "sklearn", "matplotlib", "_io"}
_PROTOCOL = (
    "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__", "__new__",
    "__getattr__", "__getattribute__", "__setattr__", "__hash__",
)  # fmt: skip


def needs_trial(pickled: Pickled) -> bool:
    """Return whether a value must be loaded as a test."""
    kinds: set[Any] = {*map(type, pickled.memo.values())}  # `Any`, because mypy doubts that classes can be hashed
    return any(map(_is_doubtful, kinds))


@functools.lru_cache(maxsize=4096)
def _is_doubtful(cls: Any) -> bool:
    if issubclass(cls, type | types.FunctionType | types.ModuleType) or rule_for(cls).loads:
        return False
    package = str(cls.__module__).partition(".")[0]
    if package.startswith("_cython"):  # the type of a compiled function
        return False
    if package in _KNOWN:
        return issubclass(cls, BaseException) and cls.__module__ != "builtins"
    return any(vars(base).get(name) is not None for base in cls.__mro__ if base is not object for name in _PROTOCOL)


def lost_attribute(pickled: Pickled, loaded: Mapping[int, object]) -> Refusal | None:
    """Return why a value is rejected whose pickle has lost an attribute, or None if no attribute is lost."""
    for number, obj in pickled.numbered:
        kept = getattr(obj, "__dict__", None)
        if not kept or isinstance(obj, type | types.FunctionType | types.ModuleType) or number not in loaded:
            continue
        again = getattr(loaded[number], "__dict__", {})
        cls = type(obj)
        for name, value in kept.items():
            lost = name not in again or (again[name] is None and value is not None)
            if lost and not _is_intended(cls, name):
                return Refusal(
                    f"the pickle of a {cls.__qualname__} drops its attribute {name}",
                    f"keep {name} in a separate variable, or define {cls.__qualname__}.__reduce__ to include it",
                )
    return None


def _is_intended(cls: type, name: str) -> bool:
    """Return whether the class omits the attribute from its pickle on purpose, or the attribute is a cache."""
    own = str(cls.__module__).partition(".")[0]
    if isinstance(getattr(cls, name, None), functools.cached_property):
        return True
    return any(
        each in vars(base)
        for base in cls.__mro__
        if str(base.__module__).partition(".")[0] == own
        for each in ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")
    )


def useless_elsewhere(pickled: Pickled, handlers: Iterable[int], temporary: Iterable[str]) -> Refusal | None:
    """Return why a value is rejected that another task could load but not use, or None if the value is usable.

    `handlers` are the ids of the logging handlers that setup created, `temporary` the paths that are deleted when this
    process ends.
    """
    kinds = set(map(type, pickled.memo.values()))
    if any(issubclass(kind, logging.Logger) for kind in kinds):
        known = set(handlers)
        for obj in pickled.memo.values():
            if isinstance(obj, logging.Logger) and any(id(handler) not in known for handler in obj.handlers):
                return Refusal(
                    f"logger {obj.name} has a handler that exists only in this task's kernel",
                    "add the handlers in a %%setup cell, and call logging.getLogger in each task",
                )
    paths = tuple(temporary)
    if paths:
        for obj in pickled.memo.values():
            text = obj if type(obj) is str else str(obj) if isinstance(obj, PurePath) else ""
            if text.startswith(paths):
                return Refusal(
                    f"{text} is deleted when the task that created it ends",
                    "use a file or folder that is not deleted automatically, such as one of tempfile.mkdtemp(), "
                    "and delete it in the last task",
                )
    return None


def temporary_paths() -> tuple[str, ...]:
    """Return the paths of temporary directories and files that are deleted when this process ends."""
    return tuple({*_directories(), *_files(user_namespace())})


def _directories() -> Iterator[str]:
    registry: Iterable[Any] = list(getattr(weakref.finalize, "_registry", ()))
    for finalizer in registry:
        found = finalizer.peek()
        if found is None:
            continue
        _, function, args, options = found
        if getattr(function, "__self__", None) is tempfile.TemporaryDirectory and args and options.get("delete", True):
            yield str(args[0])


def _files(names: Mapping[str, object]) -> Iterator[str]:
    for value in list(names.values()):
        if isinstance(value, tempfile._TemporaryFileWrapper):
            path, delete = getattr(value, "name", None), getattr(value, "delete", False)
            if isinstance(path, str) and delete and not value.closed:
                yield path
