"""An analysed notebook: its cells, its tasks, and the values that tasks pass to each other.

All classes are plain frozen values. Cells are numbered from 0 in the file, and lines from 1 in their cell.
`core.dataflow.graph` creates a `Dag`; this module reads no file and starts no kernel.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal

from ..options.options import DagOptions, TaskOptions


class CellKind(StrEnum):
    """The role of a cell in a headless run."""

    PARAMETERS = "parameters"  # a parameters cell, which runs first in every task's kernel
    SETUP = "setup"  # a setup cell, which runs in every task's kernel before the task
    TASK = "task"
    CONTROL = "control"  # a cell with only nbdag's magics (%load_ext nbdag, %dag, %edges, %nbdag), which does not run
    BUILDER = "builder"  # a %%dag cell whose tasks are not built yet; once they are, the cell is CONTROL
    SCRATCH = "scratch"  # a code cell that does not run
    PROSE = "prose"  # a markdown or raw cell, which does not run


def group_of(task: str) -> str:
    """Return the group of a task or of a group: `eu` for `eu.load`, "" for `load`."""
    group, _, name = task.rpartition(".")
    return group if name else ""


def groups_of(tasks: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return every group, including nested groups, with its tasks in the given order."""
    found: dict[str, list[str]] = {}
    for task in tasks:
        group = group_of(task)
        while group:
            found.setdefault(group, []).append(task)
            group = group_of(group)
    return {group: tuple(members) for group, members in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A line of a cell."""

    cell: int  # number of the cell in the file, from 0
    line: int  # number of the line in the cell, from 1
    text_line: int | None = None  # number of the line in the file of a text notebook, from 1; None for other notebooks

    def __str__(self) -> str:
        """Return the place as text for a message, in which cells count from 1."""
        return f"cell {self.cell + 1}, line {self.line}" if self.text_line is None else f"line {self.text_line}"

    @property
    def cell_label(self) -> str:
        """Return the name of the cell for messages: "cell 3", or "the cell at line 41" of a text notebook."""
        if self.text_line is None:
            return f"cell {self.cell + 1}"
        return f"the cell at line {self.text_line - self.line + 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of the notebook. The cells that a %%dag cell has built come after that %%dag cell.

    `index` counts built cells, too. The user's file has no built cells: `at` returns the `Place` in this file.
    """

    index: int  # number of the cell among all cells, from 0
    kind: CellKind
    source: str  # the text of the cell in the file
    code: str = ""  # code for the kernel: `source`, but nbdag's magics are comments; line numbers stay the same
    task: str | None = None  # the task's id; None for all other kinds of cells
    number: int | None = (
        # Number in the file, from 0, of this cell or of the %%dag cell that built it. None: the same as `index`.
        None
    )
    made_at: int | None = None  # line of the %%dag cell that built this cell; None if the user wrote the cell
    polls: bool = False  # the cell's operator is a sensor: the cell runs again until its last expression is true
    # If `code` joins several cells of the file: the place of each line of `code` in the file. Empty otherwise.
    origin: tuple[Place, ...] = ()
    text_line: int | None = None  # line of a text notebook at which the cell's source begins; None for other notebooks
    untagged: bool = False  # the cell is scratch only because of its position: it has neither %%skip nor a tag

    @property
    def in_file(self) -> int:
        """Return the number of this cell in the user's file, from 0; for a built cell, the number of its %%dag cell."""
        return self.index if self.number is None else self.number

    def at(self, line: int) -> Place:
        """Return where a line of this cell, from 1, is in the user's file.

        For any line of a built cell, return the line of the %%dag cell that created the built cell.
        """
        if 0 < line <= len(self.origin):
            return self.origin[line - 1]
        line = line if self.made_at is None else self.made_at
        return Place(
            cell=self.in_file, line=line, text_line=None if self.text_line is None else self.text_line + line - 1
        )

    @property
    def label(self) -> str:
        """Return the name of this cell in the user's file for messages, such as "cell 3"."""
        return self.at(1).cell_label

    def built_line_suffix(self, line: int) -> str:
        """Return the end of a message, which names a line of this built cell, or "" if there is nothing to add.

        Messages need this suffix because the place from `at` is a line of the %%dag cell.
        """
        return (
            f" (line {line - 1} of {self.task or 'the code that it needs'})"
            if self.made_at is not None and line > 1
            else ""
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A change of a notebook that solves a problem and has no other effect. `linting.repairs` applies the change.

    If several such changes are possible, the problem has no `Repair`.
    """

    # rename: replace the name `old` in the code of the cells by `new`
    # word: replace the word `old` in the line of the problem by `new`
    # after: add `--after new` to the header of the cells
    # task: begin the cells with `%%task` and a name that the cell suggests
    # setup: begin the cells with `%%setup`
    # import: move imports from the cells to a setup cell; `old`: the imported names, separated by blanks
    # first: move the header, which is on the line of the problem, to the first line
    kind: Literal["rename", "word", "after", "task", "setup", "import", "first"]
    cells: tuple[int, ...]  # numbers of the cells in the file, from 0
    old: str = ""
    new: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error or warning about a notebook."""

    code: str  # the problem code, such as NB201, which never changes
    severity: str  # "error" or "warning"
    message: str  # one sentence that describes the problem
    hint: str = ""  # what the user can do about the problem
    task: str | None = None
    place: Place | None = None
    repair: Repair | None = None  # None if there is no safe repair, or more than one


@dataclass(frozen=True, slots=True, kw_only=True)
class NameUse:
    """A name that led to an inferred edge, and the places where tasks read and write the name."""

    name: str
    read_at: Place
    written_at: Place
    # Whether an import binds the name. A module is not passed as data: the reading task executes the import itself.
    imported: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`target` runs after `source`."""

    source: str
    target: str
    declared: bool = False  # whether --after or %edges declares the edge; a declared edge may also pass names
    names: tuple[NameUse, ...] = ()
    label: str = ""  # text of --edge-label; the graph shows it instead of the names
    files: tuple[str, ...] = ()  # files that both tasks use; only set in `Dag.file_edges`


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A name whose value is loaded before the cell of a task runs."""

    name: str
    sources: tuple[str, ...]  # tasks that may have written the value, nearest first; the first that succeeded is used
    # Whether the value may be missing: the writer sets it conditionally, or setup sets the name too.
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """A value of another task that a task may get with `ti.xcom_pull`."""

    task: str
    key: str  # the key of the value; "return_value" stands for the task's result
    name: str | None = None  # the variable that has the value; None if only `ti.xcom_push` can have stored the value


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A top-level def, class or import of a task cell, passed to later tasks as source."""

    name: str
    source: str  # Python (or IPython) source of the statement, decorators included
    place: Place  # place of the definition's first line
    # Whether `from __future__ import annotations` applies, so Python does not evaluate the definition's annotations.
    future_annotations: bool = False
    # If the definition is in a built cell: the id of the built cell's task; `place` is in the %%dag cell. Otherwise "".
    made_by: str = ""

    @property
    def cell_label(self) -> str:
        """Return the name of the definition's cell for messages, such as "cell 3"."""
        return f"task {self.made_by}" if self.made_by else f"cell {self.place.cell + 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task cell with its inputs and outputs."""

    id: str
    cell: int
    options: TaskOptions
    code: str  # the code that the kernel executes; its line numbers equal those of the cell
    reads: tuple[str, ...] = ()  # names that the cell needs from other cells
    writes: tuple[str, ...] = ()  # names that the cell binds
    changes: tuple[str, ...] = ()  # names whose objects the cell changes in place
    # Key: name that the cell reads; value: other names that may refer to the same object or to a part of that object.
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    polls: bool = False  # the task is a sensor: the cell runs again until its last expression is true
    future_annotations: bool = False  # this cell or an earlier cell has `from __future__ import annotations`
    opaque: bool = False  # the cell uses eval, exec or globals(), so it may read and write other names too
    inputs: tuple[Input, ...] = ()  # values of other tasks to load
    pulls: tuple[Pull, ...] = ()  # values of other tasks that `ti.xcom_pull` may return
    exports: tuple[tuple[str, ...], ...] = ()  # names to save; names in one tuple share objects and are saved together
    definitions: tuple[Definition, ...] = ()  # source to execute before the inputs are loaded, in this order
    setup: tuple[int, ...] = ()  # setup cells to run, in this order
    # State outside of variables, such as a library's settings (core.analysis.hidden_state). Key: kind of state that the
    # task may observe; value: whether the code certainly observes it.
    state_observed: Mapping[str, bool] = field(default_factory=dict)
    state_changed: tuple[str, ...] = ()  # kinds of state outside of variables that the task changes


@dataclass(frozen=True, kw_only=True)
class Dag:
    """A whole notebook. `tasks` is in notebook order, `order` in run order (empty if there is a cycle)."""

    id: str
    options: DagOptions
    cells: tuple[Cell, ...]
    tasks: Mapping[str, Task]
    edges: tuple[Edge, ...] = ()
    # Pairs of tasks that use the same files in no defined order; graphs show them, the scheduler ignores them.
    file_edges: tuple[Edge, ...] = ()
    # Files that the code names in literals, and that one task writes and another one reads.
    exchanged_files: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    order: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)  # key: parameter; value: source code of the default
    # Key: parameter; value: its rules and description, as JSON Schema (core.cells.parameter_schema).
    parameter_schemas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    language: str = "python"
    kernel_name: str | None = None  # name of the notebook's kernelspec; None if the notebook has no kernelspec
    packages: str = ""  # packages of the environment, with exact versions (%dag --requires); "": none
    pinned_files: str = ""  # digest of the files that are pinned with this version (%dag --with); "" if there are none

    @property
    def unbuilt(self) -> bool:
        """Return whether tasks are missing from this `Dag`, because a %%dag cell has not built them yet."""
        return any(cell.kind is CellKind.BUILDER for cell in self.cells)

    @property
    def built(self) -> bool:
        """Return whether %%dag cells have built tasks. If so, `cells` has more cells than the user's file."""
        return any(cell.made_at is not None for cell in self.cells)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Return the problems that prevent a run."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @cached_property
    def upstream(self) -> Mapping[str, tuple[str, ...]]:
        """Return the direct upstream tasks of each task, in notebook order."""
        return self._neighbours("target", "source")

    @cached_property
    def downstream(self) -> Mapping[str, tuple[str, ...]]:
        """Return the direct downstream tasks of each task, in notebook order."""
        return self._neighbours("source", "target")

    @cached_property
    def value_ancestors(self) -> Mapping[str, int]:
        """Return a bit set for each task: the positions of the task itself and of all tasks whose values reach it."""
        found: dict[str, int] = {}
        for position, (name, task) in enumerate(self.tasks.items()):
            found[name] = 1 << position
            for source in {source for each in task.inputs for source in each.sources}:
                # The bits of a source are already complete, because a source is earlier in the notebook than the task.
                found[name] |= found.get(source, 0)
        return found

    @cached_property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Return every group, including nested groups, with its tasks in notebook order."""
        return groups_of(self.tasks)

    def members(self, *names: str) -> tuple[str, ...]:
        """Return the tasks with these names, and the tasks of the groups with these names.

        Unknown names are ignored.
        """
        return tuple(
            dict.fromkeys(
                task for name in names for task in ((name,) if name in self.tasks else self.groups.get(name, ()))
            )
        )

    def choices(self, branch: str) -> tuple[str, ...]:
        """Return what a branch task may choose: its direct downstream tasks, and the groups that contain them."""
        direct = self.downstream[branch]
        return (*direct, *(group for group in groups_of(direct) if group not in self.tasks))

    def followed(self, branch: str, chosen: Iterable[str]) -> frozenset[str]:
        """Return the direct downstream tasks that run if the branch task `branch` chooses `chosen` (tasks and groups).

        As in Airflow, a direct downstream task that was not chosen also runs if it follows a chosen task, such as a
        task that joins two branches. Exception: an alternative does not run merely because it reads or changes a
        variable of a chosen task. An alternative is a task that is declared to follow `branch`, or whose name is in the
        code of `branch`.
        """
        named = self.members(*chosen)
        below, declared_below = self.descendants(*named), _reachable(self._declared_downstream, named)
        code = self.tasks[branch].code

        def is_alternative(task: str) -> bool:
            names = [task]
            while group := group_of(names[-1]):
                names.append(group)
            declared = task in self._declared_downstream[branch]
            return declared or any(re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", code) for name in names)

        return frozenset(
            task
            for task in self.downstream[branch]
            if task in named or task in declared_below or (task in below and not is_alternative(task))
        )

    def only_inferred(self, task: str, among: Collection[str]) -> frozenset[str]:
        """Return the direct upstream tasks in `among` that `task` follows only because of variables."""
        return frozenset(
            other for other in self.upstream[task] if other in among and task not in self._declared_downstream[other]
        )

    @cached_property
    def _declared_downstream(self) -> Mapping[str, tuple[str, ...]]:
        declared = replace(self, edges=tuple(edge for edge in self.edges if edge.declared))
        return declared.downstream

    def cells_of(self, task: str) -> list[Cell]:
        """Return the cells of the file that contain a task's code: the task's cell, and cells joined with that cell."""
        own = self.cells[self.tasks[task].cell]
        joined = {place.cell for place in own.origin}
        return [cell for cell in self.cells if cell is own or cell.in_file in joined]

    def cell_in_file(self, number: int) -> Cell | None:
        """Return the cell with this number, from 0, in the user's file."""
        return next((cell for cell in self.cells if cell.in_file == number and cell.made_at is None), None)

    def kernel_code(self, task: str) -> Iterator[str]:
        """Yield the source of everything that runs in the kernel of a task."""
        yield from (cell.code for cell in self.cells if cell.kind is CellKind.PARAMETERS)
        yield from (self.cells[index].code for index in self.tasks[task].setup)
        yield self.tasks[task].code
        yield from (each.source for each in self.tasks[task].definitions)

    def ancestors(self, *tasks: str) -> frozenset[str]:
        """Return all tasks upstream of the given tasks. A given task is included if it is upstream of another one."""
        return _reachable(self.upstream, tasks)

    def descendants(self, *tasks: str) -> frozenset[str]:
        """Return all tasks downstream of at least one given task."""
        return _reachable(self.downstream, tasks)

    def _neighbours(self, of: str, other: str) -> dict[str, tuple[str, ...]]:
        found: dict[str, set[str]] = {task: set() for task in self.tasks}
        for edge in self.edges:
            found[getattr(edge, of)].add(getattr(edge, other))
        position = {task: n for n, task in enumerate(self.tasks)}
        return {task: tuple(sorted(others, key=position.__getitem__)) for task, others in found.items()}


def _reachable(neighbours: Mapping[str, tuple[str, ...]], start: tuple[str, ...]) -> frozenset[str]:
    found: set[str] = set()
    ahead = [other for task in start for other in neighbours[task]]
    while ahead:
        task = ahead.pop()
        if task not in found:
            found.add(task)
            ahead.extend(neighbours[task])
    return frozenset(found)
