"""Translate the tasks that the code of a %%dag cell creates into cells.

Each built cell has a header and the text given to the operator, as if a user had written the cell. So other code can
treat built tasks like written tasks. Code may also set the options of the pipeline (`declare`), which become a cell
with %dag, and parameters (`parameters`), which become a cell with %%params. Tasks keep the order of their creation, but
each task is moved after its upstream tasks, because a task reads a name from the last earlier task that sets the name.
The call that causes an error raises an `OperatorError`, so the traceback shows the line of the %%dag cell.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Any

from ..core.cells.cells import RawCell
from ..core.cells.header import Header, HeaderError, flag_for_airflow, format, parse
from ..core.dataflow.topological_order import run_order
from ..core.model.dag import Edge
from ..core.options import option_types
from ..core.options.declaration import Option
from ..core.options.options import OPTIONS, TaskOptions
from ..secrets.lookup import looked_up_in
from .base import OperatorError
from .bodies.value_writer import ValueWriter
from .registry import name_of
from .tasks import Operator, set_build, task_ids

_OPTIONS = {option.field: option for option in OPTIONS["task"] if option.field != "operator"}
_DAG_OPTIONS = {option.field: option for option in OPTIONS["dag"] if not option.is_default}


@dataclass(frozen=True, slots=True)
class BuildWarning:
    """A warning about one line of the %%dag cell."""

    line: int  # line of the %%dag cell, from 1
    message: str
    hint: str


class Build:
    """The tasks and edges that one %%dag cell creates."""

    def __init__(self, namespace: dict[str, Any], code: str) -> None:
        self.namespace = namespace
        self.writer = ValueWriter(code, namespace)
        self.tasks: dict[str, Operator] = {}
        self.lines: dict[str, int] = {}  # key: task; value: line of the %%dag cell that created the task
        # Key: (upstream task, downstream task); value: line of the %%dag cell.
        self.edges: dict[tuple[str, str], int] = {}
        self.labels: dict[tuple[str, str], str] = {}  # texts of some edges, for --edge-label
        self.parameters: dict[str, str] = {}  # key: parameter; value: assignment, such as `x: int = 3`
        self.warnings: list[BuildWarning] = []
        self.state: dict[str, Any] = {}  # storage for a library of operators while the cell runs
        self.header: Header | None = None  # the options of the pipeline; None if the code does not declare any
        self._header_line = 1
        self._writers: dict[str, str] = {}  # key: name of a result; value: task that sets the name

    def add(self, task: Operator) -> None:
        """Add a task. Raise `OperatorError` if another task has the same id or the same name of a result."""
        assert task.id is not None
        if task.id in self.tasks:
            hint = "use different ids, such as f'train_{n}' in a loop"
            raise OperatorError(f"task {task.id} already exists, created in line {self.lines[task.id]}", hint=hint)
        for name in task.result_names:
            if self._writers.setdefault(name, task.id) != task.id:
                hint = "name the results differently with out=…"
                raise OperatorError(f"{self._writers[name]} and {task.id} have the same result {name}", hint=hint)
        self.tasks[task.id] = task
        self.lines[task.id] = self.line
        for before in task.options.pop("after", ()):
            self.connect(before, task.id)

    def connect(self, before: str, after: str) -> None:
        """Make one task depend on another."""
        if before == after:
            raise OperatorError(f"task {before} depends on itself", hint="remove this dependency")
        self.edges.setdefault((before, after), self.line)

    def declare(self, name: str, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        """Set the name and the options of the pipeline, and the defaults of its tasks. Raise `OperatorError`."""
        given: dict[str, Any] = self._values(options, _DAG_OPTIONS, "DAG")
        if read := self._values(defaults, _OPTIONS, "default_args"):
            given["defaults"] = read
        self._header_line = self.line
        try:
            self.header = parse(format(Header(kind="dag", name=option_types.read_id(name), options=given)))
        except (HeaderError, ValueError) as error:
            if isinstance(error, HeaderError):
                raise OperatorError(error.message, hint=error.hint) from None
            message, _, hint = str(error).partition("; ")
            raise OperatorError(f"the id {name!r} of the DAG {message}", hint=hint) from None

    def warn(self, message: str, hint: str) -> None:
        """Add a warning for the line that is executing."""
        self.warnings.append(BuildWarning(self.line, message, hint))

    @contextmanager
    def at(self, id: str) -> Iterator[None]:
        """Convert an error of an operator's own code into an `OperatorError` at the line that created the task."""
        try:
            yield
        except OperatorError as error:
            raise OperatorError(f"{id}: {error.message}", hint=error.hint, line=self.lines[id]) from None
        except Exception as error:  # any exception, because the operator may be foreign code
            message = f"{type(self.tasks[id]).__name__} failed to create the source of {id}"
            raise OperatorError(f"{message} ({type(error).__name__}: {error})", line=self.lines[id]) from error

    def cells(self) -> list[RawCell]:
        """Return the cells for the created tasks and edges, in order. Raise `OperatorError`."""
        cells = []
        for id, created in self.tasks.items():
            with self.at(id):
                created.complete(self)
        if self.header is not None:
            cells.append(RawCell(format(self.header), built=self._header_line))
        if self.parameters:
            cells.append(RawCell("\n".join(["%%params", *self.parameters.values()]), built=self._header_line))
        for text, line in self.writer.cells(set(self.lines.values())):
            cells.append(RawCell(f"%%setup\n{text}", built=line))
        after: dict[str, list[str]] = {id: [] for id in self.tasks}
        for before, task in self.edges:
            after.get(task, []).append(before)
        for id in self._order():
            with self.at(id):
                cells.append(RawCell(_cell(self.tasks[id], after[id], self.labels), built=self.lines[id]))
        # Edges to tasks that the user wrote become a cell with %edges, because the headers of these tasks cannot be
        # changed.
        extra = {pair: line for pair, line in self.edges.items() if pair[1] not in self.tasks}
        if extra:
            cells.append(RawCell(format(Header(kind="edges", edges=tuple(extra))), built=min(extra.values())))
        for (before, task), line in extra.items():
            if label := self.labels.get((before, task)):
                message = f"the label {label!r} is not drawn, because {task} is the task of another cell"
                option = f"--edge-label {option_types.quote(f'{before}={label}')}"
                self.warnings.append(BuildWarning(line, message, f"write {option} in the header of {task}"))
        for cell in cells:
            self._reject_secret(cell)
        return cells

    def _reject_secret(self, cell: RawCell) -> None:
        """Raise `OperatorError` if a built cell contains the value of a secret that the %%dag cell has looked up."""
        name = looked_up_in(cell.source)
        if name is not None:
            message = f"the cell of a task would contain the value of the secret {name}, and be stored with it"
            hint = f"look it up in the task: write nbdag.secret({name!r}) in its text, or pass the secret by itself"
            raise OperatorError(message, hint=hint, line=cell.built or 1)

    @property
    def line(self) -> int:
        """Return the line of the %%dag cell that is executing, from 1."""
        return _line(_frames(sys._getframe()), self.namespace) or 1

    def line_of(self, error: BaseException) -> int | None:
        """Return the line of the %%dag cell that raised the error, or None if the error is not from the cell."""
        return _line(_raised(error.__traceback__), self.namespace)

    def _order(self) -> Iterable[str]:
        edges = [Edge(source=a, target=b) for a, b in self.edges if a in self.tasks and b in self.tasks]
        order = run_order(list(self.tasks), edges)
        # If the tasks form a cycle, keep their order: the analysis reports the cycle.
        return order if len(order) == len(self.tasks) else self.tasks

    def read_options(
        self, given: Mapping[str, Any], who: str, also: Iterable[str] = (), own: Iterable[Option] = ()
    ) -> dict[str, Any]:
        """Return the options of `%%task` that are given as keywords, by field.

        `also` are other valid keywords; `own` are the operator's own options, which become `operator_options`.
        """
        read: dict[str, Any] = {}
        of_operator = {option.field: option for option in own}
        for name, value in given.items():
            option = of_operator.get(name) or _OPTIONS.get(name)
            if option is None:
                known = [*_OPTIONS, *of_operator, *also]
                near = flag_for_airflow(name.replace("_", "-")).replace("-", "_") or option_types.nearest(name, known)
                hint = f"did you mean {near}?" if near else "%%task? lists the options"
                raise OperatorError(f"unknown keyword {name} for {who}", hint=hint)
            if value is None and not option.kind.none:
                continue  # the value None means that the option is not given
            try:
                read[name] = self._read(option, value)
            except ValueError as error:
                message, _, hint = str(error).partition("; ")
                raise OperatorError(f"{name}={value!r} {message}", hint=hint) from None
        if found := tuple((name, read.pop(name)) for name in of_operator if name in read):
            read["operator_options"] = found
        return read

    def _values(self, given: Mapping[str, Any], known: Mapping[str, Option], who: str) -> dict[str, Any]:
        read = {}
        for name, value in given.items():
            try:
                if value is not None or known[name].kind.none:
                    read[name] = self._read(known[name], value)
            except ValueError as error:
                message, _, hint = str(error).partition("; ")
                raise OperatorError(f"{name}={value!r} of {who} {message}", hint=hint) from None
        return read

    def _read(self, option: Option, value: Any) -> Any:
        kind = option.kind
        if value is None:
            return None
        if kind.flag:
            if not isinstance(value, bool):
                raise ValueError("is not a bool; write True or False")
            return value
        if option.field == "map":
            return self._mapped(option, value)
        if kind.tasks:
            return tuple(dict.fromkeys(kind.read(id) for id in task_ids(value)))
        if kind.many or kind.repeat:
            texts = [value] if isinstance(value, str) else list(value)
            if kind.commas and isinstance(value, str):
                texts = value.replace(",", " ").split()
            read = [kind.read(str(text)) for text in texts]
            return kind.join(read) if kind.join else tuple(dict.fromkeys(read))
        if isinstance(value, timedelta):
            value = option_types.write_duration(value.total_seconds())
        elif isinstance(value, float):
            value = kind.write(value)
        return kind.read(str(value))

    def _mapped(self, option: Option, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError("is not a mapping; write map={'x': 'xs'} to get one instance for each x of xs")
        texts = {name: each if isinstance(each, str) else self.writer.expression(each) for name, each in value.items()}
        return tuple(option.kind.read(f"{name}={text}") for name, text in texts.items())


@contextmanager
def building(namespace: dict[str, Any], code: str) -> Iterator[Build]:
    """Collect the tasks of a %%dag cell while its code runs. `code` is the text of the whole cell."""
    build = Build(namespace, code)
    before = set_build(build)
    try:
        yield build
    finally:
        set_build(before)


def _cell(task: Operator, after: Sequence[str], labels: Mapping[tuple[str, str], str]) -> str:
    """Return the text of the cell for a task."""
    options: dict[str, Any] = {**task.options}
    labelled = tuple((name, labels[name, str(task.id)]) for name in after if (name, str(task.id)) in labels)
    if names := tuple(name for name in after if name not in dict(labelled)):
        options["after"] = names
    if labelled:
        options["edge_label"] = (*options.get("edge_label", ()), *labelled)
    kind, body, is_source = _kind(task)
    if kind != "python":
        options["operator"] = kind
    if is_source:
        options.pop("operator_options", None)  # the translated source already contains these options
    return f"{format(Header(kind='task', name=task.id, options=options))}\n{body}"


def _kind(task: Operator) -> tuple[str, str, bool]:
    """Return the operator and the body for a task's cell, and whether the body is already translated to Python.

    If every process can find the task's class, the cell names the class as its operator. Otherwise the body is
    translated here, because the class may exist only in this notebook.
    """
    if task.kind is not None:
        return task.kind, task.body, False
    for each in type(task).__mro__:
        if "source" in vars(each) or "own_options" in vars(each):
            found = name_of(each)
            if found is not None:
                return found, task.body, False
            break
    made = task.source(task.body, TaskOptions(**task.options))
    polls = any(name_of(each) == "sensor" for each in type(task).__mro__)
    return ("sensor" if polls else "python"), made, True


def _line(places: Iterable[tuple[FrameType, int]], namespace: dict[str, Any]) -> int | None:
    """Return the line that is executing in the innermost frame of the %%dag cell, or None if there is no such frame.

    `places` are frames with their lines, outermost first.
    """
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
