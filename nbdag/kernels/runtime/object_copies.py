"""Copy the objects of a module, in order to compare the module's later state with the copies.

Most objects of a module never change. So a copy is made in two steps. `Copier` records the objects and their content.
If something in the module has changed, `complete` creates the parts that are compared.
"""

from __future__ import annotations

import contextvars
import functools
import itertools
import operator
import random
import sys
import threading
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...values import small_fingerprint
from ...values.libraries import is_users_class

_LIMIT = 1000  # maximum number of elements of a container that are compared
_BUDGET = 1500  # maximum number of objects of a module that are compared
_DEPTH = 6  # maximum nesting depth of objects that are compared
_PLAIN = (str, bytes, int, float, complex, bool, type(None))
_ATOMS = frozenset(_PLAIN)
_CONTAINERS = frozenset([dict, list, tuple])
_SETS = (set, frozenset)
_ALL_CONTAINERS = (dict, list, tuple, deque, *_SETS)
_OPAQUE = (type, types.BuiltinFunctionType, types.ModuleType)  # compared by identity
_OF_EACH_CLASS = frozenset(["__module__", "__doc__", "__dict__", "__weakref__", "__annotations__"])
_FUNCTIONS = (types.FunctionType, staticmethod, classmethod, property)
# (reader, object, result): the reader is a function that returns the content or the state of the object.
Reading = tuple[Callable[[Any], Any], Any, Any]


@dataclass(slots=True, unsafe_hash=True)  # not frozen, because frozen dataclasses take longer to create
class Same:
    """An object that is compared by identity."""

    value: Any = field(compare=False)
    identity: int
    is_unread: bool = field(default=False, compare=False)  # whether a limit prevented a copy of the content


@dataclass(slots=True)
class Number:
    """The state of a counter or of a generator of random numbers."""

    same: Same
    state: Any


@dataclass(slots=True)
class Sequence:
    """A list, tuple, deque or set."""

    same: Same
    parts: Any


@dataclass(slots=True)
class Parts:
    """A dict, or the attributes of an object."""

    same: Same
    parts: dict[Any, Any]
    is_object: bool = False
    # Whether a library defines the class of the object; libraries change attributes of their objects on use.
    of_library: bool = False


@dataclass(slots=True)
class _Container:
    """The content of a dict, list, tuple or deque, from which `complete` creates a `Parts` or a `Sequence`.

    Most containers are never compared, because nothing in the module has changed.
    """

    value: Any
    content: list[Any]  # the keys and then the values of a dict; the elements of another container
    copies: list[Any]  # copies of values, except numbers, texts and the like; None for a value that was not read

    def completed(self) -> Parts | Sequence:
        """Return the copy that can be compared."""
        copies = iter([complete(each) for each in self.copies])
        same = Same(self.value, id(self.value))
        if not isinstance(self.value, dict):
            return Sequence(same, [_copy_of(each, copies) for each in self.content])
        half = len(self.content) // 2
        pairs = zip(self.content[:half], self.content[half:], strict=True)
        return Parts(same, {_key(key): _copy_of(each, copies) for key, each in pairs})


def _copy_of(value: object, copies: Iterator[Any]) -> Any:
    if type(value) in _ATOMS:
        return (type(value), value)
    copy = next(copies)
    return copy if copy is not None else Same(value, id(value), is_unread=True)


@dataclass(slots=True)
class FunctionCopy:
    """A function with keyword-only arguments, but without closure and attributes.

    Its defaults are numbers, texts and the like.
    """

    value: types.FunctionType
    defaults: tuple[Any, ...] | None
    keywords: dict[str, Any] | None  # a copy of the defaults of keyword-only arguments

    def is_current(self) -> bool:
        """Return whether the function still has exactly these values."""
        value = self.value
        return value.__defaults__ is self.defaults and value.__kwdefaults__ == self.keywords and not value.__dict__

    def completed(self) -> Lenient:
        """Return the copy that can be compared."""
        same = Same(self.value, id(self.value))
        parts = {f"default {name}": (type(each), each) for name, each in (self.keywords or {}).items()}
        return Lenient(Parts(same, parts, True) if parts else same, same.identity)


@dataclass(slots=True)
class ClassCopy:
    """A class of the module."""

    value: type
    items: dict[str, Any]
    copies: dict[str, Any]  # copies of those attributes that are not numbers, texts and the like

    def completed(self) -> Iterator[tuple[str, Any]]:
        """Yield (name, copy) for each attribute, such as ("Model.limit", copy). These copies can be compared."""
        for name, value in self.items.items():
            if name in self.copies:
                yield f"{self.value.__name__}.{name}", complete(self.copies[name])
            elif type(value) in _ATOMS and name not in _OF_EACH_CLASS and not is_ignored(name):
                yield f"{self.value.__name__}.{name}", _named(name, (type(value), value))


