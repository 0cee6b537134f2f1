"""The live notebook: the cells that were executed in a kernel, and the states of the notebook's tasks.

The magics report each run of a cell to a session. The session returns the notebook as a `Dag`, read in the same way as
for a headless run, and the state of each task. A cell is identified by the id that the frontend sends. So a new run
replaces the old run of the cell even if the task was renamed. Without an id, a cell is identified by its text, the name
of its task, or the code below its header. The cells that a `%%dag` cell has built are placed below the `%%dag` cell,
until it builds new cells.

If the notebook's file is known, the document consists of the file's cells, and a cell that ran after the last save has
the text that it ran with. Otherwise the document consists of the executed cells, in the order of their first runs.

A task that a headless run would skip, because of a branch, a short circuit or a trigger rule, is also skipped in the
live notebook. A task is stale if it succeeded but another run could give a different result: its code was edited, or an
upstream task ran again, is stale, or has not run.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import notebooks
from .core.analysis.names import uses
from .core.cells import header
from .core.cells.cells import RawCell
from .core.cells.source import SyntaxProblem, to_python
from .core.model.cell_tags import built_line, metadata_of, tags_of
from .core.model.dag import Cell, CellKind, Dag, Problem, Task
from .core.model.problems import problem
from .core.model.states import RunState, TaskState
from .core.options.options import DagOptions
from .core.planning.plan import Instance, RunView, plan
from .errors import NbdagError
from .graphs import STALE, Mark

_GENERATED = "run:"  # prefix of the key of a cell for which the frontend sends no id
_ENDED = (TaskState.SUCCESS, TaskState.FAILED, TaskState.SKIPPED)
_UNKNOWN_NAME = "notebook.ipynb"  # name of the notebook if its file is unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRun:
    """The latest run of one cell."""

    key: str  # the frontend's id of the cell, or a generated key
    source: str
    order: int  # serial number of this run in the session
    changed: int  # serial number of the cell's first run with this source
    at: float  # start of the run, in seconds since the epoch
    state: str = TaskState.RUNNING
    duration: float | None = None  # duration of the run, in seconds
    reason: str = ""  # why the task failed or was skipped, in one sentence
    count: int | None = None  # number of instances of a mapped task; None for any other cell
    chosen: tuple[str, ...] | None = None  # tasks and groups that a branch chose; None if the cell is no branch
    short_circuit: bool = False  # whether the condition of --short-circuit was false
    built: tuple[RawCell, ...] | None = None  # the cells that this cell built, if it is a %%dag cell


@dataclass(frozen=True, slots=True)
class DocumentCell:
    """A cell of the document, with its latest run in a kernel."""

    source: str
    kind: str = "code"  # nbformat's cell_type
    id: str = ""  # the cell's id in the file
    tags: tuple[str, ...] = ()
    built: int | None = None  # the line of the %%dag cell that built this cell; see `RawCell`
    ran: CellRun | None = None
    edited: str | None = None  # the text in the editor, if a page has reported an edit that is not saved

    @property
    def latest(self) -> str:
        """Return the text as the user sees it."""
        return self.source if self.edited is None else self.edited


@dataclass(frozen=True, slots=True)
class _File:
    """The content of the notebook's file when it was last read."""

    cells: tuple[DocumentCell, ...] = ()
    metadata: Mapping[str, Any] | None = None
    saved: float = 0.0  # modification time of the file, in seconds since the epoch


