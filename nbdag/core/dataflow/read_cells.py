"""The analysis of all executed cells, from top to bottom.

The analysis of a cell knows the values that names have above the cell: modules, functions with their effects, and
objects that several names may refer to. If a task may be skipped, the names that the task binds also keep their earlier
values. The result describes each cell, and the objects that must remain shared between names. From this result,
`reaching_definitions` derives the flow between tasks.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..analysis.names import CellUses, changed_objects, uses
from ..analysis.objects import NOTHING, AbstractObject, Note, Value, holders
from ..analysis.scopes import Bound, names_of
from ..cells.source import Python, SyntaxProblem, to_python
from ..model.dag import Cell, CellKind, Problem
from ..model.problems import problem
from ..options.options import TaskOptions

MAX_SEPARATE = 200  # if one cell changes more objects than this, all changed objects are treated as one group


@dataclass(frozen=True, slots=True, eq=False)
class CellAnalysis:
    """The effects of one cell."""

    position: int  # index among the executed cells, in the order of a top-to-bottom run
    cell: Cell
    options: TaskOptions
    uses: CellUses
    setup_below: tuple[int, ...] = ()  # indexes of setup cells that this cell needs although they are below it
    # Whether a task above has `from __future__ import annotations`, which also applies to this cell.
    future_above: bool = False
    # Key: name that the cell may read; value: index of the setup cell below this cell that sets the name.
    unseen: Mapping[str, int] = field(default_factory=dict)
    hides_names: bool = False  # whether this cell or a cell above may set names that the analysis cannot see


@dataclass(slots=True)
class NotebookAnalysis:
    """The effects of all cells."""

    analyses: list[CellAnalysis] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    # Key: object that a cell changed while several names referred to it; value: position of the last such cell.
    changed_while_shared: dict[AbstractObject, int] = field(default_factory=dict)
    changed: set[AbstractObject] = field(default_factory=set)  # objects whose contents some cell changes


class NamesAbove:
    """The possible values of each name at a point of the notebook, and the names that may refer to each object."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.names_of: dict[AbstractObject, set[str]] = defaultdict(set)

    def bind(self, name: str, value: Value) -> None:
        """Set the value of a name."""
        for obj in self.values.get(name, NOTHING):
            self.names_of[obj].discard(name)
        self.values[name] = value
        for obj in value:
            self.names_of[obj].add(name)

    def unbind(self, name: str) -> None:
        """Delete a name."""
        self.bind(name, NOTHING)
        del self.values[name]

    def names(self, objects: Iterable[AbstractObject]) -> set[str]:
        """Return the names that may refer to one of these objects."""
        return {name for obj in objects for name in self.names_of.get(obj, ())}

    def pass_cell(self, analysis: CellAnalysis, skippable: bool) -> dict[str, Value]:
        """Apply the bindings of a cell; return the earlier values of the names that the cell binds."""
        replaced = {name: self.values[name] for name in analysis.uses.bound if name in self.values}
        mapped = bool(analysis.options.map)
        for name, slot in analysis.uses.bound.items():
            before = self.values.get(name)
            stays = before is not None and (skippable or slot.bound in (Bound.MAYBE, Bound.MAYBE_NOT))
            if slot.bound is Bound.NO:
                if before is not None and not stays:
                    self.unbind(name)
                continue
            if mapped and analysis.cell.kind is CellKind.TASK:
                value = frozenset({AbstractObject(label=name, carries=set(slot.value))})
            else:
                value = slot.value
            self.bind(name, value | before if stays and before is not None else value)
        return replaced


def analyse_cells(
    cells: Sequence[Cell],
    options: Mapping[int, TaskOptions],
    skippable: frozenset[int],
    parsed: dict[int, Python | SyntaxProblem],
) -> NotebookAnalysis:
    """Analyse all cells.

    `skippable` has the indexes of the cells whose tasks may be skipped; `parsed` caches the parsed cells.
    """
    found = NotebookAnalysis()
    above = NamesAbove()
    running = executed_cells(cells)
    below = _setup_cells_below(running, parsed)
    future = future_of_task = False
    star = False
    for position, cell in enumerate(running):
        python = parse(cell, parsed)
        own = options.get(cell.index, TaskOptions())
        if isinstance(python, SyntaxProblem):
            found.problems.append(_syntax(cell, python))
            found.analyses.append(CellAnalysis(position, cell, own, CellUses(), hides_names=True))
            star = True  # a cell that cannot be parsed may set any name
            continue

        before = _expressions([own.when] if own.when else [], cell, found.problems, "--when")
        before += _expressions([own.approve] if own.approve else [], cell, found.problems, "--approve")
        mapped = _mapped(own, cell, found.problems)
        after = _expressions(own.check, cell, found.problems, "--check")
        if own.retry_if:
            # In --retry-if, `error` is the exception of the cell, not a name of the notebook.
            of_error = _expressions([own.retry_if], cell, found.problems, "--retry-if")
            after += [_with_local(each, "error") for each in of_error]
        unseen: dict[str, int] = {}
        while True:
            late: dict[str, Value] = {}
            needed: dict[
                str, int
            ] = {}  # key: name that the cell reads; value: position of the setup cell below it that sets the name

            def outer(
                name: str,
                late: dict[str, Value] = late,
                needed: dict[str, int] = needed,
                unseen: dict[str, int] = unseen,
                here: int = position,
            ) -> Value | None:
                value = above.values.get(name)
                if value is not None or running[here].kind is not CellKind.TASK:
                    return value
                last = next((each for each in below.get(name, ()) if each > here), None)
                if last is None:
                    return None
                if name not in unseen and last not in needed.values():
                    _read_setup_below(running[here + 1 : last + 1], above, late, parsed)
                if name not in unseen:
                    needed[name] = last
                return late.get(name)

            result = _uses(
                python, outer, before=before, mapped=mapped, after=after, change=own.change, future_annotations=future
            )
            # A top-to-bottom run fails if the cell needs a name that only setup below the cell sets. If some path
            # through the cell does not read the name, the cell is analysed without this setup, because setup may rebind
            # other names.
            optional = {name: running[last].index for name, last in needed.items() if name not in result.certain}
            if not optional:
                break
            unseen |= optional
        above_says = future_of_task
        future_of_task |= cell.kind is CellKind.TASK and result.future_annotations and not future
        future = result.future_annotations
        hidden = any(note.kind == "opaque" for note in result.notes)
        star = star or any(note.kind == "star" for note in result.notes) or (hidden and cell.kind is not CellKind.TASK)
        setup_below = tuple(
            each.index
            for each in (running[position + 1 : max(needed.values()) + 1] if needed else ())
            if each.kind is CellKind.SETUP
        )
        unseen = {name: index for name, index in unseen.items() if index not in setup_below}
        analysis = CellAnalysis(position, cell, own, result, setup_below, above_says, unseen, star or hidden)
        found.analyses.append(analysis)
        _pass_cell(analysis, above, found, cell.index in skippable)
    return found


