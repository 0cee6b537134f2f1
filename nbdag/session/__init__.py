"""The live notebook: the cells that were executed in a kernel, and the states of the notebook's tasks.

The magics report each run of a cell to a session. The session returns the notebook as a `Dag`, read in the same way as
for a headless run, and the state of each task. A cell is identified by the id that the frontend sends. So a new run
replaces the old run of the cell even if the task was renamed. Without an id, a cell is identified by its text, the name
of its task, or the code below its header. The cells that the latest run of a `%%dag` cell has built are placed below
the `%%dag` cell.

If the notebook's file is known, the document consists of the file's cells; a cell that ran after the last save has the
text with which it ran. Without a file, the document consists of the executed cells, in the order of their first runs.

`document` matches cells with their runs. `marks` determines the state of each task.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from .. import notebooks
from ..core.cells.cells import RawCell
from ..core.cells.ignore_comments import drop_ignored
from ..core.model.dag import CellKind, Dag, Problem
from ..core.model.problems import problem
from ..core.model.states import TaskState
from ..graphs import Mark
from ..notebooks import NotebookError
from .document import (
    CellRun,
    DocumentCell,
    NotebookFile,
    insertion_index,
    load_file,
    match_runs,
    split,
    task_and_body,
    with_built_cells,
)
from .marks import early_cells, may_skip_others, needed_cells, skipped_tasks, stale_cells, task_marks

_GENERATED = "run:"  # prefix of the key of a cell for which the frontend sends no id
_UNKNOWN_NAME = "notebook.ipynb"  # name of the notebook if its file is unknown


def notebook_path(namespace: Mapping[str, Any]) -> Path | None:
    """Return the notebook's file, or None if it is unknown.

    Jupyter Server sets an environment variable, VS Code a Python variable.
    """
    for text in (namespace.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")):
        if isinstance(text, str) and notebooks.is_notebook(text):
            path = Path(text)
            if path.is_file():
                return path.resolve()
    return None


class Session:
    """The executed cells of one kernel; combines them with the notebook's file into the current notebook."""

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
        self._edits: dict[str, str] = {}  # key: id of a cell; value: its unsaved text in the editor
        self._file: tuple[Path | None, int, NotebookFile] = (None, 0, NotebookFile())
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
        """Record untagged cells that ran before the extension was loaded; `sources` has the oldest first.

        If the notebook's file is known, do nothing, because the file has these cells.
        """
        if self.path is None:
            for source in sources:
                if source.strip() and not split(source)[0]:
                    self.begin(source)
                    self.end(TaskState.SUCCESS)

    def record_loaded(self, task: str, sources: Mapping[str, str], *, reason: str) -> None:
        """Record that the inputs of a task were loaded from a headless run, so its upstream tasks count as executed.

        `sources` has the text that the cell of each upstream task had in that run. Only the values of direct upstream
        tasks are loaded. So if an indirect upstream task has run in this kernel, the record of that execution is kept.
        """
        document = with_built_cells(self._document())
        dag = self._read(document)
        for name, source in sources.items():
            cell = document[dag.tasks[name].cell] if name in dag.tasks else None
            if cell is None or cell.built or (cell.ran is not None and name not in dag.upstream.get(task, ())):
                continue
            self._runs += 1
            key = cell.ran.key if cell.ran is not None else cell.id or self._key(source)
            self._ran[key] = CellRun(
                key=key, source=source, order=self._runs, changed=self._runs,
                at=0.0,  # earlier than any save, so the document takes the text of the cell from the file
                state=TaskState.SUCCESS, reason=reason, loaded=True,
            )  # fmt: skip

    def cells_without_run(self, task: str, *, known: Collection[str] = ()) -> tuple[int, ...]:
        """Return the indexes of the parameters and setup cells that a task needs but that have not run in this kernel.

        No cell is needed for the names in `known`, because other code has set them.
        """
        document = with_built_cells(self._document())
        dag = self._read(document)
        needed = needed_cells(dag.tasks[task], early_cells(dag), known=known) if task in dag.tasks else ()
        return tuple(cell.in_file for cell in needed if document[cell.index].ran is None)

    def text_of(self, task: str) -> str | None:
        """Return the text of a task's cell as the user sees it, or None for an unknown task."""
        document = with_built_cells(self._document())
        dag = self._read(document)
        return document[dag.tasks[task].cell].latest if task in dag.tasks else None

    def stale_cells(self) -> list[tuple[int, str]]:
        """Return the index and the id of each cell to run so that no task is stale, in the order of execution.

        The id is "" if the cell has none in the file.
        """
        document = with_built_cells(self._document())
        dag = self._read(document)
        return [
            (dag.cells[index].in_file, document[index].id)
            for index in stale_cells(dag, document, task_marks(dag, document))
        ]

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
        """Return the latest run of each cell, by the frontend's id, for a page that opens the notebook later."""
        return {
            key: {
                "source": ran.source,
                "order": ran.order,
                "changed": ran.changed,
                "state": ran.state if ran.state in (TaskState.RUNNING, TaskState.FAILED) else "success",
                "duration": ran.duration,
                "reason": ran.reason,
                **_built_cells(ran),
                **({"loaded": True} if ran.loaded else {}),
            }
            for key, ran in self._ran.items()
            if not key.startswith(_GENERATED)
        }

    def skip_reason(self, task: str) -> str:
        """Return why a headless run would skip the running task, or "" if it would execute the task.

        The tasks that ran in this kernel are assumed to have the same outcomes in the headless run.
        """
        document = with_built_cells(self._document())
        if not any(may_skip_others(cell.ran) for cell in document):
            return ""
        return skipped_tasks(self._read(document), document).get(task, "")

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
        """Return the id of a DAG that no `%dag` line names: the id comes from the stem of the file's name."""
        path = self.path
        return notebooks.id_of(path.stem) if path else "notebook"

    def dag(self) -> Dag:
        """Return the current notebook as a `Dag`."""
        return self._read(with_built_cells(self._document()))

    def dag_and_marks(self) -> tuple[Dag, dict[str, Mark]]:
        """Return the current notebook as a `Dag`, and a `Mark` (state and duration) for each task."""
        document = with_built_cells(self._document())
        dag = self._read(document)
        return dag, task_marks(dag, document)

    def has_run(self, task: str) -> bool:
        """Return whether the cell of a task has run without an error in this kernel."""
        return any(
            ran.state == TaskState.SUCCESS and (task_and_body(ran.source)[0] == task or _builds(ran, task))
            for ran in self._ran.values()
        )

    def _read(self, document: Sequence[DocumentCell]) -> Dag:
        path, file = self.path, self._file[2]
        cells = tuple(RawCell(cell.source, cell.kind, cell.tags, cell.built) for cell in document)
        if self._dag is None or self._dag[0] != (path, cells):
            name = path.name if path else _UNKNOWN_NAME
            dag = notebooks.read_cells(cells, name=name, metadata=file.metadata)
            self._dag = (path, cells), replace(dag, problems=(*drop_ignored(dag.cells, _not_built(dag)), *dag.problems))
        return self._dag[1]

    def _key(self, source: str) -> str:
        """Return the key of a cell for which the frontend sends no id: the key of its earlier run, or a new key."""
        without_id = {key: ran for key, ran in self._ran.items() if key.startswith(_GENERATED)}
        name, body = task_and_body(source)
        for key, ran in without_id.items():
            if ran.source == source:
                return key
        if name is not None:
            for key, ran in without_id.items():
                if task_and_body(ran.source)[0] == name:
                    return key
            for key, ran in without_id.items():
                other, other_body = task_and_body(ran.source)
                if other is not None and body and other_body == body:
                    return key  # the task was renamed
        return f"{_GENERATED}{self._runs}"

    def _adopt(self, key: str, source: str) -> None:
        """If a cell with this text has a generated key, replace that key with `key`, the id from the frontend."""
        for other, ran in self._ran.items():
            if other.startswith(_GENERATED) and ran.source == source:
                self._ran = {
                    key if old == other else old: replace(each, key=key) if old == other else each
                    for old, each in self._ran.items()
                }
                return

    def _document(self) -> list[DocumentCell]:
        file = self._saved()
        known = list(self._ran.values())  # a copy, because a cell may start while the widget reads the document
        if file is None:
            return [DocumentCell(ran.source, ran=ran, edited=self._edits.get(ran.key)) for ran in known]
        document = list(file.cells)
        matched = match_runs(file.cells, known)
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
            document.insert(insertion_index(document, ran), DocumentCell(ran.source, ran=ran))
        return document

    def _saved(self) -> NotebookFile | None:
        """Return the notebook's file, read again if it has changed, or None if it cannot be read."""
        path = self.path
        if path is None:
            return None
        try:
            stat = path.stat()
            if (path, stat.st_mtime_ns) != self._file[:2]:
                self._file = (path, stat.st_mtime_ns, load_file(_content(path), stat.st_mtime))
        except (OSError, ValueError, TypeError, AttributeError, NotebookError):
            return None  # the file is half-written or not a notebook, so only the executed cells are used
        return self._file[2]


