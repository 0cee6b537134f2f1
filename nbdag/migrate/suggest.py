"""Propose tasks for a notebook without tags.

Each cell gets a role by its code (`cell_roles`). Then every cell that does work becomes a task of its own, and nbdag's
analysis finds what these tasks read, write and change. Tasks are joined where one of these reasons holds:

- a cell changes or replaces a value that another cell made, as `df = df.dropna()` does;
- a cell only shows values, as plots and prints do, so it joins the cell that made the latest of them;
- two cells under one heading follow each other, and nothing else depends on what passes between them;
- two cells draw from one seeded generator of random numbers;
- the proposal would have an error otherwise.

Joined cells may not enclose a cell outside: cells on a path between two joined cells are joined as well. A cell only
moves to another cell with which it is joined, and never across a cell whose names it reads or sets.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..core.cells.cells import PARAMETERS_TAG, RawCell
from ..core.cells.source import Python, to_python
from ..core.dataflow.file_order import file_calls, path_constants
from ..core.model.dag import Dag
from ..errors import NbdagError, error
from ..notebooks import read_cells
from . import task_names
from .cell_roles import Role, constants, role_of
from .groups import Groups
from .joined_source import join_sources, without_cell_magic
from .pieces import Piece, bound_names, read_pieces

_TRIAL = "cell_"  # prefix of the names of trial tasks, which are one cell each
_SHOWS = frozenset({"", "plot", "aggregate"})  # verbs of cells that join the cell whose values they show
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
    template = "{path} has no cell that could be a task: each cell only imports, defines or shows something"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedCell:
    """A cell of the proposed notebook."""

    cells: tuple[int, ...]  # numbers of the cells that it is made of, from 0; empty for a new cell
    source: str
    type: str = "code"
    tags: tuple[str, ...] = ()
    changed: bool = True  # whether the source or the tags differ from those of the one cell that it is made of


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
    # Numbers of the cells in the order in which they last ran, if the order of the file fails; else empty.
    order: tuple[int, ...] = ()

    @property
    def reordered(self) -> bool:
        """Return whether the cells are in another order than in the file."""
        return bool(self.order)

    @property
    def levels(self) -> tuple[tuple[str, ...], ...]:
        """Return the tasks by the longest path to each of them; the tasks of a level can run at the same time."""
        level: dict[str, int] = {}
        for task in self.dag.order:
            level[task] = max((level[other] + 1 for other in self.dag.upstream[task]), default=0)
        found: dict[int, list[str]] = defaultdict(list)
        for task, depth in level.items():
            found[depth].append(task)
        return tuple(tuple(found[depth]) for depth in sorted(found))


def suggest(raw: Sequence[RawCell], *, name: str, executed: Sequence[int | None] = ()) -> Suggestion:
    """Propose tasks for the cells of a notebook.

    `name` is the name of the file, and `executed` the execution count of each cell, or None. Raise
    `AlreadyTaggedError` or `NothingToSuggestError` if there is nothing to propose.
    """
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
    groups = _grouped(pieces, trial)
    while True:
        found = _proposal(pieces, groups, name)
        heads = {task.name: members for task, members in zip(found.tasks, groups.ordered(), strict=True)}
        solvable = [each for each in found.dag.errors if each.task in heads and each.code not in _OF_THE_CODE]
        if not solvable or len(heads) == 1:
            return found
        failed = heads[str(solvable[0].task)]
        ordered = list(heads.values())
        position = ordered.index(failed)
        neighbour = ordered[position - 1 if position else 1]
        groups.join(neighbour[0], failed[0], f"is no task of its own, because {solvable[0].message}")


def _trial(pieces: Sequence[Piece], name: str) -> Dag:
    """Return the pipeline in which each cell that does work is a task."""
    cells = []
    for position, piece in enumerate(pieces):
        header = {Role.WORK: f"%%task {_TRIAL}{position}\n", Role.SETUP: "%%setup\n", Role.SCRATCH: "%%skip\n"}
        tags = (PARAMETERS_TAG,) if piece.role is Role.PARAMETERS else ()
        source = header.get(piece.role, "") + piece.source if piece.role is not None else piece.source
        cells.append(RawCell(source, piece.type, tags))
    return read_cells(cells, name=name)


def _grouped(pieces: Sequence[Piece], trial: Dag) -> Groups:
    tasks = {int(id.removeprefix(_TRIAL)): task for id, task in trial.tasks.items()}
    number = {task.id: position for position, task in tasks.items()}
    after: dict[int, set[int]] = {position: set() for position in tasks}
    for edge in (*trial.edges, *trial.file_edges):
        one, other = sorted((number[edge.source], number[edge.target]))
        after[one].add(other)
    for first, task in tasks.items():
        used, made = {*task.reads, *task.writes, *task.changes}, {*task.writes, *task.changes}
        for second, later in tasks.items():
            if second > first and (used & {*later.writes, *later.changes} or made & set(later.reads)):
                after[first].add(second)
    files = _unknown_file_order(pieces, tasks)
    for above, below in files:
        after[above].add(below)
    groups = Groups(sorted(tasks), after, files)

    def label(position: int) -> str:
        return f"cell {pieces[position].cell + 1}"

    for edge in trial.edges:
        source, target = number[edge.source], number[edge.target]
        task = tasks[target]
        for use in edge.names:
            if use.name in task.changes or use.name in task.writes:
                verb = "changes" if use.name in task.changes else "replaces"
                groups.join(source, target, f"{label(target)} {verb} {use.name}, which {label(source)} made")
    for kind, drawing in _seeded(trial).items():
        first, *others = [number[id] for id in drawing]
        for other in others:
            groups.join(first, other, f"{label(other)} and {label(first)} draw from one generator ({kind})")
    for position, task in tasks.items():
        sources = [number[edge.source] for edge in trial.edges if edge.target == task.id]
        code = pieces[position].source
        if not sources or trial.downstream[task.id] or any(position in pair for pair in files):
            continue
        if task_names.verb(code) in _SHOWS and _shows(code) and not _uses_files(code):
            latest = max(sources)
            groups.join(latest, position, f"{label(position)} shows what {label(latest)} made")
    _join_chains(pieces, groups, number, trial)
    return groups


def _unknown_file_order(pieces: Sequence[Piece], positions: Iterable[int]) -> list[tuple[int, int]]:
    """Return the pairs of cells that may use one file, where one writes it and the code does not name it."""
    trees = {position: to_python(pieces[position].source) for position in range(len(pieces)) if pieces[position].role}
    setup = [
        tree.tree
        for position, tree in trees.items()
        if isinstance(tree, Python) and pieces[position].role in (Role.SETUP, Role.PARAMETERS)
    ]
    constants = path_constants(setup)
    calls: dict[int, list[tuple[str, str]]] = {}
    for position in sorted(positions):
        tree = trees[position]
        if isinstance(tree, Python) and (found := [(path, how) for path, how, _ in file_calls(tree.tree, constants)]):
            calls[position] = found
    return [
        (above, below)
        for above, first in calls.items()
        for below, second in calls.items()
        if above < below
        and any(not path for path, _ in (*first, *second))
        and any(how != "r" for _, how in (*first, *second))
    ]


def _seeded(trial: Dag) -> dict[str, list[str]]:
    """Return the tasks that draw from each generator that some cell seeds, where there are several."""
    seeded = {kind for task in trial.tasks.values() for kind in task.state_changed if kind.endswith("/generator")}
    drawing: dict[str, list[str]] = defaultdict(list)
    for task in trial.tasks.values():
        for kind, certain in task.state_observed.items():
            if kind.endswith("/generator") and (certain or kind in task.state_changed):
                drawing[kind].append(task.id)
    in_setup = any(each.code == "NB303" for each in trial.problems)
    return {kind: ids for kind, ids in drawing.items() if len(ids) > 1 and (in_setup or kind in seeded)}


def _join_chains(pieces: Sequence[Piece], groups: Groups, number: Mapping[str, int], trial: Dag) -> None:
    """Join groups under one heading that follow each other, where nothing else reads what passes between them."""
    joined = True
    while joined:
        joined = False
        below: dict[int, set[int]] = defaultdict(set)
        above: dict[int, set[int]] = defaultdict(set)
        for edge in trial.edges:
            source, target = groups.find(number[edge.source]), groups.find(number[edge.target])
            if source != target:
                below[source].add(target)
                above[target].add(source)
        for source, targets in below.items():
            target = next(iter(targets))
            section = pieces[source].section
            if len(targets) == 1 and above[target] == {source} and section and section == pieces[target].section:
                groups.join(source, target, f"cell {pieces[target].cell + 1} continues “{section}”")
                joined = True
                break


def _uses_files(code: str) -> bool:
    python = to_python(code)
    return isinstance(python, Python) and any(True for _ in file_calls(python.tree, {}))


def _shows(code: str) -> bool:
    """Return whether a cell displays something or prints."""
    python = to_python(code)
    if not isinstance(python, Python):
        return False
    last = python.tree.body[-1] if python.tree.body else None
    if isinstance(last, ast.Expr) and python.shown:
        return True
    names = {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(python.tree)
        if isinstance(node, ast.Call)
    }
    return bool(names & {"print", "display", "show"}) or task_names.verb(code) == "plot"


def _proposal(pieces: Sequence[Piece], groups: Groups, name: str) -> Suggestion:
    ordered = groups.ordered()
    names = _names(pieces, ordered, name)
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
    for above, below in groups.files:
        first, second = names[groups.find(above)], names[groups.find(below)]
        if first != second and first not in dag.ancestors(second) and first not in file_order[groups.find(below)]:
            file_order[groups.find(below)].append(first)
            reason = f"runs after {first}, because both use files, and the code does not show which"
            groups.reasons[groups.find(below)].append(reason)
    if any(file_order.values()):
        headers |= {head: f"{headers[head]} --after {' '.join(first)}" for head, first in file_order.items() if first}
        cells = _arranged(pieces, ordered, headers)
        dag = _read(cells, name)
    tasks = tuple(
        ProposedTask(
            name=names[members[0]],
            cells=tuple(pieces[each].cell for each in members),
            reasons=tuple(dict.fromkeys(text for each in members for text in groups.reasons.get(each, ()))),
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
            roles[piece.cell] = " and ".join(filter(None, (roles.get(piece.cell), words[piece.role])))
    return Suggestion(tasks=tasks, roles=roles, cells=cells, dag=dag)


def _read(cells: Sequence[ProposedCell], name: str) -> Dag:
    return read_cells([RawCell(cell.source, cell.type, cell.tags) for cell in cells], name=name)


def _names(pieces: Sequence[Piece], ordered: Sequence[Sequence[int]], name: str) -> dict[int, str]:
    """Return a name for each group: its heading if that is for this group alone, else a name from its code."""
    used_by: dict[str, set[int]] = defaultdict(set)
    for members in ordered:
        for each in members:
            used_by[pieces[each].section].add(members[0])
    trial = _trial(pieces, name)
    read_later = {use.name for edge in trial.edges for use in edge.names}
    found: dict[int, str] = {}
    for members in ordered:
        section = pieces[members[0]].section
        title = task_names.slug(section) if len(used_by[section]) == 1 else ""
        code = "\n".join(without_cell_magic(pieces[each].source) for each in members)
        written = [
            each
            for member in reversed(members)
            for each in reversed(trial.tasks[f"{_TRIAL}{member}"].writes)
            if each in set(bound_names(pieces[member].source))
        ]
        written.sort(key=lambda each: each not in read_later)
        title = title or task_names.from_code(code, written) or f"{_TRIAL}{pieces[members[0]].cell + 1}"
        found[members[0]] = task_names.unused(title, found.values())
    return found


def _arranged(
    pieces: Sequence[Piece], ordered: Sequence[Sequence[int]], headers: Mapping[int, str]
) -> tuple[ProposedCell, ...]:
    """Return the cells of the proposed notebook.

    Markdown and setup cells stay above the work cell that follows them, scratch cells below the work cell that precedes
    them.
    """
    work = [position for position, piece in enumerate(pieces) if piece.role is Role.WORK]
    first = work[0]
    above: dict[int | None, list[int]] = defaultdict(list)
    below: dict[int, list[int]] = defaultdict(list)
    start: list[int] = []
    for position, piece in enumerate(pieces):
        if piece.role is Role.WORK:
            continue
        if position < first:
            start.append(position)
        elif piece.role in (Role.SCRATCH, Role.EMPTY):
            below[max(each for each in work if each < position)].append(position)
        else:
            above[next((each for each in work if each > position), None)].append(position)
    found = list(_plain(pieces, start, before_tasks=True))
    titled = bool(found) and found[0].type == "markdown"
    found.insert(1 if titled else 0, ProposedCell(cells=(), source="%load_ext nbdag\n%dag"))
    for members in ordered:
        for member in members:
            found += _plain(pieces, above[member], before_tasks=False)
        source = f"{headers[members[0]]}\n{join_sources([pieces[each].source for each in members])}"
        found.append(ProposedCell(cells=tuple(pieces[each].cell for each in members), source=source))
        for member in members:
            found += _plain(pieces, below[member], before_tasks=False)
    return (*found, *_plain(pieces, above[None], before_tasks=False))


def _plain(pieces: Sequence[Piece], positions: Iterable[int], *, before_tasks: bool) -> Iterator[ProposedCell]:
    """Yield the cells of pieces that are no part of a task; the parameters are one cell."""
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
