"""Run one task's cell in this process, with given inputs.

The steps and their order are those of an attempt in a run: parameters, setup, definitions of other tasks, inputs,
`--when`, the cell, `--check`. They run in the process of the test, so a debugger, `monkeypatch` and `coverage` work,
and inputs need not be stored. In a traceback, pytest shows the test and the cell, and hides the frames between them
(`__tracebackhide__`). Unlike an attempt, the cell shares modules and environment with other tests.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import building
from ..core.cells import parameter_types
from ..core.cells.source import Python, to_python
from ..core.model.dag import CellKind, Dag, Task
from ..core.model.text import join_names
from ..core.options.option_types import nearest
from ..errors import NbdagError, Skip, error
from ..kernels.runtime.expressions import check, choice, is_true, when_holds
from ..task_api.context import DagRun, PulledValues, set_current
from .cell_files import CellFiles
from .shell import Display, captured


@error
class TaskTestError(NbdagError):
    """A task cannot be run by a test."""

    path: str
    message: str
    hint: str
    template = "{path}: {message}; {hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """The result of one run of a task's cell. `result["accuracy"]` is an output."""

    outputs: Mapping[str, Any]  # the names that the cell sets or changes, with their values
    value: Any = None  # the value of the last expression
    displays: Sequence[Display] = ()  # what the cell displayed, including the value of the last expression
    stdout: str = ""
    stderr: str = ""
    skipped: str | None = None  # why the task was skipped; None if it was not
    # Tasks that a branch task chose; () if the condition of --short-circuit was false; None in any other case.
    chosen: tuple[str, ...] | None = None
    pushed: Mapping[str, Any] = field(default_factory=dict)  # values of `ti.xcom_push`, by key

    def __getitem__(self, name: str) -> Any:
        if name not in self.outputs:
            near = nearest(name, self.outputs)
            known = f"did you mean {near}?" if near else f"the outputs are {join_names(list(self.outputs)) or 'none'}"
            raise KeyError(f"the task has no output {name!r}; {known}")
        return self.outputs[name]


