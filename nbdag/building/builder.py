"""Read notebooks and build their tasks; the docstring of the package describes when tasks are built."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import notebooks
from ..core.cells import kernel_values, parameter_types
from ..core.cells.cells import RawCell
from ..core.cells.ignore_comments import drop_ignored
from ..core.cells.source import SyntaxProblem, to_python
from ..core.dataflow.build_prefix import build_prefix
from ..core.model.dag import Cell, CellKind, Dag, Place, Problem
from ..core.model.problems import problem
from ..core.options.option_types import nearest
from ..environments import ensure, locked
from ..home import absolute
from ..operators import OFFERED
from ..secrets.parameters import without_secrets

if TYPE_CHECKING:
    from .process import BuildError, BuildResult


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltNotebook:
    """A notebook with its tasks built."""

    source: bytes  # the content of the notebook's file
    # The notebook with the built cells, which a run pins; equal to `source` if the notebook has no %%dag cell.
    text: bytes
    dag: Dag  # the pipeline; if building failed, `dag.unbuilt` is true and `dag.problems` contains the reason
    printed: str = ""  # what the code of %%dag printed
    deployed: bool = False  # whether this is a deployed version, whose tasks use the files pinned with it


def read(path: str | os.PathLike[str]) -> Dag:
    """Return the pipeline in a notebook file. The code of a %%dag cell is executed in a separate process.

    Raise `NotebookError` for a file that is not a notebook; other errors are in `Dag.problems`.
    """
    return read_built(path).dag


def read_built(
    path: str | os.PathLike[str],
    *,
    parameters: Mapping[str, Any] | None = None,
    cwd: Path | None = None,
    kernel_name: str | None = None,
) -> BuiltNotebook:
    """Return the pipeline in a notebook file, with the text of the notebook.

    `cwd` is the working directory of the tasks, by default the notebook's folder.
    """
    text = notebooks.read_file(path)
    folder = absolute(path).parent if cwd is None else cwd
    return build(text, name=os.fspath(path), cwd=folder, parameters=parameters, kernel_name=kernel_name)


def build(
    source: bytes,
    *,
    name: str,
    cwd: Path,
    parameters: Mapping[str, Any] | None = None,
    kernel_name: str | None = None,
) -> BuiltNotebook:
    """Build the tasks of a notebook that is given as text. `parameters` override the defaults.

    The process that builds gets references in place of secret values, so a built cell can look up a secret but never
    contain its value. With `%dag --requires`, the process runs in the pipeline's environment, which may have to be made
    first.
    """
    if b"%%dag" not in source:
        return BuiltNotebook(source=source, text=source, dag=notebooks.read_text(source, name=name))
    plain = notebooks.without_built(source, name=name)
    raw, metadata = notebooks.read_raw(plain, name=name)
    dag = notebooks.read_cells(raw, name=name, metadata=metadata)
    if not dag.unbuilt:
        return BuiltNotebook(source=source, text=source, dag=dag)
    values = parameter_types.resolve(dag.parameter_schemas, dag.parameters, parameters or {})
    values = without_secrets(values, secret_parameters(dag))
    blocking, printed = _blocking(dag), ""
    if not blocking:
        from .process import BuildError, run_bodies  # imported here because most notebooks need no process

        try:
            packages = dag.packages or (locked(dag.options.requires, cwd) if dag.options.requires else "")
            python = ensure(packages) if packages else None
            answer = run_bodies(_steps(dag, values), cwd=cwd, kernel_name=kernel_name or dag.kernel_name, python=python)
        except BuildError as error:
            blocking, printed = [_problem(dag, error)], error.printed
        else:
            text = notebooks.with_built(plain, _cells(dag, answer), name=name, printed=answer.printed)
            dag = notebooks.read_text(text, name=name)
            dag = replace(dag, problems=(*dag.problems, *drop_ignored(dag.cells, [*_warnings(answer)])))
            return BuiltNotebook(source=source, text=text, dag=dag, printed=answer.printed)
    # Problems of dependencies (NB2xx) are dropped, because their cause may be that tasks could not be built.
    known = [each for each in dag.problems if each.code < "NB200" or each.code == "NB208"]
    problems = tuple(dict.fromkeys([*known, *blocking]))
    return BuiltNotebook(source=source, text=source, dag=replace(dag, problems=problems), printed=printed)


def secret_parameters(dag: Dag) -> frozenset[str]:
    """Return the parameters that the parameters cells mark as secret; names such as `password` need no mark."""
    return parameter_types.marked_secret(cell.code for cell in dag.cells if cell.kind is CellKind.PARAMETERS)


def _builders(dag: Dag) -> list[Cell]:
    return [cell for cell in dag.cells if cell.kind is CellKind.BUILDER]


def _blocking(dag: Dag) -> list[Problem]:
    """Return the problems that prevent the code of %%dag from running and that can be found without running it."""
    found = []
    for cell in _builders(dag):
        python = to_python(cell.code)
        if isinstance(python, SyntaxProblem):
            message, hint = f"invalid syntax: {python.message}", "correct the cell"
            found.append(problem("NB208", message, hint=hint, place=cell.at(python.line)))
        elif not python.tree.body:
            hint = (
                "write %dag with one percent sign, or create tasks below the header: Python('train', 'model = fit(X)')"
            )
            found.append(problem("NB114", "no code below %%dag", hint=hint, place=cell.at(1)))
    first = {cell.in_file for cell in dag.cells if cell.kind in (CellKind.PARAMETERS, CellKind.SETUP)}
    found += [each for each in dag.problems if each.code == "NB208" and each.place and each.place.cell in first]
    return found


def _steps(dag: Dag, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the process executes, in order: parameters, needed setup cells, and the code of %%dag cells."""
    needed = build_prefix(dag.cells)
    steps = [_step(cell) for cell in needed if cell.kind is CellKind.PARAMETERS]
    values = kernel_values.kernel_values(dag.parameter_schemas, parameters)
    code = {name: value.code for name, value in values.items() if isinstance(value, kernel_values.KernelCode)}
    steps.append({"parameters": values, "code": code})
    later = [*(cell for cell in needed if cell.kind is CellKind.SETUP), *_builders(dag)]
    return steps + [_step(cell) for cell in sorted(later, key=lambda cell: cell.index)]


