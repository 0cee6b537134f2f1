"""Build the `Dag` of a notebook from its cells: tasks, edges, inputs and a run order.

`read_cells` analyses the cells from top to bottom. `reaching_definitions` finds, for each read of a name, the task that
provides the value. `shipped_definitions` selects the definitions that other tasks get as source code. `diagnostics`
finds problems. This module combines the results of these modules.

A mistake in a notebook becomes a `Problem` and never raises an exception. A notebook with a problem of severity error
does not run. Nothing here reads a file, starts a kernel or executes user code.
"""

from __future__ import annotations

import ast
import gc
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ..analysis import library_uses
from ..analysis.hidden_state import BY_KEY, observed_keys
from ..analysis.scopes import Bound
from ..cells.ignore_comments import without_ignored
from ..cells.parameter_schema import read_parameters
from ..cells.schema_check import RuleError, check_value, unknown_keywords, wrong_rules
from ..cells.source import Python, SyntaxProblem, to_python
from ..model.dag import Cell, CellKind, Dag, Edge, Input, NameUse, Place, Problem, Pull, Task, groups_of
from ..model.problems import problem, word_repair
from ..options.options import DagOptions, TaskOptions
from .control_flow import control_problems, recipient_problems, role_problems, with_roles
from .diagnostics import Diagnostics, asset_problems, cache_problems, nearest
from .file_order import with_literal_files
from .groups import Dependent, derived, with_labels
from .in_step import in_step_problems, leader_edges
from .missing_names import reported_by
from .pulls import Pulls
from .reaching_definitions import CellFlow, Version, Versions
from .read_cells import CellAnalysis, analyse_cells, executed_cells, parse
from .shipped_definitions import ShippedDefinitions
from .topological_order import Edges, cycle_problem, find_cycle, run_order
from .untagged_cells import check_untagged_cells
from .varying_setup import stored_addresses, varying_results, varying_setup

# IGNORE_SKIPS: trigger rules that run a task although an upstream task was skipped. SKIP_BY_RULE: trigger rules that
# may skip a task although all upstream tasks succeeded.
IGNORE_SKIPS = frozenset({"all_done", "none_failed", "always"})
SKIP_BY_RULE = frozenset({"one_failed", "all_failed", "all_skipped"})
RAISES_SKIP = re.compile(r"\bSkip\b")
SKIPPING_OPERATORS = re.compile(r"sensor|branch|short_circuit")


