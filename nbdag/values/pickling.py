"""Conversion of objects to bytes and back, so that a value means the same in another kernel.

The format is pickle protocol 5 with large buffers out of band, written by cloudpickle's pickler. Definitions of a
notebook cannot be imported like those of a module, so this pickler treats them in its own way:

- A function pickled by value gets the loading notebook's namespace as its globals, as if its `def` had run in that
  notebook. Names that the function uses are set in the namespace only if they are not set yet.
- A function or class at the top level of a notebook is pickled by name and by value. If the loading notebook has an
  equal definition, because setup or the source of the definition has run there, it uses its own definition, so that
  `isinstance` works.
- Small data that such a function uses is pickled with the function. Large data is not: a task that calls the function
  reads the names of the data, and so gets the data as inputs.

`references` finds objects that also belong to other stored values or to setup. A pickler writes a reference in place of
each such object.

This module does not use files.
"""

from __future__ import annotations

import contextvars
import enum
import functools
import io
import pickle
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import cloudpickle

from .definitions import definition_digest
from .type_rule import PickleState, Refusal
from .types import rule_of

MAX_CAPTURED = 1 << 16  # maximum size, in bytes, of data that is pickled with a function that uses the data

_NEVER_SHARED = (types.FunctionType, classmethod, staticmethod, property, str, int, types.NoneType)

_namespace: contextvars.ContextVar[MutableMapping[str, Any] | None] = contextvars.ContextVar("namespace", default=None)


def user_namespace() -> MutableMapping[str, Any]:
    """Return the notebook's namespace: the one that `using_namespace` has set, otherwise that of `__main__`."""
    chosen = _namespace.get()
    return chosen if chosen is not None else sys.modules["__main__"].__dict__


@contextmanager
def using_namespace(namespace: MutableMapping[str, Any] | None) -> Iterator[None]:
    """Use a namespace as the notebook's namespace within a `with` block.

    None keeps the current namespace, which is at first the namespace of `__main__`.
    """
    token = _namespace.set(namespace if namespace is not None else _namespace.get())
    try:
        yield
    finally:
        _namespace.reset(token)


@dataclass(slots=True)
class Pickled:
    """One pickled object."""

    data: bytes
    buffers: list[memoryview]  # buffers that are stored outside of `data`; each is contiguous and one-dimensional
    memo: Mapping[int, object]  # key: id of an object in the pickle; value: the object, so that it stays alive
    # Ids of objects in the pickle that two values may share without harm: objects that are copied before a change, and
    # attributes of a class that the pickles of its instances contain, such as pandas' `_metadata`.
    unshared: set[int] = field(default_factory=set)
    numbered: Sequence[tuple[int, object]] = ()  # the objects in `memo` with their numbers in the pickle

    @property
    def size(self) -> int:
        """Return the number of bytes, including the buffers."""
        return len(self.data) + sum(buffer.nbytes for buffer in self.buffers)


def dump(obj: object, *, keep_memo: bool = False, refer: Callable[[object], Any] | None = None) -> Pickled:
    """Pickle an object of the notebook. Errors of the object's own pickle methods are not caught.

    `refer` is called for each object. It returns the reference to write in place of the object, or None to write the
    object itself.
    """
    target = io.BytesIO()
    buffers: list[memoryview] = []
    pickler = NotebookPickler(target, buffers=buffers) if refer is None else _Referring(target, buffers, refer)
    with warnings.catch_warnings():
        # The user cannot act on warnings of pickle methods, such as the deprecation of pickling itertools.
        warnings.simplefilter("ignore")
        pickler.dump(obj)
    numbered = pickler.memo.copy() if keep_memo else {}
    memo = {key: kept for key, (_, kept) in numbered.items()}
    return Pickled(target.getvalue(), buffers, memo, pickler.state.unshared, [*numbered.values()])


