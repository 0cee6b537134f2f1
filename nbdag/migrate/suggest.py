"""Propose tasks for a notebook without tags.

Each cell gets a role by its code (`cell_roles`). Some cells are split (`pieces`), for example if a cell begins with
functions for other cells, or ends by putting its result into a collection that other cells fill as well. Then every
piece that does work becomes a task of its own, and nbdag's analysis finds what these tasks read, write and change.
Tasks are joined where one of these reasons holds (`grouping`):

- they use one connection, open file or iterator, which cannot be passed to another process;
- they draw from one seeded generator of random numbers;
- a cell changes or replaces another cell's value, as `df = df.dropna()` does, and little work lies between them;
- a cell only shows values, as plots and prints do. Under its heading, it joins the cell that made the latest of these
  values; if there is none, it joins other cells that only show values;
- a cell only tries functions that are defined under the same heading;
- one cell follows another under the same heading, and no other cell there could run in parallel with the later one;
- the proposal would have an error if they were not joined.

A cell on a path of the graph between two joined cells is joined as well. A cell only moves to another cell with which
it is joined, and never across a cell whose names it reads or sets. Cells that use the same files, or files that the
code does not name, run in the order of the notebook.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..core.cells.cells import PARAMETERS_TAG, RawCell
from ..core.cells.joined_source import join_sources, without_cell_magic
from ..core.cells.source import SyntaxProblem, to_python
from ..core.model.dag import Dag
from ..errors import NbdagError, error
from ..notebooks import read_cells
from . import task_names
from .cell_roles import Role, constants, role_of, scalars
from .grouping import SHOWS, TRIAL, group
from .groups import Groups
from .pieces import Piece, assigned_names, defined_names, read_pieces

_OF_THE_CODE = frozenset({"NB201", "NB205", "NB208"})  # errors that joining cells cannot solve


@error
class AlreadyTaggedError(NbdagError):
    """The notebook has tasks, so there is nothing to propose."""

    path: str
    tasks: tuple[str, ...]
    template = "{path} has tasks already ({names}); `nbdag check {path}` lists its problems"

    @property
    def names(self) -> str:
        """The first tasks, as text."""
        return ", ".join(self.tasks[:3]) + (", …" if len(self.tasks) > 3 else "")


@error
class NothingToSuggestError(NbdagError):
    """No cell of the notebook does any work."""

    path: str
    empty: bool = False  # whether the notebook has no code at all
    template = "{path} has no {missing}"

    @property
    def missing(self) -> str:
        """Everything that the notebook lacks."""
        if self.empty:
            return "code, so there is nothing to propose"
        return "cell that could be a task: each cell only imports, defines or shows something"


@error
class NotPythonError(NbdagError):
    """The notebook is in another language."""

    path: str
    language: str
    template = "{path} is a notebook in {language}; tasks can only be proposed for Python"


@error
class BrokenCellError(NbdagError):
    """A cell has a syntax error, so what it reads and sets is unknown."""

    path: str
    cell: int  # number of the cell, from 0
    line: int  # from 1
    reason: str
    template = "{path}: cell {number}, line {line} has a syntax error ({reason}); repair or delete this cell first"

    @property
    def number(self) -> int:
        """The number of the cell, from 1."""
        return self.cell + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedCell:
    """A cell of the proposed notebook."""

    cells: tuple[int, ...]  # numbers of the original cells, from 0; empty for a new cell
    source: str
    type: str = "code"
    tags: tuple[str, ...] = ()
    changed: bool = True  # false: the cell is an unchanged copy of one original cell


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedTask:
    """A task of the proposal."""

    name: str
    cells: tuple[int, ...]  # numbers of its cells in the notebook, from 0
    reasons: tuple[str, ...]  # one sentence for each reason to join cells or to order the task


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """The proposed notebook, and the reasons for it."""

    tasks: tuple[ProposedTask, ...]
    roles: Mapping[int, str]  # key: number of a cell that is no part of a task; value: its role, in words
    cells: tuple[ProposedCell, ...]
    dag: Dag
    # Empty if the cells can run in the order of the file. Otherwise: numbers of the cells in the order in which they
    # were last executed.
    order: tuple[int, ...] = ()

    @property
    def reordered(self) -> bool:
        """Return whether the cells are in another order than in the file."""
        return bool(self.order)

    @property
    def levels(self) -> tuple[tuple[str, ...], ...]:
        """Return the tasks by level; the tasks of one level can run at the same time.

        The level of a task is the length of the longest path to the task.
        """
        level: dict[str, int] = {}
        for task in self.dag.order:
            level[task] = max((level[other] + 1 for other in self.dag.upstream[task]), default=0)
        found: dict[int, list[str]] = defaultdict(list)
        for task, depth in level.items():
            found[depth].append(task)
        return tuple(tuple(found[depth]) for depth in sorted(found))


def suggest(
    raw: Sequence[RawCell], *, name: str, executed: Sequence[int | None] = (), language: str = "python"
) -> Suggestion:
    """Propose tasks for the cells of a notebook.

    `name` is the name of the file, and `executed` the execution count of each cell, or None. Raise
    `AlreadyTaggedError` or `NothingToSuggestError` if there is nothing to propose, and `NotPythonError` or
    `BrokenCellError` if the code cannot be read.
    """
    if language.lower() not in ("python", "python3", "ipython"):
        raise NotPythonError(name, language)
    for number, cell in enumerate(raw):
        if cell.type == "code" and isinstance(parsed := to_python(cell.source), SyntaxProblem):
            raise BrokenCellError(name, number, parsed.line, parsed.message)
    if all(role_of(cell.source) is Role.EMPTY for cell in raw if cell.type == "code"):
        raise NothingToSuggestError(name, empty=True)
    existing = read_cells(raw, name=name)
    if existing.tasks or existing.unbuilt:
        raise AlreadyTaggedError(name, tuple(existing.tasks) or ("%%dag",))
    found = _suggest(raw, range(len(raw)), name)
    if any(each.code == "NB201" for each in found.dag.errors) and executed:
        order = _by_execution(raw, executed)
        if order is not None:
            again = _suggest(raw, order, name)
            if not any(each.code == "NB201" for each in again.dag.errors):
                return replace(again, order=tuple(order))
    return found


def _by_execution(raw: Sequence[RawCell], executed: Sequence[int | None]) -> list[int] | None:
    """Return the numbers of the cells in the order in which they last ran, or None if some cell has not run.

    A markdown cell stays above the code cell that follows it.
    """
    blocks: list[tuple[int, list[int]]] = []
    prose: list[int] = []
    for number, cell in enumerate(raw):
        prose.append(number)
        if cell.type == "code":
            if role_of(cell.source) is Role.EMPTY:
                continue
            count = executed[number]
            if count is None:
                return None
            blocks.append((count, prose))
            prose = []
    return [number for _, block in sorted(blocks) for number in block] + prose


# -- the proposal ------------------------------------------------------------------------------------------------------


def _suggest(raw: Sequence[RawCell], order: Iterable[int], name: str) -> Suggestion:
    pieces = read_pieces(raw, order)
    while True:
        if not any(piece.role is Role.WORK for piece in pieces):
            raise NothingToSuggestError(name)
        trial = _trial(pieces, name)
        wrong = {each.place.cell for each in trial.errors if each.place and pieces[each.place.cell].role is Role.SETUP}
        changed = {name for task in trial.tasks.values() for name in task.changes}
        wrong |= {
            position
            for position, piece in enumerate(pieces)
            if piece.role in (Role.SETUP, Role.PARAMETERS) and changed & set(constants(piece.source))
        }
        if not wrong:
            break
        for position in wrong:  # a setup cell that reads what a task sets, or a constant that a task changes, is work
            pieces[position].role = Role.WORK
            both = changed & set(scalars(pieces[position].source))
            pieces[position].note = f"is not a parameter, because a cell below changes {min(both)}" if both else ""
    groups = group(pieces, trial)
    while redefining := _misplaced(pieces, groups):
        for position in redefining:
            pieces[position].role = Role.WORK
        trial = _trial(pieces, name)
        groups = group(pieces, trial)
    while True:
        found = _proposal(pieces, groups, trial, name)
        heads = {task.name: members for task, members in zip(found.tasks, groups.ordered(), strict=True)}
        solvable = [each for each in found.dag.errors if each.task in heads and each.code not in _OF_THE_CODE]
        if not solvable or len(heads) == 1:
            return found
        failed = heads[str(solvable[0].task)]
        ordered = list(heads.values())
        position = ordered.index(failed)
        neighbour = ordered[position - 1 if position else 1]
        why = f"{groups.label(failed[0])} is no task of its own, because {solvable[0].message}"
        groups.join(neighbour[0], failed[0], why)


def _trial(pieces: Sequence[Piece], name: str) -> Dag:
    """Return the pipeline in which each cell that does work is a task."""
    cells = []
    for position, piece in enumerate(pieces):
        header = {Role.WORK: f"%%task {TRIAL}{position}\n", Role.SETUP: "%%setup\n", Role.SCRATCH: "%%skip\n"}
        tags = (PARAMETERS_TAG,) if piece.role is Role.PARAMETERS else ()
        source = header.get(piece.role, "") + piece.source if piece.role is not None else piece.source
        cells.append(RawCell(source, piece.type, tags))
    return read_cells(cells, name=name)


def _proposal(pieces: Sequence[Piece], groups: Groups, trial: Dag, name: str) -> Suggestion:
    ordered = groups.ordered()
    names = _names(pieces, ordered, trial)
    headers = {head: f"%%task {title}" for head, title in names.items()}
    cells = _arranged(pieces, ordered, headers)
    dag = _read(cells, name)
    file_order: defaultdict[int, list[str]] = defaultdict(list)
    head_of = {title: head for head, title in names.items()}
    position = {title: n for n, title in enumerate(dag.tasks)}
    for edge in dag.file_edges:
        first, second = sorted((edge.source, edge.target), key=position.__getitem__)
        file_order[head_of[second]].append(first)
        shown = ", ".join(edge.files[:3])
        groups.reasons[head_of[second]].append(f"runs after {first}, because both use {shown}")
    for (above, below), why in groups.files.items():
        first, second = names[groups.find(above)], names[groups.find(below)]
        if first != second and first not in dag.ancestors(second) and first not in file_order[groups.find(below)]:
            file_order[groups.find(below)].append(first)
            groups.reasons[groups.find(below)].append(f"runs after {first}, because {why}")
    if any(file_order.values()):
        headers |= {head: f"{headers[head]} --after {' '.join(first)}" for head, first in file_order.items() if first}
        cells = _arranged(pieces, ordered, headers)
        dag = _read(cells, name)
    tasks = tuple(
        ProposedTask(
            name=names[members[0]],
            cells=tuple(pieces[each].cell for each in members),
            reasons=tuple(dict.fromkeys(text for each in members for text in _reasons(pieces[each], groups, each))),
        )
        for members in ordered
    )
    words = {
        Role.SETUP: "setup",
        Role.PARAMETERS: "parameters",
        Role.SCRATCH: "scratch (shows or installs something, so it does not run headlessly)",
    }
    roles: dict[int, str] = {}
    for piece in pieces:
        if piece.role in words:
            text = f"{words[piece.role]} ({piece.note})" if piece.note else words[piece.role]
            roles[piece.cell] = " and ".join(filter(None, (roles.get(piece.cell), text)))
    return Suggestion(tasks=tasks, roles=roles, cells=cells, dag=dag)


def _reasons(piece: Piece, groups: Groups, position: int) -> Iterator[str]:
    """Yield the reasons to join a piece with others or to order it, and why its constants are not parameters."""
    if piece.note:
        yield f"cell {piece.cell + 1} {piece.note}"
    yield from groups.reasons.get(position, ())


def _read(cells: Sequence[ProposedCell], name: str) -> Dag:
    return read_cells([RawCell(cell.source, cell.type, cell.tags) for cell in cells], name=name)


def _names(pieces: Sequence[Piece], ordered: Sequence[Sequence[int]], trial: Dag) -> dict[int, str]:
    """Return a name for each group: its heading if no other group has this heading, else a name from its code."""
    used_by: dict[str, set[int]] = defaultdict(set)
    for members in ordered:
        for each in members:
            used_by[pieces[each].section].add(members[0])
            used_by[pieces[each].chapter].add(members[0])
    title = next((piece.source for piece in pieces if piece.type == "markdown"), "")
    found: dict[int, str] = {}
    for members in ordered:
        sections, chapters = ({getattr(pieces[each], kind) for each in members} for kind in ("section", "chapter"))
        own = sections if len(sections) == 1 else chapters if len(chapters) == 1 else {pieces[members[0]].section}
        chosen = task_names.slug(own.pop()) if len(used_by[next(iter(own))]) == 1 else ""
        if not chosen and len(sections) > 2 and (first := task_names.headings(title)):
            chosen = task_names.slug(first[0][1])
        chosen = chosen or _name_from_code(pieces, members, trial) or f"{TRIAL}{pieces[members[0]].cell + 1}"
        found[members[0]] = task_names.unused(chosen, found.values())
    return found


def _name_from_code(pieces: Sequence[Piece], members: Sequence[int], trial: Dag) -> str:
    """Return a name from what a group's cells do, and from the last value that they make for later cells."""
    code = "\n".join(without_cell_magic(pieces[each].source) for each in members)
    tasks = [trial.tasks[f"{TRIAL}{each}"] for each in members]
    ids = {task.id for task in tasks}
    read_later = {
        use.name for edge in trial.edges if edge.source in ids and edge.target not in ids for use in edge.names
    }
    needed = [use.name for edge in trial.edges if edge.target in ids and edge.source not in ids for use in edge.names]
    assigned = set(assigned_names(code))
    made = [each for task in reversed(tasks) for each in reversed((*task.changes, *task.writes)) if each in assigned]
    made.sort(key=lambda each: each not in read_later)
    made = [each for each in made if each not in task_names.OF_A_PLOT]
    if made:
        return task_names.from_code(code, made[0])
    section = task_names.slug(pieces[members[0]].section)
    if task_names.verb(code) in SHOWS and section:
        return section
    target = needed[0] if needed else task_names.file_stem(code)
    return task_names.from_code(code, target) if target else task_names.verb(code) or section


