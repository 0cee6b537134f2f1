"""The classes and functions with which the code of a `%%dag` cell creates tasks.

    for depth in (2, 4, 8):
        Python(f"train_{depth}", fit, X, depth=depth, retries=2) >> best

The arguments of an operator are a task's id, its body, and options of `%%task` as keywords. `>>` and `<<` declare
dependencies between tasks or lists of tasks. Tasks can be created only in a `%%dag` cell, and creating a task does not
run it: `build` translates tasks into cells. This module imports little, because kernels import the modules of
operators.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from textwrap import dedent
from typing import Any, ClassVar, Protocol

from ..core.cells.header import Header
from ..core.options import option_types
from ..core.options.declaration import Option
from ..core.options.options import TaskOptions
from .base import OperatorError


class Builder(Protocol):
    """The interface of `build.Build`, which collects the tasks that a %%dag cell creates."""

    writer: Any  # a `value_writer.ValueWriter`, which writes values of the %%dag cell as source
    tasks: dict[str, Operator]
    header: Header | None  # the options of the pipeline, if the code declares them
    edges: dict[tuple[str, str], int]  # key: (upstream task, downstream task); value: line of the %%dag cell
    labels: dict[tuple[str, str], str]  # key: (upstream task, downstream task); value: text beside the edge
    parameters: dict[str, str]  # key: parameter of the pipeline; value: assignment, such as `x: int = 3`
    state: dict[str, Any]  # key: library of operators, such as "airflow"; value: its data while the cell runs

    def add(self, task: Operator) -> None:
        """Add a task."""

    def connect(self, before: str, after: str) -> None:
        """Make the task `after` depend on the task `before`."""

    def declare(self, name: str, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        """Set the name and the options of the pipeline, and the defaults of its tasks."""

    def warn(self, message: str, hint: str) -> None:
        """Add a warning for the line that is executing."""

    def read_options(
        self, given: Mapping[str, Any], who: str, also: Iterable[str] = (), own: Iterable[Option] = ()
    ) -> dict[str, Any]:
        """Return the options of `%%task` that are given as keywords, by field.

        `also` are other valid keywords; `own` are the operator's own options.
        """


_building: Builder | None = None


class Node:
    """A task that `>>` and `<<` can connect with other tasks."""

    id: str | None

    def __rshift__(self, others: Any) -> Any:
        return _connected([self], others, others)

    def __lshift__(self, others: Any) -> Any:
        return _connected(others, [self], others)

    def __rrshift__(self, others: Any) -> Any:
        return _connected(others, [self], self)

    def __rlshift__(self, others: Any) -> Any:
        return _connected([self], others, self)

    def first_ids(self) -> list[str]:
        """Return the ids of this node's first tasks: `other >> node` makes these tasks depend on `other`."""
        return [] if self.id is None else [self.id]

    def last_ids(self) -> list[str]:
        """Return the ids of this node's last tasks: `node >> other` makes `other` depend on these tasks."""
        return self.first_ids()

    def follow(self, before: list[str]) -> None:
        """Make this node depend on tasks."""
        for task in before:
            for own in self.first_ids():
                current_build().connect(task, own)

    def precede(self, after: list[str]) -> None:
        """Called after tasks were made to depend on this node."""


class ExistingTask(Node):
    """A task that the notebook already has, given by its id."""

    def __init__(self, id: str) -> None:
        self.id = _id(id, "name")


class TaskOutput:
    """A result of a task that can be passed to another task. `str()` returns the name of its variable."""

    def __init__(self, task: Operator, name: str) -> None:
        self.task = task
        self.name = name

    def sources(self) -> Iterator[Operator]:
        """Yield the tasks that this value comes from."""
        yield self.task

    def __str__(self) -> str:
        return self.name

    def __format__(self, spec: str) -> str:
        return self.name


