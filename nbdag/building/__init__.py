"""Notebooks whose tasks are built by code: what reads a `%%dag` cell runs it.

Building is an expansion. The body of `%%dag` runs and makes operators; each becomes a `%%task` cell below it; and what
comes of that is a notebook like any other, to be analysed, drawn, pinned, run and reported as one. Where it happens:

- `nbdag.read`, `check` and `show` build with the parameters' defaults, `run` with what `-p` says. `deploy` builds only
  to see what is wrong: it pins the source, and every run of it builds anew.
- A run that is triggered or due is built when its turn comes, by whoever drives it, with its own parameters.
  `backfill` builds once, for all its runs.
- A run pins the built notebook. Once it is built, nothing that becomes of it (a retry, a clear, a resume) builds again.
- In the live notebook the cell builds when it runs, in the kernel: see `nbdag.magics`.
- What only looks (lists, a run's status, completion, the graph of the live notebook) never builds.
- The report of a run holds what was built. Run as a notebook of its own, it builds again, as papermill injects again.

The body sees parameters and setup, those cells that it needs (`core.before`), and no run: a shape that depended on the
date of a run would be another in each. Where a notebook has no `%%dag` cell, nothing is run.
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
    from .process import Answer, BuildError


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A notebook with its tasks built."""

    source: bytes  # as the file has it
    text: bytes  # with what was built: what a run pins. Without a %%dag cell, the source
    dag: Dag  # where building went wrong, `unbuilt`, and its problems say why
    printed: str = ""  # by the code that built


def read(path: str | os.PathLike[str]) -> Dag:
    """The pipeline that a notebook's file holds. The body of a %%dag cell is run, in a process of its own.

    Raises `NotebookError` for a file that is no notebook; all else that is wrong stands in `Dag.problems`.
    """
    return read_built(path).dag


def read_built(
    path: str | os.PathLike[str],
    *,
    parameters: Mapping[str, Any] | None = None,
    cwd: Path | None = None,
    kernel_name: str | None = None,
) -> Built:
    """The same, with its text. `cwd` is where its tasks run: its own folder, if nothing else is said."""
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
) -> Built:
    """Build the tasks of a notebook's text. `parameters` are what a run says in place of the defaults."""
    if b"%%dag" not in source:
        return Built(source=source, text=source, dag=notebooks.read_text(source, name=name))
    plain = notebooks.without_built(source, name=name)
    raw, metadata = notebooks.read_raw(plain, name=name)
    dag = notebooks.read_cells(raw, name=name, metadata=metadata)
    if not dag.unbuilt:
        return Built(source=source, text=source, dag=dag)
    parameter_types.refuse_text(dag.parameters, parameters or {})
    in_the_way, printed = _in_the_way(dag), ""
    if not in_the_way:
        from .process import BuildError, run_bodies  # most notebooks need no process

        try:
            answer = run_bodies(_steps(dag, parameters or {}), cwd=cwd, kernel_name=kernel_name or dag.kernel_name)
        except BuildError as error:
            in_the_way, printed = [_problem(dag, error)], error.printed
        else:
            text = notebooks.with_built(plain, _cells(dag, answer), name=name, printed=answer.printed)
            return Built(source=source, text=text, dag=notebooks.read_text(text, name=name), printed=answer.printed)
    # What depends on what cannot be known without the tasks that are missing.
    known = [each for each in dag.problems if each.code < "NB200" or each.code == "NB208"]
    problems = tuple(dict.fromkeys([*known, *in_the_way]))
    return Built(source=source, text=source, dag=replace(dag, problems=problems), printed=printed)


def _builders(dag: Dag) -> list[Cell]:
    return [cell for cell in dag.cells if cell.kind is CellKind.BUILDER]


def _in_the_way(dag: Dag) -> list[Problem]:
    """What is wrong with the code of %%dag, or with what has to run before it, as far as it can be seen."""
    found = []
    for cell in _builders(dag):
        python = to_python(cell.code)
        if isinstance(python, SyntaxProblem):
            said, hint = f"this is not Python: {python.message}", "mend the cell"
            found.append(problem("NB208", said, hint=hint, place=cell.at(python.line)))
        elif not python.tree.body:
            hint = "write %dag with one percent sign, or make tasks below it: Python('train', 'model = fit(X)')"
            found.append(problem("NB114", "there is no code below %%dag", hint=hint, place=cell.at(1)))
    first = {cell.in_file for cell in dag.cells if cell.kind in (CellKind.PARAMETERS, CellKind.SETUP)}
    found += [each for each in dag.problems if each.code == "NB208" and each.place and each.place.cell in first]
    return found


def _steps(dag: Dag, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is to be done in the process: parameters, setup as far as it is needed, and the bodies, in order."""
    needed = build_prefix(dag.cells)
    steps = [_step(cell) for cell in needed if cell.kind is CellKind.PARAMETERS]
    steps.append({"parameters": dict(parameters)})
    later = [*(cell for cell in needed if cell.kind is CellKind.SETUP), *_builders(dag)]
    return steps + [_step(cell) for cell in sorted(later, key=lambda cell: cell.index)]


def _step(cell: Cell) -> dict[str, Any]:
    return {"cell": cell.in_file, "code": cell.code, "makes": cell.kind is CellKind.BUILDER}


def _cells(dag: Dag, answer: Answer) -> dict[int, list[RawCell]]:
    return {
        cell.index: [RawCell(each["source"], built=each["line"]) for each in made]
        for cell, made in zip(_builders(dag), answer.built, strict=True)
    }


def _problem(dag: Dag, error: BuildError) -> Problem:
    builders = _builders(dag)
    at = builders[0].in_file if error.cell is None else error.cell
    message, hint = error.message, error.hint
    if error.cell is not None and error.cell not in {cell.in_file for cell in builders}:
        message = f"setup that %%dag needs failed: {message}"
    name = message.partition("name '")[2].partition("'")[0] if message.startswith("NameError") else ""
    return problem("NB114", message, hint=hint or _hint(dag, name), place=Place(cell=at, line=error.line))


def _hint(dag: Dag, name: str) -> str:
    """What to do about a name that the code of %%dag does not have."""
    if not name:
        return ""
    if name == "dag_run":
        return "the code of %%dag knows no run: let it depend on parameters, or give a task --when"
    for task in dag.tasks.values():
        if name in task.writes:
            return f"task {task.id} makes it, and no task has run yet: use it in the text of a task"
    near = nearest(name, ["Python", "Bash", "Sensor", "Operator", "chain", *dag.parameters])
    return f"did you mean {near}?" if near else f"set {name} in setup or in a parameters cell above"