def _misplaced(pieces: Sequence[Piece], groups: Groups) -> list[int]:
    """Return the setup cells that redefine a function and that the proposal would move across a task."""
    defined: set[str] = set()
    found = []
    sequence = _sequence(pieces, groups.ordered())
    for position, piece in enumerate(pieces):
        if piece.role is not Role.SETUP:
            continue
        names = set(defined_names(piece.source))
        if names & defined:
            place = sequence.index(position)
            above = {each for each in sequence[:place] if pieces[each].role is Role.WORK}
            if above != {each for each in groups.members if each < position}:
                found.append(position)
        defined |= names
    return found


def _sequence(pieces: Sequence[Piece], ordered: Sequence[Sequence[int]]) -> list[int]:
    """Return the positions of all pieces in the order of the proposed notebook.

    Markdown and setup cells stay above the work cell that follows them. Scratch cells stay below the work cell that
    precedes them. If a cell was below a setup cell, the cell's task stays below the setup cell.
    """
    work = [position for position, piece in enumerate(pieces) if piece.role is Role.WORK]
    others = [position for position, piece in enumerate(pieces) if piece.role is not Role.WORK]
    found = [position for position in others if position < work[0]]
    below: dict[int, list[int]] = defaultdict(list)
    above: dict[int | None, list[int]] = defaultdict(list)
    for position in others[len(found) :]:
        if pieces[position].role in (Role.SCRATCH, Role.EMPTY):
            below[max(each for each in work if each < position)].append(position)
        else:
            above[next((each for each in work if each > position), None)].append(position)
    for members in ordered:
        needed = {each for member in members for each in above[member]}
        needed |= {each for each in others if each < members[-1] and pieces[each].role is Role.SETUP}
        found += sorted(needed - set(found))
        found += members
        found += [each for member in members for each in below[member]]
    return found + above[None]


