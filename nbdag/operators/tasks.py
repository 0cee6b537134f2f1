"""Tasks that code makes: what the body of a `%%dag` cell uses.

    for depth in (2, 4, 8):
        Python(f"train_{depth}", fit, X, depth=depth, retries=2) >> best

An operator is made with a task's id, its body and the options of `%%task` in Python's spelling; `>>` and `<<` say what
comes first, lists included. Outside of a `%%dag` cell no task can be made, and nothing here runs one: `build` has what
becomes of them. This module is quick to import, for the kernel of a task may need an operator's other half.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from textwrap import dedent
from typing import Any, Protocol

from ..core.options import option_types
from ..core.options.options import TaskOptions
from . import OperatorError


class Builder(Protocol):
    """Collects the tasks that a body makes; `build.Build` is the one there is."""

    writer: Any  # writes values of the body as source: `value_writer.ValueWriter`

    def add(self, task: Operator) -> None:
        """Add a task."""

    def connect(self, before: str, after: str) -> None:
        """Declare that one task follows another."""

    def read_options(self, given: Mapping[str, Any], who: str, also: Iterable[str] = ()) -> dict[str, Any]:
        """Return options of `%%task` given as keywords, by field."""


_building: Builder | None = None


class Node:
    """A task, as `>>` and `<<` take it."""

    id: str | None

    def __rshift__(self, others: Any) -> Any:
        return _connected([self], others, others)

    def __lshift__(self, others: Any) -> Any:
        return _connected(others, [self], others)

    def __rrshift__(self, others: Any) -> Any:
        return _connected(others, [self], self)

    def __rlshift__(self, others: Any) -> Any:
        return _connected([self], others, self)


class ExistingTask(Node):
    """A task that a cell of the notebook is, by its id."""

    def __init__(self, id: str) -> None:
        self.id = _id(id, "its name")


class TaskOutput:
    """What a task leaves, passed to another. In a text it is the name that the notebook knows it by."""

    def __init__(self, task: Operator, name: str) -> None:
        self.task = task
        self.name = name

    def __str__(self) -> str:
        return self.name

    def __format__(self, spec: str) -> str:
        return self.name


class Operator(Node):
    """Makes the source of a cell; and, with an id, a task of the `%%dag` cell that makes it.

    To write one of your own, override `source`, or only `__init__` and give the body to the one above:

        class Fetch(Bash):
            def __init__(self, task_id, url, **options):
                super().__init__(task_id, f"curl -fsSO {url}", **options)
    """

    result_names: tuple[str, ...] = ()  # names that a task was made to leave, beyond what its options say

    def __init__(self, task_id: str | None = None, body: str = "", **options: Any) -> None:
        self.id = None  # without one it only makes sources, as `%%task NAME --operator KIND` has it do
        self.options: dict[str, Any] = {}  # by field of TaskOptions
        self.body = ""
        if task_id is None and _building is None and not (body or options):
            return
        self.id = _id(task_id, type(self).__name__)
        if not isinstance(body, str):
            raise OperatorError(
                f"the body of {self.id} is a {type(body).__name__}, not text", hint="only Python takes a function"
            )
        self.body = dedent(body).strip("\n")
        if not self.body.strip():
            raise OperatorError(f"{self.id} has no body", hint=f"write {type(self).__name__}({self.id!r}, 'its code')")
        self.options = current_build().read_options(options, type(self).__name__)
        current_build().add(self)

    def source(self, body: str, options: TaskOptions) -> str:
        """IPython source for the body; line n for line n. Raises `OperatorError`."""
        return body

    @property
    def output(self) -> TaskOutput:
        """What it leaves, to be passed to another task."""
        names = self.outputs
        if len(names) != 1:
            left = f"leaves {', '.join(names)}" if names else "does not say what it leaves"
            raise OperatorError(f"{self.id} {left}", hint="name one variable of its body with out='…'")
        return TaskOutput(self, names[0])

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what it leaves, as far as that was said."""
        return tuple(self.options.get("out", ()))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


def current_build() -> Builder:
    """The build under way."""
    if _building is None:
        raise OperatorError("tasks are made in a %%dag cell", hint="begin this cell with %%dag")
    return _building


def set_build(build: Builder | None) -> Builder | None:
    """From now on, what is made belongs to this build; answers with the one before."""
    global _building
    before, _building = _building, build
    return before


def chain(*links: Any) -> None:
    """One after the other; of two lists in a row, each task after its neighbour, so they are equally long."""
    for left, right in pairwise(links):
        if isinstance(left, list | tuple) and isinstance(right, list | tuple):
            if len(left) != len(right):
                message = f"chain has a list of {len(left)} beside one of {len(right)}"
                raise OperatorError(message, hint="lists go in step, so make them equally long")
            for a, b in zip(left, right, strict=True):
                _connected(a, b, b)
        else:
            _connected(left, right, right)


def task_ids(said: Any) -> list[str]:
    """The tasks that these are: operators, outputs, ids, and lists of them."""
    if isinstance(said, str):
        return [ExistingTask(said).id or ""]
    if isinstance(said, TaskOutput):
        said = said.task
    if isinstance(said, Node) and said.id is not None:
        return [said.id]
    if isinstance(said, list | tuple | set | frozenset):
        return [id for each in said for id in task_ids(each)]
    raise OperatorError(f"{said!r} is not a task", hint="name operators, ids of tasks, or lists of these")


def _connected(before: Any, after: Any, answer: Any) -> Any:
    """Say it, and answer with what the next `>>` of the line goes on from."""
    build = current_build()
    for a in task_ids(before):
        for b in task_ids(after):
            build.connect(a, b)
    return ExistingTask(answer) if isinstance(answer, str) else answer


def _id(said: Any, who: str) -> str:
    if not isinstance(said, str):
        raise OperatorError(f"a task made by {who} needs an id", hint=f"write {who}('train', …)")
    try:
        return option_types.read_id(said)
    except ValueError as error:
        message, _, hint = str(error).partition("; ")
        raise OperatorError(f"{said!r} {message}", hint=hint) from None
