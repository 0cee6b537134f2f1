"""Find operators by name (built in, installed or registered), and translate bodies with them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from ..core.options import operator_options
from ..core.options.declaration import Option
from ..core.options.operator_options import OperatorHelp
from ..core.options.option_types import nearest
from ..core.options.options import OPTIONS, TaskOptions
from ..errors import error
from .base import BodyWarning, OperatorError, known_names_set

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


GROUP = "nbdag.operators"
# Built-in operators are listed here, because searching all installed packages takes longer than reading a notebook.
BUILT_IN = {
    "bash": "nbdag.operators.bash:Bash",
    "email": "nbdag.operators.email:Email",
    "empty": "nbdag.operators.empty:Empty",
    "file-sensor": "nbdag.operators.file_sensor:FileSensor",
    "http": "nbdag.operators.http:Http",
    "notebook": "nbdag.operators.notebook:Notebook",
    "python": "nbdag.operators.python:Python",
    "sensor": "nbdag.operators.sensor:Sensor",
    "sql": "nbdag.operators.sql:Sql",
    "sql-sensor": "nbdag.operators.sql_sensor:SqlSensor",
    "trigger": "nbdag.operators.trigger:Trigger",
}
# Key: name that a %%dag cell can use without an import; value: module and attribute.
OFFERED = {**{value.partition(":")[2]: value for value in BUILT_IN.values()}}
OFFERED |= {name: f"nbdag.operators.tasks:{name}" for name in ("Operator", "chain")}


class OperatorProtocol(Protocol):
    """The interface of an operator."""

    def source(self, body: str, options: TaskOptions) -> str:
        """Return Python source for a body, with equal line numbers. Raise `OperatorError`."""


@error
class UnknownOperatorError(OperatorError):
    """The operator is unknown."""

    name: str = ""

    @classmethod
    def of(cls, name: str) -> UnknownOperatorError:
        """Return the error for an unknown operator, with the most similar known name as a hint."""
        known = names()
        similar = nearest(name, known)
        expected = f"expected one of {', '.join(known)}, or install the package that provides it"
        hint = f"did you mean {similar}?" if similar else expected
        return cls(f"unknown operator {name!r}", hint=hint, name=name)


Registered = TypeVar("Registered", bound="type[OperatorProtocol] | OperatorProtocol")
_registered: dict[str, OperatorProtocol] = {}


def register(name: str) -> Callable[[Registered], Registered]:
    """Return a decorator that registers an operator (a class or an instance) under a name, in this process only."""

    def add(operator: Registered) -> Registered:
        _registered[name] = _instance(operator)
        return operator

    return add


def is_sensor(name: str) -> bool:
    """Return whether the operator that is registered under this name is a sensor."""
    from .sensor import Sensor

    try:
        return isinstance(find(name), Sensor)
    except OperatorError:
        return False


def names() -> tuple[str, ...]:
    """Return the names of all operators, sorted."""
    return tuple(sorted({*BUILT_IN, *_registered, *_installed()}))


def name_of(operator: type) -> str | None:
    """Return the name under which every process finds this operator class.

    Return None if only this notebook or program defines the class.
    """
    where = f"{operator.__module__}:{operator.__qualname__}"
    known = {value: name for name, value in BUILT_IN.items()}
    if where in known:
        return known[where]
    for name, point in _installed().items():
        if getattr(sys.modules.get(point.module), point.attr, None) is operator:
            return name
    return None


def offered(mentioned: Callable[[str], bool]) -> dict[str, Any]:
    """Return the objects that a %%dag cell can use without an import, by name.

    Only names for which `mentioned(name)` is true are included.
    """
    places = {**{point.attr: point.value for point in _installed().values() if point.attr.isidentifier()}, **OFFERED}
    found = {}
    for name, place in places.items():
        if mentioned(name):
            module, _, member = place.partition(":")
            found[name] = getattr(import_module(module), member)
    return found


def find(name: str) -> OperatorProtocol:
    """Return the operator of this name. Raise `UnknownOperatorError`, or `OperatorError` if loading it fails."""
    if name in _registered:
        return _registered[name]
    if name in BUILT_IN:
        return _loaded(BUILT_IN[name])
    if name not in _installed():
        raise UnknownOperatorError.of(name)
    point = _installed()[name]
    try:
        return _instance(point.load())
    except Exception as error:
        package = point.dist.name if point.dist else point.value
        message = f"operator {name!r} cannot be loaded ({type(error).__name__}: {error})"
        raise OperatorError(message, hint=f"repair or remove the package {package}") from error


def options_of(name: str) -> tuple[Option, ...]:
    """Return the options that only this operator declares.

    Return no options if the operator is unknown or cannot be loaded.
    """
    try:
        return tuple(getattr(find(name), "own_options", ()))
    except OperatorError:
        return ()


def help_of(name: str) -> OperatorHelp | None:
    """Return what `%%task?` shows about an operator, or None if the operator cannot be loaded."""
    try:
        operator = find(name)
    except OperatorError:
        return None
    doc = (getattr(operator, "summary", "") or getattr(operator, "__doc__", "") or "").strip()
    return OperatorHelp(name, doc.partition("\n\n")[0], getattr(operator, "example", ""), options_of(name))


def source(body: str, options: TaskOptions, known: Collection[str] | None = None) -> str:
    """Return the source into which the task's operator translates a body. Raise `OperatorError`.

    `known` are the names that the notebook's cells set; the operator can read them with `known_names()`.
    """
    operator = find(options.operator)
    for each in getattr(operator, "own_options", ()):
        if any(each.flag == other.flag for other in OPTIONS["task"]):
            message = f"operator {options.operator!r} declares --{each.flag}, which every task has"
            raise OperatorError(message, hint="the operator must name its option differently")
    try:
        with known_names_set(known):
            made = operator.source(body, options)
    except OperatorError:
        raise
    except Exception as error:
        message = f"operator {options.operator!r} failed ({type(error).__name__}: {error})"
        raise OperatorError(message, hint="the error is in the operator, not in the cell") from error
    if not isinstance(made, str):
        message = f"operator {options.operator!r} returned {type(made).__name__}, not source"
        raise OperatorError(message, hint="its method `source` must return text")
    return made


def body_warnings(body: str, options: TaskOptions, known: Collection[str]) -> Iterable[BodyWarning]:
    """Return the operator's warnings about a body, or no warnings if the operator has no method `body_warnings`."""
    with known_names_set(known):
        method = getattr(find(options.operator), "body_warnings", None)
        return () if method is None else tuple(method(body))


@cache
def _installed() -> dict[str, EntryPoint]:
    # Imported here because it is slow to import and Python cells do not need it.
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP) if point.name not in BUILT_IN}


@cache
def _loaded(where: str) -> OperatorProtocol:
    module, _, name = where.partition(":")
    return _instance(getattr(import_module(module), name))


def _instance(operator: object) -> OperatorProtocol:
    if not isinstance(operator, type):
        return cast(OperatorProtocol, operator)
    from .tasks import set_build

    build = set_build(None)  # because a %%dag cell rejects operators without an id
    try:
        return cast(OperatorProtocol, operator())
    finally:
        set_build(build)


class _Registry:
    """Provides operators and their options to the parser, the help and the completion of headers."""

    names = staticmethod(names)
    options_of = staticmethod(options_of)
    help_of = staticmethod(help_of)


operator_options.install(_Registry())
