"""Check the options for branch tasks, setup, teardown, retries and metrics, and add the options that they imply.

A task that --teardown-for names is a setup task. A teardown task has the trigger rule `all_done_setup_success`, as in
Airflow. This module reports the mistakes that can be found before a run. Examples are an option without an effect, a
teardown of an unknown task, or a branch task whose choice is not downstream of it.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Mapping
from dataclasses import replace

from ..analysis.scopes import names_of
from ..cells.source import Python, SyntaxProblem
from ..model.dag import Cell, CellKind, Dag, Problem, Repair, Task, groups_of
from ..model.job import KERNEL_DIED
from ..model.problems import problem, word_repair
from ..model.text import join_names
from ..options.option_types import nearest
from ..options.options import OPTIONS, TaskOptions

TEARDOWN_RULE = "all_done_setup_success"


def with_roles(tasks: Mapping[str, Cell], options: Mapping[int, TaskOptions]) -> Mapping[int, TaskOptions]:
    """Return the options by cell index, with the options that each --teardown-for implies."""
    named = {
        setup for cell in tasks.values() if cell.index in options for setup in options[cell.index].teardown_for
    } & tasks.keys()
    if not any(own.teardown_for for own in options.values()):
        return options
    found = dict(options)
    for name, cell in tasks.items():
        own = options.get(cell.index, TaskOptions())
        if own.teardown_for:
            own = replace(own, trigger=TEARDOWN_RULE)
        found[cell.index] = replace(own, setup=True) if name in named else own
    return found


def role_problems(tasks: Mapping[str, Cell], options: Mapping[int, TaskOptions]) -> Iterator[Problem]:
    """Yield the problems of headers that prevent building the graph or that `with_roles` would hide."""
    groups = groups_of(tasks)
    for name, cell in tasks.items():
        own = options.get(cell.index, TaskOptions())
        if name in groups:
            message = f"{name} is both a task and the group of {join_names(groups[name])}"
            yield problem("NB233", message, hint="rename the task or the group", task=name, place=cell.at(1))
        if own.teardown_for and own.trigger not in ("all_success", TEARDOWN_RULE):
            message = f"{name} is a teardown, so its trigger rule is {TEARDOWN_RULE} and cannot be {own.trigger}"
            yield problem("NB232", message, hint="remove --trigger", task=name, place=cell.at(1))
        for setup in own.teardown_for:
            if setup == name:
                message = f"{name} is declared as the teardown for itself"
                yield problem("NB231", message, hint="name its setup task", task=name, place=cell.at(1))
            elif setup not in tasks:
                near = nearest(setup, tasks)
                hint = f"did you mean {near}?" if near else "name a task of this notebook"
                message = f"--teardown-for {setup} names no task"
                if setup in groups:
                    message = f"--teardown-for {setup} names a group"
                    hint = f"name the tasks that prepare something, such as {groups[setup][0]}"
                repair = None if setup in groups else word_repair(setup, tasks, cell.at(1))
                yield problem("NB231", message, hint=hint, task=name, place=cell.at(1), repair=repair)


def control_problems(dag: Dag, parsed: Mapping[int, Python | SyntaxProblem]) -> Iterator[Problem]:
    """Yield the problems of branch tasks, short circuits, retries and metrics."""
    known: set[str] | None = None
    for task in dag.tasks.values():
        own = task.options
        if own.branch or (own.short_circuit and own.when is None):
            yield from _decision_problems(dag, task, parsed.get(task.cell))
        for name in ("approve_timeout", "approvers"):
            if getattr(own, name) and own.approve is None and name not in dag.options.defaults:
                flag = f"--{name.replace('_', '-')}"
                yield _problem(
                    dag, task, "NB314", f"{flag} is for tasks with --approve", f"add --approve TEXT, or remove {flag}"
                )
        reason = next((name for name in ("approve", "setup", "teardown_for") if getattr(own, name)), None)
        if own.cache and reason and "cache" not in dag.options.defaults:
            message = (
                f"task {task.id} runs again despite --cache: with --{reason.replace('_', '-')} it is always executed"
            )
            yield _problem(dag, task, "NB307", message, "remove --cache")
        if own.fail_run and not own.teardown_for:
            message = "--fail-run is for teardown tasks"
            yield _problem(dag, task, "NB314", message, "add --teardown-for NAME, or remove --fail-run")
        # An option that %dag sets by default is not reported, because a task's own header may turn off its retries.
        useless = [name for name in ("retry_on", "retry_if") if getattr(own, name) and name not in dag.options.defaults]
        if useless and not own.retries:
            which = f"--{useless[0].replace('_', '-')}"
            message = f"{which} says when to retry, but the task has no retries"
            yield _problem(dag, task, "NB314", message, f"add --retries 2, or remove {which}")
        yield from _metric_problems(dag, task, parsed.get(task.cell))
        for name in own.retry_on:
            known = _errors_of(dag, parsed) if known is None else known
            if "." not in name and name not in known and not task.opaque:
                near = nearest(name, {each for each in known if _is_error(each)})
                hint = f"did you mean {near}?" if near else "write the name of its class, as an import would name it"
                message = f"--retry-on names {name}, an error that neither Python nor a cell of this notebook defines"
                yield _problem(dag, task, "NB318", message, hint)


def recipient_problems(dag: Dag, parsed: Mapping[int, Python | SyntaxProblem]) -> Iterator[Problem]:
    """Yield an error for each recipient `:function` that no setup cell defines."""
    wanted = [
        (option.flag, each[1:])
        for option in OPTIONS["dag"]
        if option.recipients
        for each in getattr(dag.options, option.field)
        if each.startswith(":")
    ]
    setups = [cell for cell in dag.cells if cell.kind is CellKind.SETUP]
    trees = [parsed.get(cell.index) for cell in setups] if wanted else []
    known: set[str] = set()
    for each in trees:
        if not isinstance(each, Python):
            return  # the cell may define any name
        if _imports_all(each):
            return
        known |= set(names_of(each.tree.body).bound)
    for flag, name in wanted:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean :{near}?" if near else f"write def {name}(context): … in a setup cell"
            yield problem("NB321", f"--{flag} names :{name}, which no setup cell defines", hint=hint)


def _metric_problems(dag: Dag, task: Task, python: Python | SyntaxProblem | None) -> Iterator[Problem]:
    """Yield an error for each variable of --metric that the cell of the task cannot set."""
    names = [name for name in task.options.metric if name not in {*task.writes, *task.options.out}]
    if not names or task.opaque or not isinstance(python, Python) or _imports_all(python):
        return
    for name in names:
        cell = dag.cells[task.cell]
        near = nearest(name, task.writes)
        hint = f"did you mean {near}?" if near else f"set {name} in the cell, or remove it from --metric"
        repair = word_repair(name, task.writes, cell.at(1)) if cell.made_at is None else None
        message = f"--metric names {name}, which task {task.id} does not set"
        yield problem("NB322", message, hint=hint, task=task.id, place=cell.at(1), repair=repair)


def _imports_all(python: Python) -> bool:
    return any(isinstance(node, ast.alias) and node.name == "*" for node in ast.walk(python.tree))


def _decision_problems(dag: Dag, task: Task, python: Python | SyntaxProblem | None) -> Iterator[Problem]:
    option = "--branch" if task.options.branch else "--short-circuit"
    if task.options.cache:
        message = f"task {task.id} runs again despite --cache: the outcome of {option} is not kept"
        yield _problem(dag, task, "NB307", message, "remove --cache")
    if task.polls:
        message = f"{option} cannot be combined with --operator sensor, because a sensor's last expression is polled"
        yield _problem(dag, task, "NB314", message, f"add a task after the sensor, with {option}")
        return
    if task.options.branch and not dag.downstream[task.id]:
        message = f"no task follows the branch {task.id}"
        yield _problem(dag, task, "NB230", message, f"add --after {task.id} to the tasks that it may choose")
    if not isinstance(python, Python):
        return
    last = python.tree.body[-1] if python.tree.body else None
    if not isinstance(last, ast.Expr):
        does = "names the tasks that follow" if task.options.branch else "says whether the tasks below run"
        message = f"the last expression of {task.id} {does}, but its cell does not end with an expression"
        hint = "end the cell with the condition, or add --when" if option == "--short-circuit" else ""
        yield _problem(dag, task, "NB234", message, hint or "end the cell with the name of a task, such as 'train'")
    elif not python.shown:
        message = f"the cell of {task.id} ends with a semicolon, so its last expression has no value for {option}"
        yield _problem(dag, task, "NB234", message, "remove the semicolon")
    elif task.options.branch and dag.downstream[task.id]:
        yield from _choice_problems(dag, task, *literal_choices(python.tree, last.value))


def _choice_problems(dag: Dag, task: Task, named: tuple[str, ...], complete: bool, single: bool) -> Iterator[Problem]:
    choices = dag.choices(task.id)
    for name in named:
        if name in choices:
            continue
        if name in dag.tasks:
            message = f"the branch {task.id} names {name}, which does not follow it directly"
            hint = f"add --after {task.id} to %%task {name}"
            cell = dag.cells[dag.tasks[name].cell]
            repair = None if cell.made_at else Repair(kind="after", cells=(cell.in_file,), new=task.id)
        else:
            message = f"the branch {task.id} names {name!r}, which is neither a task nor a group"
            near = nearest(name, choices)
            hint = f"did you mean {near}?" if near else f"expected one of {join_names(choices)}"
            repair = None
        yield _problem(dag, task, "NB230", message, hint, repair)
    if complete and all(name in choices for name in named):
        yield from _join_problems(dag, task, named) if single else ()
        run = dag.followed(task.id, named)
        for other in dag.downstream[task.id]:
            if other not in run and not dag.tasks[other].options.teardown_for:
                message = f"the branch {task.id} never names {other}, which follows it, so {other} is always skipped"
                hint = f"name {other} in {task.id}, or let {other} follow a task that {task.id} names"
                yield _problem(dag, dag.tasks[other], "NB319", message, hint)


def _join_problems(dag: Dag, branch: Task, named: tuple[str, ...]) -> Iterator[Problem]:
    """Yield a warning for each task that needs several alternatives, if the branch task chooses only one of them."""
    sides = [{*(members := dag.members(name)), *dag.descendants(*members)} for name in named]
    for task in dag.tasks.values():
        if task.options.trigger != "all_success" or any(task.id in dag.members(name) for name in named):
            continue
        needed = [name for name, side in zip(named, sides, strict=True) if not side.isdisjoint(dag.upstream[task.id])]
        if len(needed) > 1 and not any(
            len([name for name, side in zip(named, sides, strict=True) if other in side]) > 1
            for other in dag.upstream[task.id]
        ):
            needs = f"it needs {join_names(needed)}, but {branch.id} chooses only one of them"
            message = f"{task.id} is always skipped: {needs}"
            hint = "add --trigger none_failed_min_one_success"
            yield _problem(dag, task, "NB319", message, hint)


def literal_choices(tree: ast.Module, value: ast.expr) -> tuple[tuple[str, ...], bool, bool]:
    """Return the texts that an expression may evaluate to, and two facts about the expression.

    The first fact is whether these texts and None are certainly the only values of the expression. The second fact is
    whether the expression certainly names at most one task.
    """
    found: dict[str, None] = {}
    complete = single = True
    ahead: list[ast.expr] = [value]
    seen: set[str] = set()
    while ahead:
        match ahead.pop(0):
            case ast.Constant(value=str(text)):
                found[text] = None
            case ast.Constant(value=None):
                pass
            case ast.IfExp(body=body, orelse=orelse):
                ahead += [body, orelse]
            case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
                ahead += elements
                single = len(elements) < 2 and single
            case ast.NamedExpr(value=inner):
                ahead.append(inner)
            case ast.Subscript(value=ast.Dict(values=values)):
                ahead += values
            case ast.Name(id=name) if name not in seen and (given := _assigned(tree, name)):
                seen.add(name)
                ahead += given
            case ast.Name(id=name) if name in seen:
                pass
            case _:
                complete = False
    return tuple(found), complete, single and complete


def _assigned(tree: ast.Module, name: str) -> list[ast.expr]:
    """Return the values that the cell assigns to a name, or no values if another kind of statement sets the name."""
    values: list[ast.expr] = []
    stores = 0
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                values.append(value)
            case ast.Name(id=target, ctx=ast.Store()) if target == name:
                stores += 1
    return values if len(values) == stores else []


def _errors_of(dag: Dag, parsed: Mapping[int, Python | SyntaxProblem]) -> set[str]:
    """Return the names that may be error classes: Python's built-in names, and names in the notebook's code."""
    names = {*vars(builtins), *KERNEL_DIED}
    for cell in dag.cells:
        python = parsed.get(cell.index)
        if cell.kind is not CellKind.PROSE and isinstance(python, Python):
            names |= names_of(python.tree.body).bound
            names |= {node.attr for node in ast.walk(python.tree) if isinstance(node, ast.Attribute)}
    return names


def _is_error(name: str) -> bool:
    found = getattr(builtins, name, None)
    return found is None or (isinstance(found, type) and issubclass(found, BaseException))


def _problem(dag: Dag, task: Task, code: str, message: str, hint: str, repair: Repair | None = None) -> Problem:
    return problem(code, message, hint=hint, task=task.id, place=dag.cells[task.cell].at(1), repair=repair)