def notebook_path(namespace: Mapping[str, Any]) -> Path | None:
    """Return the notebook's file, or None if it is unknown.

    Jupyter Server sets an environment variable, VS Code a Python variable.
    """
    for text in (namespace.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")):
        if isinstance(text, str) and text.endswith(".ipynb"):
            path = Path(text)
            if path.is_file():
                return path.resolve()
    return None


class Session:
    """The executed cells of one kernel's notebook, and the notebook that results from them."""

    def __init__(
        self,
        *,
        notebook: Callable[[], Path | None] = lambda: None,
        wall: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._notebook = notebook
        self._wall = wall
        self._timer = timer
        # Key: key of a cell; value: the cell's latest run; in the order of the first runs.
        self._ran: dict[str, CellRun] = {}
        self._runs = 0
        self._current: str | None = None  # key of the running cell
        self._before: CellRun | None = None  # previous run of the running cell
        self._began = 0.0
        self._edits: dict[str, str] = {}  # key: id of a cell; value: its text, which is not saved
        self._file: tuple[Path | None, int, _File] = (None, 0, _File())
        self._dag: tuple[object, Dag] | None = None

    def begin(self, source: str, cell_id: str | None = None) -> None:
        """Record that a cell starts."""
        self._runs += 1
        key = cell_id or self._key(source)
        if key not in self._ran:
            self._adopt(key, source)
        self._before = self._ran.get(key)
        same = self._before is not None and self._before.source == source
        changed = self._before.changed if self._before is not None and same else self._runs
        self._ran[key] = CellRun(key=key, source=source, order=self._runs, changed=changed, at=self._wall())
        self._current = key
        self._edits.pop(key, None)
        self._began = self._timer()

    def edit(self, sources: Mapping[str, str]) -> None:
        """Record the texts of edited cells, by id. An unsaved edit makes a task stale, and changes nothing else."""
        self._edits.update(sources)

    def saved(self) -> None:
        """Record that the notebook was saved, so that the file has every edit."""
        self._edits.clear()

    def record_earlier(self, sources: Sequence[str]) -> None:
        """Record untagged cells that ran before the extension was loaded, oldest first.

        Only needed if the notebook's file is unknown.
        """
        if self.path is None:
            for source in sources:
                if source.strip() and not split(source)[0]:
                    self.begin(source)
                    self.end(TaskState.SUCCESS)

    def end(
        self,
        state: str,
        *,
        reason: str = "",
        count: int | None = None,
        chosen: tuple[str, ...] | None = None,
        short_circuit: bool = False,
    ) -> None:
        """Record that the running cell ended in this state."""
        if self._current is None:
            return
        self._ran[self._current] = replace(
            self._ran[self._current],
            state=state,
            duration=self._timer() - self._began,
            reason=reason,
            count=count,
            chosen=chosen,
            short_circuit=short_circuit,
        )
        self._current = None

    def executed(self) -> dict[str, dict[str, Any]]:
        """Return the latest run of each cell by the frontend's id, as a page that opens the notebook later needs it."""
        return {
            key: {
                "source": ran.source,
                "order": ran.order,
                "changed": ran.changed,
                "state": ran.state if ran.state in (TaskState.RUNNING, TaskState.FAILED) else "success",
                "duration": ran.duration,
                "reason": ran.reason,
                **(
                    {}
                    if ran.built is None
                    else {"built": [{"source": each.source, "line": each.built} for each in ran.built]}
                ),
            }
            for key, ran in self._ran.items()
            if not key.startswith(_GENERATED)
        }

    def skip_reason(self, task: str) -> str:
        """Explain why a headless run would skip the running task, given the tasks that ran in this kernel.

        Return "" if it would not.
        """
        document = _expanded(self._document())
        if not any(_decides(cell.ran) for cell in document):
            return ""
        return _skipped_tasks(self._read(document), document).get(task, "")

    def built(self, cells: Sequence[RawCell]) -> None:
        """Record the cells that the running %%dag cell has built."""
        if self._current is not None:
            self._ran[self._current] = replace(self._ran[self._current], built=tuple(cells))

    def discard(self) -> None:
        """Discard the run of the running cell, because its header is invalid, and restore the previous run."""
        if self._current is None:
            return
        if self._before is None:
            del self._ran[self._current]
        else:
            self._ran[self._current] = self._before
        self._current = None

    @property
    def path(self) -> Path | None:
        """Return the notebook's file, or None if it is unknown."""
        return self._notebook()

    @property
    def name(self) -> str:
        """Return the DAG's id for a notebook without a `%dag` name: the file's stem."""
        path = self.path
        return notebooks.id_of(path.stem) if path else "notebook"

    def dag(self) -> Dag:
        """Return the current notebook as a `Dag`."""
        return self._read(_expanded(self._document()))

    def dag_and_marks(self) -> tuple[Dag, dict[str, Mark]]:
        """Return the current notebook as a `Dag`, and a `Mark` (state and duration) for each task."""
        document = _expanded(self._document())
        dag = self._read(document)
        return dag, _marks(dag, document)

    def has_run(self, task: str) -> bool:
        """Return whether the cell of a task has run without an error in this kernel."""
        return any(
            ran.state == TaskState.SUCCESS and (_task(ran.source)[0] == task or _builds(ran, task))
            for ran in self._ran.values()
        )

    def _read(self, document: Sequence[DocumentCell]) -> Dag:
        path, file = self.path, self._file[2]
        cells = tuple(RawCell(cell.source, cell.kind, cell.tags, cell.built) for cell in document)
        if self._dag is None or self._dag[0] != (path, cells):
            name = path.name if path else _UNKNOWN_NAME
            dag = notebooks.read_cells(cells, name=name, metadata=file.metadata)
            self._dag = (path, cells), replace(dag, problems=(*_not_built(dag), *dag.problems))
        return self._dag[1]

    def _key(self, source: str) -> str:
        """Return the key of a cell for which the frontend sends no id: the key of an earlier run, or a new key."""
        without_id = {key: ran for key, ran in self._ran.items() if key.startswith(_GENERATED)}
        name, body = _task(source)
        for key, ran in without_id.items():
            if ran.source == source:
                return key
        if name is not None:
            for key, ran in without_id.items():
                if _task(ran.source)[0] == name:
                    return key
            for key, ran in without_id.items():
                other, other_body = _task(ran.source)
                if other is not None and body and other_body == body:
                    return key  # the task was renamed
        return f"{_GENERATED}{self._runs}"

    def _adopt(self, key: str, source: str) -> None:
        """If a cell with this text has a generated key, replace the key by the id that the frontend now sends."""
        for other, ran in self._ran.items():
            if other.startswith(_GENERATED) and ran.source == source:
                self._ran = {
                    key if old == other else old: replace(each, key=key) if old == other else each
                    for old, each in self._ran.items()
                }
                return

    def _document(self) -> list[DocumentCell]:
        file = self._saved()
        known = list(self._ran.values())  # a copy, because the widget may read while a cell starts
        if file is None:
            return [DocumentCell(ran.source, ran=ran, edited=self._edits.get(ran.key)) for ran in known]
        document = list(file.cells)
        matched = _match(file.cells, known)
        for index, ran in matched.items():
            cell = document[index]
            newer = cell.source if file.saved > ran.at else ran.source
            document[index] = replace(cell, source=newer, ran=ran, edited=self._edits.get(ran.key))
        ids = {cell.id for cell in file.cells if cell.id}
        comparable = any(ran.key in ids for ran in known)
        placed = {ran.key for ran in matched.values()}
        for ran in sorted(known, key=lambda ran: ran.changed):
            if ran.key in placed:
                continue
            if comparable and file.saved > ran.at:
                continue  # the cell was deleted before the last save
            document.insert(_place(document, ran), DocumentCell(ran.source, ran=ran))
        return document

    def _saved(self) -> _File | None:
        """Return the notebook's file, read again if it has changed, or None if it cannot be read."""
        path = self.path
        if path is None:
            return None
        try:
            stat = path.stat()
            if (path, stat.st_mtime_ns) != self._file[:2]:
                self._file = (path, stat.st_mtime_ns, _load(path.read_bytes(), stat.st_mtime))
        except (OSError, ValueError, TypeError, AttributeError):
            return None  # the file is half-written or not a notebook, so only the executed cells are used
        return self._file[2]


def read_document(
    document: Sequence[DocumentCell], *, name: str, metadata: Mapping[str, Any] | None = None
) -> tuple[Dag, dict[str, Mark]]:
    """Return the notebook of these cells, which a page shows, as a `Dag`, and a `Mark` for each task.

    No kernel is asked: the page knows which cells it executed.
    """
    document = _expanded(document)
    cells = [RawCell(cell.source, cell.kind, cell.tags, cell.built) for cell in document]
    dag = notebooks.read_cells(cells, name=name, metadata=metadata)
    return replace(dag, problems=(*_not_built(dag), *dag.problems)), _marks(dag, document)


def _expanded(document: Sequence[DocumentCell]) -> list[DocumentCell]:
    """Replace the built cells in the file by the cells that %%dag cells have built in this kernel.

    The file contains built cells if it is the report of a run.
    """
    found: list[DocumentCell] = []
    rebuilt = False
    for cell in document:
        if cell.built and rebuilt:
            continue
        if not cell.built:
            built = cell.ran.built if cell.ran is not None and cell.ran.source == cell.source else None
            rebuilt = built is not None
            found.append(replace(cell, built=0) if rebuilt else cell)
            found += [DocumentCell(each.source, built=each.built) for each in built or ()]
        else:
            found.append(cell)
    return found


def _not_built(dag: Dag) -> list[Problem]:
    return [
        problem("NB115", "the tasks of this %%dag cell are not built yet", hint="run the cell", place=cell.at(1))
        for cell in dag.cells
        if cell.kind is CellKind.BUILDER
    ]


def _load(text: bytes, saved: float) -> _File:
    content = json.loads(text)
    cells = []
    for cell in content["cells"]:
        source = cell.get("source", "")
        cells.append(
            DocumentCell(
                source if isinstance(source, str) else "".join(source),
                cell.get("cell_type", "code"),
                cell.get("id", ""),
                tags_of(cell),
                built_line(cell),
            )
        )
    return _File(tuple(cells), metadata_of(content), saved)


def _match(cells: Sequence[DocumentCell], ran: Sequence[CellRun] | Any) -> dict[int, CellRun]:
    """Return the latest run of each cell of the file, by index.

    A cell matches a run by id, by text, or by the task's name.
    """
    found: dict[int, CellRun] = {}
    left = {run.key: run for run in ran}
    keys: tuple[Callable[[DocumentCell], object], ...] = (
        lambda cell: cell.id or None,
        lambda cell: cell.source,
        lambda cell: _task(cell.source)[0],
    )
    own: tuple[Callable[[CellRun], object], ...] = (
        lambda run: run.key,
        lambda run: run.source,
        lambda run: _task(run.source)[0],
    )
    for of_cell, of_run in zip(keys, own, strict=True):
        wanted: dict[object, list[CellRun]] = {}
        for run in left.values():
            wanted.setdefault(of_run(run), []).append(run)
        for index, cell in enumerate(cells):
            if cell.kind != "code" or index in found or (key := of_cell(cell)) is None:
                continue
            if runs := wanted.get(key):
                found[index] = runs.pop(0)
                del left[found[index].key]
    return found


def _place(document: Sequence[DocumentCell], ran: CellRun) -> int:
    """Return the index at which to insert a cell that is not in the file: below the cell that ran before it."""
    before = [(cell.ran.order, index) for index, cell in enumerate(document) if cell.ran and cell.ran.order < ran.order]
    return max(before)[1] + 1 if before else len(document)


def split(source: str) -> tuple[str, str]:
    """Return the header of a cell and the code below the header. The header is "" if the cell has none."""
    lines = source.split("\n")
    first = next((at for at, line in enumerate(lines) if line.strip()), 0)
    last = first
    while lines[last].endswith("\\") and last + 1 < len(lines):
        last += 1
    text = "\n".join(lines[first : last + 1])
    return (text, "\n".join(lines[last + 1 :])) if header.is_header(text) else ("", source)


def _task(source: str) -> tuple[str | None, str]:
    """Return the name of a cell's task and the code below the header.

    The name is "%%dag" for a %%dag cell, and None for any other cell.
    """
    text, body = split(source)
    try:
        read = header.parse(text) if text else None
    except NbdagError:
        read = None
    name = "%%dag" if read is not None and read.builds else read.name if read and read.kind == "task" else None
    return name, body.strip()


def _builds(ran: CellRun, task: str) -> bool:
    return any(_task(each.source)[0] == task for each in ran.built or ())


def _decides(ran: CellRun | None) -> bool:
    """Return whether other tasks may be skipped because of this run of a cell."""
    return ran is not None and (ran.state == TaskState.SKIPPED or ran.chosen is not None or ran.short_circuit)


def _skipped_tasks(dag: Dag, document: Sequence[DocumentCell]) -> dict[str, str]:
    """Return the tasks that a headless run would skip, given the tasks that ran in this kernel, with the reasons.

    A task that ran before one of its upstream tasks ran again counts as a task that has not run, and so do the tasks
    below it.
    """
    if len(dag.order) < len(dag.tasks):
        return {}
    runs = {name: document[task.cell].ran for name, task in dag.tasks.items()}
    instances = []
    outdated: set[str] = set()
    for name in dag.order:
        ran = runs[name]
        if ran is None:
            continue
        above = {task: other for task in dag.upstream[name] if (other := runs[task]) is not None}
        if any(task in outdated or other.order > ran.order for task, other in above.items()):
            outdated.add(name)
        elif ran.state in _ENDED:
            state = TaskState(ran.state)
            chosen, short = ran.chosen, ran.short_circuit
            instances.append(Instance(task=name, state=state, chosen=chosen, short_circuit=short))
    view = RunView(run_id="", dag_id=dag.id, logical_date=None, state=RunState.RUNNING)
    # Options of the whole DAG are ignored, because options such as --fail-fast apply only to headless runs.
    moves = plan(replace(dag, options=DagOptions()), view, instances, now=datetime.now(UTC)).moves
    return {move.task: move.reason for move in moves if move.state is TaskState.SKIPPED}


def _marks(dag: Dag, document: Sequence[DocumentCell]) -> dict[str, Mark]:
    marks: dict[str, Mark] = {}
    skipped = _skipped_tasks(dag, document) if any(_decides(cell.ran) for cell in document) else {}
    early = [cell for cell in dag.cells if cell.kind in (CellKind.PARAMETERS, CellKind.SETUP)]
    order = dag.order if len(dag.order) == len(dag.tasks) else tuple(dag.tasks)
    for name in order:
        task = dag.tasks[name]
        cell = document[task.cell]
        ran = cell.ran
        if name in skipped and (ran is None or ran.state != TaskState.RUNNING):
            marks[name] = Mark(state=TaskState.SKIPPED, reason=skipped[name])
            continue
        if ran is None:
            marks[name] = Mark()
            continue
        state, reason = str(ran.state), ran.reason
        if state == TaskState.SUCCESS or (state == TaskState.SKIPPED and _ran_again(dag, name, document)):
            why = _stale_reason(dag, task, cell, document, marks, early)
            state, reason = (STALE, why) if why else (state, reason)
        marks[name] = Mark(state=state, duration=ran.duration, count=ran.count, reason=reason)
    return marks


def _ran_again(dag: Dag, task: str, document: Sequence[DocumentCell]) -> bool:
    """Return whether an upstream task ran again after this task."""
    ran = document[dag.tasks[task].cell].ran
    above = (document[dag.tasks[other].cell].ran for other in dag.upstream[task])
    return ran is not None and any(other is not None and other.order > ran.order for other in above)


def _stale_reason(
    dag: Dag,
    task: Task,
    cell: DocumentCell,
    document: Sequence[DocumentCell],
    marks: Mapping[str, Mark],
    early: Sequence[Cell],
) -> str:
    """Explain why another run of the task could give a different result; return "" if the result would be the same."""
    ran = cell.ran
    assert ran is not None
    if cell.latest != ran.source:
        return "the cell was edited after it ran"
    for other_cell in _needed_cells(task, early):
        setup = document[other_cell.index].ran
        if setup is not None and setup.changed > ran.order:
            return f"{other_cell.kind} cell {other_cell.in_file + 1} was changed after it ran"
    for other in dag.upstream[task.id]:
        above = document[dag.tasks[other].cell].ran
        if above is None:
            return f"the upstream task {other} has not run"
        if above.order > ran.order:
            return f"{other} ran again after this task"
        if other in marks and marks[other].state == STALE:
            return f"{other} is stale"
    return ""


def _needed_cells(task: Task, early: Sequence[Cell]) -> list[Cell]:
    """Return the parameters cells and setup cells that set a name which the task reads."""
    reads = set(task.reads)
    cells = [cell for cell in early if cell.kind is CellKind.PARAMETERS or cell.index in task.setup]
    return [cell for cell in cells if reads & _binds(cell.code)]


def _binds(code: str) -> set[str]:
    """Return the names that a setup cell sets."""
    python = to_python(code)
    return set() if isinstance(python, SyntaxProblem) else {*(found := uses(python)).writes, *found.maybe_writes}