def _arranged(
    pieces: Sequence[Piece], ordered: Sequence[Sequence[int]], headers: Mapping[int, str]
) -> tuple[ProposedCell, ...]:
    """Return the cells of the proposed notebook."""
    groups = {members[0]: members for members in ordered}
    found: list[ProposedCell] = []
    before_tasks = True
    sequence = _sequence(pieces, ordered)
    for is_work, run in itertools.groupby(sequence, key=lambda position: pieces[position].role is Role.WORK):
        if not is_work:
            found += _plain(pieces, run, before_tasks=before_tasks)
            continue
        if before_tasks:
            titled = bool(found) and found[0].type == "markdown"
            found.insert(1 if titled else 0, ProposedCell(cells=(), source="%load_ext nbdag\n%dag"))
            before_tasks = False
        for head in run:
            if head in groups:
                members = groups[head]
                source = f"{headers[head]}\n{join_sources([pieces[each].source for each in members])}"
                found.append(ProposedCell(cells=tuple(pieces[each].cell for each in members), source=source))
    return tuple(found)


def _plain(pieces: Sequence[Piece], positions: Iterable[int], *, before_tasks: bool) -> Iterator[ProposedCell]:
    """Yield the cells of pieces that are no part of a task. All parameters are in one cell."""
    positions = list(positions)
    parameters = [each for each in positions if pieces[each].role is Role.PARAMETERS]
    for position in positions:
        piece = pieces[position]
        if position in parameters[1:]:
            continue
        source, tags = piece.source, piece.tags
        if parameters and position == parameters[0]:
            source = "\n".join(pieces[each].source for each in parameters)
            tags = (*(tag for tag in tags if tag != PARAMETERS_TAG), PARAMETERS_TAG)
        elif piece.role is Role.SCRATCH:
            source = f"%%skip\n{source}"
        elif piece.role is Role.SETUP and not before_tasks:
            source = f"%%setup\n{source}"
        cells = tuple(pieces[each].cell for each in parameters) if position in parameters else (piece.cell,)
        unchanged = piece.whole and source == piece.source and tags == piece.tags
        yield ProposedCell(cells=cells, source=source, type=piece.type, tags=tags, changed=not unchanged)
