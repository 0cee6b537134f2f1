"""Everything that must be right before a run begins.

The notebook is read and what its %%dag cell makes is built, the tasks chosen, the values of those that are left out
found in earlier runs, the kernel and the output's folder looked for. What is wrong is said here, before anything has
been written or started.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path, PurePath
from typing import Any

from ... import notebooks
from ...building import BuiltNotebook, build
from ...core.cells import parameter_types
from ...core.model.dag import Dag, Problem
from ...core.model.job import Note
from ...core.model.text import plural
from ...core.options.option_types import nearest
from ...errors import NbdagError


class NotebookProblemsError(NbdagError):
    """A notebook that cannot run as it stands."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        super().__init__(path, problems)
        self.path = path
        self.problems = tuple(problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.path} cannot run: {_told(self.problems[0])}"
        lines = "".join(f"\n  {_told(problem)}" for problem in self.problems)
        return f"{self.path} cannot run, for {len(self.problems)} reasons:{lines}"

    @property
    def sentence(self) -> str:
        """The first reason, where there is one line for it."""
        more = len(self.problems) - 1
        rest = f", and {plural(more, 'more problem')}: `nbdag check {self.path}` lists them" if more else ""
        return f"{self.path} cannot run: {_told(self.problems[0])}{rest}"


class UnknownTaskError(NbdagError):
    """A task was asked for that the notebook does not have."""

    exit_code = 2

    def __init__(self, task: str, tasks: Iterable[str]) -> None:
        super().__init__(task)
        self.task = task
        self.tasks = tuple(tasks)

    def __str__(self) -> str:
        return f"there is no task {self.task!r}{_nearest(self.task, self.tasks)}; the tasks are {', '.join(self.tasks)}"


class ParameterValueError(NbdagError):
    """A parameter whose value cannot be written into a notebook."""

    exit_code = 2

    def __init__(self, name: str, value: object) -> None:
        super().__init__(name, value)
        self.name = name
        self.value = value

    def __str__(self) -> str:
        return (
            f"parameter {self.name!r} is a {type(self.value).__name__}, which cannot be recorded with the run: give a "
            "number, text, true or false, nothing, or lists and mappings of these"
        )


class OutputError(NbdagError):
    """The report cannot be written where it was asked for."""

    exit_code = 2

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(path, why)
        self.path = path
        self.why = why

    def __str__(self) -> str:
        return f"the report cannot be written to {self.path}: {self.why}"


class OutputExistsError(NbdagError):
    """The report would replace a file that is no report."""

    exit_code = 2

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} exists and is no report of a run; name another file, or say --overwrite"


class FolderMissingError(NbdagError):
    """The working directory that was asked for is not there."""

    exit_code = 2

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"tasks cannot run in {self.path}: there is no such folder; make it first"


class KernelMissingError(NbdagError):
    """The notebook names a kernel that is not installed here."""

    def __init__(self, name: str, installed: Sequence[str]) -> None:
        super().__init__(name, installed)
        self.name = name
        self.installed = tuple(installed)

    def __str__(self) -> str:
        return (
            f"the kernel {self.name!r} is not installed (installed: {', '.join(self.installed) or 'none'}): install "
            "it, or choose another in Jupyter's Kernel menu and save the notebook"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which tasks run, and why each does."""

    tasks: Mapping[str, str]  # chosen → why
    partial: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A notebook that can run."""

    path: Path  # absolute
    dag: Dag
    source: bytes  # as it was read
    text: bytes  # with its tasks built: what a run pins
    digest: str  # of `text`
    parameters: Mapping[str, Any]
    choice: Choice
    notes: tuple[Note, ...]  # to be said before it starts
    output: Path | None
    cwd: Path
    kernel: str | None  # to use instead of the notebook's


def prepare(
    notebook: str | PurePath,
    *,
    parameters: Mapping[str, Any] | None = None,
    only: Sequence[str] = (),
    upto: Sequence[str] = (),
    from_: Sequence[str] = (),
    output: str | PurePath | None = None,
    overwrite: bool = False,
    cwd: str | PurePath | None = None,
    kernel_name: str | None = None,
    built: BuiltNotebook | None = None,
) -> Prepared:
    """Look at all that the store need not be asked for. `built` is the notebook, where it has been read already."""
    path = Path(notebook).expanduser().absolute()
    # Jupyter starts a notebook's kernel in the notebook's folder; a headless run reads the same files.
    folder = path.parent if cwd is None else _folder(Path(cwd))
    if built is None:
        built = build(
            notebooks.read_file(notebook),
            name=os.fspath(notebook),
            cwd=folder,
            parameters=plain_parameters(parameters or {}),
            kernel_name=kernel_name,
        )
    dag = built.dag
    if dag.errors:
        raise NotebookProblemsError(Path(notebook), dag.errors)
    said, notes = record_parameters(dag, parameters or {})
    kernel_installed(kernel_name or dag.kernel_name)
    return Prepared(
        path=path,
        dag=dag,
        source=built.source,
        text=built.text,
        digest=digest_of(built.text),
        parameters=said,
        choice=choose(dag, only=only, upto=upto, from_=from_),
        notes=notes,
        output=_output(output, overwrite),
        cwd=folder,
        kernel=kernel_name,
    )


def digest_of(text: bytes) -> str:
    """What pins a notebook."""
    return hashlib.sha256(text).hexdigest()


def plain_parameters(said: Mapping[str, Any]) -> dict[str, Any]:
    """The values as they are recorded. Raises `ParameterValueError`."""
    return {name: _plain(name, value) for name, value in said.items()}


def record_parameters(dag: Dag, said: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Note, ...]]:
    """The values as they are recorded, and what there is to say of them. Raises `ParameterTypeError`."""
    plain = plain_parameters(said)
    parameter_types.reject_text(dag.parameters, plain)
    return plain, tuple(_doubtful_parameters(dag, plain))


