"""Build the tasks of notebooks whose `%%dag` cell creates them by code.

The body of `%%dag` runs and creates operators. Each becomes a `%%task` cell below it, and the result is an ordinary
notebook that is analysed, drawn, pinned, run and reported like any other. Building happens at these times:

- `nbdag.read`, `check` and `show` build with the default parameters, `run` with those of `-p`. `deploy` builds only to
  find problems: it pins the source, and each of its runs builds again.
- The process that owns a triggered or due run builds it when it starts, with the run's parameters. `backfill` builds
  once, for all its runs.
- A run pins the built notebook, so retries, `clear` and `resume` do not build again.
- In the live notebook, the cell builds in the kernel when it runs: see `nbdag.magics`.
- Lists, a run's status, completion and the graph of the live notebook never build.
- The report of a run holds the built cells. Run as a notebook of its own, the report builds again, just as papermill
  injects parameters again.

The body can use parameters and setup (the cells that it needs: `core.dataflow.build_prefix`), but not `dag_run`, since
tasks that depend on the date of a run would differ from run to run. A notebook without a `%%dag` cell executes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import notebooks
from ..core.cells import parameter_types
from ..core.cells.cells import RawCell
from ..core.cells.source import SyntaxProblem, to_python
from ..core.dataflow.build_prefix import build_prefix
from ..core.model.dag import Cell, CellKind, Dag, Place, Problem
from ..core.model.problems import problem
from ..core.options.option_types import nearest

if TYPE_CHECKING:
    from .process import BuildError, BuildResult


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltNotebook:
    """A notebook with its tasks built."""

    source: bytes  # as in the file
    text: bytes  # with the built cells, which a run pins; without a %%dag cell, equal to source
    dag: Dag  # if building failed, it is `unbuilt`, and its problems contain the reason
    printed: str = ""  # output of the %%dag code


def read(path: str | os.PathLike[str]) -> Dag:
    """Return the pipeline in a notebook file, executing the body of a %%dag cell in a process of its own.

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
    """Return the pipeline with its text, as `read`. `cwd` is the folder of its tasks, by default the notebook's."""
    text = notebooks.read_file(path)
    folder = Path(path).expanduser().absolute().parent if cwd is None else cwd
    return build(text, name=os.fspath(path), cwd=folder, parameters=parameters, kernel_name=kernel_name)


def build(
    source: bytes,
    *,
    name: str,
    cwd: Path,
    parameters: Mapping[str, Any] | None = None,
    kernel_name: str | None = None,
) -> BuiltNotebook:
    """Build the tasks of a notebook's text. `parameters` override the defaults."""
    if b"%%dag" not in source:
        return BuiltNotebook(source=source, text=source, dag=notebooks.read_text(source, name=name))
    plain = notebooks.without_built(source, name=name)
    raw, metadata = notebooks.read_raw(plain, name=name)
    dag = notebooks.read_cells(raw, name=name, metadata=metadata)
    if not dag.unbuilt:
        return BuiltNotebook(source=source, text=source, dag=dag)
    parameter_types.reject_text(dag.parameters, parameters or {})
    blocking, printed = _blocking(dag), ""
    if not blocking:
        from .process import BuildError, run_bodies  # most notebooks need no process

        try:
            answer = run_bodies(_steps(dag, parameters or {}), cwd=cwd, kernel_name=kernel_name or dag.kernel_name)
        except BuildError as error:
            blocking, printed = [_problem(dag, error)], error.printed
        else:
            text = notebooks.with_built(plain, _cells(dag, answer), name=name, printed=answer.printed)
            return BuiltNotebook(
                source=source, text=text, dag=notebooks.read_text(text, name=name), printed=answer.printed
            )
    # Without the missing tasks, dependencies are unknown, so problems about them (NB2xx) are dropped.
    known = [each for each in dag.problems if each.code < "NB200" or each.code == "NB208"]
    problems = tuple(dict.fromkeys([*known, *blocking]))
    return BuiltNotebook(source=source, text=source, dag=replace(dag, problems=problems), printed=printed)


def _builders(dag: Dag) -> list[Cell]:
    return [cell for cell in dag.cells if cell.kind is CellKind.BUILDER]


def _blocking(dag: Dag) -> list[Problem]:
    """Return the problems of the code of %%dag, and of the cells before it, that analysis can find."""
    found = []
    for cell in _builders(dag):
        python = to_python(cell.code)
        if isinstance(python, SyntaxProblem):
            message, hint = f"invalid syntax: {python.message}", "correct the cell"
            found.append(problem("NB208", message, hint=hint, place=cell.at(python.line)))
        elif not python.tree.body:
            hint = "write %dag with one percent sign, or create tasks below it: Python('train', 'model = fit(X)')"
            found.append(problem("NB114", "no code below %%dag", hint=hint, place=cell.at(1)))
    first = {cell.in_file for cell in dag.cells if cell.kind in (CellKind.PARAMETERS, CellKind.SETUP)}
    found += [each for each in dag.problems if each.code == "NB208" and each.place and each.place.cell in first]
    return found


def _steps(dag: Dag, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the steps of the process: parameters, the needed setup cells, and the bodies, in order."""
    needed = build_prefix(dag.cells)
    steps = [_step(cell) for cell in needed if cell.kind is CellKind.PARAMETERS]
    steps.append({"parameters": dict(parameters)})
    later = [*(cell for cell in needed if cell.kind is CellKind.SETUP), *_builders(dag)]
    return steps + [_step(cell) for cell in sorted(later, key=lambda cell: cell.index)]


def _step(cell: Cell) -> dict[str, Any]:
    return {"cell": cell.in_file, "code": cell.code, "builds": cell.kind is CellKind.BUILDER}


def _cells(dag: Dag, answer: BuildResult) -> dict[int, list[RawCell]]:
    return {
        cell.index: [RawCell(each["source"], built=each["line"]) for each in made]
        for cell, made in zip(_builders(dag), answer.built, strict=True)
    }


def _problem(dag: Dag, error: BuildError) -> Problem:
    builders = _builders(dag)
    at = builders[0].in_file if error.cell is None else error.cell
    message, hint = error.message, error.hint
    if error.cell is not None and error.cell not in {cell.in_file for cell in builders}:
        message = f"a setup cell that %%dag needs failed: {message}"
    name = message.partition("name '")[2].partition("'")[0] if message.startswith("NameError") else ""
    return problem("NB114", message, hint=hint or _hint(dag, name), place=Place(cell=at, line=error.line))


def _hint(dag: Dag, name: str) -> str:
    """Return advice about a name that is unknown in the code of %%dag."""
    if not name:
        return ""
    if name == "dag_run":
        return "the code of %%dag cannot use dag_run; use parameters, or the option --when of a task"
    for task in dag.tasks.values():
        if name in task.writes:
            return f"task {task.id} sets it, and tasks have not run yet; use it in the text of a task"
    near = nearest(name, ["Python", "Bash", "Sensor", "Operator", "chain", *dag.parameters])
    return f"did you mean {near}?" if near else f"set {name} in setup or in a parameters cell above"