def dag_from_cells(
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
    """Return the `Dag` of a notebook, with the inferred edges and the declared edges.

    `cells` are all cells of the file, with `kind` and `code`. In a cell of an operator, `code` is the generated Python.
    `task_options` has the options by cell index; a task cell without an entry has default options. `declared` are the
    edges of `%edges` and `--after` as (source, target, place of the declaration). An edge of `--after` in
    `task_options` that is missing in `declared` is added, with line 1 as its place. `problems` are problems that the
    caller found; the result contains them too. If two cells have the same task id, the second cell is ignored, and the
    caller has already reported this.
    """
    with _without_collector():
        return _build(
            cells, dag_id, options or DagOptions(), task_options or {}, declared, list(problems), language, kernel_name
        )


@contextmanager
def _without_collector() -> Iterator[None]:
    # The garbage collector is off during the analysis. All objects live until the end, so the collector would only scan
    # them repeatedly, and the analysis of a thousand cells would take twice as long.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _build(
    cells: Sequence[Cell],
    dag_id: str,
    options: DagOptions,
    task_options: Mapping[int, TaskOptions],
    declared: Sequence[tuple[str, str, Place]],
    found: list[Problem],
    language: str,
    kernel_name: str | None,
) -> Dag:
    tasks = {cell.task: cell for cell in executed_cells(cells) if cell.kind is CellKind.TASK and cell.task is not None}
    found += role_problems(tasks, task_options)
    task_options = with_roles(tasks, task_options)
    edges, dependent = _declared(tasks, task_options, declared, found)
    parsed: dict[int, Python | SyntaxProblem] = {}
    built: dict[str, Task]
    if language != "python":
        _add_derived(tasks, task_options, edges, dependent)
        built = {name: _opaque_task(name, cell, cells, task_options) for name, cell in tasks.items()}
    else:
        built = _inferred(cells, tasks, task_options, options, edges, dependent, parsed, found)
    position = {name: number for number, name in enumerate(tasks)}
    ordered = sorted(
        with_labels(edges.values(), tasks, task_options),
        key=lambda edge: (position[edge.source], position[edge.target]),
    )
    order = run_order(list(tasks), [*ordered, *leader_edges(built)])
    # A leader (a task that --in-step names) may depend on a task in step with it. `in_step` reports this.
    if len(order) < len(tasks):
        order = run_order(list(tasks), ordered)
    if len(order) < len(tasks):
        path = find_cycle(set(tasks) - set(order), ordered)
        found.append(cycle_problem(path, edges, tasks))
        order = ()
    defaults, schemas, wrong = _parameters(cells, parsed) if language == "python" else ({}, {}, [])
    found += wrong
    dag = Dag(
        id=dag_id,
        options=options,
        cells=tuple(cells),
        tasks=built,
        edges=tuple(ordered),
        problems=tuple(dict.fromkeys(found)),
        order=order,
        parameters=defaults,
        parameter_schemas=schemas,
        language=language,
        kernel_name=kernel_name,
    )
    if language == "python":
        dag = with_literal_files(dag, parsed)
    more = (
        *cache_problems(dag),
        *asset_problems(dag),
        *control_problems(dag, parsed),
        *in_step_problems(dag, parsed),
        *recipient_problems(dag, parsed),
    )
    return without_ignored(replace(dag, problems=(*dag.problems, *more)))


def _declared(
    tasks: Mapping[str, Cell],
    task_options: Mapping[int, TaskOptions],
    declared: Sequence[tuple[str, str, Place]],
    problems: list[Problem],
) -> tuple[Edges, Dependent]:
    """Return the edges that headers and %edges declare, and the declarations that imply further edges.

    Key of an edge: (source, target).
    """
    wanted = list(declared)
    stated = {(source, target) for source, target, _ in declared}
    for name, cell in tasks.items():
        own = task_options[cell.index] if cell.index in task_options else TaskOptions()
        before = dict.fromkeys((*own.declared_after, *(other for other in own.teardown_for if other in tasks)))
        wanted += [(other, name, cell.at(1)) for other in before if (other, name) not in stated]
    groups = groups_of(tasks)
    edges: Edges = {}
    of_groups: list[tuple[str, str]] = []
    for source, target, place in wanted:
        task = tasks[target].task if target in tasks and tasks[target].in_file == place.cell else None
        unknown = [name for name in (source, target) if name not in tasks and name not in groups]
        for name in dict.fromkeys(unknown):
            others = f"expected one of {', '.join(tasks)}" if tasks else "the notebook has no tasks"
            hint = nearest(name, (*tasks, *groups)) or others
            repair = word_repair(name, (*tasks, *groups), place)
            problems.append(problem("NB203", f"unknown task {name}", hint=hint, task=task, place=place, repair=repair))
        if unknown:
            continue
        mine, others_ = (({name} if name in tasks else {*groups[name]}) for name in (source, target))
        if mine & others_:
            what = "itself" if source == target else f"its own group {source if source in groups else target}"
            message = f"{'task' if target in tasks else 'group'} {target} is declared to come after {what}"
            if source in tasks and target in groups:
                message = f"group {target} is declared to come after {source}, which is one of its tasks"
            problems.append(problem("NB207", message, hint="remove this dependency", task=task, place=place))
        elif source in tasks and target in tasks:
            edges[source, target] = Edge(source=source, target=target, declared=True)
        else:
            of_groups.append((source, target))
    teardowns = {name: task_options.get(cell.index, TaskOptions()).teardown_for for name, cell in tasks.items()}
    placed = {target for source, target, _ in wanted if source not in teardowns.get(target, ())}
    unplaced = tuple(name for name, setups in teardowns.items() if setups and name not in placed)
    return edges, Dependent(tuple(dict.fromkeys(of_groups)), unplaced)


