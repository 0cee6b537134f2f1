"""What each task takes from which: a notebook's cells become a `Dag`.

`sweep` reads the cells from top to bottom, `versions` finds which task's value each read is of, `replay` which
definitions travel as source, `doubts` what is wrong. Here it all becomes tasks, edges and an order.

Nothing here raises for what a person wrote: whatever is wrong becomes a `Problem`, and errors keep a notebook from
running. Nothing here reads a file, knows of a kernel or runs user code.
"""

from __future__ import annotations

import ast
import gc
import heapq
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

from ..analysis.scopes import Bound
from ..cells.source import Python, SyntaxProblem, to_python
from ..model.dag import Cell, CellKind, Dag, Edge, Input, NameUse, Place, Problem, Task
from ..model.problems import problem
from ..options.options import DagOptions, TaskOptions
from .diagnostics import Doubts, cache_problems, nearest
from .reaching_definitions import Account, Version, Versions
from .read_cells import Reading, in_order, parse, sweep
from .shipped_definitions import Replayed

# Under these rules an upstream that was skipped does not skip the task; under those, a success may.
SPREADS_NOT = frozenset({"all_done", "none_failed", "always", "all_done_setup_success"})
SKIPS_BY_ITSELF = frozenset({"one_failed", "all_failed", "all_skipped"})
SKIPS = re.compile(r"\bSkip\b")
DECIDES = re.compile(r"sensor|branch|short_circuit")


def understand(
    cells: Sequence[Cell],
    *,
    dag_id: str,
    options: DagOptions | None = None,
    task_options: Mapping[int, TaskOptions] | None = None,
    declared: Sequence[tuple[str, str, Place]] = (),
    problems: Sequence[Problem] = (),
    language: str = "python",
    kernel_name: str | None = None,
) -> Dag:
    """Find out what depends on what.

    `cells` are all cells of the file, sorted into kinds, with `code` set (for an operator, the Python that it makes).
    `task_options` are by cell index; a task cell that is left out has the defaults. `declared` are the edges of
    `%edges` and `--after` as (source, target, where it says so); what `--after` says and `declared` does not is taken
    from `task_options`, with line 1 as its place. `problems` were found before and are kept. Of two cells with one
    task id the first counts: the caller has said so already.
    """
    with _without_collector():
        return _understand(
            cells, dag_id, options or DagOptions(), task_options or {}, declared, list(problems), language, kernel_name
        )


@contextmanager
def _without_collector() -> Iterator[None]:
    # Everything that analysis makes lives until its end, so the cycle collector would look through all of it again
    # and again and find nothing: half of the time for a thousand cells.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _understand(
    cells: Sequence[Cell],
    dag_id: str,
    options: DagOptions,
    said: Mapping[int, TaskOptions],
    declared: Sequence[tuple[str, str, Place]],
    found: list[Problem],
    language: str,
    kernel_name: str | None,
) -> Dag:
    tasks = {cell.task: cell for cell in in_order(cells) if cell.kind is CellKind.TASK and cell.task is not None}
    edges = _declared(tasks, said, declared, found)
    parsed: dict[int, Python | SyntaxProblem] = {}
    built: dict[str, Task]
    if language != "python":
        built = {name: _opaque_task(name, cell, cells, said) for name, cell in tasks.items()}
    else:
        built = _inferred(cells, tasks, said, options, edges, parsed, found)
    position = {name: number for number, name in enumerate(tasks)}
    ordered = sorted(edges.values(), key=lambda edge: (position[edge.source], position[edge.target]))
    order = run_order(list(tasks), ordered)
    if len(order) < len(tasks):
        path = _cycle(set(tasks) - set(order), ordered)
        found.append(_cycle_problem(path, edges, tasks))
        order = ()
    dag = Dag(
        id=dag_id,
        options=options,
        cells=tuple(cells),
        tasks=built,
        edges=tuple(ordered),
        problems=tuple(dict.fromkeys(found)),
        order=order,
        parameters=_parameters(cells, parsed) if language == "python" else {},
        language=language,
        kernel_name=kernel_name,
    )
    return replace(dag, problems=(*dag.problems, *cache_problems(dag)))