def run_task(
    notebook: str | os.PathLike[str],
    task: str,
    *,
    inputs: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> TaskResult:
    """Run one task of a notebook with these inputs, and return its outputs and displays.

    `inputs` has the values that the task reads from other tasks. For a mapped task, it also has one element of the
    mapped list. It may also replace names of setup, for example a function that reads a database. `parameters` override
    the defaults of the parameters cells. The cell runs in the notebook's folder.

    An error of the cell is raised unchanged. Raise `TaskTestError` if an input is missing or unknown.
    """
    __tracebackhide__ = True
    path = Path(notebook)
    dag = _read(path, _version(path))
    if dag.errors:
        first = dag.errors[0]
        where = f"{first.place}: " if first.place else ""
        raise TaskTestError(str(path), f"{where}{first.message} ({first.code})", first.hint or "correct the notebook")
    found = _task_of(dag, task, path)
    given = dict(inputs or {})
    _check_inputs(dag, found, given, path)
    params = _check_parameters(dag, dict(parameters or {}), path)
    return _Attempt(path, dag, found, given, params).run()


@dataclass(slots=True)
class _Attempt:
    path: Path
    dag: Dag
    task: Task
    inputs: Mapping[str, Any]
    parameters: Mapping[str, Any]

    def run(self) -> TaskResult:
        __tracebackhide__ = True
        module = ModuleType("__main__")
        names = module.__dict__
        params = dict(self.parameters)
        run = DagRun.of(
            {"dag_id": self.dag.id, "run_id": "test", "task_id": self.task.id, "owner": self.dag.options.owner},
            params=params,
            found=self._pulled,
            tasks=tuple(dict.fromkeys(each.task for each in self.task.pulls)),
        )
        names["dag_run"] = run
        files = CellFiles(self.path)
        options = self.task.options
        skipped, value, chosen = None, None, None
        with _in_folder(self.path.absolute().parent), captured(module) as shell:
            set_current(run)
            try:
                for cell in self.dag.cells:
                    if cell.kind is CellKind.PARAMETERS:
                        shell.execute(cell.code, files.name(cell.code, f"cell_{cell.in_file + 1}"))
                names.update(self.parameters)
                for index in self.task.setup:
                    cell = self.dag.cells[index]
                    shell.execute(cell.code, files.name(cell.code, f"cell_{cell.in_file + 1}"))
                for each in self.task.definitions:
                    shell.execute(each.source, files.name(each.source, f"definition_{each.name}"))
                params.update((name, names[name]) for name in self.dag.parameters if name in names)
                names.update(self.inputs)
                shell.begin()  # discard the output of setup
                if options.when is not None and not when_holds(options.when, names):
                    skipped = f"--when {options.when} is false"
                else:
                    value = shell.execute(self.task.code, files.name(self.task.code, self.task.id), is_task=True)
                    for expression in options.check:
                        check(expression, names)
                    if options.branch:
                        chosen = choice(value, self.dag.choices(self.task.id), self.task.id)
                    if options.short_circuit and options.when is None and not is_true(value, self.task.id):
                        chosen = ()
            except Skip as skip:
                skipped = str(skip) or "nbdag.Skip"
            finally:
                set_current(None)
        exported = [name for group in self.task.exports for name in group]
        mine = dict.fromkeys((*self.task.writes, *self.task.changes, *exported))
        return TaskResult(
            outputs={name: names[name] for name in mine if name in names},
            value=value,
            displays=tuple(shell.displays),
            stdout=shell.stdout,
            stderr=shell.stderr,
            skipped=skipped,
            chosen=chosen,
            pushed=dict(run.ti.pushed),
        )

    def _pulled(self, task: str, key: str) -> PulledValues | None:
        for pull in self.task.pulls:
            if (pull.task, pull.key) == (task, key) and pull.name is not None and pull.name in self.inputs:
                return PulledValues((partial(self.inputs.__getitem__, pull.name),))
        return None


class _in_folder:
    """Make a folder the working directory and the first entry of `sys.path`, as for a task."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    def __enter__(self) -> None:
        self._before = Path.cwd()
        os.chdir(self._folder)
        sys.path.insert(0, self._folder)

    def __exit__(self, *error: object) -> None:
        os.chdir(self._before)
        if self._folder in sys.path:
            sys.path.remove(self._folder)


def _version(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0  # `building.read` then raises the error
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=64)
def _read(path: Path, version: tuple[int, int]) -> Dag:
    return building.read(path)


def _task_of(dag: Dag, name: str, path: Path) -> Task:
    __tracebackhide__ = True
    if name not in dag.tasks:
        near = nearest(name, dag.tasks)
        hint = f"did you mean {near}?" if near else f"the tasks are {join_names(list(dag.tasks)) or 'none'}"
        raise TaskTestError(str(path), f"unknown task {name!r}", hint)
    return dag.tasks[name]


def _check_inputs(dag: Dag, task: Task, given: Mapping[str, Any], path: Path) -> None:
    __tracebackhide__ = True
    mapped = [name for name, _ in task.options.map]
    in_code = {name for code in dag.kernel_code(task.id) for name in given if name in code}
    for name in given:
        if name not in task.reads and name not in mapped and name not in in_code and name not in task.aliases:
            names = [*(each.name for each in task.inputs), *mapped]
            near = nearest(name, names)
            hint = f"did you mean {near}?" if near else f"its inputs are {join_names(names) or 'none'}"
            raise TaskTestError(str(path), f"task {task.id} does not read {name}", hint)
    lacking = [name for name in mapped if name not in given]
    if lacking:
        hint = f'pass its element: inputs={{"{lacking[0]}": …}}'
        raise TaskTestError(str(path), f"task {task.id} is mapped over {join_names(lacking)}", hint)
    known = {*given, *mapped, *(_only_in_map(task) if mapped else ())}
    missing = [each for each in task.inputs if not each.optional and each.name not in known]
    if missing:
        makers = join_names(list(dict.fromkeys(each.sources[0] for each in missing)))
        lacked = join_names([each.name for each in missing])
        example = ", ".join(f'"{each.name}": …' for each in missing)
        raise TaskTestError(str(path), f"task {task.id} needs {lacked} of {makers}", f"pass inputs={{{example}}}")


def _only_in_map(task: Task) -> frozenset[str]:
    """Return the names that only the --map expressions of a task read, not its code. An instance does not need them."""
    code = to_python(task.code)
    expressions = [ast.parse(text.strip()) for _, text in task.options.map]
    used = _names([code.tree] if isinstance(code, Python) else [])
    return _names(expressions) - used


def _names(trees: Sequence[ast.Module]) -> frozenset[str]:
    return frozenset(node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name))


def _check_parameters(dag: Dag, given: dict[str, Any], path: Path) -> dict[str, Any]:
    __tracebackhide__ = True
    for name in given:
        if name not in dag.parameters:
            near = nearest(name, dag.parameters)
            known = join_names(list(dag.parameters)) or "none"
            hint = f"did you mean {near}?" if near else f"the parameters are {known}"
            raise TaskTestError(str(path), f"unknown parameter {name}", hint)
    # This call raises an error if a value breaks a rule of its parameter.
    parameter_types.resolve(dag.parameter_schemas, dag.parameters, given)
    return given
