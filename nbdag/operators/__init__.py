"""Operators translate the body of a task's cell (the text below the header) into Python source.

`python` returns the body unchanged, `sensor` polls until its last expression is true, `bash` runs a script, `sql` runs
statements. Each operator is one module of this package. A new one needs few lines. For example, the operator `shout`
prints its body several times, as its own option sets:

    from nbdag.operators import Operator, kinds, option

    class Shout(Operator):
        summary = "The body is a text, which is printed in capitals."
        own_options = (option("times", kinds.integer(1), "how often; default once", default=1),)

        def source(self, body, options):
            return f'print({body.upper()!r} * {self.given(options)["times"]})' + "\\n" * body.count("\\n")

An entry point in the package's metadata makes the operator available to every command:

    [project.entry-points."nbdag.operators"]
    shout = "mypackage.operators:Shout"

Then `%%task a --operator shout --times 2` is valid. The options in `own_options` belong to this operator alone: the
parser of headers, `%%task?`, completion, the cache key and the keywords of `%%dag` know them; another operator's option
in a header is an error. A program that reads and runs notebooks may call `nbdag.operators.register("shout")(Shout)`
instead. In a `%%dag` cell, the class also creates tasks: `Shout("hello", "good morning", times=2)`. For this, the class
need not be installed; the notebook itself may define it. Module `tasks` implements the creation of tasks,
`value_writer` writes values into their cells, `calls` writes a body in another language as one call.

Rules for an operator: Line n of the returned source corresponds to line n of the body, so that tracebacks show the
user's lines. The source is Python with IPython's extensions and is analysed like any cell: other tasks may provide the
names that it reads. A value must never become part of a text that another program parses: `calls` passes values
separately. The source imports what it needs from the operator's package, because it runs in another process. If a body
cannot be translated, the operator raises `OperatorError` with the line. An operator is called whenever a notebook is
read, so it must access neither files nor the network, and import little.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from ..core.options import operator_options
from ..core.options import option_types as kinds
from ..core.options.operator_options import OperatorHelp
from ..core.options.operator_options import operator_option as option
from ..core.options.option_types import nearest
from ..core.options.options import OPTIONS, Option, TaskOptions
from ..errors import NbdagError, error

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from ..templates.names import Pull
    from .bash import Bash
    from .email import Email
    from .empty import Empty
    from .file_sensor import FileSensor
    from .http import Http
    from .notebook import Notebook
    from .python import Python
    from .sensor import Sensor
    from .sql import Sql
    from .sql_sensor import SqlSensor
    from .tasks import Operator, chain
    from .trigger import Trigger

__all__ = [
    "Bash",
    "Email",
    "Empty",
    "FileSensor",
    "Http",
    "Notebook",
    "Operator",
    "OperatorError",
    "Python",
    "Sensor",
    "Sql",
    "SqlSensor",
    "Trigger",
    "UnknownOperatorError",
    "chain",
    "kinds",
    "option",
]

GROUP = "nbdag.operators"
# These operators are listed here, because a search through all installed packages is slower than reading a notebook.
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


# Names that a %%dag cell can use without an import; value: module and attribute.
OFFERED = {**{value.partition(":")[2]: value for value in BUILT_IN.values()}}
OFFERED |= {name: f"nbdag.operators.tasks:{name}" for name in ("Operator", "chain")}


class OperatorProtocol(Protocol):
    """The interface of an operator."""

    def source(self, body: str, options: TaskOptions) -> str:
        """Return Python source for a body, with equal line numbers. Raise `OperatorError`."""


@error
class OperatorError(NbdagError):
    """An operator cannot translate a cell."""

    message: str
    hint: str = ""  # what the user can do
    line: int = 1  # line of the body, from 1
    template = "{message}{advice}"

    @property
    def advice(self) -> str:
        """The hint, as a suffix of the message."""
        return f"; {self.hint}" if self.hint else ""

    def _render_traceback_(self) -> list[str]:
        # IPython calls this method. It omits nbdag's own frames, so that the traceback ends at the user's cell.
        from IPython.core.getipython import get_ipython

        frame = last = self.__traceback__
        while frame is not None:
            if not frame.tb_frame.f_globals.get("__name__", "").startswith("nbdag."):
                last = frame
            frame = frame.tb_next
        if last is not None:
            last.tb_next = None
        shell = get_ipython()
        assert shell is not None
        return list(shell.InteractiveTB.structured_traceback(type(self), self, self.__traceback__, tb_offset=1))


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
_known: ContextVar[Collection[str] | None] = ContextVar("known", default=None)
BodyWarning = tuple[int, str, str]  # (line of the body from 1, message, hint)


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
    """Return the name under which every process finds this operator class, or None if only this notebook or program
    defines it.
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
    """Return the options that only this operator declares, or no options if the operator is unknown or cannot be
    loaded.
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
        with _known_names_set(known):
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


def pull_source(pull: Pull) -> str:
    """Return Python source that shows the pull of a template to the analysis."""
    task = "None or ''" if pull.task is None else repr(pull.task)
    key = "" if pull.key is None else f", key={pull.key!r}" if pull.key else ", key=None or ''"
    return f"dag_run.ti.xcom_pull({task}{key})"


def body_warnings(body: str, options: TaskOptions, known: Collection[str]) -> Iterable[BodyWarning]:
    """Return the operator's warnings about a body, or no warnings if the operator has no method `body_warnings`."""
    with _known_names_set(known):
        method = getattr(find(options.operator), "body_warnings", None)
        return () if method is None else tuple(method(body))


def known_names() -> Collection[str] | None:
    """Return the names that the notebook's cells set, or None if they are not known.

    Methods of operators may call this.
    """
    return _known.get()


@contextmanager
def _known_names_set(known: Collection[str] | None) -> Iterator[None]:
    before = _known.set(known)
    try:
        yield
    finally:
        _known.reset(before)


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

    build = set_build(None)  # inside a %%dag cell, creating an operator without an id would be reported as a mistake
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


def __getattr__(name: str) -> Any:
    if name not in OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, member = OFFERED[name].partition(":")
    return getattr(import_module(module), member)
