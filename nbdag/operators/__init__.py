'''What a task's cell may be written in: an operator turns its body and options into the source of a cell.

`python` leaves the body as it is, `bash` runs it as a script, `sensor` looks until its last expression is true. Write
another one in ten lines, say a `sql` that leaves its rows in the name that `--out` gives:

    from nbdag.operators import Operator

    class Sql(Operator):
        def source(self, body, options):
            name = options.out[0] if options.out else "_"
            return f'{name} = connection.execute("""{body}""").fetchall()'

and name it where the package that holds it is described, so that every command finds it:

    [project.entry-points."nbdag.operators"]
    sql = "mypackage.operators:Sql"

A program that reads and runs notebooks itself may say `nbdag.operators.register("sql")(Sql)` instead. In the body of a
`%%dag` cell a class makes tasks too, `Sql("rows", "SELECT 1", out="rows")`, and there it need not be installed: it may
be the notebook's own. That part is in `tasks`, and how a body's values are written into cells in `carried`.

The rules: line n of the source stands for line n of the body, so that a traceback points at what the person wrote. The
source is IPython's Python, and means what it would mean in a cell: the names that it reads (`connection` above) come
from the tasks that made them. What it needs of the operator's package it imports, for it runs in another process.
What cannot be turned into source is an `OperatorError` with the line. An operator runs when a notebook is read, so it
touches nothing: no file, no network.
'''

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from ..core.options.option_types import nearest
from ..core.options.options import TaskOptions
from ..errors import NbdagError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from .bash import Bash
    from .python import Python
    from .sensor import Sensor
    from .tasks import Operator, chain

__all__ = ["Bash", "Operator", "OperatorError", "Python", "Sensor", "UnknownOperatorError", "chain"]

GROUP = "nbdag.operators"
# Looked up without a search through all installed packages, which costs more than reading a notebook.
BUILT_IN = {
    "bash": "nbdag.operators.bash:Bash",
    "python": "nbdag.operators.python:Python",
    "sensor": "nbdag.operators.sensor:Sensor",
}


# What a body finds in its namespace, and where it is.
OFFERED = {**{value.partition(":")[2]: value for value in BUILT_IN.values()}}
OFFERED |= {name: f"nbdag.operators.tasks:{name}" for name in ("Operator", "chain")}


class OperatorProtocol(Protocol):
    """Makes the source of a cell."""

    def source(self, body: str, options: TaskOptions) -> str:
        """IPython source for what stands below the header; line n for line n. Raises `OperatorError`."""


class OperatorError(NbdagError):
    """An operator cannot make code of a cell."""

    def __init__(self, message: str, *, hint: str = "", line: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint  # the next step
        self.line = line  # from 1, of the body

    def __str__(self) -> str:
        return f"{self.message}{'; ' if self.hint else ''}{self.hint}"

    def _render_traceback_(self) -> list[str]:
        # IPython asks for it. Of a cell that makes a task its author wrote this much, and not what is below it here.
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


class UnknownOperatorError(OperatorError):
    """No operator has this name."""

    def __init__(self, name: str) -> None:
        known = names()
        like = nearest(name, known)
        hint = f"did you mean {like}?" if like else f"choose from {', '.join(known)}, or install what brings it"
        super().__init__(f"there is no operator {name!r}", hint=hint)
        self.name = name


Registered = TypeVar("Registered", bound="type[OperatorProtocol] | OperatorProtocol")
_registered: dict[str, OperatorProtocol] = {}
_known: ContextVar[Collection[str] | None] = ContextVar("known", default=None)
BodyWarning = tuple[int, str, str]  # a line of the body, from 1; a message; a hint


def register(name: str) -> Callable[[Registered], Registered]:
    """Make an operator known in this process under a name; used as a decorator on a class or with an instance."""

    def remember(operator: Registered) -> Registered:
        _registered[name] = _instance(operator)
        return operator

    return remember


def names() -> tuple[str, ...]:
    """All operators there are, sorted."""
    return tuple(sorted({*BUILT_IN, *_registered, *_installed()}))


def name_of(operator: type) -> str | None:
    """By which name every process finds this class; None where it is a notebook's or a program's own."""
    where = f"{operator.__module__}:{operator.__qualname__}"
    known = {value: name for name, value in BUILT_IN.items()}
    if where in known:
        return known[where]
    for name, point in _installed().items():
        if getattr(sys.modules.get(point.module), point.attr, None) is operator:
            return name
    return None


def offered(mentioned: Callable[[str], bool]) -> dict[str, Any]:
    """The operators, and what goes with them, by the names that a body knows them by; only those that it mentions."""
    places = {**{point.attr: point.value for point in _installed().values() if point.attr.isidentifier()}, **OFFERED}
    found = {}
    for name, place in places.items():
        if mentioned(name):
            module, _, member = place.partition(":")
            found[name] = getattr(import_module(module), member)
    return found


def find(name: str) -> OperatorProtocol:
    """The operator of this name. Raises `UnknownOperatorError`, or `OperatorError` where it cannot be loaded."""
    if name in _registered:
        return _registered[name]
    if name in BUILT_IN:
        return _loaded(BUILT_IN[name])
    if name not in _installed():
        raise UnknownOperatorError(name)
    point = _installed()[name]
    try:
        return _instance(point.load())
    except Exception as error:
        package = point.dist.name if point.dist else point.value
        message = f"operator {name!r} cannot be loaded ({type(error).__name__}: {error})"
        raise OperatorError(message, hint=f"mend or remove the package {package}") from error


def source(body: str, options: TaskOptions, known: Collection[str] | None = None) -> str:
    """The code that a task's operator makes of its cell's body. Raises `OperatorError`.

    `known` are the names that the notebook's cells set, which an operator may ask for (`known_names`).
    """
    operator = find(options.operator)
    try:
        with _knowing(known):
            made = operator.source(body, options)
    except OperatorError:
        raise
    except Exception as error:
        message = f"operator {options.operator!r} failed ({type(error).__name__}: {error})"
        raise OperatorError(message, hint="this is a fault of the operator, not of the cell") from error
    if not isinstance(made, str):
        message = f"operator {options.operator!r} gave {type(made).__name__}, not source"
        raise OperatorError(message, hint="its method `source` returns text")
    return made


def body_warnings(body: str, options: TaskOptions, known: Collection[str]) -> Iterable[BodyWarning]:
    """What a person should know of a cell's body, where its operator has a method `body_warnings`."""
    with _knowing(known):
        ask = getattr(find(options.operator), "body_warnings", None)
        return () if ask is None else tuple(ask(body))


def known_names() -> Collection[str] | None:
    """The names that the cells of the notebook set whose cell is being made; None where that is not known."""
    return _known.get()


@contextmanager
def _knowing(known: Collection[str] | None) -> Iterator[None]:
    before = _known.set(known)
    try:
        yield
    finally:
        _known.reset(before)


@cache
def _installed() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # slow to import, and a notebook of Python never asks

    return {point.name: point for point in entry_points(group=GROUP) if point.name not in BUILT_IN}


@cache
def _loaded(where: str) -> OperatorProtocol:
    module, _, name = where.partition(":")
    return _instance(getattr(import_module(module), name))


def _instance(operator: object) -> OperatorProtocol:
    return cast(OperatorProtocol, operator() if isinstance(operator, type) else operator)


def __getattr__(name: str) -> Any:
    if name not in OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, member = OFFERED[name].partition(":")
    return getattr(import_module(module), member)
