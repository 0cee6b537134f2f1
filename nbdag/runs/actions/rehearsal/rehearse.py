"""Rehearse a notebook before its schedule starts."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from .... import notebooks
from ....building import BuiltNotebook, read_built
from ....core.cells.cells import SKIP_TAG
from ....core.model.cell_tags import line_in_text, tags_of
from ....core.model.dag import CellKind, Dag, Problem
from ....home import Home, absolute
from ....rehearse.compare.outputs import has_outputs
from ....rehearse.compare.texts import TOLERANCE
from ....rehearse.findings import Finding, Kind, Rehearsal, Weight, check_kinds, in_order, without_accepted
from ....rehearse.judge import Evidence, judge
from ....rehearse.pins import read_pins
from ....rehearse.plain_run import Execution, run_plainly, variation
from ....rehearse.saved import SavedCell
from ...creation.prepare import kernel_installed, record_parameters
from .pipeline_run import run_pipeline

_KINDS = {"NB201": Kind.NAME, "NB205": Kind.NAME}
Report = Callable[[str], None]


def rehearse(
    path: str | os.PathLike[str],
    *,
    accept: Collection[str] = (),
    tolerance: float = TOLERANCE,
    jobs: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    report: Report = lambda text: None,
    home: Home | None = None,
    cwd: str | os.PathLike[str] | None = None,
    built: BuiltNotebook | None = None,
) -> Rehearsal:
    """Run a notebook twice in fresh kernels, and return what would make a scheduled run differ from the saved notebook.

    A pipeline runs task by task, as the scheduler runs it; a notebook without tasks runs from top to bottom in one
    kernel. The second run has another hash seed, another time zone and another locale. If a cell fails, there is
    no second run. The cells run for real: they write files and send requests. The notebook's file and the records of
    runs stay unchanged, no notification is sent, and tasks that wait for a person do not run.

    `accept` are kinds of findings to leave out. Numbers count as equal if their relative difference is at most
    `tolerance`. `report` is called with a text before each step. `cwd` is the working directory of the cells, by
    default the notebook's folder. `built` is the notebook, if the caller has read it.

    Raise `NotebookError` for a file that is no notebook, `UnknownKindError`, `UnknownParameterError` and
    `KernelMissingError`.
    """
    accepted = check_kinds(accept)
    name = os.fspath(path)
    content = notebooks.parse(notebooks.read_file(path), name=name)
    folder = absolute(path).parent if cwd is None else absolute(cwd)
    built = built or read_built(path, cwd=folder, parameters=parameters)  # raises an error for an invalid cell
    cells: list[dict[str, Any]] = content["cells"]
    sources = [_text(cell.get("source", "")) for cell in cells]
    dag = built.dag
    as_pipeline = bool(dag.tasks) or dag.unbuilt or any(each.code == "NB110" for each in dag.errors)
    problems = [_of_problem(each) for each in dag.errors] if as_pipeline else []
    saved = _cells_of_pipeline(dag, cells) if as_pipeline else _all_cells(cells, sources)
    runs: list[Execution] = []
    if not problems and saved:
        kernel_installed(dag.kernel_name)
        document = content if as_pipeline else _parameterized(content, dag, parameters or {})
        for number, environment in enumerate(({}, variation(os.environ)), 1):
            report(f"run {number} of 2")
            if as_pipeline:
                runs.append(
                    run_pipeline(
                        Path(path), built, folder, environment=environment, jobs=jobs, parameters=parameters, home=home
                    )
                )
            else:
                runs.append(_plain_run(document, folder, saved, environment, partial(_progress, report, number)))
            if runs[-1].failures:
                break
    known = Evidence(
        saved=saved,
        runs=runs,
        problems=problems,
        pins=read_pins(absolute(path).parent),
        folder=folder,
        uncompared=_uncompared(dag) if as_pipeline else frozenset(),
        tolerance=tolerance,
        exists=os.path.lexists,
        check_names=not as_pipeline,
    )
    starts = {number: line_in_text(cell) for number, cell in enumerate(cells)}
    found = [
        each if each.cell is None else replace(each, text_start=starts.get(each.cell))
        for each in in_order(judge(known))
    ]
    kept = without_accepted(found, sources, accepted)
    shown = sorted({each.cell for each in kept if each.cell is not None})
    return Rehearsal(
        notebook=name,
        findings=kept,
        seconds=tuple(each.seconds for each in runs),
        cells=len(runs[0].outputs) if runs else 0,
        compared=_compared(known) if runs else 0,
        as_pipeline=as_pipeline,
        sources={cell: sources[cell] for cell in shown if cell < len(sources)},
        accepted=len(found) - len(kept),
    )


def _parameterized(content: Mapping[str, Any], dag: Dag, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the notebook with these values at the end of its parameters cell; all cells keep their numbers."""
    if not parameters:
        return content
    from papermill.translators import PythonTranslator

    values, _ = record_parameters(dag, parameters)
    last = max(cell.in_file for cell in dag.cells if cell.kind is CellKind.PARAMETERS)
    changed = copy.deepcopy(dict(content))
    cell = changed["cells"][last]
    cell["source"] = f"{_text(cell['source'])}\n{PythonTranslator.codify(values)}"
    return changed