Edges = dict[tuple[str, str], Edge]


def _declared(
    tasks: Mapping[str, Cell],
    said: Mapping[int, TaskOptions],
    declared: Sequence[tuple[str, str, Place]],
    problems: list[Problem],
) -> Edges:
    """The edges that headers and %edges say, by source and target."""
    wanted = list(declared)
    stated = {(source, target) for source, target, _ in declared}
    for name, cell in tasks.items():
        after = said[cell.index].after if cell.index in said else ()
        wanted += [(other, name, cell.at(1)) for other in after if (other, name) not in stated]
    edges: Edges = {}
    for source, target, place in wanted:
        task = tasks[target].task if target in tasks and tasks[target].in_file == place.cell else None
        unknown = [name for name in (source, target) if name not in tasks]
        for name in dict.fromkeys(unknown):
            hint = nearest(name, tasks) or f"the tasks are: {', '.join(tasks) or 'none'}"
            problems.append(problem("NB203", f"there is no task {name}", hint=hint, task=task, place=place))
        if not unknown and source == target:
            message = f"task {source} is said to come after itself"
            problems.append(problem("NB207", message, hint="leave it out", task=task, place=place))
        elif not unknown:
            edges[source, target] = Edge(source=source, target=target, declared=True)
    return edges


def _inferred(
    cells: Sequence[Cell],
    tasks: Mapping[str, Cell],
    said: Mapping[int, TaskOptions],
    options: DagOptions,
    edges: Edges,
    parsed: dict[int, Python | SyntaxProblem],
    problems: list[Problem],
) -> dict[str, Task]:
    declared = dict(edges)
    visible = None
    if not options.infer:
        ancestors = _ancestors(tasks, declared)

        def visible(reader: Reading, version: Version | None) -> Version | None:
            allowed = ancestors.get(reader.cell.task or "", frozenset())
            while version is not None and version.task is not None and version.task not in allowed:
                version = version.before
            return version

    skippable: frozenset[int] = frozenset()
    grown = _skippable(tasks, said, declared)
    while True:
        # Who may be skipped follows from who depends on whom, which follows from who may be skipped.
        skippable = skippable | grown
        swept = sweep(cells, said, skippable, parsed)
        versions = Versions(swept, skippable, visible)
        edges.clear()
        edges.update(declared)
        _add_names(versions, edges, options.infer)
        grown = _skippable(tasks, said, edges)
        if grown <= skippable:
            break
    problems += swept.problems
    problems += Doubts(cells, versions, parsed, options.infer).all()
    replayed = Replayed(swept, versions.accounts)
    exports: dict[str, set[str]] = defaultdict(set)
    inputs: dict[str, tuple[Input, ...]] = {}
    accounts = {a.reading.cell.task: a for a in versions.accounts if a.reading.cell.kind is CellKind.TASK}
    for name, account in accounts.items():
        assert name is not None
        inputs[name] = _inputs(account, versions, replayed)
        exports[name].update(account.reading.options.out, _checked(account.reading))
        for each in inputs[name]:
            for source in each.sources:
                exports[source].add(each.name)
    setup = [cell.index for cell in cells if cell.kind is CellKind.SETUP]
    return {
        name: _task(name, account, setup, inputs[name], exports[name], replayed)
        for name, account in accounts.items()
        if name is not None
    }


