"""Check that a value can be passed to another task. The check is made when the value is stored.

The stored value is loaded once as a test, unless its type is known to load unchanged. The test finds, for instance,
exceptions that cannot be loaded because their `__init__` does not pass all its arguments to the base class, and
subclasses of `numpy.ndarray` whose pickle drops attributes. Other values can be loaded but not used, such as a path in
a temporary directory or a logger without its handlers.
"""

from __future__ import annotations

import copyreg
import functools
import gc
import logging
import pickle
import re
import sys
import tempfile
import types
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from .libraries import is_users_class
from .pickling import Pickled, user_namespace
from .type_rule import Refusal
from .types import rule_for

# Packages whose classes are known to load unchanged.
_KNOWN = sys.stdlib_module_names | {"numpy", "pandas", "pyarrow", "polars", "scipy", "sklearn", "matplotlib", "_io"}
_PROTOCOL = (
    "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__", "__new__",
    "__getattr__", "__getattribute__", "__setattr__", "__hash__",
)  # fmt: skip
_PLAIN = (str, bytes, int, float, complex, bool, type(None))
_DEPTH = 3  # maximum nesting depth of containers that are compared


def needs_trial(pickled: Pickled) -> bool:
    """Return whether a value must be loaded as a test."""
    kinds: set[Any] = {*map(type, pickled.memo.values())}  # `Any`, because mypy doubts that classes can be hashed
    return any(map(_is_doubtful, kinds)) or any(cls in copyreg.dispatch_table for cls in kinds if is_users_class(cls))


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
    """Return a refusal if loading loses an attribute of an object in the pickle, otherwise None."""
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


def reset_attributes(pickled: Pickled, loaded: Mapping[int, object]) -> tuple[str, ...]:
    """Return the attributes of the user's objects, such as Counter.total, whose values differ after loading.

    Pickle methods of the class have reset such an attribute. Only plain data is compared, and caches do not count.
    Attributes that are missing after loading do not count either, because code that reads them raises an error.
    """
    found: dict[str, None] = {}
    for number, obj in pickled.numbered:
        cls = type(obj)
        if number not in loaded or not is_users_class(cls):
            continue
        again = getattr(loaded[number], "__dict__", {})
        for name, value in getattr(obj, "__dict__", {}).items():
            if name in again and not _is_cache(name) and _plain_differs(value, again[name], _DEPTH):
                found[f"{cls.__qualname__}.{name}"] = None
    return tuple(found)


def finalised_classes(pickled: Pickled) -> tuple[str, ...]:
    """Return the user's classes in a pickle whose instances run code when they are deleted.

    That code is `__del__`, or a callback of `weakref.finalize`.
    """
    kinds: set[Any] = {*map(type, pickled.memo.values())}  # see `needs_trial`
    own = {cls for cls in kinds if is_users_class(cls)}
    found = {cls for cls in own if hasattr(cls, "__del__")}
    finalizers: Iterable[Any] = list(getattr(weakref.finalize, "_registry", ())) if own else ()
    for each in finalizers:
        alive = each.peek()
        if alive is not None and type(alive[0]) in own and id(alive[0]) in pickled.memo:
            found.add(type(alive[0]))
    return tuple(sorted(cls.__qualname__ for cls in found))


def _is_cache(name: str) -> bool:
    return any(word in name.lower() for word in ("cache", "memo", "lock"))


def _plain_differs(one: Any, other: Any, depth: int) -> bool:
    """Return whether two values certainly differ. Only numbers, texts and containers of them are compared."""
    if type(one) in _PLAIN:
        return type(other) in _PLAIN and one != other and not (one != one and other != other)
    if type(one) is not type(other) or depth == 0:
        return False
    if isinstance(one, list | tuple):
        pairs = zip(one, other, strict=False)
        return len(one) != len(other) or any(_plain_differs(*pair, depth - 1) for pair in pairs)
    if isinstance(one, dict) and all(type(key) in _PLAIN for key in (*one, *other)):
        return one.keys() != other.keys() or any(_plain_differs(one[key], other[key], depth - 1) for key in one)
    return isinstance(one, set) and all(type(each) in _PLAIN for each in (*one, *other)) and one != other


def _is_intended(cls: type, name: str) -> bool:
    """Return whether the attribute is a cached property, or the class has pickle methods, which omit it on purpose."""
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
    """Return a refusal if other tasks could load a value but not use it, otherwise None.

    `handlers` are the ids of the logging handlers that setup created. `temporary` are the paths that are deleted when
    this process ends.
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


_LONGEST = 10_000_000  # maximum number of bytes of a pickle that are searched for addresses
_TEXT = re.compile(rb"\x8c(.)(<[^\n]{1,240}? at 0x([0-9a-fA-F]{6,16})>+)", re.DOTALL)  # the repr of an object
_ALIGNED = 4  # Python's default hash of an object is its address, shifted by this number of bits


def addresses(pickled: Mapping[str, Pickled], namespace: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    """Find values that contain the address of a living object of this process.

    Key: name of such a value; value: ("repr", "id" or "hash", name of the object's type). Living objects are parts of
    the values, objects of the namespace, and objects known to the garbage collector. Numbers in attributes of library
    objects are ignored, because figures of matplotlib, for instance, use addresses as keys.
    """
    found: dict[str, tuple[str, str]] = {}
    known: dict[int, object] = {}
    for name, each in pickled.items():
        data = each.data[:_LONGEST]
        numbers = {pickle.decode_long(match[1:]) for match in _numbers().findall(data)}
        texts = {int(match[3], 16) for match in _TEXT.finditer(data) if match[1][0] == len(match[2])}
        if not numbers and not texts:
            continue
        if not known:
            for other in pickled.values():
                known |= other.memo
            known |= {id(value): value for value in namespace.values() if value is not None}
        hits = [("repr", known[address]) for address in texts & known.keys()]
        numbers -= _numbers_of_libraries(each) if numbers else set()
        for what, shift in (("id", 0), ("hash", _ALIGNED)):
            wanted = {number << shift for number in numbers}
            here = [known[address] for address in wanted & known.keys()]
            hits += [(what, obj) for obj in here or (each for each in gc.get_objects() if id(each) in wanted)]
        if hits:
            found[name] = hits[0][0], type(hits[0][1]).__qualname__
    return found


def _numbers_of_libraries(pickled: Pickled) -> set[int]:
    """Return the integers that are attributes of library objects, or keys of dicts in such attributes."""
    found: set[int] = set()
    for obj in pickled.memo.values():
        kept = getattr(obj, "__dict__", None)
        cls = type(obj)
        if not kept or is_users_class(cls) or cls.__module__.partition(".")[0] in sys.stdlib_module_names:
            continue  # objects of the standard library, such as a SimpleNamespace, may contain data of the user
        for value in kept.values():
            found.update(each for each in (value if type(value) is dict else (value,)) if type(each) is int)
    return found


@functools.cache
def _numbers() -> re.Pattern[bytes]:
    """Return a pattern for numbers in a pickle that may be addresses in this process, or hashes of addresses."""
    kinds = set()
    for obj in (None, object(), [], type("", (), {})):
        for number in (id(obj), id(obj) >> _ALIGNED):
            data = pickle.encode_long(number)
            kinds.add(b"%s.{%d}%s" % (re.escape(bytes([len(data)])), len(data) - 1, re.escape(data[-1:])))
    return re.compile(b"\x8a(" + b"|".join(sorted(kinds)) + b")", re.DOTALL)
