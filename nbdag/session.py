"""The live notebook: which cells have run, and what follows from that for its tasks.

A session is told of each run of a cell, and answers with the notebook as a `Dag`, by the same reading as a headless
run's, and with how each task stands. A cell is known by the id that the frontend sends, so that running it again
replaces what it was and renaming its task leaves no ghost; where no id is sent, by its text, its task's name, or its
body. What a `%%dag` cell has built stands below it, until it builds again. Where the notebook's file is known, its
cells and their order are the document, and what ran since it was saved stands in for what was saved; else the document
is what ran, in the order in which each cell first ran.

A task is stale when it ran, but a run of it now could leave something else: its code was edited, or a task that it
follows ran again, is stale itself, or has not run.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import notebooks
from .core.analysis.names import uses
from .core.cells import header
from .core.cells.cells import RawCell
from .core.cells.source import SyntaxProblem, to_python
from .core.model.cell_tags import built, metadata_of, tags_of
from .core.model.dag import Cell, CellKind, Dag, Problem, Task
from .core.model.problems import problem
from .core.model.states import TaskState
from .errors import NbdagError
from .graphs import STALE, Mark

_MADE_UP = "run:"  # how the keys begin of cells whose id no frontend has sent
_NAMELESS = "notebook.ipynb"  # what a notebook is called whose file is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """The latest run of one cell."""

    key: str  # the frontend's id of the cell, or one made up here
    source: str
    order: int  # which run of the session it was; later is greater
    changed: int  # the first run with this source
    at: float  # when it began: seconds since the epoch
    state: str = TaskState.RUNNING
    duration: float | None = None  # seconds
    reason: str = ""  # why it failed or was skipped, in one sentence
    count: int | None = None  # instances, of a mapped task
    built: tuple[RawCell, ...] | None = None  # by a %%dag cell


@dataclass(frozen=True, slots=True)
class _Standing:
    """A cell of the document."""

    source: str
    kind: str = "code"  # nbformat's cell_type
    id: str = ""  # the file's
    tags: tuple[str, ...] = ()
    built: int | None = None  # see `RawCell`
    ran: Ran | None = None


@dataclass(frozen=True, slots=True)
class _File:
    cells: tuple[_Standing, ...] = ()
    metadata: Mapping[str, Any] | None = None
    saved: float = 0.0  # seconds since the epoch


def notebook_path(namespace: Mapping[str, Any]) -> Path | None:
    """The notebook's file: Jupyter Server tells it by an environment variable, VS Code by a name in the namespace."""
    for told in (namespace.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")):
        if isinstance(told, str) and told.endswith(".ipynb"):
            path = Path(told)
            if path.is_file():
                return path.resolve()
    return None


class Session:
    """What one kernel knows of its notebook."""

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
        self._ran: dict[str, Ran] = {}  # by key; a cell keeps the place of its first run
        self._runs = 0
        self._current: str | None = None  # the key of the cell that is running
        self._before: Ran | None = None  # what that cell was before
        self._began = 0.0
        self._file: tuple[Path | None, int, _File] = (None, 0, _File())
        self._dag: tuple[object, Dag] | None = None

    def begin(self, source: str, cell_id: str | None = None) -> None:
        """A cell begins to run."""
        self._runs += 1
        key = cell_id or self._key(source)
        if key not in self._ran:
            self._adopt(key, source)
        self._before = self._ran.get(key)
        same = self._before is not None and self._before.source == source
        changed = self._before.changed if self._before is not None and same else self._runs
        self._ran[key] = Ran(key=key, source=source, order=self._runs, changed=changed, at=self._wall())
        self._current = key
        self._began = self._timer()

    def recall(self, sources: Sequence[str]) -> None:
        """Cells that ran before anybody counted, oldest first, none of them a task yet. A known file has them."""
        if self.path is None:
            for source in sources:
                if source.strip() and not split(source)[0]:
                    self.begin(source)
                    self.end(TaskState.SUCCESS)

    def end(self, state: str, *, reason: str = "", count: int | None = None) -> None:
        """The cell that was running ended as `state`."""
        if self._current is None:
            return
        ran = self._ran[self._current]
        duration = self._timer() - self._began
        self._ran[self._current] = replace(ran, state=state, duration=duration, reason=reason, count=count)
        self._current = None

    def built(self, cells: Sequence[RawCell]) -> None:
        """The cell that is running, a %%dag cell, has built these."""
        if self._current is not None:
            self._ran[self._current] = replace(self._ran[self._current], built=tuple(cells))

    def refuse(self) -> None:
        """The cell that was running was not run after all: its header cannot be read. It stays what it was."""
        if self._current is None:
            return
        if self._before is None:
            del self._ran[self._current]
        else:
            self._ran[self._current] = self._before
        self._current = None

    @property
    def path(self) -> Path | None:
        """The notebook's file, where it is known."""
        return self._notebook()

    @property
    def name(self) -> str:
        """The DAG's id before any cell has named it: the file's stem."""
        path = self.path
        return notebooks.id_of(path.stem) if path else "notebook"

    def dag(self) -> Dag:
        """The notebook as it stands."""
        return self._read(_expanded(self._document()))

    def look(self) -> tuple[Dag, dict[str, Mark]]:
        """The notebook as it stands, and how each task of it does."""
        document = _expanded(self._document())
        dag = self._read(document)
        return dag, _marks(dag, document)

    def _read(self, document: Sequence[_Standing]) -> Dag:
        path, file = self.path, self._file[2]
        cells = tuple(RawCell(cell.source, cell.kind, cell.tags, cell.built) for cell in document)
        if self._dag is None or self._dag[0] != (path, cells):
            name = path.name if path else _NAMELESS
            dag = notebooks.read_cells(cells, name=name, metadata=file.metadata)
            self._dag = (path, cells), replace(dag, problems=(*_not_built(dag), *dag.problems))
        return self._dag[1]

    def _key(self, source: str) -> str:
        """Which cell this is, where the frontend does not say."""
        unnamed = {key: ran for key, ran in self._ran.items() if key.startswith(_MADE_UP)}
        name, body = _task(source)
        for key, ran in unnamed.items():
            if ran.source == source:
                return key
        if name is not None:
            for key, ran in unnamed.items():
                if _task(ran.source)[0] == name:
                    return key
            for key, ran in unnamed.items():
                other, other_body = _task(ran.source)
                if other is not None and body and other_body == body:
                    return key  # renamed
        return f"{_MADE_UP}{self._runs}"

    def _adopt(self, key: str, source: str) -> None:
        """Give a cell that was known by its text alone the id that is sent for it now."""
        for other, ran in self._ran.items():
            if other.startswith(_MADE_UP) and ran.source == source:
                self._ran = {
                    key if old == other else old: replace(each, key=key) if old == other else each
                    for old, each in self._ran.items()
                }
                return

    def _document(self) -> list[_Standing]:
        file = self._saved()
        known = list(self._ran.values())  # a page may ask while a cell begins
        if file is None:
            return [_Standing(ran.source, ran=ran) for ran in known]
        document = list(file.cells)
        matched = _match(file.cells, known)
        for index, ran in matched.items():
            cell = document[index]
            newer = cell.source if file.saved > ran.at else ran.source
            document[index] = replace(cell, source=newer, ran=ran)
        ids = {cell.id for cell in file.cells if cell.id}
        comparable = any(ran.key in ids for ran in known)
        placed = {ran.key for ran in matched.values()}
        for ran in sorted(known, key=lambda ran: ran.changed):
            if ran.key in placed:
                continue
            if comparable and file.saved > ran.at:
                continue  # it was not in the notebook any more when that was saved
            document.insert(_place(document, ran), _Standing(ran.source, ran=ran))
        return document

    def _saved(self) -> _File | None:
        """The notebook's file, read again when it has changed."""
        path = self.path
        if path is None:
            return None
        try:
            stat = path.stat()
            if (path, stat.st_mtime_ns) != self._file[:2]:
                self._file = (path, stat.st_mtime_ns, _load(path.read_bytes(), stat.st_mtime))
        except (OSError, ValueError, TypeError, AttributeError):
            return None  # being written, or not a notebook: what ran is known all the same
        return self._file[2]


def _expanded(document: Sequence[_Standing]) -> list[_Standing]:
    """The document with what its %%dag cells have built. A report that is open may hold what a run had built."""
    found: list[_Standing] = []
    anew = False
    for cell in document:
        if cell.built and anew:
            continue
        if not cell.built:
            built = cell.ran.built if cell.ran is not None and cell.ran.source == cell.source else None
            anew = built is not None
            found.append(replace(cell, built=0) if anew else cell)
            found += [_Standing(each.source, built=each.built) for each in built or ()]
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
    told = json.loads(text)
    cells = []
    for cell in told["cells"]:
        source = cell.get("source", "")
        cells.append(
            _Standing(
                source if isinstance(source, str) else "".join(source),
                cell.get("cell_type", "code"),
                cell.get("id", ""),
                tags_of(cell),
                built(cell),
            )
        )
    return _File(tuple(cells), metadata_of(told), saved)


def _match(cells: Sequence[_Standing], ran: Sequence[Ran] | Any) -> dict[int, Ran]:
    """Which run is of which cell of the file: by id, else by text, else by the task's name."""
    found: dict[int, Ran] = {}
    left = {run.key: run for run in ran}
    keys: tuple[Callable[[_Standing], object], ...] = (
        lambda cell: cell.id or None,
        lambda cell: cell.source,
        lambda cell: _task(cell.source)[0],
    )
    own: tuple[Callable[[Ran], object], ...] = (
        lambda run: run.key,
        lambda run: run.source,
        lambda run: _task(run.source)[0],
    )
    for of_cell, of_run in zip(keys, own, strict=True):
        wanted: dict[object, list[Ran]] = {}
        for run in left.values():
            wanted.setdefault(of_run(run), []).append(run)
        for index, cell in enumerate(cells):
            if cell.kind != "code" or index in found or (key := of_cell(cell)) is None:
                continue
            if runs := wanted.get(key):
                found[index] = runs.pop(0)
                del left[found[index].key]
    return found


def _place(document: Sequence[_Standing], ran: Ran) -> int:
    """Where a cell goes that is not in the file yet: below the one that ran before it."""
    before = [(cell.ran.order, index) for index, cell in enumerate(document) if cell.ran and cell.ran.order < ran.order]
    return max(before)[1] + 1 if before else len(document)


def split(source: str) -> tuple[str, str]:
    """A cell's header, empty where it has none, and what stands below it."""
    lines = source.split("\n")
    first = next((at for at, line in enumerate(lines) if line.strip()), 0)
    last = first
    while lines[last].endswith("\\") and last + 1 < len(lines):
        last += 1
    text = "\n".join(lines[first : last + 1])
    return (text, "\n".join(lines[last + 1 :])) if header.is_header(text) else ("", source)


def _task(source: str) -> tuple[str | None, str]:
    """The name of the task that a cell is, if it is one, and its body. A %%dag cell goes by what no task is called."""
    said, body = split(source)
    try:
        read = header.parse(said) if said else None
    except NbdagError:
        read = None
    name = "%%dag" if read is not None and read.builds else read.name if read and read.kind == "task" else None
    return name, body.strip()


def _marks(dag: Dag, document: Sequence[_Standing]) -> dict[str, Mark]:
    marks: dict[str, Mark] = {}
    early = [cell for cell in dag.cells if cell.kind in (CellKind.PARAMETERS, CellKind.SETUP)]
    order = dag.order if len(dag.order) == len(dag.tasks) else tuple(dag.tasks)
    for name in order:
        task = dag.tasks[name]
        standing = document[task.cell]
        ran = standing.ran
        if ran is None:
            marks[name] = Mark()
            continue
        state, reason = str(ran.state), ran.reason
        if state == TaskState.SUCCESS:
            why = _stale(dag, task, standing, document, marks, early)
            state, reason = (STALE, why) if why else (state, reason)
        marks[name] = Mark(state=state, duration=ran.duration, count=ran.count, reason=reason)
    return marks


def _stale(
    dag: Dag,
    task: Task,
    standing: _Standing,
    document: Sequence[_Standing],
    marks: Mapping[str, Mark],
    early: Sequence[Cell],
) -> str:
    """Why a run of the task now could leave something else than its last run did; empty where it could not."""
    ran = standing.ran
    assert ran is not None
    if standing.source != ran.source:
        return "its cell was edited after it ran"
    for cell in _before(task, early):
        setup = document[cell.index].ran
        if setup is not None and setup.changed > ran.order:
            return f"the {cell.kind} cell {cell.in_file + 1} was changed after it ran"
    for other in dag.upstream[task.id]:
        above = document[dag.tasks[other].cell].ran
        if above is None:
            return f"{other}, which it follows, has not run"
        if above.order > ran.order:
            return f"{other} ran again after it"
        if other in marks and marks[other].state == STALE:
            return f"{other} is stale"
    return ""


def _before(task: Task, early: Sequence[Cell]) -> list[Cell]:
    """Of the parameters and setup cells, those that the task has and that set a name which it reads."""
    reads = set(task.reads)
    cells = [cell for cell in early if cell.kind is CellKind.PARAMETERS or cell.index in task.setup]
    return [cell for cell in cells if reads & _binds(cell.code)]


def _binds(code: str) -> set[str]:
    """The names that a setup cell sets."""
    python = to_python(code)
    return set() if isinstance(python, SyntaxProblem) else {*(found := uses(python)).writes, *found.maybe_writes}
