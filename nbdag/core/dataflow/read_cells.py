"""All cells that run, read from top to bottom.

Each cell is read with what stands above it in view: which names are modules, which are functions and what those do,
which may be one object. A name that some task may leave alone keeps what it was as well. Nothing here decides which
task gives what to which; it says what each cell does, and for which objects it matters that they stay one.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..analysis.names import CellUses, changed_things, uses
from ..analysis.objects import NOTHING, Note, Thing, Value, reaching
from ..analysis.scopes import Bound, names_of
from ..cells.source import Python, SyntaxProblem, to_python
from ..model.dag import Cell, CellKind, Problem
from ..model.problems import problem
from ..options.options import TaskOptions

TOO_MANY = 200  # objects changed by one cell, beyond which they are no longer told apart


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What one cell does."""

    position: int  # among the cells that run, in the order in which a top-to-bottom run takes them
    cell: Cell
    options: TaskOptions
    uses: CellUses
    late: tuple[int, ...] = ()  # setup cells below it that it needs all the same
    star: bool = False  # what hides which names it sets stands in it or above, so an unknown name may be one of those


@dataclass(slots=True)
class Swept:
    """What all cells do."""

    readings: list[Reading] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    contended: dict[Thing, int] = field(
        default_factory=dict
    )  # objects changed while several names reach them: where last
    changed: set[Thing] = field(default_factory=set)  # all that looks different at some time


class Above:
    """What each name may be at a point of the notebook, and which names reach an object."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.holders: dict[Thing, set[str]] = defaultdict(set)

    def bind(self, name: str, value: Value) -> None:
        """A name is now this."""
        for thing in self.values.get(name, NOTHING):
            self.holders[thing].discard(name)
        self.values[name] = value
        for thing in value:
            self.holders[thing].add(name)

    def unbind(self, name: str) -> None:
        """A name is gone."""
        self.bind(name, NOTHING)
        del self.values[name]

    def names(self, things: Iterable[Thing]) -> set[str]:
        """The names that may be one of these."""
        return {name for thing in things for name in self.holders.get(thing, ())}

    def pass_by(self, reading: Reading, skippable: bool) -> dict[str, Value]:
        """Go on below a cell. The answer says what the names that it binds were above it."""
        replaced = {name: self.values[name] for name in reading.uses.bound if name in self.values}
        mapped = bool(reading.options.map)
        for name, slot in reading.uses.bound.items():
            before = self.values.get(name)
            stays = before is not None and (skippable or slot.bound in (Bound.MAYBE, Bound.MAYBE_NOT))
            if slot.bound is Bound.NO:
                if before is not None and not stays:
                    self.unbind(name)
                continue
            if mapped and reading.cell.kind is CellKind.TASK:
                value = frozenset({Thing(label=name, carries=set(slot.value))})
            else:
                value = slot.value
            self.bind(name, value | before if stays and before is not None else value)
        return replaced


def sweep(
    cells: Sequence[Cell],
    options: Mapping[int, TaskOptions],
    skippable: frozenset[int],
    parsed: dict[int, Python | SyntaxProblem],
) -> Swept:
    """Read all cells. `skippable` are the cells of tasks that may not run; `parsed` keeps what has been parsed."""
    found = Swept()
    above = Above()
    running = in_order(cells)
    below = _setup_below(running, parsed)
    future = False
    star = False
    for position, cell in enumerate(running):
        python = parse(cell, parsed)
        said = options.get(cell.index, TaskOptions())
        late: dict[str, Value] = {}
        needed: set[int] = set()
        if isinstance(python, SyntaxProblem):
            found.problems.append(_syntax(cell, python))
            found.readings.append(Reading(position, cell, said, CellUses(), star=True))
            star = True  # what it would have set is not known
            continue

        def outer(
            name: str, late: dict[str, Value] = late, needed: set[int] = needed, here: int = position
        ) -> Value | None:
            value = above.values.get(name)
            if value is not None or running[here].kind is not CellKind.TASK:
                return value
            last = next((each for each in below.get(name, ()) if each > here), None)
            if last is not None and last not in needed:
                needed.add(last)
                _read_late(running[here + 1 : last + 1], above, late, parsed)
            return late.get(name) if last is not None else None

        result = _uses(
            python,
            outer,
            before=_expressions([said.when] if said.when else [], cell, found.problems, "--when"),
            mapped=_mapped(said, cell, found.problems),
            after=_expressions(said.check, cell, found.problems, "--check"),
            change=said.change,
            future_annotations=future,
        )
        future = result.future_annotations
        hidden = any(note.kind == "opaque" for note in result.notes)
        star = star or any(note.kind == "star" for note in result.notes) or (hidden and cell.kind is not CellKind.TASK)
        late_cells = tuple(
            each.index
            for each in (running[position + 1 : max(needed) + 1] if needed else ())
            if each.kind is CellKind.SETUP
        )
        reading = Reading(position, cell, said, result, late_cells, star or hidden)
        found.readings.append(reading)
        _pass_by(reading, above, found, cell.index in skippable)
    return found


def in_order(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that run, parameters first; of two cells with one task id, the first."""
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
    """A cell's Python, parsed once."""
    if cell.index not in parsed:
        parsed[cell.index] = to_python(cell.code)
    return parsed[cell.index]


def _pass_by(reading: Reading, above: Above, found: Swept, skippable: bool) -> None:
    touched = reading.uses.touched
    looks_different = changed_things(touched)
    found.changed |= looks_different
    if len(touched) > TOO_MANY:
        groups = dict.fromkeys(touched, looks_different)
    else:
        groups = {thing: reaching({thing}, touch.strong) for thing, touch in touched.items()}
    groups |= {thing: {thing} for thing in reading.uses.compared if thing not in groups}
    before = {thing: above.names(group) for thing, group in groups.items()}
    above.pass_by(reading, skippable)
    for thing, group in groups.items():
        names = before[thing] | above.names(group)
        if len(names) > 1:
            found.contended[thing] = reading.position


def _setup_below(running: Sequence[Cell], parsed: dict[int, Python | SyntaxProblem]) -> dict[str, list[int]]:
    """For names that setup cells below the first task bind: the positions of those cells."""
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


def _read_late(
    cells: Iterable[Cell], above: Above, late: dict[str, Value], parsed: dict[int, Python | SyntaxProblem]
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


def _mapped(options: TaskOptions, cell: Cell, problems: list[Problem]) -> dict[str, ast.expr]:
    found = {}
    for name, text in options.map:
        for expression in _expressions([text], cell, problems, "--map"):
            found[name] = expression
    return found


def _syntax(cell: Cell, found: SyntaxProblem) -> Problem:
    return problem(
        "NB208",
        f"this is not Python: {found.message}{cell.built_line_suffix(found.line)}",
        hint="mend the cell, or mark it with %%skip",
        task=cell.task,
        place=cell.at(found.line),
    )


def _uses(python: Python, outer: Callable[[str], Value | None], **said: Any) -> CellUses:
    try:
        return uses(python, outer, **said)
    except RecursionError:
        return CellUses(notes=(Note("opaque", "code nested this deep", 1),))