def executed_cells(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells that run, parameters first. If several cells have the same task id, only the first one runs."""
    seen: set[str] = set()
    first, rest = [], []
    for cell in cells:
        if cell.kind is CellKind.PARAMETERS:
            first.append(cell)
        elif cell.kind is CellKind.SETUP:
            rest.append(cell)
        elif cell.kind is CellKind.TASK and cell.task is not None and cell.task not in seen:
            seen.add(cell.task)
            rest.append(cell)
    return first + rest


def parse(cell: Cell, parsed: dict[int, Python | SyntaxProblem]) -> Python | SyntaxProblem:
    """Return a cell's Python; each cell is parsed only once."""
    if cell.index not in parsed:
        parsed[cell.index] = to_python(cell.code)
    return parsed[cell.index]


def _pass_cell(analysis: CellAnalysis, above: NamesAbove, found: NotebookAnalysis, skippable: bool) -> None:
    mutated = analysis.uses.mutated
    looks_different = changed_objects(mutated)
    found.changed |= looks_different
    if len(mutated) > MAX_SEPARATE:
        groups = dict.fromkeys(mutated, looks_different)
    else:
        groups = {obj: holders({obj}, mutation.strong) for obj, mutation in mutated.items()}
    groups |= {obj: {obj} for obj in analysis.uses.compared if obj not in groups}
    before = {obj: above.names(group) for obj, group in groups.items()}
    above.pass_cell(analysis, skippable)
    for obj, group in groups.items():
        names = before[obj] | above.names(group)
        if len(names) > 1:
            found.changed_while_shared[obj] = analysis.position


def _setup_cells_below(running: Sequence[Cell], parsed: dict[int, Python | SyntaxProblem]) -> dict[str, list[int]]:
    """Return the positions of the setup cells below the first task, by the names that these cells bind."""
    found: dict[str, list[int]] = defaultdict(list)
    task_seen = False
    for position, cell in enumerate(running):
        task_seen = task_seen or cell.kind is CellKind.TASK
        if task_seen and cell.kind is CellKind.SETUP:
            python = parse(cell, parsed)
            if isinstance(python, Python):
                for name in names_of(python.tree.body).bound:
                    found[name].append(position)
    return found


def _read_setup_below(
    cells: Iterable[Cell], above: NamesAbove, late: dict[str, Value], parsed: dict[int, Python | SyntaxProblem]
) -> None:
    for cell in cells:
        python = parse(cell, parsed)
        if cell.kind is CellKind.SETUP and isinstance(python, Python):
            result = uses(python, lambda name: late.get(name, above.values.get(name)))
            for name, slot in result.bound.items():
                late[name] = slot.value


def _expressions(texts: Iterable[str], cell: Cell, problems: list[Problem], option: str) -> list[ast.expr]:
    found = []
    for text in texts:
        try:
            found.append(ast.parse(text.strip(), mode="eval").body)
        except (SyntaxError, ValueError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            problems.append(
                problem(
                    "NB208",
                    f"{option} {text!r} is not a Python expression: {reason}",
                    hint="quote the whole expression",
                    task=cell.task,
                    place=cell.at(1),
                )
            )
    return found


def _with_local(expression: ast.expr, name: str) -> ast.expr:
    """Return an expression that reads the same names as `expression`, except for `name`."""
    around = ast.parse(f"[None for {name} in ()]", mode="eval").body
    assert isinstance(around, ast.ListComp)
    around.elt = expression
    return ast.copy_location(around, expression)


def _mapped(options: TaskOptions, cell: Cell, problems: list[Problem]) -> dict[str, ast.expr]:
    found = {}
    for name, text in options.map:
        for expression in _expressions([text], cell, problems, "--map"):
            found[name] = expression
    return found


def _syntax(cell: Cell, found: SyntaxProblem) -> Problem:
    return problem(
        "NB208",
        f"syntax error: {found.message}{cell.built_line_suffix(found.line)}",
        hint="fix the cell, or mark it with %%skip",
        task=cell.task,
        place=cell.at(found.line),
    )


def _uses(python: Python, outer: Callable[[str], Value | None], **context: Any) -> CellUses:
    try:
        return uses(python, outer, **context)
    except RecursionError:
        return CellUses(notes=(Note("opaque", "code nested this deep", 1),))
