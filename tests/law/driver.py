"""One notebook, run in two ways: from top to bottom, and task by task in the order that a scheduler might choose.

The second way plans, replays, loads and saves by the code that real runs use; only the kernel is a namespace of this
process. Both ways record what each task's cell leaves of the names that it looks up or binds.
"""

from __future__ import annotations

import copy
import decimal
import itertools
import os
import random
import sys
import types
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbdag.core.dataflow.graph import dag_from_cells
from nbdag.core.model.dag import Cell, CellKind, Dag, Problem
from nbdag.core.model.job import Job, Key, Outcome
from nbdag.core.options.options import TaskOptions
from nbdag.core.planning.assemble import StoredOutputs, assemble
from nbdag.kernels.runtime.messages import MIME, PROCESSES, KernelRequest, outcome_from_dict
from nbdag.kernels.runtime.runtime import Runtime
from nbdag.values import UnstorableError

Seen = dict[str, Any]  # name → a canonical form of its value
UNBOUND = "unbound"
MODULES = Path(__file__).parent / "modules"  # modules of the user, which each kernel imports for itself
# Warnings of `check` about code whose effects it cannot see, or whose state no other task sees.
SAID_BY_CHECK = frozenset(
    ["NB301", "NB302", "NB303", "NB304", "NB305", "NB306", "NB308", "NB309", "NB460", "NB461", "NB462", "NB464"]
)


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
    """Return the values after each task's cell, if all cells run from top to bottom in one namespace."""
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
    """Return the differences of the two ways: task → name → (found, expected)."""
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
    """Return the values after each task's cell, if each task runs for itself, in this order."""
    return {task: seen for task, seen, _ in attempts(dag, order, root)}


def warnings(dag: Dag, root: str) -> dict[str, list[tuple[str, str]]]:
    """Return the warnings of each task, as codes and names."""
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


@dataclass(slots=True)
class Verdict:
    """The outcome of a headless run of a notebook, in one order."""

    differing: dict[str, dict[str, tuple[Any, Any]]]  # task → name → (found, expected)
    said: list[tuple[str, str, str]] = field(default_factory=list)  # task, code, message: of the check and of the run
    silent: tuple[str, ...] = ()  # the tasks that differ although nothing was said of what comes before them

    @property
    def word(self) -> str:
        return "silent" if self.silent else "said" if self.differing else "refused" if self.refused else "equal"

    @property
    def refused(self) -> bool:
        """Whether a value was refused that cannot be stored, so that its readers did not run."""
        return any(code == "refused" for _, code, _ in self.said)


def judge(dag: Dag, order: Sequence[str], root: str, expected: Mapping[str, Seen]) -> Verdict:
    """Run a notebook headlessly until a task fails, and compare each task with the plain run."""
    found: dict[str, Seen] = {}
    said = [(each.task or "", each.code, each.message) for each in dag.problems if each.code in SAID_BY_CHECK]
    running = iter(attempts(dag, order, root))
    for task in order:
        try:
            _, found[task], report = next(running)
        except UnstorableError as error:
            said.append((task, "refused", str(error)))
            break
        except Exception as error:
            found[task] = {"raised": f"{type(error).__name__}: {error}"}
            break
        said += [(task, note.code, note.message) for note in report.notes]
    differing = wrong(found, {task: expected[task] for task in found})
    differing |= {task: {"": (seen["raised"], "no error")} for task, seen in found.items() if "raised" in seen}
    place = {task: number for number, task in enumerate(dag.order)} | {"": -1}
    first = min((place[task] for task, _, _ in said), default=len(place))
    silent = tuple(task for task in differing if place[task] < first)
    return Verdict(differing, said, silent)


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
        if MIME in data:  # rendered templates are published as well
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
    """A fresh `__main__`, where a notebook's functions and classes live, and what else a kernel has for itself."""
    module = types.ModuleType("__main__")
    before = sys.modules["__main__"]
    sys.modules["__main__"] = module
    try:
        with _process_state():
            yield module.__dict__
    finally:
        sys.modules["__main__"] = before


@contextmanager
def _process_state() -> Iterator[None]:
    """Begin with the state of a fresh process, and restore that of this one."""
    own = {path.stem for path in MODULES.glob("*.py")}
    numpy = sys.modules.get("numpy")
    modules = {name: sys.modules.pop(name) for name in own & sys.modules.keys()}
    path, environment, state = list(sys.path), dict(os.environ), random.getstate()
    numpy_state = numpy.random.get_state() if numpy is not None else None
    sys.path.insert(0, str(MODULES))
    random.seed()
    if numpy is not None:
        numpy.random.seed(random.randrange(1 << 32))
    try:
        with decimal.localcontext(decimal.DefaultContext):
            yield
    finally:
        if numpy is not None:
            numpy.random.set_state(numpy_state)
        random.setstate(state)
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        sys.path[:] = path
        for name in own:
            sys.modules.pop(name, None)
        sys.modules.update(modules)


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
    if isinstance(value, bytearray):
        return ("bytearray", bytes(value))
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return repr(value) if isinstance(value, float) and value != value else value
    if isinstance(value, types.ModuleType):
        return ("module", value.__name__)
    if isinstance(value, types.FunctionType | types.MethodType):
        return ("function", value.__qualname__)
    if isinstance(value, type):
        return ("class", value.__name__)
    if id(value) in around:
        return ("itself", len(around) - around.index(id(value)))
    known = (*around, id(value))
    name = type(value).__name__
    if isinstance(value, random.Random):
        return (name, hash(value.getstate()))
    if isinstance(value, list | tuple | deque):
        return (name, [canonical(each, known) for each in value])
    if isinstance(value, Mapping):
        return (name, [(canonical(key, known), canonical(each, known)) for key, each in value.items()])
    if isinstance(value, set):
        return (name, sorted(map(_text, value)))
    if type(value).__module__ == "numpy":
        return (name, value.dtype.str, canonical(value.tolist(), known))
    if hasattr(value, "bit_generator"):
        return (name, repr(value.bit_generator.state))
    if name == "array":
        return (name, value.tolist())
    if name == "StringIO":
        return (name, value.getvalue(), value.tell())
    if name in ("list_iterator", "count"):
        return (name, canonical(list(itertools.islice(copy.copy(value), 3)), known))
    if name == "lock":
        return (name, value.locked())
    if type(value).__module__ in ("__main__", "types", *(path.stem for path in MODULES.glob("*.py"))):
        slots = [each for cls in type(value).__mro__ for each in vars(cls).get("__slots__", ())]
        parts = {each: getattr(value, each) for each in slots if hasattr(value, each)} | getattr(value, "__dict__", {})
        return (name, canonical(parts, known))
    return name


def _text(value: Any) -> str:
    """The text of a value without its address."""
    return repr(canonical(value))
