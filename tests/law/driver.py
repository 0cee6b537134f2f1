"""One notebook, run in two ways: from top to bottom, and task by task in the order that a scheduler might choose.

The second way plans, replays, loads and saves by the code that real runs use; only the kernel is a namespace of this
process. Both ways record what each task's cell leaves of the names that it looks up or binds.
"""

from __future__ import annotations

import random
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from nbdag.core.dataflow.graph import dag_from_cells
from nbdag.core.model.dag import Cell, CellKind, Dag, Problem
from nbdag.core.model.job import Job, Key, Outcome
from nbdag.core.options.options import TaskOptions
from nbdag.core.planning.assemble import StoredOutputs, assemble
from nbdag.kernels.runtime.messages import MIME, PROCESSES, KernelRequest, outcome_from_dict
from nbdag.kernels.runtime.runtime import Runtime

Seen = dict[str, Any]  # name → a canonical form of its value
UNBOUND = "unbound"


def notebook(*cells: tuple[str, str], options: Mapping[str, TaskOptions] | None = None) -> Dag:
    """A notebook of (kind, code): `setup`, `parameters`, `scratch`, or a task's name."""
    made, said = [], {}
    for index, (kind, code) in enumerate(cells):
        if kind in ("setup", "parameters", "scratch"):
            made.append(Cell(index=index, kind=CellKind(kind), source=code, code=code))
        else:
            made.append(Cell(index=index, kind=CellKind.TASK, source=code, code=code, task=kind))
            said[index] = (options or {}).get(kind, TaskOptions())
    return dag_from_cells(made, dag_id="law", task_options=said)


def plain(dag: Dag) -> dict[str, Seen]:
    """What each task's cell leaves, when all cells that run are run from top to bottom in one namespace."""
    seen = {}
    with main_namespace() as names:
        for cell in running(dag):
            if cell.task is not None:
                seen[cell.task] = run_cell(cell.code, names)
            else:
                exec(compile(cell.code, f"<cell {cell.index}>", "exec"), names)
    return seen


def bound_before(dag: Dag) -> dict[int, set[str]]:
    """For each cell, the names that are bound when a run from top to bottom comes to it."""
    bound = {}
    with main_namespace() as names:
        for cell in running(dag):
            bound[cell.index] = set(names)
            exec(compile(cell.code, f"<cell {cell.index}>", "exec"), names)
    return bound


def wrong(found: Mapping[str, Seen], expected: Mapping[str, Seen]) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Where the two ways differ: task → name → (found, expected)."""
    differing = {
        task: {
            name: (found[task].get(name, UNBOUND), value)
            for name, value in seen.items()
            if found[task].get(name, UNBOUND) != value
        }
        for task, seen in expected.items()
    }
    return {task: names for task, names in differing.items() if names}


def rightly_refused(dag: Dag) -> bool:
    """Whether analysis has reason to refuse what a plain run can do.

    Setup runs before the tasks, so it cannot read what they make; and a way through a cell that is not taken may read
    a name that is not there.
    """
    bound = bound_before(dag)
    return any(
        problem.code == "NB204"
        or (problem.code == "NB205" and ("this cell deletes" in problem.message or "setup sets it" in problem.message))
        or (problem.code in ("NB201", "NB205") and problem.place and named(problem) not in bound[problem.place.cell])
        for problem in dag.errors
    )


def named(problem: Problem) -> str:
    """The name that a problem is about."""
    words = problem.message.split()
    return words[-1] if words[0] == "nothing" else words[0]


def running(dag: Dag) -> list[Cell]:
    """The cells of a top-to-bottom run."""
    kinds = (CellKind.PARAMETERS, CellKind.SETUP, CellKind.TASK)
    return sorted(
        (cell for cell in dag.cells if cell.kind in kinds), key=lambda cell: cell.kind is not CellKind.PARAMETERS
    )


def headless(dag: Dag, order: Sequence[str], root: str) -> dict[str, Seen]:
    """What each task's cell leaves, when each task runs for itself, in this order."""
    return {task: seen for task, seen, _ in attempts(dag, order, root)}


def warnings(dag: Dag, root: str) -> dict[str, list[tuple[str, str]]]:
    """What each task is warned of, as codes and names."""
    found = {
        task: [(note.code, note.name) for note in report.notes] for task, _, report in attempts(dag, dag.order, root)
    }
    return {task: notes for task, notes in found.items() if notes}


def attempts(dag: Dag, order: Sequence[str], root: str) -> Iterator[tuple[str, Seen, Outcome]]:
    """Each task for itself, in this order: what its cell leaves, and what its kernel reports."""
    left = {}
    for task in order:
        job = assemble(
            dag,
            Key(dag=dag.id, run="run", task=task),
            outputs_of=lambda other: left.get(other, ()),
            path="",
            values=root,
            cwd=".",
            kernel_name="python3",
        )
        seen, report = attempt(job)
        left[task] = [StoredOutputs(-1, {output.name: output.digest for output in report.outputs})]
        yield task, seen, report