def _add_derived(
    tasks: Mapping[str, Cell], task_options: Mapping[int, TaskOptions], edges: Edges, dependent: Dependent
) -> None:
    """Add the edges that follow from declarations of groups and teardown tasks."""
    options = {name: task_options.get(cell.index, TaskOptions()) for name, cell in tasks.items()}
    for source, target in derived(list(tasks), options, edges, dependent):
        known = edges.get((source, target), Edge(source=source, target=target))
        edges[source, target] = replace(known, declared=True)


def _inferred(
    cells: Sequence[Cell],
    tasks: Mapping[str, Cell],
    task_options: Mapping[int, TaskOptions],
    options: DagOptions,
    edges: Edges,
    dependent: Dependent,
    parsed: dict[int, Python | SyntaxProblem],
    problems: list[Problem],
) -> dict[str, Task]:
    declared = dict(edges)
    if not options.infer:
        _add_derived(tasks, task_options, declared, dependent)
    visible = None
    if not options.infer:
        ancestors = _ancestors(tasks, declared)

        def visible(reader: CellAnalysis, version: Version | None) -> Version | None:
            allowed = ancestors.get(reader.cell.task or "", frozenset())
            while version is not None and version.task is not None and version.task not in allowed:
                version = version.before
            return version

    skippable: frozenset[int] = frozenset()
    grown = _skippable(tasks, task_options, declared)
    while True:
        # Edges and the set of tasks that may be skipped depend on each other, so iterate until both are stable.
        skippable = skippable | grown
        notebook = analyse_cells(cells, task_options, skippable, parsed)
        versions = Versions(notebook, skippable, visible)
        edges.clear()
        edges.update(declared)
        _add_names(versions, edges, options.infer)
        flows = {a.analysis.cell.task: a for a in versions.flows if a.analysis.cell.kind is CellKind.TASK}
        pulls = Pulls({name: flow for name, flow in flows.items() if name is not None}, tasks)
        pulls.add_edges(edges, options.infer)
        _add_derived(tasks, task_options, edges, dependent)
        grown = _skippable(tasks, task_options, edges)
        if grown <= skippable:
            break
    problems += notebook.problems
    observed = _observed_state(cells)
    dropped, missing = check_untagged_cells(cells, task_options, skippable, parsed, versions, observed)
    reported = reported_by(problems, cells, missing)
    problems += Diagnostics(cells, versions, parsed, options.infer, observed, reported).problems()
    problems += (*varying_setup(versions, parsed), *varying_results(versions, parsed), *dropped)
    problems += stored_addresses(versions, parsed)
    shipped = ShippedDefinitions(notebook, versions.flows)
    exports: dict[str, set[str]] = defaultdict(set)
    inputs: dict[str, tuple[Input, ...]] = {}
    pulled: dict[str, tuple[Pull, ...]] = {}
    if pulls.used:
        above = _ancestors(tasks, edges)
        pulled = {name: pulls.of_task(name, above[name]) for name in flows if name is not None}
        problems += pulls.problems(above)
        for pull in (pull for found in pulled.values() for pull in found):
            if pull.name is not None:
                exports[pull.task].add(pull.name)
    for name, flow in flows.items():
        assert name is not None
        inputs[name] = _inputs(flow, versions, shipped)
        own = flow.analysis.options
        exports[name].update(own.out, own.metric, _checked(flow.analysis))
        for each in inputs[name]:
            for source in each.sources:
                exports[source].add(each.name)
    setup = [cell.index for cell in cells if cell.kind is CellKind.SETUP]
    return {
        name: replace(
            _task(name, flow, setup, inputs[name], exports[name], shipped, observed[name]), pulls=pulled.get(name, ())
        )
        for name, flow in flows.items()
        if name is not None
    }