def _add_names(versions: Versions, edges: Edges, infer: bool) -> None:
    names: dict[tuple[str, str], dict[str, NameUse]] = defaultdict(dict)
    for account in versions.accounts:
        reader = account.reading.cell
        if reader.kind is not CellKind.TASK or reader.task is None:
            continue
        for name, read in account.reads.items():
            for version in versions.sources(read.version):
                if version.task is not None and version.task != reader.task:
                    names[version.task, reader.task][name] = NameUse(
                        name=name,
                        read_at=reader.at(read.line),
                        written_at=version.maker.cell.at(version.line),
                    )
    for (source, target), found in names.items():
        known = edges.get((source, target))
        if known is not None or infer:
            edges[source, target] = Edge(
                source=source,
                target=target,
                declared=known is not None and known.declared,
                names=tuple(found[name] for name in sorted(found)),
            )


def _inputs(account: Account, versions: Versions, replayed: Replayed) -> tuple[Input, ...]:
    found = []
    for name, read in sorted(account.reads.items()):
        if replayed.of(read.version) is not None:
            continue
        chain = list(versions.sources(read.version))
        sources = tuple(version.task for version in chain if version.task is not None)
        if sources:
            # The last may be missing because nobody bound it, or because setup gives it then.
            certain = chain[-1].task is not None and all(version.certain and not version.gone for version in chain)
            optional = read.optional or not certain or chain[-1].in_setup
            found.append(Input(name=name, sources=tuple(dict.fromkeys(sources)), optional=optional))
    return tuple(found)


def _task(
    name: str,
    account: Account,
    setup: Sequence[int],
    inputs: tuple[Input, ...],
    exports: set[str],
    replayed: Replayed,
) -> Task:
    reading = account.reading
    groups: list[tuple[str, ...]] = []
    rest = set(exports)
    for group in account.groups:
        together = tuple(sorted(group & exports))
        if together:
            groups.append(together)
            rest -= group
    above = setup[: bisect_left(setup, reading.cell.index)]
    return Task(
        id=name,
        cell=reading.cell.index,
        options=reading.options,
        code=reading.cell.code,
        reads=tuple(each for each, read in account.reads.items() if not read.optional or read.version is not None),
        writes=tuple(each for each, slot in reading.uses.bound.items() if slot.bound in (Bound.YES, Bound.MAYBE)),
        changes=tuple(account.changes),
        aliases={each: tuple(sorted(others)) for each, others in account.aliases.items()},
        opaque=any(note.kind in ("opaque", "tangle") for note in reading.uses.notes),
        inputs=inputs,
        exports=tuple(sorted([*groups, *((each,) for each in rest)])),
        definitions=replayed.needed(account),
        setup=tuple(sorted({*above, *reading.late})),
    )


def _checked(reading: Reading) -> set[str]:
    """The values that a task makes and checks: what was checked is what people ask for afterwards."""
    trees = [python.tree for python in map(to_python, reading.options.check) if isinstance(python, Python)]
    named = {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}
    made = {name for name, slot in reading.uses.bound.items() if slot.bound in (Bound.YES, Bound.MAYBE)}
    return (named & made) - {each.name for each in reading.uses.definitions}


def _opaque_task(name: str, cell: Cell, cells: Sequence[Cell], said: Mapping[int, TaskOptions]) -> Task:
    """A task in a language that is not read: only what headers say of it is known."""
    setup = tuple(each.index for each in cells if each.kind is CellKind.SETUP and each.index < cell.index)
    options = said.get(cell.index, TaskOptions())
    return Task(id=name, cell=cell.index, options=options, code=cell.code, opaque=True, setup=setup)