class Shell:
    """As much of IPython's shell as a task's kernel asks for."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.user_ns = names
        self.compile = compile
        self.published: list[Mapping[str, Any]] = []
        self.events = self.display_pub = self.InteractiveTB = self

    def register(self, event: str, callback: object) -> None:
        """Nobody runs cells through this shell, so nothing happens after one."""

    def set_custom_exc(self, kinds: object, handler: object) -> None:
        """Errors are shown by the test."""

    def structured_traceback(self, *error: object) -> list[str]:
        """As above."""
        return []

    def transform_cell(self, code: str) -> str:
        """All cells are plain Python."""
        return code

    def publish(self, data: Mapping[str, Any]) -> None:
        self.published.append({name: value for name, value in data[MIME].items() if name != PROCESSES})


def attempt(job: Job) -> tuple[Seen, Outcome]:
    """Run one task in a namespace of its own."""
    with main_namespace() as names:
        shell = Shell(names)
        runtime = Runtime(shell, KernelRequest.of(job))
        for number, code in enumerate((*job.parameter_cells, *job.setup_cells)):
            exec(compile(code, f"<setup {number}>", "exec"), names)
        runtime.inputs()
        run_cell(job.task.code, names)
        seen = {name: canonical(value) for name, value in names.items() if not name.startswith("_")}
        runtime.finish()
        (published,) = shell.published
        report = outcome_from_dict(published)
        assert report.state == "success", report
        return seen, report


@contextmanager
def main_namespace() -> Iterator[dict[str, Any]]:
    """A fresh `__main__`, where a notebook's functions and classes live."""
    module = types.ModuleType("__main__")
    before = sys.modules["__main__"]
    sys.modules["__main__"] = module
    try:
        yield module.__dict__
    finally:
        sys.modules["__main__"] = before


def orders(dag: Dag, chance: random.Random, count: int) -> list[list[str]]:
    """Orders that respect the edges: what several jobs at once may come to."""
    found = [list(dag.order), last_first(dag)]
    for _ in range(count):
        waiting = {task: set(dag.upstream[task]) for task in dag.tasks}
        order: list[str] = []
        while waiting:
            ready = [task for task, upstream in waiting.items() if not upstream]
            task = chance.choice(ready)
            order.append(task)
            del waiting[task]
            for upstream in waiting.values():
                upstream.discard(task)
        found.append(order)
    return found


def last_first(dag: Dag) -> list[str]:
    """The order that is as unlike the notebook's as the edges allow."""
    waiting = {task: set(dag.upstream[task]) for task in dag.tasks}
    order: list[str] = []
    while waiting:
        task = [task for task, upstream in waiting.items() if not upstream][-1]
        order.append(task)
        del waiting[task]
        for upstream in waiting.values():
            upstream.discard(task)
    return order


class Watched(dict[str, Any]):
    """A cell's view of the namespace, which notes what the cell looks up."""

    def __init__(self, names: dict[str, Any]) -> None:
        super().__init__()
        self.names = names
        self.looked_up: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.looked_up.add(name)
        return self.names[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.names[name] = value

    def __delitem__(self, name: str) -> None:
        del self.names[name]


def run_cell(code: str, names: dict[str, Any]) -> Seen:
    """Run a task's cell: what it leaves of the names that it looked up, or bound anew."""
    before = dict(names)
    view = Watched(names)
    exec(compile(code, "<task>", "exec"), names, view)
    absent = object()
    anew = {name for name in names if names[name] is not before.get(name, absent)}
    builtins = vars(sys.modules["builtins"])
    mentioned = (view.looked_up | anew) - {"__builtins__"}
    return {
        name: canonical(names[name]) if name in names else UNBOUND
        for name in sorted(mentioned)
        if name in names or name not in builtins
    }


def canonical(value: Any, around: tuple[int, ...] = ()) -> Any:
    """A value as plain data that can be compared. Whether two parts are one object shows when one is changed."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, types.ModuleType):
        return ("module", value.__name__)
    if isinstance(value, types.FunctionType | types.MethodType):
        return ("function", value.__qualname__)
    if isinstance(value, type):
        return ("class", value.__name__)
    if id(value) in around:
        return ("itself", len(around) - around.index(id(value)))
    known = (*around, id(value))
    if isinstance(value, list | tuple):
        return (type(value).__name__, [canonical(each, known) for each in value])
    if isinstance(value, dict):
        return ("dict", [(canonical(key, known), canonical(each, known)) for key, each in value.items()])
    if isinstance(value, set):
        return ("set", sorted(map(repr, value)))
    if type(value).__module__ == "__main__":
        return (type(value).__name__, canonical(vars(value), known))
    return type(value).__name__