def _add_names(versions: Versions, edges: Edges, infer: bool) -> None:
    names: dict[tuple[str, str], dict[str, NameUse]] = defaultdict(dict)
    for flow in versions.flows:
        reader = flow.analysis.cell
        if reader.kind is not CellKind.TASK or reader.task is None:
            continue
        for name, read in flow.reads.items():
            for version in versions.sources(read.version, flow.analysis):
                if version.task is not None and version.task != reader.task:
                    names[version.task, reader.task][name] = NameUse(
                        name=name,
                        read_at=reader.at(read.line),
                        written_at=version.maker.cell.at(version.line),
                        imported=version.definition is not None and bool(version.definition.imports),
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


def _inputs(flow: CellFlow, versions: Versions, shipped: ShippedDefinitions) -> tuple[Input, ...]:
    found = []
    for name, read in sorted(flow.reads.items()):
        if shipped.definition_of(read.version) is not None:
            continue
        chain = list(versions.sources(read.version, flow.analysis))
        sources = tuple(version.task for version in chain if version.task is not None)
        if sources:
            # The input is optional if it is not certain that a task binds the name, or if setup binds it, too.
            certain = chain[-1].task is not None and all(version.certain and not version.deleted for version in chain)
            optional = read.optional or not certain or chain[-1].in_setup
            found.append(Input(name=name, sources=tuple(dict.fromkeys(sources)), optional=optional))
    return tuple(found)


def _task(
    name: str,
    flow: CellFlow,
    setup: Sequence[int],
    inputs: tuple[Input, ...],
    exports: set[str],
    shipped: ShippedDefinitions,
    observed: Mapping[str, bool],
) -> Task:
    analysis = flow.analysis
    groups: list[tuple[str, ...]] = []
    rest = set(exports)
    for group in flow.groups:
        together = tuple(sorted(group & exports))
        if together:
            groups.append(together)
            rest -= group
    above = setup[: bisect_left(setup, analysis.cell.index)]
    return Task(
        id=name,
        cell=analysis.cell.index,
        options=analysis.options,
        code=analysis.cell.code,
        reads=tuple(each for each, read in flow.reads.items() if not read.optional or read.version is not None),
        writes=tuple(each for each, slot in analysis.uses.bound.items() if slot.bound in (Bound.YES, Bound.MAYBE)),
        changes=tuple(flow.changes),
        aliases={each: tuple(sorted(others)) for each, others in flow.aliases.items()},
        polls=analysis.cell.polls,
        future_annotations=analysis.uses.future_annotations,
        opaque=any(note.kind in ("opaque", "tangle") for note in analysis.uses.notes),
        inputs=inputs,
        exports=tuple(sorted([*groups, *((each,) for each in rest)])),
        definitions=shipped.needed_by(flow),
        setup=tuple(sorted({*above, *analysis.setup_below})),
        state_observed=observed,
        state_changed=tuple(dict.fromkeys(n.kind for n in analysis.uses.notes if n.kind in BY_KEY)),
    )


def _observed_state(cells: Sequence[Cell]) -> dict[str, dict[str, bool]]:
    """Return the kinds of hidden state that each task can observe, by task, in notebook order."""
    running = executed_cells(cells)
    uses = library_uses.library_uses({cell.index: cell.code for cell in running})
    tasks = [cell for cell in running if cell.kind is CellKind.TASK]
    return {cell.task: observed_keys(uses[cell.index]) for cell in tasks if cell.task is not None}


def _checked(analysis: CellAnalysis) -> set[str]:
    """Return the names that a task sets and uses in --check.

    The values of these names are stored, because users query them after a run.
    """
    trees = [python.tree for python in map(to_python, analysis.options.check) if isinstance(python, Python)]
    named = {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}
    made = {name for name, slot in analysis.uses.bound.items() if slot.bound in (Bound.YES, Bound.MAYBE)}
    return (named & made) - {each.name for each in analysis.uses.definitions}


def _opaque_task(name: str, cell: Cell, cells: Sequence[Cell], task_options: Mapping[int, TaskOptions]) -> Task:
    """Return a task in a language that nbdag does not analyse; only its header is known."""
    setup = tuple(each.index for each in cells if each.kind is CellKind.SETUP and each.index < cell.index)
    options = task_options.get(cell.index, TaskOptions())
    return Task(id=name, cell=cell.index, options=options, code=cell.code, opaque=True, setup=setup)


def _skippable(tasks: Mapping[str, Cell], task_options: Mapping[int, TaskOptions], edges: Edges) -> frozenset[int]:
    """Return the indexes of the cells whose tasks may be skipped, by --when or because of an upstream task."""
    upstream: dict[str, list[str]] = defaultdict(list)
    downstream: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        upstream[target].append(source)
        downstream[source].append(target)
    options = {name: task_options.get(cell.index, TaskOptions()) for name, cell in tasks.items()}
    found: set[str] = set()
    ahead: list[str] = []
    # Tasks with --short-circuit: if one is skipped, all its descendants are skipped, whatever their trigger rules.
    cuts_short: set[str] = set()
    for name, cell in tasks.items():
        own = options[name]
        by_rule = own.trigger in SKIP_BY_RULE and bool(upstream[name])
        by_operator = cell.polls or SKIPPING_OPERATORS.search(own.operator)
        if own.when or own.map or by_rule or by_operator or RAISES_SKIP.search(cell.code):
            ahead.append(name)
            if own.short_circuit or "short_circuit" in own.operator:
                cuts_short.add(name)
        if own.branch or own.short_circuit:  # tasks downstream may be skipped although the task itself succeeded
            ahead += downstream[name]
            cuts_short.update(downstream[name] if own.short_circuit else ())
    while ahead:
        name = ahead.pop()
        found.add(name)
        for other in downstream[name]:
            skips_next = (
                name in cuts_short
                or SKIPPING_OPERATORS.search(options[name].operator)
                or options[other].trigger not in IGNORE_SKIPS
            )
            if name in cuts_short and other not in cuts_short:
                cuts_short.add(other)
                ahead.append(other)
            elif skips_next and other not in found:
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


def _parameters(
    cells: Sequence[Cell], parsed: dict[int, Python | SyntaxProblem]
) -> tuple[dict[str, str], dict[str, Mapping[str, Any]], list[Problem]]:
    """Return the names that the parameters cells set, with their defaults and schemas, and the problems of these
    schemas.
    """
    defaults: dict[str, str] = {}
    schemas: dict[str, Mapping[str, Any]] = {}
    problems = []
    for cell in cells:
        if cell.kind is not CellKind.PARAMETERS:
            continue
        python = parse(cell, parsed)
        found = read_parameters(python.tree, cell.code) if isinstance(python, Python) else {}
        for name, each in found.items():
            schema: Mapping[str, Any] = each.schema
            # A cell that papermill has injected sets only the value, so the schema stays.
            if name in schemas and not each.declared:
                schema = {**schemas[name], "default": schema["default"]} if "default" in schema else schemas[name]
            place = cell.at(each.line)
            for keyword, why in sorted(wrong_rules(schema)):
                message = f"{keyword} of the parameter {name} is {schema[keyword]!r}, but {why}"
                problems.append(problem("NB118", message, hint="correct the rule", place=place))
                schema = {key: rule for key, rule in schema.items() if key != keyword}
            defaults[name], schemas[name] = each.default, schema
            for keyword in unknown_keywords(schema):
                message = f"nbdag does not check {keyword!r} of the parameter {name}"
                problems.append(problem("NB119", message, hint="check it in the cell that uses it", place=place))
            if "default" not in schema or schema["default"] is None:
                continue
            try:
                check_value(schema, schema["default"])
            except RuleError as broken:
                message = f"the default of the parameter {name}{broken.path} {broken.why}"
                hint = broken.hint or "change the default, or the rule"
                problems.append(problem("NB118", message, hint=hint, place=place))
    return defaults, schemas, problems
