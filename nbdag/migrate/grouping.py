"""The rules that decide which pieces (cells or parts of cells) become one task; `suggest` lists these rules."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ..core.cells.source import Python, to_python
from ..core.model.dag import Dag, Task
from . import task_names
from .file_use import unshown_pairs, uses_files
from .groups import Groups, ancestors
from .pieces import Piece

TRIAL = "cell_"  # prefix of the names of trial tasks; a trial task is one piece
_MOST_BETWEEN = 2  # two cells that change one value are joined if at most this number of cells is between them
# In a notebook with at most this number of cells, cells without headings stay separate tasks even for the same work.
_FEW = 8
SHOWS = frozenset({"", "plot", "aggregate", "evaluate"})  # verbs of cells that may only show values
# Calls whose value belongs to one process: connections, open files, threads and iterators.
_OPENS = frozenset({"connect", "create_engine", "cursor", "open", "reader", "writer", "iter", "socket"}) | frozenset(
    {"Lock", "Thread", "Popen", "Pool", "ThreadPool", "ThreadPoolExecutor", "ProcessPoolExecutor", "ZipFile", "File"}
)


def group(pieces: Sequence[Piece], trial: Dag) -> Groups:
    """Group the pieces that do work. In the pipeline `trial`, each of these pieces is a task."""
    return _Grouping(pieces, trial).groups


class _Grouping:
    """The groups of one notebook while the rules join them, one rule after the other."""

    def __init__(self, pieces: Sequence[Piece], trial: Dag) -> None:
        self.pieces = pieces
        self.trial = trial
        self.tasks = {int(id.removeprefix(TRIAL)): task for id, task in trial.tasks.items()}
        self.number = {task.id: position for position, task in self.tasks.items()}
        self.values = [(self.number[edge.source], self.number[edge.target]) for edge in trial.edges]
        files = unshown_pairs(pieces, self.tasks)
        after = _order(self.tasks, self.values, trial, files, self.number)
        self.groups = Groups(sorted(self.tasks), self._label, after, files)
        for position in self.tasks:
            if position + 1 in self.tasks and pieces[position].cell == pieces[position + 1].cell:
                why = f"has only the start of {self._label(position)}: its end fills a collection, as other cells do"
                self.groups.reasons[position].append(why)
        self._join_users_of_open_things()
        self._join_users_of_generators()
        self._join_changes()
        leaves = [position for position in self.tasks if self._is_leaf(position)]
        self._join_shows(leaves)
        self._join_trials(leaves)
        self._join_chains()
        self._join_shows_of_chapters(leaves)

    def _label(self, position: int) -> str:
        return f"cell {self.pieces[position].cell + 1}"

    def _join_users_of_open_things(self) -> None:
        generators = {name for piece in self.pieces if piece.role for name in _generator_functions(piece.source)}
        for edge in self.trial.edges:
            source, target = self.number[edge.source], self.number[edge.target]
            opened = set(_opened(self.pieces[source].source, generators))
            for name in sorted(opened & {use.name for use in edge.names}):
                why = f"{self._label(target)} uses {name} of {self._label(source)}, which no other process can use"
                self.groups.join(source, target, why)

    def _join_users_of_generators(self) -> None:
        for kind, drawing in _seeded(self.trial).items():
            first, *others = [self.number[id] for id in drawing]
            for other in others:
                why = f"{self._label(other)} and {self._label(first)} draw from one generator ({kind})"
                self.groups.join(first, other, why)

    def _join_changes(self) -> None:
        """Join a cell that changes or replaces a value to the cell that made the value, if little work lies between."""
        for edge in self.trial.edges:
            source, target = self.number[edge.source], self.number[edge.target]
            task = self.tasks[target]
            for use in edge.names:
                if use.name not in task.changes and use.name not in task.writes:
                    continue
                between = self.groups.between(source, target)
                if sum(self.groups.find(each) in between for each in self.tasks) <= _MOST_BETWEEN:
                    verb = "changes" if use.name in task.changes else "replaces"
                    why = f"{self._label(target)} {verb} {use.name}, which {self._label(source)} made"
                    self.groups.join(source, target, why)

    def _is_leaf(self, position: int) -> bool:
        """Return whether a piece only shows or checks values, and no other piece needs it."""
        code = self.pieces[position].source
        if self.trial.downstream[self.tasks[position].id] or uses_files(code):
            return False
        return task_names.verb(code) in SHOWS and _shows(code)

    def _join_shows(self, leaves: Sequence[int]) -> None:
        """If a cell only shows values, join it to the cell under its heading that made the last of these values."""
        for position in leaves:
            sources = [source for source, target in self.values if target == position]
            if not sources:
                continue
            latest = max(sources)
            head, links = self.groups.find(latest), self.groups.linked(self.values)
            others = {self.groups.find(each) for each in sources} - {head}
            same = self.pieces[latest].section == self.pieces[position].section
            if same and others <= ancestors(links, head) and not self.groups.between(latest, position):
                self.groups.join(latest, position, f"{self._label(position)} shows what {self._label(latest)} made")

    def _join_trials(self, leaves: Sequence[int]) -> None:
        """If a cell only tries functions of setup, join it with another cell under the same heading."""
        fed = {target for _, target in self.values}
        trials = {position for position in leaves if position not in fed and self.pieces[position].section}
        for position in sorted(trials):
            section = self.pieces[position].section
            near = [each for each in self.tasks if each != position and self.pieces[each].section == section]
            near = [each for each in near if each not in trials] or near
            if not near:
                continue
            other = max([each for each in near if each < position], default=min(near))
            if not self.groups.between(other, position):
                self.groups.join(other, position, f"{self._label(position)} tries functions under “{section}”")

    def _join_shows_of_chapters(self, leaves: Sequence[int]) -> None:
        """Join the cells that only show values and that are under one heading or its subheadings."""
        leaf = set(leaves)
        last: dict[str, int] = {}
        for head, members in self.groups.groups().items():
            chapter = self.pieces[head].chapter
            if not chapter or not leaf.issuperset(members):
                continue
            if chapter in last and not self.groups.between(last[chapter], head):
                self.groups.join(last[chapter], head, f"{self._label(head)} shows values under “{chapter}” as well")
            last.setdefault(chapter, head)

    def _join_chains(self) -> None:
        """Join two groups that follow each other under one heading, if no third could run parallel to the second."""
        while (pair := self._next_of_chain()) is not None:
            source, target = pair
            section = self.pieces[target].section
            why = f"continues “{section}”" if section else f"only continues {self._label(source)}"
            self.groups.join(source, target, f"{self._label(target)} {why}")

    def _next_of_chain(self) -> tuple[int, int] | None:
        links = self.groups.linked(self.values)
        for source, targets in links.items():
            section = self.pieces[source].section
            inside = [each for each in targets if self.pieces[each].section == section]
            if len(inside) != 1 or (not section and not self._same_work(source, inside[0], targets)):
                continue
            target = inside[0]
            above = {each for each, below in links.items() if target in below} - {source}
            if above <= ancestors(links, source) and not self.groups.between(source, target):
                return source, target
        return None

    def _same_work(self, source: int, target: int, targets: set[int]) -> bool:
        """Return whether `target` alone follows `source` and has the same verb or none; False for a short notebook.

        Called only for groups without a heading.
        """
        verbs = [task_names.verb(self.pieces[each].source) for each in (source, target)]
        return len(self.tasks) > _FEW and len(targets) == 1 and verbs[1] in ("", verbs[0])


def _order(
    tasks: Mapping[int, Task],
    values: Sequence[tuple[int, int]],
    trial: Dag,
    files: Mapping[tuple[int, int], str],
    number: Mapping[str, int],
) -> dict[int, set[int]]:
    """For each piece, return the pieces that must stay below it: those that use its values, names or files."""
    after: dict[int, set[int]] = {position: set() for position in tasks}
    for one, other in (*values, *((number[edge.source], number[edge.target]) for edge in trial.file_edges), *files):
        after[min(one, other)].add(max(one, other))
    for first, task in tasks.items():
        used, made = {*task.reads, *task.writes, *task.changes}, {*task.writes, *task.changes}
        for second, later in tasks.items():
            if second > first and (used & {*later.writes, *later.changes} or made & set(later.reads)):
                after[first].add(second)
    return after


def _seeded(trial: Dag) -> dict[str, list[str]]:
    """For each seeded generator of random numbers from which several tasks draw, return these tasks."""
    seeded = {kind for task in trial.tasks.values() for kind in task.state_changed if kind.endswith("/generator")}
    drawing: dict[str, list[str]] = defaultdict(list)
    for task in trial.tasks.values():
        for kind, certain in task.state_observed.items():
            if kind.endswith("/generator") and (certain or kind in task.state_changed):
                drawing[kind].append(task.id)
    in_setup = any(each.code == "NB303" for each in trial.problems)
    return {kind: ids for kind, ids in drawing.items() if len(ids) > 1 and (in_setup or kind in seeded)}


def _opened(source: str, generators: set[str]) -> Iterator[str]:
    """Yield the names that a cell sets to a connection, an open file or another value of one process."""
    python = to_python(source)
    for statement in python.tree.body if isinstance(python, Python) else ():
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.GeneratorExp()):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function, args=args)):
                called = ast.unparse(function).rpartition(".")[2]
                zipped = called == "load" and any(str(getattr(each, "value", "")).endswith(".npz") for each in args)
                if called in _OPENS or called in generators or zipped:
                    yield name


def _generator_functions(source: str) -> Iterator[str]:
    python = to_python(source)
    for node in ast.walk(python.tree) if isinstance(python, Python) else ():
        if isinstance(node, ast.FunctionDef) and any(
            isinstance(each, (ast.Yield, ast.YieldFrom)) for each in ast.walk(node)
        ):
            yield node.name


def _shows(code: str) -> bool:
    """Return whether a cell displays, prints or asserts something."""
    python = to_python(code)
    if not isinstance(python, Python):
        return False
    last = python.tree.body[-1] if python.tree.body else None
    if isinstance(last, ast.Assert) or (isinstance(last, ast.Expr) and python.shown):
        return True
    names = {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(python.tree)
        if isinstance(node, ast.Call)
    }
    return bool(names & {"print", "display", "show"}) or task_names.verb(code) == "plot"