def complete(copy: Any) -> Any:
    """Return a copy that can be compared: its containers are of type `Parts` and `Sequence`."""
    if isinstance(copy, _Container | FunctionCopy):
        return copy.completed()
    if isinstance(copy, types.FunctionType):
        return Lenient(Same(copy, id(copy)), id(copy))
    if isinstance(copy, Parts):
        copy.parts = {name: complete(each) for name, each in copy.parts.items()}
    elif isinstance(copy, Lenient):
        copy.copy = complete(copy.copy)
    return copy


@dataclass(slots=True)
class Lenient:
    """The copy of a private attribute or of a function; such a copy is compared leniently (see `module_state`)."""

    copy: Any
    identity: int = 0  # `id` of the function; 0 for a private attribute


MISSING = object()
UNREADABLE = object()


@dataclass(slots=True)
class Copier:
    """Copies values, until it has copied as many objects as its budget allows."""

    budget: int = _BUDGET
    # For each object that was copied: (its reader, the object, the objects in it).
    contents: list[Reading] = field(default_factory=list)
    states: list[Reading] = field(
        default_factory=list
    )  # for each object with a state: (its reader, the object, the state)
    functions: list[FunctionCopy] = field(default_factory=list)
    # Functions whose only values are defaults that cannot change.
    plain: list[types.FunctionType] = field(default_factory=list)
    defaults: list[tuple[Any, ...] | None] = field(default_factory=list)  # defaults of each function in `plain`
    classes: list[ClassCopy] = field(default_factory=list)

    def is_current(self) -> bool:
        """Return whether each copied object still has the same content."""
        return (
            are_identical([function.__defaults__ for function in self.plain], self.defaults)
            and not any(function.__kwdefaults__ or function.__dict__ for function in self.plain)
            and all(function.is_current() for function in self.functions)
            and all(are_identical(read(value), content) for read, value, content in self.contents)
            and all(read(value) == state for read, value, state in self.states)
        )

    def attribute(self, name: str, value: object, module: str) -> Any:
        """Return the copy of one attribute of a module.

        If the attribute is a class of the module, copy the attributes of the class, too. If the attribute is another
        module, return MISSING, because a module is not part of the state.
        """
        if isinstance(value, types.ModuleType):
            return MISSING
        own = getattr(value, "__module__", None) == module
        if own and isinstance(value, types.FunctionType):
            return self.own_function(value)
        if own and isinstance(value, type):
            self._class(value)
        return _named(name, self.copy(value, _DEPTH))

    def _class(self, cls: type) -> None:
        items = dict(vars(cls))
        self.contents.append((attributes_content, cls, [*items, *items.values()]))
        copies: dict[str, Any] = {}
        for name, value in items.items():
            kind = type(value)
            if kind is types.FunctionType:
                copies[name] = self.own_function(value)
            elif kind in _ATOMS or name in _OF_EACH_CLASS:
                continue
            elif isinstance(value, _FUNCTIONS):
                function = getattr(value, "__func__", None) or getattr(value, "fget", None)
                if isinstance(function, types.FunctionType):
                    copies[name] = self.own_function(function)
            elif not is_ignored(name) and not hasattr(value, "__get__"):
                copies[name] = _named(name, self.copy(value, _DEPTH))
        self.classes.append(ClassCopy(cls, items, copies))

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
                return Same(value, id(value), is_unread=True)
            return self._container(value, depth)
        if isinstance(value, _PLAIN):
            return (kind, value)
        same = Same(value, id(value))
        self.budget -= 1
        if isinstance(value, itertools.count):
            return self._number(same, repr)
        if isinstance(value, functools._lru_cache_wrapper):
            self.states.append((result_count, value, result_count(value)))
            return same
        if isinstance(value, random.Random):
            return self._number(same, _random_state)
        if _numpy_generator(value) is not None:
            return self._number(same, _numpy_state)
        if isinstance(value, _OPAQUE):
            return same
        if depth == 0 or self.budget <= 0:
            return Same(value, id(value), is_unread=True)
        if isinstance(value, types.FunctionType):
            if value.__closure__ or value.__dict__:
                return self.function(value, depth - 1)
            self.note(_function_content, value)
            return same
        if isinstance(value, contextvars.ContextVar):
            self.note(_variable_content, value)
            return Parts(same, {"": self.copy(value.get(None), depth - 1)}, True)
        if isinstance(value, threading.local):
            self.note(attributes_content, value)
            return Parts(same, self._values(vars(value), depth - 1), True)
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
                self.note(attributes_content, value)
                of_library = not is_users_class(type(value))
                return Parts(same, self._values(own, min(depth - 1, 1) if of_library else depth - 1), True, of_library)
        return same

    def _number(self, same: Same, read: Callable[[Any], Any]) -> Number:
        state = read(same.value)
        self.states.append((read, same.value, state))
        return Number(same, state)

    def _container(self, value: Any, depth: int) -> Parts | Sequence | _Container:
        if len(value) > _LIMIT:
            self.states.append((len, value, len(value)))
            same = Same(value, id(value))
            return Parts(same, {"": len(value)}) if isinstance(value, dict) else Sequence(same, len(value))
        is_dict = isinstance(value, dict)
        read = _dict_content if is_dict else list
        content = read(value)
        if type(value) is not tuple:  # a tuple cannot change
            self.contents.append((read, value, content))
        if isinstance(value, _SETS):
            return Sequence(Same(value, id(value)), {_key(each) for each in content})
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

    def own_function(self, value: types.FunctionType) -> Lenient | FunctionCopy | types.FunctionType:
        """Return a copy of a function of the module or of its classes.

        Return the function itself if its only values are defaults that cannot change.
        """
        if value.__kwdefaults__ is None and value.__closure__ is None and not value.__dict__:
            defaults = value.__defaults__
            for each in defaults or ():
                if type(each) not in _ATOMS:
                    break
            else:
                self.plain.append(value)
                self.defaults.append(defaults)
                return value
        defaults, keywords = value.__defaults__, value.__kwdefaults__
        if (
            value.__closure__ is None
            and not value.__dict__
            and (defaults is None or _ATOMS.issuperset(map(type, defaults)))
            and (keywords is None or _ATOMS.issuperset(map(type, keywords.values())))
        ):
            copy = FunctionCopy(value, defaults, keywords and dict(keywords))
            self.functions.append(copy)
            return copy
        return Lenient(self.function(value), id(value))

    def function(self, value: types.FunctionType, depth: int = _DEPTH) -> Any:
        """Return a copy of the values that live in a function: defaults, attributes, and variables of its closure."""
        self.note(_function_content, value)
        if not _has_values(value):
            return Same(value, id(value))
        parts: dict[str, Any] = {}
        closure = zip(value.__code__.co_freevars, value.__closure__ or (), strict=False)
        for name, cell in closure:
            if not is_ignored(name):
                try:
                    parts[f"closure {name}"] = self.copy(cell.cell_contents, depth - 1)
                except ValueError:  # the variable has no value
                    continue
        for name, each in vars(value).items():
            if not is_ignored(name):
                parts[f"attribute {name}"] = self.copy(each, depth - 1)
        for name, each in (value.__kwdefaults__ or {}).items():
            if not is_ignored(name):
                parts[f"default {name}"] = self.copy(each, depth - 1)
        code, defaults = value.__code__, value.__defaults__ or ()
        names = code.co_varnames[: code.co_argcount][-len(defaults) :] if defaults else ()
        for name, each in zip(names, defaults, strict=False):
            if not isinstance(each, _PLAIN) and not is_ignored(name):
                parts[f"default {name}"] = self.copy(each, depth - 1)
        same = Same(value, id(value))
        return Parts(same, parts, True) if parts else same

    def _values(self, values: Mapping[str, Any], depth: int) -> dict[Any, Any]:
        return {name: self.copy(item, depth) for name, item in list(values.items()) if not is_ignored(name)}