class NotebookUnpickler(pickle.Unpickler):
    """Loads a pickle that `dump` wrote. `resolve` returns the object of a reference that `dump` wrote.

    The memo, which maps numbers to objects of the pickle, is kept, because references need it.
    """

    def __init__(
        self,
        data: bytes | memoryview,
        buffers: list[memoryview],
        resolve: Callable[[Any], object] | None = None,
    ) -> None:
        super().__init__(io.BytesIO(data), buffers=buffers)
        self._resolve = resolve
        self.definitions = _Definitions()

    def find_class(self, module: str, name: str, /) -> Any:
        """Return an object of a module, or `self.definitions` in place of `_definition`, to record the definitions."""
        found = super().find_class(module, name)
        return self.definitions if found is _definition else found

    def persistent_load(self, reference: Any, /) -> Any:
        """Return the object that a reference stands for."""
        if self._resolve is None:
            raise pickle.UnpicklingError("the value refers to another stored value")
        return self._resolve(reference)

    def load(self) -> Any:
        """Return the object that `dump` was given. Its arrays use the memory of the buffers."""
        namespace = user_namespace()
        builtins = namespace.get("__builtins__")
        try:
            return super().load()
        finally:
            if builtins is not None:
                namespace["__builtins__"] = builtins  # restored, because cloudpickle replaces `__builtins__`

    def memo_copy(self) -> dict[int, object]:
        """Return the objects of the pickle by their numbers in it."""
        memo: Any = self.memo  # `Any`, because typeshed declares the memo's type wrongly
        found: dict[int, object] = memo.copy()
        return found


class _Definitions:
    """Loads the functions and classes of the notebook that one pickle needs, by `_definition`, and records them."""

    def __init__(self) -> None:
        self._found: list[tuple[Any, str]] = []

    def __call__(self, name: str, shape: str, value: bytes | None, outside: Sequence[object] = ()) -> Any:
        found = _definition(name, shape, value, outside)
        self._found.append((found, shape))
        return found

    def are_unchanged(self) -> bool:
        """Return whether these functions and classes, including attributes such as counters, are still as stored."""
        return all(definition_digest(obj) == shape for obj, shape in self._found)


def load(data: bytes | memoryview, buffers: list[memoryview]) -> Any:
    """Return the object that `dump` was given. Its arrays use the memory of the buffers."""
    return NotebookUnpickler(data, buffers).load()


class NotebookPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """A pickler for objects of a notebook. With `by_value` it pickles definitions by value only."""

    def __init__(self, file: Any, *, buffers: list[memoryview] | None = None, by_value: bool = False) -> None:
        super().__init__(file, 5, None if buffers is None else lambda buffer: _take(buffer, buffers))
        self.state = PickleState()
        self._by_value = by_value
        self._outside: set[int] = set()  # ids of functions whose default arguments are being pickled separately
        self._classes: set[type] = set()
        self._globals = _Globals()

    def reducer_override(self, obj: Any) -> Any:
        """Return how to pickle a definition of the notebook or a value whose type has a rule.

        Return NotImplemented for other objects.
        """
        if isinstance(obj, types.FunctionType):
            return self._function(obj)
        if isinstance(obj, type):
            return self._class(obj)
        if isinstance(obj, functools._lru_cache_wrapper) and obj.__module__ == "__main__":
            return _caching_function_by_value(obj)
        if type(obj) not in self._classes:
            self._classes.add(type(obj))
            self.state.unshared.update(_of_the_class(type(obj)))
        rule = rule_of(obj)
        if rule.refused is not None and (refusal := rule.refused(obj)) is not None:
            raise RefusedError(refusal)
        if rule.unshared is not None:
            self.state.unshared.update(map(id, rule.unshared(obj)))
        if rule.reduce is not None and (reduced := rule.reduce(obj, self.state)) is not None:
            return reduced
        return super().reducer_override(obj)

    def _function(self, function: types.FunctionType) -> Any:
        namespace = user_namespace()
        if function.__globals__ is not namespace:
            return super().reducer_override(function)
        if not self._by_value and is_definition(function, namespace):
            return _function_by_name(function, self._outside)
        reduced = super().reducer_override(function)
        if reduced is NotImplemented:
            return reduced
        make, (code, _, *rest), (attributes, slots), _, _, restore = reduced
        named = slots.pop("__globals__")
        state = (restore, attributes, slots, self._captured(named))
        return make, (code, self._globals, *rest), state, None, None, _restore_function

    def _class(self, cls: type) -> Any:
        if not self._by_value and is_definition(cls, user_namespace()):
            return _definition, (cls.__qualname__, definition_digest(cls), _by_value(cls))
        reduced = super().reducer_override(cls)
        if isinstance(cls, enum.EnumType) and isinstance(reduced, tuple):
            make, (bases, name, qualname, _, *rest), (attributes, slots), _, _, restore = reduced
            # cloudpickle would omit aliases, such as combined flags.
            every: dict[str, Any] = dict(cls.__members__)
            members = {each: member.value for each, member in every.items()}
            attributes = {key: value for key, value in attributes.items() if key not in members}
            of_members = {each: {**vars(member)} for each, member in every.items()}
            state = restore, (attributes, slots), of_members
            return make, (bases, name, qualname, members, *rest), state, None, None, _restore_enum
        return reduced

    def _captured(self, named: Mapping[str, object]) -> dict[str, object]:
        kept: dict[str, object] = {}
        for name, value in named.items():
            if isinstance(value, types.FunctionType | types.ModuleType | type):
                kept[name] = value
            elif (data := small_pickle(value)) is not None:
                kept[name] = _Data(data)
        return kept


