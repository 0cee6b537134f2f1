"""Objects ⇄ bytes, such that a value means in another kernel what it meant in this one.

Pickle protocol 5, with large buffers out of band, by cloudpickle's pickler. What a notebook defines differs from
what a module defines, so three things are done differently:

- A function that travels by value has the namespace of the notebook that loads it as its globals, as if its `def`
  had run there. What it names is set there only where that name is not set yet.
- A function or class that stands at the top of a notebook is found by its name where the loading notebook has
  an equal one (setup ran there too, or its source was replayed), and travels by value otherwise. So `isinstance` holds.
- Small data that such a function names goes with it; large data does not: whoever calls it reads those names, and gets
  them as inputs.

Nothing here knows of files.
"""

from __future__ import annotations

import contextvars
import io
import pickle
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import cloudpickle

from .definitions import definition_digest
from .type_rule import PickleState
from .types import rule_of

MAX_CAPTURED = 1 << 16  # bytes of data that may travel with a function that names it

_namespace: contextvars.ContextVar[MutableMapping[str, Any] | None] = contextvars.ContextVar("namespace", default=None)


def user_namespace() -> MutableMapping[str, Any]:
    """Where loaded functions find their globals: what `using_namespace` said, else `__main__`."""
    chosen = _namespace.get()
    return chosen if chosen is not None else sys.modules["__main__"].__dict__


@contextmanager
def using_namespace(namespace: MutableMapping[str, Any] | None) -> Iterator[None]:
    """For the time being, take this as the notebook's namespace; None: `__main__`'s."""
    token = _namespace.set(namespace)
    try:
        yield
    finally:
        _namespace.reset(token)


@dataclass(slots=True)
class Pickled:
    """One object as bytes, and how it came about."""

    data: bytes
    buffers: list[memoryview]  # contiguous, flat
    memo: Mapping[int, object]  # what was pickled on the way, by id; holds it alive
    # Ids of objects that do not count as parts of this object: those that are copied before it changes them, and those
    # that belong to a class but are in the pickles of its instances (pandas' `_metadata`).
    unshared: set[int] = field(default_factory=set)

    @property
    def size(self) -> int:
        """Bytes, buffers included."""
        return len(self.data) + sum(buffer.nbytes for buffer in self.buffers)