# Readers of the content of an object. The object is unchanged if its reader returns the identical objects again.


def attributes_content(value: object) -> list[Any]:
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
            content.append(MISSING)
    return content


# Readers of the state of an object. The object is unchanged if its reader returns an equal state.


def result_count(value: Any) -> int:
    """Return the number of results in the cache of a function."""
    return int(value.cache_info().currsize)


def _attribute_count(value: object) -> int:
    return len(vars(value))


def _random_state(value: random.Random) -> int | None:
    return None if isinstance(value, random.SystemRandom) else hash(value.getstate())


def _numpy_state(value: object) -> str:
    return repr(_numpy_generator(value).state)


def _fingerprint(value: object) -> bytes | None:
    return small_fingerprint(value, tolerant=True)


def are_identical(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(map(operator.is_, one, other))


def _key(value: Any) -> Any:
    return (type(value), value) if isinstance(value, _PLAIN) else Same(value, id(value))


def _numpy_generator(value: object) -> Any:
    """Return the bit generator of a numpy generator, or None for any other object."""
    if type(value).__module__.partition(".")[0] != "numpy":
        return None
    return getattr(value, "bit_generator", getattr(value, "_bit_generator", None))


def is_ignored(name: str) -> bool:
    """Return whether an attribute of this name is ignored, because it is probably a cache or belongs to Python."""
    return name.startswith("__") or "cache" in name.lower() or "memo" in name.lower()


def _named(name: str, copy: Any) -> Any:
    is_variable = isinstance(copy, Parts) and isinstance(copy.same.value, contextvars.ContextVar)
    return Lenient(copy) if name.startswith("_") and not is_variable else copy