def choose(dag: Dag, *, only: Sequence[str] = (), upto: Sequence[str] = (), from_: Sequence[str] = ()) -> Choice:
    """The tasks that `--only`, `--upto` and `--from` ask for: all of what any of them names."""
    for task in (*only, *upto, *from_):
        if task not in dag.tasks:
            raise UnknownTaskError(task, dag.tasks)
    if not (only or upto or from_):
        return Choice(tasks=dict.fromkeys(dag.tasks, "the whole notebook runs"), partial=False)
    why: dict[str, str] = {}
    for task in only:
        why.setdefault(task, "asked for by --only")
    for last in upto:
        why.setdefault(last, "asked for by --upto")
        for task in dag.ancestors(last):
            why.setdefault(task, f"{last} needs it")
    for first in from_:
        why.setdefault(first, "asked for by --from")
        for task in dag.descendants(first):
            why.setdefault(task, f"it follows {first}")
    return Choice(tasks={task: why[task] for task in dag.tasks if task in why}, partial=len(why) < len(dag.tasks))


def kernel_installed(name: str | None) -> None:
    """Refuse a kernel that is not here. `python3` always is: it comes with ipykernel."""
    if name in (None, "python3"):
        return
    from jupyter_core.paths import jupyter_path

    found = {
        folder.name.lower()
        for root in jupyter_path("kernels")
        if Path(root).is_dir()
        for folder in Path(root).iterdir()
        if (folder / "kernel.json").is_file()
    }
    if name is not None and name.lower() not in found:
        raise KernelMissingError(name, sorted(found | {"python3"}))


def new_name(now: datetime, kind: str = "manual") -> str:
    """An id for a run: sorts by time, and may be a folder's name on every system (so no colon)."""
    return f"{kind}__{now.astimezone(UTC):%Y-%m-%dT%H-%M-%S.%f}Z"


def _output(said: str | PurePath | None, overwrite: bool) -> Path | None:
    if said is None:
        return None
    path = Path(said).expanduser().absolute()
    if path.is_dir():
        raise OutputError(Path(said), "it is a folder; name a file in it, such as out.ipynb")
    if not path.parent.is_dir():
        raise OutputError(Path(said), f"there is no folder {path.parent}; make it first")
    if path.exists() and not (overwrite or _replaceable(path)):
        raise OutputExistsError(Path(said))
    return path


def _replaceable(path: Path) -> bool:
    """Whether it holds nothing that somebody may miss: it is empty, or the output of a run, ours or papermill's."""
    try:
        text = path.read_bytes() if path.is_file() else b"nothing that may be replaced"
        return not text or isinstance(json.loads(text)["metadata"]["papermill"], dict)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def _folder(said: Path) -> Path:
    path = said.expanduser().absolute()
    if not path.is_dir():
        raise FolderMissingError(said)
    return path


def _doubtful_parameters(dag: Dag, said: Mapping[str, Any]) -> Iterable[Note]:
    for name in said:
        if name not in dag.parameters:
            yield Note(
                code="NB411",
                name=name,
                message=f"the parameters cell sets no {name!r}{_nearest(name, dag.parameters)}; "
                "it is injected all the same",
            )
    for name, text in parameter_types.texts_given_for_numbers(dag.parameters, said):
        message = f"{name} is a number in the parameters cell, and is given the text {text!r}"
        yield Note(code="NB416", name=name, message=message)


def _plain(name: str, value: Any) -> Any:
    """The value as JSON has it, since the run must be able to say later what it was given."""
    scalar = getattr(value, "item", None)  # numpy's numbers, some of which are Python's as well
    if scalar is not None and getattr(value, "ndim", None) == 0:
        return _plain(name, scalar())
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(name, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, each) for each in value]
    raise ParameterValueError(name, value)


def _nearest(name: str, among: Iterable[str]) -> str:
    found = nearest(name, among)
    return f" (did you mean {found!r}?)" if found else ""


def _told(problem: Problem) -> str:
    where = f"{problem.place}: " if problem.place else ""
    return f"{where}{problem.message}{f'; {problem.hint}' if problem.hint else ''} ({problem.code})"
