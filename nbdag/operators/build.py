"""From the tasks that a body makes to cells, such as a person could have written.

A header, and below it what the operator was given: so nothing that reads, draws or runs a notebook knows that code made
a task. A task stands below what it follows, else in the order of making, because a name is read from the nearest writer
above. What is wrong is an `OperatorError` where it is done, so that the traceback points at the body's line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Any

from ..core.cells.cells import RawCell
from ..core.cells.header import Header, flag_for_airflow, format
from ..core.dataflow.graph import run_order
from ..core.model.dag import Edge
from ..core.options import option_types
from ..core.options.options import OPTIONS, Option, TaskOptions
from . import OperatorError, name_of
from .tasks import Operator, set_build, task_ids
from .value_writer import ValueWriter

_OPTIONS = {option.field: option for option in OPTIONS["task"] if option.field != "operator"}


class Build:
    """What one body makes."""

    def __init__(self, namespace: dict[str, Any], code: str) -> None:
        self.namespace = namespace
        self.writer = ValueWriter(code, namespace)
        self.tasks: dict[str, Operator] = {}
        self.lines: dict[str, int] = {}  # where each was made
        self.edges: dict[tuple[str, str], int] = {}  # before, after → where that was said
        self._leave: dict[str, str] = {}  # name → the task that was made to leave it

    def add(self, task: Operator) -> None:
        """A task has been made."""
        assert task.id is not None
        if task.id in self.tasks:
            hint = "give each an id of its own, such as f'train_{n}' in a loop"
            raise OperatorError(f"there is a task {task.id} already, made in line {self.lines[task.id]}", hint=hint)
        for name in task.result_names:
            if self._leave.setdefault(name, task.id) != task.id:
                hint = "give each result a name of its own with out=…"
                raise OperatorError(f"{self._leave[name]} and {task.id} would both leave {name}", hint=hint)
        self.tasks[task.id] = task
        self.lines[task.id] = self.line
        for before in task.options.pop("after", ()):
            self.connect(before, task.id)

    def connect(self, before: str, after: str) -> None:
        """One comes before the other."""
        if before == after:
            raise OperatorError(f"{before} is said to come after itself", hint="leave it out")
        self.edges.setdefault((before, after), self.line)

    def cells(self) -> list[RawCell]:
        """The cells that the body comes to, in order. Raises `OperatorError`."""
        cells = []
        for text, line in self.writer.cells(set(self.lines.values())):
            cells.append(RawCell(f"%%setup\n{text}", built=line))
        after: dict[str, list[str]] = {id: [] for id in self.tasks}
        for before, task in self.edges:
            after.get(task, []).append(before)
        for id in self._order():
            try:
                cells.append(RawCell(_cell(self.tasks[id], after[id]), built=self.lines[id]))
            except OperatorError as error:
                raise OperatorError(f"{id}: {error.message}", hint=error.hint, line=self.lines[id]) from None
            except Exception as error:  # of an operator's own code
                message = f"{type(self.tasks[id]).__name__} failed to make the source of {id}"
                raise OperatorError(f"{message} ({type(error).__name__}: {error})", line=self.lines[id]) from error
        # A cell that stands in the file says itself what it comes after; what is said of it here is said beside it.
        beside = {pair: line for pair, line in self.edges.items() if pair[1] not in self.tasks}
        if beside:
            cells.append(RawCell(format(Header(kind="edges", edges=tuple(beside))), built=min(beside.values())))
        return cells

    @property
    def line(self) -> int:
        """The line of the body that is being executed, from 1."""
        return _line(_frames(sys._getframe()), self.namespace) or 1

    def line_of(self, error: BaseException) -> int | None:
        """The line of the body that raised it; None where the body is not what did."""
        return _line(_raised(error.__traceback__), self.namespace)

    def _order(self) -> Iterable[str]:
        edges = [Edge(source=a, target=b) for a, b in self.edges if a in self.tasks and b in self.tasks]
        order = run_order(list(self.tasks), edges)
        return order if len(order) == len(self.tasks) else self.tasks  # a circle: who reads the cells says so

    def read_options(self, given: Mapping[str, Any], who: str, also: Iterable[str] = ()) -> dict[str, Any]:
        """Options of `%%task` in Python's spelling, as a header would give them. `also` are keywords besides these."""
        read: dict[str, Any] = {}
        for name, value in given.items():
            option = _OPTIONS.get(name)
            if option is None:
                known = [*_OPTIONS, *also]
                near = flag_for_airflow(name.replace("_", "-")).replace("-", "_") or option_types.nearest(name, known)
                hint = f"did you mean {near}?" if near else "%%task? lists the options"
                raise OperatorError(f"{who} takes no keyword {name}", hint=hint)
            if value is None and not option.kind.none:
                continue  # as if it had not been said
            try:
                read[name] = self._read(option, value)
            except ValueError as error:
                message, _, hint = str(error).partition("; ")
                raise OperatorError(f"{name}={value!r} {message}", hint=hint) from None
        return read

    def _read(self, option: Option, value: Any) -> Any:
        kind = option.kind
        if value is None:
            return None
        if kind.flag:
            if not isinstance(value, bool):
                raise ValueError("is neither True nor False")
            return value
        if option.field == "map":
            return self._mapped(option, value)
        if kind.tasks:
            return tuple(dict.fromkeys(kind.read(id) for id in task_ids(value)))
        if kind.many or kind.repeat:
            texts = [value] if isinstance(value, str) else list(value)
            if kind.commas:
                texts = [part for text in texts for part in str(text).replace(",", " ").split()]
            read = [kind.read(str(text)) for text in texts]
            return kind.join(read) if kind.join else tuple(dict.fromkeys(read))
        if isinstance(value, timedelta):
            value = option_types.write_duration(value.total_seconds())
        return kind.read(str(value))

    def _mapped(self, option: Option, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError("is not a mapping; write map={'x': 'xs'}: one instance for each x of xs")
        texts = {name: each if isinstance(each, str) else self.writer.expression(each) for name, each in value.items()}
        return tuple(option.kind.read(f"{name}={text}") for name, text in texts.items())


@contextmanager
def building(namespace: dict[str, Any], code: str) -> Iterator[Build]:
    """While a body runs in this namespace, what it makes belongs to one `Build`. `code` is the whole cell."""
    build = Build(namespace, code)
    before = set_build(build)
    try:
        yield build
    finally:
        set_build(before)


def _cell(task: Operator, after: Iterable[str]) -> str:
    """The cell that it comes to."""
    options: dict[str, Any] = {**task.options}
    if names := tuple(after):
        options["after"] = names
    kind, body = _kind(task)
    if kind != "python":
        options["operator"] = kind
    return f"{format(Header(kind='task', name=task.id, options=options))}\n{body}"


def _kind(task: Operator) -> tuple[str, str]:
    """The operator that a reader of the cell needs, and what it is given.

    Where the class is one that every process can find, it is told by its name. The source that any other makes is
    made here, because its class may be nowhere but in this notebook.
    """
    for each in type(task).__mro__:
        if "source" in vars(each):
            found = name_of(each)
            if found is not None:
                return found, task.body
            break
    made = task.source(task.body, TaskOptions(**task.options))
    asks = any(name_of(each) == "sensor" for each in type(task).__mro__)
    return ("sensor" if asks else "python"), made


def _line(places: Iterable[tuple[FrameType, int]], namespace: dict[str, Any]) -> int | None:
    """Of frames with their lines, outermost first, the innermost line of the cell whose namespace this is."""
    file, line = None, None
    for frame, at in places:
        if file is None and frame.f_globals is namespace:
            file = frame.f_code.co_filename
        if frame.f_code.co_filename == file:
            line = at
    return line


def _frames(frame: FrameType | None) -> list[tuple[FrameType, int]]:
    found = []
    while frame is not None:
        found.append((frame, frame.f_lineno))
        frame = frame.f_back
    return found[::-1]


def _raised(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next