def _plain_run(
    content: Mapping[str, Any],
    folder: Path,
    saved: Sequence[SavedCell],
    environment: Mapping[str, str],
    report: Callable[[int, int], None],
) -> Execution:
    notebook = notebooks.executable(content)
    return run_plainly(notebook, folder, [cell.number for cell in saved], environment=environment, report=report)


def _progress(report: Report, number: int, done: int, count: int) -> None:
    report(f"run {number} of 2: {done} of {count} cells")


def _all_cells(cells: Sequence[Mapping[str, Any]], sources: Sequence[str]) -> list[SavedCell]:
    return [
        _saved(number, sources[number], cell)
        for number, cell in enumerate(cells)
        if cell.get("cell_type") == "code" and sources[number].strip() and SKIP_TAG not in tags_of(cell)
    ]


def _cells_of_pipeline(dag: Dag, cells: Sequence[Mapping[str, Any]]) -> list[SavedCell]:
    """Return the cells that a run executes, each with its code, or with "" for an operator that is not a sensor."""
    runs = (CellKind.PARAMETERS, CellKind.SETUP, CellKind.TASK)
    found = []
    for cell in dag.cells:
        if cell.kind not in runs or cell.made_at is not None or not cell.code.strip() or cell.in_file >= len(cells):
            continue
        python = cell.task is None or dag.tasks[cell.task].options.operator in ("python", "sensor")
        found.append(_saved(cell.in_file, cell.code if python else "", cells[cell.in_file]))
    return found


def _saved(number: int, source: str, cell: Mapping[str, Any]) -> SavedCell:
    count, outputs = cell.get("execution_count"), cell.get("outputs")
    return SavedCell(
        number=number,
        source=source,
        count=count if isinstance(count, int) else None,
        outputs=[each for each in outputs if isinstance(each, dict)] if isinstance(outputs, list) else [],
    )


def _uncompared(dag: Dag) -> frozenset[int]:
    """Return the numbers of the cells of mapped tasks, sensors and operators, whose outputs are not compared."""
    return frozenset(
        dag.cells[task.cell].in_file
        for task in dag.tasks.values()
        if task.options.map or task.polls or task.options.operator != "python"
    )


def _of_problem(problem: Problem) -> Finding:
    place = problem.place
    return Finding(
        kind=_KINDS.get(problem.code, Kind.FAILURE),
        weight=Weight.ERROR,
        cell=None if place is None else place.cell,
        line=None if place is None else place.line,
        message=f"{problem.code}: {problem.message}",
        remedy=problem.hint or "`nbdag check` shows the place",
    )


def _compared(known: Evidence) -> int:
    if not any(has_outputs(each.outputs) for each in known.saved):
        return 0
    ran = known.runs[0].outputs
    return sum(
        each.count is not None and each.number in ran for each in known.saved if each.number not in known.uncompared
    )


def _text(source: object) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else str(source)