def _step(cell: Cell) -> dict[str, Any]:
    return {"cell": cell.in_file, "code": cell.code, "builds": cell.kind is CellKind.BUILDER}


def _cells(dag: Dag, answer: BuildResult) -> dict[int, list[RawCell]]:
    return {
        cell.index: [RawCell(each["source"], built=each["line"]) for each in made]
        for cell, made in zip(_builders(dag), answer.built, strict=True)
    }


def _warnings(answer: BuildResult) -> list[Problem]:
    return [
        problem("NB117", each["message"], hint=each["hint"], place=Place(cell=each["cell"], line=each["line"]))
        for each in answer.warnings
    ]


def _problem(dag: Dag, error: BuildError) -> Problem:
    builders = _builders(dag)
    at = builders[0].in_file if error.cell is None else error.cell
    message, hint = error.message, error.hint
    if error.cell is not None and error.cell not in {cell.in_file for cell in builders}:
        message = f"a setup cell that %%dag needs failed: {message}"
    name = message.partition("name '")[2].partition("'")[0] if message.startswith("NameError") else ""
    return problem("NB114", message, hint=hint or _hint(dag, name, message), place=Place(cell=at, line=error.line))


def _hint(dag: Dag, name: str, message: str) -> str:
    """Return advice about a name that is unknown in the code of %%dag."""
    if message.startswith("ModuleNotFoundError: No module named 'airflow"):
        return "write nbdag.airflow instead of airflow"
    if message.startswith("ModuleNotFoundError: No module named 'pendulum"):
        return "install it (`pip install pendulum`), or write datetime(2026, 1, 1) of the module datetime"
    if not name:
        return ""
    if name == "__file__":
        return "a notebook has no __file__; write the id of the DAG as a text, and paths from the notebook's folder"
    if name == "dag_run":
        return "the code of %%dag cannot use dag_run; use parameters, or the option --when of a task"
    for task in dag.tasks.values():
        if name in task.writes:
            return f"task {task.id} sets {name}, but no task has run when %%dag runs; use {name} in the code of a task"
    near = nearest(name, [*OFFERED, *dag.parameters])
    return f"did you mean {near}?" if near else f"set {name} in setup or in a parameters cell above"