class ReadDocument(NamedTuple):
    """The result of `read_document`: the notebook that a page shows, and the state of its tasks."""

    dag: Dag
    marks: dict[str, Mark]  # of each task
    stale: tuple[int, ...]  # indexes of the cells that must run again, in the order in which to run them


def _content(path: Path) -> bytes:
    return notebooks.read_file(path) if notebooks.is_text(path) else path.read_bytes()


def read_document(
    document: Sequence[DocumentCell], *, name: str, metadata: Mapping[str, Any] | None = None
) -> ReadDocument:
    """Return the notebook that consists of these cells of a page, with the state of its tasks.

    No kernel is asked, because the page knows which cells it has executed.
    """
    document = with_built_cells(document)
    cells = [RawCell(cell.source, cell.kind, cell.tags, cell.built) for cell in document]
    dag = notebooks.read_cells(cells, name=name, metadata=metadata)
    marks = task_marks(dag, document)
    stale = tuple(dag.cells[index].in_file for index in stale_cells(dag, document, marks))
    return ReadDocument(replace(dag, problems=(*drop_ignored(dag.cells, _not_built(dag)), *dag.problems)), marks, stale)


def _built_cells(ran: CellRun) -> dict[str, Any]:
    if ran.built is None:
        return {}
    return {"built": [{"source": each.source, "line": each.built} for each in ran.built]}


def _not_built(dag: Dag) -> list[Problem]:
    return [
        problem("NB115", "the tasks of this %%dag cell are not built yet", hint="run the cell", place=cell.at(1))
        for cell in dag.cells
        if cell.kind is CellKind.BUILDER
    ]


def _builds(ran: CellRun, task: str) -> bool:
    return any(task_and_body(each.source)[0] == task for each in ran.built or ())