def _skippable(tasks: Mapping[str, Cell], said: Mapping[int, TaskOptions], edges: Edges) -> frozenset[int]:
    """The cells of tasks that may be skipped, by themselves or because of what they follow."""
    upstream: dict[str, list[str]] = defaultdict(list)
    downstream: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        upstream[target].append(source)
        downstream[source].append(target)
    options = {name: said.get(cell.index, TaskOptions()) for name, cell in tasks.items()}
    found: set[str] = set()
    ahead: list[str] = []
    whole: set[str] = set()  # their skipping skips every descendant, whatever its rule
    for name, cell in tasks.items():
        own = options[name]
        by_rule = own.trigger in SKIPS_BY_ITSELF and bool(upstream[name])
        if own.when or own.map or by_rule or DECIDES.search(own.operator) or SKIPS.search(cell.code):
            ahead.append(name)
            if own.short_circuit or "short_circuit" in own.operator:
                whole.add(name)
    while ahead:
        name = ahead.pop()
        found.add(name)
        for other in downstream[name]:
            spreads = (
                name in whole or DECIDES.search(options[name].operator) or options[other].trigger not in SPREADS_NOT
            )
            if name in whole and other not in whole:
                whole.add(other)
                ahead.append(other)
            elif spreads and other not in found:
                ahead.append(other)
    return frozenset(tasks[name].index for name in found)


def _ancestors(tasks: Iterable[str], edges: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    upstream: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        upstream[target].append(source)
    found: dict[str, frozenset[str]] = {}
    for task in tasks:
        seen: set[str] = set()
        ahead = list(upstream[task])
        while ahead:
            name = ahead.pop()
            if name not in seen:
                seen.add(name)
                ahead.extend(upstream[name])
        found[task] = frozenset(seen)
    return found


def run_order(tasks: Sequence[str], edges: Iterable[Edge]) -> tuple[str, ...]:
    """The tasks so that each follows what it depends on, the higher up in the notebook first; a cycle is left out."""
    position = {task: number for number, task in enumerate(tasks)}
    waiting = dict.fromkeys(tasks, 0)
    downstream: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        waiting[edge.target] += 1
        downstream[edge.source].append(edge.target)
    ready = [position[task] for task in tasks if not waiting[task]]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        task = tasks[heapq.heappop(ready)]
        order.append(task)
        for other in downstream[task]:
            waiting[other] -= 1
            if not waiting[other]:
                heapq.heappush(ready, position[other])
    return tuple(order)


def _cycle(left: set[str], edges: Iterable[Edge]) -> list[str]:
    """One circle among tasks that wait for each other, its first task repeated at the end."""
    upstream: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        if edge.source in left and edge.target in left:
            upstream[edge.target].append(edge.source)
    # Every task that is left and follows one of those: going up from any of them, one is met again.
    task = sorted(name for name in left if upstream[name])[0]
    path = [task]
    while True:
        task = sorted(upstream[task])[0]
        if task in path:
            return [task, *reversed(path[path.index(task) :])]
        path.append(task)


def _cycle_problem(path: Sequence[str], edges: Edges, tasks: Mapping[str, Cell]) -> Problem:
    steps = []
    for source, target in pairwise(path):
        names = ", ".join(use.name for use in edges[source, target].names)
        steps.append(f" -({names})-> {target}" if names else f" -> {target}")
    # What no variable shows is the easiest to drop.
    declared = [pair for pair in pairwise(path) if edges[pair].declared]
    declared.sort(key=lambda pair: len(edges[pair].names))
    hint = "drop one of these dependencies"
    if declared:
        hint = f"drop what says that {declared[0][1]} comes after {declared[0][0]}"
    place = tasks[path[0]].at(1)
    message = f"tasks form a cycle: {path[0]}{''.join(steps)}"
    return problem("NB202", message, hint=hint, task=path[0], place=place)


def _parameters(cells: Sequence[Cell], parsed: dict[int, Python | SyntaxProblem]) -> dict[str, str]:
    """The names that the parameters cells set, each with the source of its default; the last one counts."""
    found: dict[str, str] = {}
    for cell in cells:
        if cell.kind is not CellKind.PARAMETERS:
            continue
        python = parse(cell, parsed)
        for statement in python.tree.body if isinstance(python, Python) else ():
            match statement:
                case ast.Assign(targets=targets, value=value):
                    names = [each.id for each in targets if isinstance(each, ast.Name)]
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    names = [name]
                case _:
                    continue
            found |= dict.fromkeys(names, ast.unparse(value))
    return found