class Operator(Node):
    """Translates a body into source. With an id, an operator is also a task that a `%%dag` cell creates.

    A subclass overrides `source`, or it overrides only `__init__` to pass a body to its parent:

        class Fetch(Bash):
            def __init__(self, task_id, url, **options):
                super().__init__(task_id, f"curl -fsSO {url}", **options)
    """

    summary: ClassVar[str] = ""  # text for `%%task?` about the body and about what the operator does
    example: ClassVar[str] = ""  # text of an example cell for `%%task?`
    own_options: ClassVar[tuple[Option, ...]] = ()  # options that only this operator has; see `nbdag.operators.option`
    needs_body: ClassVar[bool] = True
    kind: str | None = None  # name of the operator for the built cell; None means the name of the class
    # Variables in which the task stores its results, if the subclass chooses their names.
    result_names: tuple[str, ...] = ()

    def __init__(self, task_id: str | None = None, body: str = "", **options: Any) -> None:
        # Id of the task; None if the operator only translates a body, as for `%%task NAME --operator KIND`.
        self.id = None
        self.options: dict[str, Any] = {}  # key: field of TaskOptions; value: value of the option
        self.body = ""
        if task_id is None and _building is None and not (body or options):
            return
        self.id = _id(task_id, type(self).__name__)
        if not isinstance(body, str):
            raise OperatorError(
                f"the body of {self.id} is a {type(body).__name__}, not text", hint="only Python takes a function"
            )
        self.body = dedent(body).strip("\n")
        if not self.body.strip() and self.needs_body:
            raise OperatorError(f"{self.id} has no body", hint=f"write {type(self).__name__}({self.id!r}, 'its code')")
        self.options = current_build().read_options(options, type(self).__name__, own=self.own_options)
        current_build().add(self)

    def source(self, body: str, options: TaskOptions) -> str:
        """Return Python source for a body, with equal line numbers. Raise `OperatorError`."""
        return body

    def given(self, options: TaskOptions) -> dict[str, Any]:
        """Return the values of the operator's own options, by field.

        An option that is not given has its default value.
        """
        return {each.field: each.default for each in self.own_options} | dict(options.operator_options)

    def complete(self, build: Builder) -> None:
        """Finish the task after the whole %%dag cell has run, when all tasks and edges are known."""

    @property
    def output(self) -> TaskOutput:
        """Return the task's result, to pass it to another task.

        Raise `OperatorError` if the task has no or several results.
        """
        names = self.outputs
        if len(names) != 1:
            problem = f"has several results ({', '.join(names)})" if names else "declares no result"
            raise OperatorError(f"{self.id} {problem}", hint="name one variable of the task with out='…'")
        return TaskOutput(self, names[0])

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the declared names of the task's results."""
        return tuple(self.options.get("out", ()))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


def current_build() -> Builder:
    """Return the build that collects new tasks. Raise `OperatorError` outside of a %%dag cell."""
    if _building is None:
        raise OperatorError("tasks can be created only in a %%dag cell", hint="begin this cell with %%dag")
    return _building


def is_building() -> bool:
    """Return whether the code of a %%dag cell is running."""
    return _building is not None


def set_build(build: Builder | None) -> Builder | None:
    """Set the build that collects new tasks; return the build that was set before."""
    global _building
    before, _building = _building, build
    return before


def chain(*links: Any) -> None:
    """Make each task or list depend on the previous one. Two adjacent lists of equal length are connected in pairs."""
    for left, right in pairwise(links):
        if isinstance(left, list | tuple) and isinstance(right, list | tuple):
            if len(left) != len(right):
                message = f"chain has adjacent lists of lengths {len(left)} and {len(right)}"
                raise OperatorError(message, hint="use lists of equal length")
            for a, b in zip(left, right, strict=True):
                _connected(a, b, b)
        else:
            _connected(left, right, right)


def task_ids(given: Any) -> list[str]:
    """Return the ids of tasks that are given as operators, outputs, ids, or lists of these."""
    return [id for node in _nodes(given) for id in node.last_ids()]


def tasks_in(values: Any) -> Iterator[Operator]:
    """Yield the tasks in these values and in nested collections; for an output, yield its task."""
    if isinstance(values, Operator):
        yield values
    elif isinstance(values, TaskOutput):
        yield from values.sources()
    elif isinstance(values, Mapping):
        for pair in values.items():
            yield from tasks_in(pair)
    elif isinstance(values, list | tuple | set | frozenset):
        for each in values:
            yield from tasks_in(each)


def _nodes(given: Any) -> list[Node]:
    if isinstance(given, str):
        return [ExistingTask(given)]
    if isinstance(given, TaskOutput):
        given = given.task
    if isinstance(given, Node) and not (isinstance(given, Operator) and given.id is None):
        return [given]
    if isinstance(given, list | tuple | set | frozenset):
        return [node for each in given for node in _nodes(each)]
    raise OperatorError(f"{given!r} is not a task", hint="use operators, ids of tasks, or lists of these")


def _connected(before: Any, after: Any, result: Any) -> Any:
    """Connect two tasks or lists of tasks. Return `result`, the left side of the next `>>` in the line."""
    sources, targets = _nodes(before), _nodes(after)
    ids = [id for node in sources for id in node.last_ids()]
    for node in targets:
        node.follow(ids)
    for node in sources:
        node.precede([id for target in targets for id in target.first_ids()])
    return ExistingTask(result) if isinstance(result, str) else result


def _id(given: Any, who: str) -> str:
    if not isinstance(given, str):
        raise OperatorError(f"a task created by {who} needs an id", hint=f"write {who}('train', …)")
    try:
        return option_types.read_id(given)
    except ValueError as error:
        message, _, hint = str(error).partition("; ")
        raise OperatorError(f"{given!r} {message}", hint=hint) from None