class _Referring(NotebookPickler):
    """A pickler that writes references.

    It is a separate class, because `persistent_id` is called for every object and so slows pickling down.
    """

    def __init__(self, file: Any, buffers: list[memoryview], refer: Callable[[object], Any]) -> None:
        super().__init__(file, buffers=buffers)
        self._refer = refer

    def persistent_id(self, obj: object) -> Any:
        """Return what to write in place of an object, or None to pickle the object."""
        reference = self._refer(obj)
        if reference is not None and (rule := rule_of(obj)).reduce is not None:
            rule.reduce(obj, self.state)  # `reduce` records the object, so that views of its memory are stored as views
        return reference


class _ByValue(NotebookPickler):
    """A pickler for one function. It writes numbers in place of default arguments, which are pickled separately."""

    def __init__(self, file: Any, outside: Mapping[int, int]) -> None:
        super().__init__(file, by_value=True)
        self._numbers = outside

    def persistent_id(self, obj: object) -> int | None:
        """Return the number of a default argument, or None for any other object."""
        return self._numbers.get(id(obj))


def _of_the_class(cls: Any) -> list[int]:
    if cls.__module__ == "__main__":  # not cached, because a cell may replace attributes of such a class
        return _members(cls)
    return _members_of_library_class(cls)


def _members(cls: Any) -> list[int]:
    members = (value for base in cls.__mro__ for value in vars(base).values())
    return [id(value) for value in members if not isinstance(value, _NEVER_SHARED)]


_members_of_library_class = functools.lru_cache(maxsize=4096)(_members)


def is_definition(obj: types.FunctionType | type, namespace: Mapping[str, Any]) -> bool:
    """Return whether a function or class is defined at the top level of the notebook, under its own name."""
    return obj.__module__ == namespace.get("__name__", "__main__") and namespace.get(obj.__qualname__) is obj


class _Globals:
    """A placeholder in a pickle for the namespace of the notebook that loads the pickle."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[()]]:
        return user_namespace, ()


@dataclass(frozen=True, slots=True)
class _Data:
    """The separate pickle of data that a function uses.

    It is not unpickled if the loading notebook has already set the name of the data.
    """

    pickled: bytes


class _FullError(Exception):
    pass


class _Limited(io.BytesIO):
    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > MAX_CAPTURED:
            raise _FullError
        return super().write(data)


_in_small_data: contextvars.ContextVar[bool] = contextvars.ContextVar("inside small data", default=False)


def small_pickle(value: object) -> bytes | None:
    """Return the pickle of a value, or None if the pickle is large or the value cannot be pickled."""
    if _in_small_data.get():  # a function inside such data is pickled without data of its own
        return None
    target = _Limited()
    token = _in_small_data.set(True)
    try:
        NotebookPickler(target).dump(value)
    except Exception:
        return None  # a task that calls the function gets the value as an input; otherwise the call raises NameError
    finally:
        _in_small_data.reset(token)
    return target.getvalue()


def _function_by_name(function: types.FunctionType, pending: set[int]) -> Any:
    """Return how to pickle a function by name and by value.

    Mutable default arguments are pickled separately, so that a default argument that is also part of other values
    remains one object.
    """
    made = (function.__qualname__, definition_digest(function))
    if id(function) in pending:  # a default argument of the function contains the function itself
        return _definition, (*made, _by_value(function))
    found = {id(value): value for value in _defaults(function) if not rule_of(value).immutable}
    if not found:
        return _definition, (*made, _by_value(function))
    pending.add(id(function))
    numbers = {key: number for number, key in enumerate(found)}
    return _definition, (*made, _by_value(function, numbers), list(found.values()))


def _defaults(function: types.FunctionType) -> Iterator[object]:
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()


def _by_value(obj: types.FunctionType | type, outside: Mapping[int, int] | None = None) -> bytes | None:
    target = io.BytesIO()
    pickler = NotebookPickler(target, by_value=True) if outside is None else _ByValue(target, outside)
    try:
        pickler.dump(obj)
    except RefusedError:
        raise
    except Exception:
        # The function is pickled by name only, which suffices if the loading notebook defines it.
        return None
    return target.getvalue()


class RefusedError(Exception):
    """A value that can be pickled, but would differ after loading."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.why)
        self.refusal = refusal