def dump(obj: object, *, keep_memo: bool = False) -> Pickled:
    """Pickle an object of the notebook. Raises whatever its classes raise."""
    target = io.BytesIO()
    buffers: list[memoryview] = []
    pickler = NotebookPickler(target, buffers=buffers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as itertools' on being pickled: the user did not ask for it
        pickler.dump(obj)
    memo = {key: kept for key, (_, kept) in pickler.memo.copy().items()} if keep_memo else {}
    return Pickled(target.getvalue(), buffers, memo, pickler.state.unshared)


def load(data: bytes | memoryview, buffers: list[memoryview]) -> Any:
    """The object that `dump` was given. Arrays are made on the buffers themselves."""
    namespace = user_namespace()
    builtins = namespace.get("__builtins__")
    try:
        return pickle.loads(data, buffers=buffers)
    finally:
        if builtins is not None:
            namespace["__builtins__"] = builtins  # cloudpickle sets another one


class NotebookPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Pickles what a notebook's code makes. With `by_value`, definitions travel as they are, and not by name."""

    def __init__(self, file: Any, *, buffers: list[memoryview] | None = None, by_value: bool = False) -> None:
        super().__init__(file, 5, None if buffers is None else lambda buffer: _take(buffer, buffers))
        self.state = PickleState()
        self._by_value = by_value
        self._classes: set[type] = set()
        self._globals = _Globals()

    def reducer_override(self, obj: Any) -> Any:
        """How functions and classes of the notebook are pickled; all else as usual."""
        if isinstance(obj, types.FunctionType):
            return self._function(obj)
        if isinstance(obj, type):
            return self._class(obj)
        if type(obj) not in self._classes:
            self._classes.add(type(obj))
            self.state.unshared.update(_of_the_class(type(obj)))
        rule = rule_of(obj)
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
            return _by_name(function)
        reduced = super().reducer_override(function)
        if reduced is NotImplemented:
            return reduced
        make, (code, _, *rest), (attributes, slots), _, _, restore = reduced
        named = slots.pop("__globals__")
        state = (restore, attributes, slots, self._captured(named))
        return make, (code, self._globals, *rest), state, None, None, _restore_function

    def _class(self, cls: type) -> Any:
        if not self._by_value and is_definition(cls, user_namespace()):
            return _by_name(cls)
        return super().reducer_override(cls)

    def _captured(self, named: Mapping[str, object]) -> dict[str, object]:
        kept: dict[str, object] = {}
        for name, value in named.items():
            if isinstance(value, types.FunctionType | types.ModuleType | type):
                kept[name] = value
            elif (data := _small(value)) is not None:
                kept[name] = _Data(data)
        return kept


def _of_the_class(cls: type) -> list[int]:
    members = (value for base in cls.__mro__ for value in vars(base).values())
    return [id(value) for value in members if isinstance(value, list | dict | set)]


def is_definition(obj: types.FunctionType | type, namespace: Mapping[str, Any]) -> bool:
    """Whether it stands at the top of the notebook, under its own name."""
    return obj.__module__ == namespace.get("__name__", "__main__") and namespace.get(obj.__qualname__) is obj


class _Globals:
    """In a pickle, stands for the namespace of the notebook that loads it."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[()]]:
        return user_namespace, ()


@dataclass(frozen=True, slots=True)
class _Data:
    """Data that a function names, pickled apart, so that it is made only where its name is not set."""

    pickled: bytes


class _FullError(Exception):
    pass


class _Limited(io.BytesIO):
    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > MAX_CAPTURED:
            raise _FullError
        return super().write(data)


_small_ones: contextvars.ContextVar[bool] = contextvars.ContextVar("inside small data", default=False)


def _small(value: object) -> bytes | None:
    """A value's pickle, where it is small and there is one."""
    if _small_ones.get():  # data that holds a function that names data: not followed further
        return None
    target = _Limited()
    token = _small_ones.set(True)
    try:
        NotebookPickler(target).dump(value)
    except Exception:
        return None  # too large, or not to be pickled: whoever calls the function has it as an input, or fails by name
    finally:
        _small_ones.reset(token)
    return target.getvalue()


def _by_name(obj: types.FunctionType | type) -> Any:
    return _definition, (obj.__qualname__, definition_digest(obj), _by_value(obj))


def _by_value(obj: types.FunctionType | type) -> bytes | None:
    target = io.BytesIO()
    try:
        NotebookPickler(target, by_value=True).dump(obj)
    except Exception:
        return None  # it is only needed where the notebook that loads it has no such definition
    return target.getvalue()


class MissingDefinitionError(AttributeError):
    """A value needs a function or class of the notebook that is not there."""

    def __str__(self) -> str:
        return (
            f"{self.args[0]!r} is needed by a value and is not defined here, nor could it travel with the value; "
            "define it in a %%setup cell"
        )


class _Made:
    """What was made from pickles by value in one namespace: equal ones give one object."""

    def __init__(self) -> None:
        self._namespace: MutableMapping[str, Any] | None = None
        self._objects: dict[bytes, Any] = {}

    def get(self, namespace: MutableMapping[str, Any], value: bytes) -> Any:
        if namespace is not self._namespace:
            self._namespace, self._objects = namespace, {}
        if value not in self._objects:
            self._objects[value] = pickle.loads(value)
        return self._objects[value]


_made = _Made()


def _definition(name: str, shape: str, value: bytes | None) -> Any:
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
    return _made.get(namespace, value)


def _restore_function(function: types.FunctionType, state: tuple[Any, ...]) -> None:
    restore, attributes, slots, captured = state
    namespace = function.__globals__
    for name, value in captured.items():
        if name not in namespace:
            namespace[name] = pickle.loads(value.pickled) if isinstance(value, _Data) else value
    restore(function, (attributes, {**slots, "__globals__": {}}))


def _take(buffer: pickle.PickleBuffer, buffers: list[memoryview]) -> bool:
    """Keep a buffer out of band; small ones are better off inside."""
    raw = buffer.raw()
    if raw.nbytes < 512:
        return True
    buffers.append(raw)
    return False
