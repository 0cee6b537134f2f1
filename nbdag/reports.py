"""The report of a run: the user's notebook, in which the cell of each task has the task's outputs.

The cells come from the notebook version that the run uses; outputs, execution counts and timings come from the
attempts' notebooks. The report is rewritten atomically as tasks finish, so it can be opened at any time. Scratch cells
have no outputs, because they do not run; setup and parameters cells show the outputs of the first task that ran.
"""

from __future__ import annotations

import contextlib
import copy
import html
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from .core.model.cell_tags import (
    DISPLAY_ID,
    DISPLAY_UPDATES,
    ERROR,
    HELPER,
    INJECTED,
    PARAMETERS,
    SETUP,
    TASK,
    built_line,
    metadata_of,
    nbdag_metadata,
    remove_text_lines,
    tags_of,
)
from .core.model.dag import CellKind, Dag
from .core.model.secret_names import masked, masked_assignments
from .core.model.states import TaskState, combined_state
from .core.model.text import task_label
from .writing import to_json, write_atomically

_STYLE = 'style="color:red; font-family:Helvetica Neue, Helvetica, Arial, sans-serif; font-size:2em;"'
_WIDGETS = "application/vnd.jupyter.widget-state+json"
_NEVER_STARTED = {
    TaskState.UPSTREAM_FAILED: "did not run: an upstream task failed",
    TaskState.SKIPPED: "skipped",
    TaskState.REMOVED: "removed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOutcome:
    """The outcome of one task, or of one instance of a mapped task, as the report shows it."""

    task: str
    state: TaskState
    map_index: int = -1
    try_number: int = 0  # number of the last try, from 1; 0 before the first try
    notebook: str | None = None  # path of the last attempt's notebook; the file may not exist
    started: float | None = None  # start of the last attempt, in seconds since the epoch
    ended: float | None = None
    error: str | None = None  # why the task failed or was skipped, in one sentence
    traceback: str | None = None
    cached: str | None = None  # id of the run whose result was reused; None if the task was executed


def write(notebook: Mapping[str, Any], path: str | Path, *, private: bool = True) -> None:
    """Write a report to a file; raise `OSError` if the file cannot be written.

    Only the owner can read a `private` report.
    """
    write_atomically(Path(path), f"{to_json(notebook, indent=1)}\n".encode(), private=private)


def report(
    source: str,
    dag: Dag,
    outcomes: Sequence[TaskOutcome],
    *,
    parameters: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
    displays: Mapping[int, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the report as a dict of nbformat.

    `source` is the notebook's JSON. `parameters` are the run's overrides; as in papermill, they appear in a cell after
    the parameters cell. `about` (run id, state, times) goes into the notebook's metadata under `nbdag`. `displays` has
    outputs (nbformat's dicts) for cells that did not run, by cell index, such as the graph of a bare `%dag`. Parameters
    that look like secrets are masked.
    """
    nb: dict[str, Any] = json.loads(source)
    cells: list[dict[str, Any]] = nb["cells"]
    remove_text_lines(cells)
    for cell in cells:
        cell["metadata"] = metadata_of(cell)
        if cell["cell_type"] == "code":
            cell["execution_count"] = None
            # `source` already has the output that a %%dag cell printed when its tasks were built.
            cell["outputs"] = cell.get("outputs", []) if built_line(cell) == 0 else []
    for index, output in (displays or {}).items():
        cells[index]["outputs"] = [*cells[index]["outputs"], dict(output)]
    started = sorted((each for each in outcomes if each.started is not None), key=lambda each: each.started or 0.0)
    attempts = [(each, _attempt(each.notebook)) for each in started]
    _fill_first_cells(cells, dag, attempts)
    counts = {task: n for n, task in enumerate(dict.fromkeys(each.task for each in started), 1)}
    failed = [_fill_task(cells[task.cell], id, outcomes, counts.get(id)) for id, task in dag.tasks.items()]
    _apply_updates(cells, [attempt for _, attempt in attempts])
    metadata = nb["metadata"] = metadata_of(nb)
    metadata["papermill"] = _timing(started, failed=any(failed)) | {"parameters": masked(parameters or {})}
    metadata["nbdag"] = dict(about or {})
    _merge_widgets(metadata, [attempt for _, attempt in attempts])
    _insert(nb, dag, attempts, parameters or {}, [id for id, bad in zip(dag.tasks, failed, strict=True) if bad], counts)
    return nb


def _fill_first_cells(cells: list[dict[str, Any]], dag: Dag, attempts: Sequence[tuple[TaskOutcome, _Attempt]]) -> None:
    """Put outputs into the setup and parameters cells. The outputs come from the first task that ran these cells."""
    filled: set[int] = set()
    parameters = [cell.index for cell in dag.cells if cell.kind is CellKind.PARAMETERS and cell.code.strip()]
    for each, attempt in attempts:
        setup = [index for index in dag.tasks[each.task].setup if dag.cells[index].code.strip()]
        for indices, tag in ((parameters, PARAMETERS), (setup, SETUP)):
            for index, ran in zip(indices, attempt.cells(tag), strict=False):
                if index not in filled and ran["execution_count"] is not None:
                    filled.add(index)
                    cells[index]["outputs"] = [*ran["outputs"]]
                    cells[index]["execution_count"] = ran["execution_count"]


def _fill_task(cell: dict[str, Any], task: str, outcomes: Sequence[TaskOutcome], count: int | None) -> bool:
    """Put a task's outputs into its cell; return whether the task failed."""
    mine = sorted((each for each in outcomes if each.task == task), key=lambda each: each.map_index)
    outputs: list[dict[str, Any]] = []
    mapped = any(each.map_index >= 0 for each in mine)
    for each in mine:
        own = _outputs(each)
        if mapped and each.map_index >= 0 and own:
            outputs.append(_text(f"── {task_label(task, each.map_index)} ──"))
        outputs += own
    cell["outputs"], cell["execution_count"] = outputs, count
    for output in outputs:
        if output["output_type"] == "execute_result":
            output["execution_count"] = count
    failed = any(each.state is TaskState.FAILED for each in mine)
    if mine:
        started = [each for each in mine if each.started is not None]
        status = "failed" if failed else "completed" if started else "pending"
        cell["metadata"]["papermill"] = _timing(started, failed=failed) | {"status": status}
        cell["metadata"]["nbdag"] = {
            **nbdag_metadata(cell),
            "task": task,
            "state": combined_state({each.state for each in mine}).value,
            "tries": max(each.try_number for each in mine),
        }
        if cached := sorted({each.cached for each in mine if each.cached}):
            cell["metadata"]["nbdag"]["cached"] = cached
    return failed


def _apply_updates(cells: Sequence[dict[str, Any]], attempts: Iterable[_Attempt]) -> None:
    """Apply the updates that tasks made with `update_display` to displays of other tasks, as a notebook would."""
    updates = {name: new for attempt in attempts for name, new in attempt.updates.items()}
    for cell in cells:
        for number, output in enumerate(cell.get("outputs", ())):
            metadata = dict(output.get("metadata") or {})
            name = metadata.pop(DISPLAY_ID, None)
            if name is not None:
                cell["outputs"][number] = {**output, "metadata": metadata, **updates.get(name, {})}


def _outputs(each: TaskOutcome) -> list[dict[str, Any]]:
    if each.started is None:
        reason = _NEVER_STARTED.get(each.state)
        return [_text(f"{each.task} {reason}")] if reason else []
    attempt = _attempt(each.notebook)
    outputs = [output for tag in (TASK, HELPER) for cell in attempt.cells(tag) for output in cell["outputs"]]
    outputs = [copy.deepcopy(output) for output in outputs]
    if each.state is TaskState.FAILED and not any(output["output_type"] == "error" for output in outputs):
        message = each.error or "failed"  # the notebook of a terminated attempt contains no error
        lines = (each.traceback or message).splitlines()
        outputs.append({"output_type": "error", "ename": "TaskFailed", "evalue": message, "traceback": lines})
    return outputs


def _insert(
    nb: dict[str, Any],
    dag: Dag,
    attempts: Sequence[tuple[TaskOutcome, _Attempt]],
    parameters: Mapping[str, Any],
    failed: Sequence[str],
    counts: Mapping[str, int],
) -> None:
    """Insert a cell with injected parameters, and cells with papermill's links to failed tasks."""
    before: dict[int, list[dict[str, Any]]] = {}
    if parameters:
        injected = next((cell for _, attempt in attempts for cell in attempt.cells(INJECTED)), None)
        last = max((cell.index for cell in dag.cells if cell.kind is CellKind.PARAMETERS), default=-1)
        if injected is not None:
            before.setdefault(last + 1, []).append(
                {
                    "cell_type": "code",
                    "source": masked_assignments("".join(injected["source"])),
                    "metadata": {"tags": [INJECTED]},
                    "execution_count": None,
                    "outputs": [],
                }
            )
    for number, task in enumerate(failed):
        anchor = f"papermill-error-cell{f'-{number + 1}' if number else ''}"
        text = f"Task {html.escape(task)} encountered an exception here and stopped:"
        before.setdefault(dag.tasks[task].cell, []).append(_prose(f'<span id="{anchor}" {_STYLE}>{text}</span>'))
    if failed:
        links = "<br>".join(
            f"<span {_STYLE}>An Exception was encountered at "
            f'\'<a href="#papermill-error-cell{f"-{number + 1}" if number else ""}">'
            f"In [{counts.get(task, ' ')}]</a>' (task {html.escape(task)}).</span>"
            for number, task in enumerate(failed)
        )
        before.setdefault(0, []).insert(0, _prose(links))
    cells: list[dict[str, Any]] = []
    for index, cell in enumerate([*nb["cells"], None]):
        cells += before.get(index, ())
        if cell is not None:
            cells.append(cell)
    nb["cells"] = cells
    if (nb.get("nbformat", 4), nb.get("nbformat_minor", 0)) >= (4, 5):
        _give_ids(cells)


def _give_ids(cells: Sequence[dict[str, Any]]) -> None:
    """Give a new id to every cell whose id is missing or not unique, because the format requires unique ids."""
    given = {cell.get("id") for cell in cells}
    new = (f"nbdag-{n}" for n in itertools.count() if f"nbdag-{n}" not in given)
    seen: set[Any] = {None}
    for cell in cells:
        if cell.get("id") in seen:
            cell["id"] = next(new)
        seen.add(cell["id"])


def _timing(outcomes: Sequence[TaskOutcome], *, failed: bool) -> dict[str, Any]:
    """Return the timing of a task in the form that papermill uses."""
    started = min((each.started for each in outcomes if each.started is not None), default=None)
    ended = max((each.ended for each in outcomes if each.ended is not None), default=None)
    if any(each.ended is None for each in outcomes):
        ended = None
    return {
        "start_time": _iso(started),
        "end_time": _iso(ended),
        "duration": None if started is None or ended is None else ended - started,
        "exception": failed,
    }


def _iso(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat()


def _text(text: str) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}}


def _prose(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": source, "metadata": {"tags": [ERROR]}}


def _merge_widgets(metadata: dict[str, Any], attempts: Iterable[_Attempt]) -> None:
    """Put the states of the widgets that tasks displayed into the report's metadata."""
    metadata.pop("widgets", None)
    state: dict[str, Any] = {}
    for attempt in attempts:
        state |= attempt.widgets
    if state:
        metadata["widgets"] = {_WIDGETS: {"state": state, "version_major": 2, "version_minor": 0}}


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The part of an attempt's notebook that the report uses."""

    by_tag: Mapping[str, Sequence[dict[str, Any]]]
    widgets: Mapping[str, Any]
    updates: Mapping[str, Any]  # key: display id of another task's output; value: the output's new data and metadata

    def cells(self, tag: str) -> Sequence[dict[str, Any]]:
        """Return the cells with this tag, in order."""
        return self.by_tag.get(tag, ())


def _attempt(path: str | None) -> _Attempt:
    """Read an attempt's notebook. If the file is missing or incomplete, return an empty notebook."""
    if path is not None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            stat = Path(path).stat()
            return _read(path, stat.st_mtime_ns, stat.st_size)
    return _Attempt({}, {}, {})


@lru_cache(maxsize=512)
def _read(path: str, changed: int, size: int) -> _Attempt:
    nb = json.loads(Path(path).read_text(encoding="utf-8"))
    by_tag: dict[str, list[dict[str, Any]]] = {}
    for cell in nb["cells"]:
        for tag in tags_of(cell):
            if cell["cell_type"] == "code":
                by_tag.setdefault(tag, []).append(cell)
    widgets = nb["metadata"].get("widgets", {}).get(_WIDGETS, {}).get("state", {})
    return _Attempt(by_tag, widgets, nb["metadata"].get("nbdag", {}).get(DISPLAY_UPDATES, {}))