class MissingDefinitionError(AttributeError):
    """A value needs a function or class of the notebook that is not defined here."""

    def __str__(self) -> str:
        return (
            f"{self.args[0]!r} is needed to load a value, but is not defined here and was not stored with the value; "
            "define it in a %%setup cell"
        )


# Key: (pickle, ids of its default arguments); value: (object, default arguments). The value keeps the arguments alive,
# so that no other object gets their ids.
_Unpickled = dict[tuple[bytes, tuple[int, ...]], tuple[Any, Sequence[object]]]


class Namespace(dict[str, Any]):
    """A notebook's namespace outside of a kernel, used when a program loads the values of a task."""

    def __init__(self) -> None:
        super().__init__({"__name__": "__main__", "__builtins__": __builtins__})
        self.by_value: _Unpickled = {}  # definitions that were loaded into this namespace


class _ByValueCache:
    """Cache of the definitions unpickled by value in one namespace: equal pickles give the same object."""

    def __init__(self) -> None:
        self._namespace: MutableMapping[str, Any] | None = None
        self._objects: _Unpickled = {}

    def get(self, namespace: MutableMapping[str, Any], value: bytes, outside: Sequence[object]) -> Any:
        objects = namespace.by_value if isinstance(namespace, Namespace) else self._of_the_kernel(namespace)
        key = (value, tuple(map(id, outside)))
        if key not in objects:
            loaded = NotebookUnpickler(value, [], outside.__getitem__).load()
            objects[key] = (loaded, outside)
        return objects[key][0]

    def _of_the_kernel(self, namespace: MutableMapping[str, Any]) -> _Unpickled:
        if namespace is not self._namespace:
            self._namespace, self._objects = namespace, {}
        return self._objects


_by_value_cache = _ByValueCache()


def _definition(name: str, shape: str, value: bytes | None, outside: Sequence[object] = ()) -> Any:
    namespace = user_namespace()
    here = namespace.get(name)
    if (
        isinstance(here, types.FunctionType | type)
        and is_definition(here, namespace)
        and definition_digest(here) == shape
    ):
        return here
    if value is None:
        raise MissingDefinitionError(name)
    return _by_value_cache.get(namespace, value, outside)


def _caching_function_by_value(function: Any) -> Any:
    """Return how to pickle a function of `functools.lru_cache` by value. Python itself would pickle only its name."""
    wrapped, parameters = function.__wrapped__, function.cache_parameters()
    attributes = {name: value for name, value in vars(function).items() if name != "__wrapped__"}
    shape = definition_digest(wrapped)
    return (
        _caching_function,
        (function.__qualname__, shape, wrapped, parameters["maxsize"], parameters["typed"]),
        attributes,
    )


def _caching_function(name: str, shape: str, wrapped: Any, maxsize: int | None, typed: bool) -> Any:
    """Return the notebook's function of this name, with its cached results.

    If the notebook does not define the same function, return a new one without results.
    """
    here: Any = user_namespace().get(name)
    if isinstance(here, functools._lru_cache_wrapper) and definition_digest(here.__wrapped__) == shape:
        return here
    return functools.lru_cache(maxsize, typed)(wrapped)


def _restore_enum(cls: Any, state: tuple[Any, ...]) -> None:
    """Restore an enum and the attributes of its members, which cloudpickle does not pickle."""
    restore, of_class, members = state
    restore(cls, of_class)
    for name, attributes in members.items():
        for key, value in attributes.items():
            if key not in vars(cls[name]):
                setattr(cls[name], key, value)


def _restore_function(function: types.FunctionType, state: tuple[Any, ...]) -> None:
    restore, attributes, slots, captured = state
    namespace = function.__globals__
    for name, value in captured.items():
        if name not in namespace:
            namespace[name] = pickle.loads(value.pickled) if isinstance(value, _Data) else value
    restore(function, (attributes, {**slots, "__globals__": {}}))


def _take(buffer: pickle.PickleBuffer, buffers: list[memoryview]) -> bool:
    """Return True for a small buffer, which stays in the pickle.

    Otherwise, add the buffer to `buffers` and return False.
    """
    raw = buffer.raw()
    if raw.nbytes < 512:
        return True
    buffers.append(raw)
    return False
