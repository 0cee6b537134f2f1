"""A notebook, understood: its cells, its tasks, and what each takes from which.

Plain frozen values that everything else is told in. Cells count from 0 over all cells of the file, lines from 1
within a cell. `core.dataflow.graph.dag_from_cells` makes a `Dag`; nothing here reads a file or knows of a kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from ..options.options import DagOptions, TaskOptions


class CellKind(StrEnum):
    """What a cell is to a headless run."""

    PARAMETERS = "parameters"  # runs first in every task's kernel
    SETUP = "setup"  # runs in every task's kernel, before the task
    TASK = "task"
    CONTROL = "control"  # only nbdag's own lines: %load_ext nbdag, %dag, %edges, %nbdag; does not run
    BUILDER = "builder"  # %%dag, whose tasks are not built; once they are, they stand below it and it is CONTROL
    SCRATCH = "scratch"  # does not run
    PROSE = "prose"  # markdown, raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A line of a cell."""

    cell: int  # from 0, over all cells of the file
    line: int  # from 1, within the cell

    def __str__(self) -> str:
        """As people count: from 1, cells too."""
        return f"cell {self.cell + 1}, line {self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of the notebook, in which what %%dag built stands below the %%dag cell.

    So `index` counts what the file does not have, and a `Place`, which is for people, does not: see `at`.
    """

    index: int  # from 0
    kind: CellKind
    source: str  # as it stands in the file
    code: str = ""  # what a kernel is given: `source` with nbdag's own lines made comments, line numbers kept
    task: str | None = None  # the task's id, for a task cell
    number: int | None = None  # from 0 over the cells of the file, of a built one the %%dag cell's; None: `index`
    made_at: int | None = None  # of a built cell: the line of the %%dag cell that made it

    @property
    def in_file(self) -> int:
        """Which cell of the user's file it is, or was made by; from 0."""
        return self.index if self.number is None else self.number

    def at(self, line: int) -> Place:
        """Where a line of it, from 1, stands in the user's file. All of what %%dag built is where it was made."""
        return Place(cell=self.in_file, line=line if self.made_at is None else self.made_at)

    def within(self, line: int) -> str:
        """Of what %%dag built, what `at` cannot say: which line below the header it is."""
        return f" (line {line - 1} of {self.task or 'what it needs'})" if self.made_at is not None and line > 1 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that `check` says of a notebook."""

    code: str  # stable, such as NB201
    severity: str  # "error" or "warning"
    message: str  # one sentence
    hint: str = ""  # the next step
    task: str | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NameUse:
    """Why an inferred edge is there: a name read here, written there."""

    name: str
    read_at: Place
    written_at: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`target` runs after `source`."""

    source: str
    target: str
    declared: bool = False  # by --after or %edges; a declared edge may carry names too
    names: tuple[NameUse, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A name whose value a task is given before its cell runs."""

    name: str
    sources: tuple[str, ...]  # tasks that may have written it, the nearest first; the first that succeeded gives it
    optional: bool = False  # may be missing: a maybe-written name, or one that setup sets as well


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A top-level def, class or import of a task cell, which travels as source."""

    name: str
    source: str  # Python (or IPython) source of the statement, decorators included
    place: Place  # of its first line
    made_by: str = ""  # the task, where %%dag built its cell: `place` is a line of that

    @property
    def stands_in(self) -> str:
        """What people call its cell."""
        return f"task {self.made_by}" if self.made_by else f"cell {self.place.cell + 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A tagged cell and what it takes and gives."""

    id: str
    cell: int
    options: TaskOptions
    code: str  # what the kernel runs, its line numbers those of the cell
    reads: tuple[str, ...] = ()  # names it needs from outside its cell, builtins left out
    writes: tuple[str, ...] = ()  # names it binds
    changes: tuple[str, ...] = ()  # names it changes in place
    # Of a name that it reads, other names that may be the same object, or share one with it.
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    opaque: bool = False  # eval, exec or globals(): what it reads and writes cannot be known
    inputs: tuple[Input, ...] = ()  # values to load, those of names that some task wrote
    exports: tuple[tuple[str, ...], ...] = ()  # names to save; those in one tuple share objects and are saved as one
    definitions: tuple[Definition, ...] = ()  # source to replay before the inputs are loaded, in this order
    setup: tuple[int, ...] = ()  # setup cells to run, in this order


@dataclass(frozen=True, kw_only=True)
class Dag:
    """A whole notebook. `tasks` stand in notebook order; `order` is a run order (empty when there is a cycle)."""

    id: str
    options: DagOptions
    cells: tuple[Cell, ...]
    tasks: Mapping[str, Task]
    edges: tuple[Edge, ...] = ()
    problems: tuple[Problem, ...] = ()
    order: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)  # name: source of its default
    language: str = "python"
    kernel_name: str | None = None  # the notebook's kernelspec; None where it names none

    @property
    def unbuilt(self) -> bool:
        """Whether a %%dag cell has yet to build its tasks, so that this is not the whole of it."""
        return any(cell.kind is CellKind.BUILDER for cell in self.cells)

    @property
    def built(self) -> bool:
        """Whether %%dag cells have built tasks, so that this is not the file as it stands."""
        return any(cell.made_at is not None for cell in self.cells)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the notebook from running."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @cached_property
    def upstream(self) -> Mapping[str, tuple[str, ...]]:
        """For each task, the tasks that it directly follows, in notebook order."""
        return self._neighbours("target", "source")

    @cached_property
    def downstream(self) -> Mapping[str, tuple[str, ...]]:
        """For each task, the tasks that directly follow it, in notebook order."""
        return self._neighbours("source", "target")

    def cell_in_file(self, number: int) -> Cell | None:
        """A cell of the user's file, from 0."""
        return next((cell for cell in self.cells if cell.in_file == number and cell.made_at is None), None)

    def kernel_code(self, task: str) -> Iterator[str]:
        """Yield the source of everything that runs in the kernel of a task."""
        yield from (cell.code for cell in self.cells if cell.kind is CellKind.PARAMETERS)
        yield from (self.cells[index].code for index in self.tasks[task].setup)
        yield self.tasks[task].code
        yield from (each.source for each in self.tasks[task].definitions)

    def ancestors(self, *tasks: str) -> frozenset[str]:
        """All that must run before these tasks; the tasks themselves only where one precedes another."""
        return _reachable(self.upstream, tasks)

    def descendants(self, *tasks: str) -> frozenset[str]:
        """All that runs after these tasks."""
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
