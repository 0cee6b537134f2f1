"""Check every requirement of a run before it starts.

Read the notebook, build the tasks of its %%dag cell, choose the tasks to execute, and check the parameters, the kernel,
the working directory and the output path. Mistakes are reported before anything is written or started.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

from ... import environments, notebooks
from ...building import BuiltNotebook, build, secret_parameters
from ...core.cells import parameter_types
from ...core.model.dag import CellKind, Dag, Problem
from ...core.model.job import Note
from ...core.model.secret_names import masked_value
from ...core.model.text import plural
from ...core.options.option_types import nearest
from ...core.planning.clearing import with_setups
from ...errors import NbdagError, error
from ...home import absolute
from ...secrets.parameters import without_secrets

_MAX_DEPTH = 100  # maximum number of nested levels in a parameter
# Maximum number of values in a parameter; limited because a short YAML text with aliases can expand to billions of
# values.
_MAX_VALUES = 1_000_000


@error
class NotebookProblemsError(NbdagError):
    """A notebook has errors, so it cannot run."""

    path: Path
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.path} cannot run: {_line(self.problems[0])}"
        lines = "".join(f"\n  {_line(problem)}" for problem in self.problems)
        return f"{self.path} cannot run, for {len(self.problems)} reasons:{lines}"

    @property
    def sentence(self) -> str:
        """The first problem and the number of further problems, in one line."""
        more = len(self.problems) - 1
        rest = f", and {plural(more, 'more problem')}; `nbdag check {self.path}` lists them" if more else ""
        return f"{self.path} cannot run: {_line(self.problems[0])}{rest}"


@error
class UnknownTaskError(NbdagError):
    """The notebook has no task of this name."""

    exit_code = 2

    task: str
    tasks: tuple[str, ...]
    template = "unknown task {task!r}{hint}; the tasks are {known}"

    @property
    def hint(self) -> str:
        return _nearest(self.task, self.tasks)

    @property
    def known(self) -> str:
        return ", ".join(self.tasks)


@error
class EmptySelectionError(NbdagError):
    """A selection of tasks is empty. This is an error, because an empty selection would mean all tasks."""

    exit_code = 2

    option: str
    template = "{option} names no task; name at least one, or omit {option} to run all tasks"


@error
class UnknownParameterError(NbdagError):
    """The notebook has no parameter of this name."""

    exit_code = 2

    dag: str
    name: str
    names: tuple[str, ...]
    has_cell: bool = True  # whether the notebook has a parameters cell
    template = "{why}; {hint} (or pass it anyway with --allow-unknown)"

    @property
    def why(self) -> str:
        cell = f"the parameters cell of {self.dag} sets no {self.name!r}"
        return cell if self.has_cell else f"{self.dag} has no parameters cell, so it has no parameter {self.name!r}"

    @property
    def hint(self) -> str:
        if not self.has_cell:
            return f"set {self.name} in a cell that begins with %%params"
        near = nearest(self.name, self.names)
        if near:
            return f"did you mean {near!r}?"
        return f"its parameters are {', '.join(self.names)}" if self.names else "it has no parameters"


@error
class ParameterSizeError(NbdagError):
    """The value of a parameter contains itself, is too large, or is text that cannot be encoded."""

    exit_code = 2

    name: str
    why: str
    template = (
        "parameter {name!r} {why}, so it cannot be recorded with the run; pass a smaller value, or the path of a file"
    )


@error
class ParameterValueError(NbdagError):
    """The value of a parameter cannot be written into a notebook."""

    exit_code = 2

    name: str
    value: object
    template = (
        "parameter {name!r} is a {kind}, which cannot be recorded with the run; pass a number, text, true or false, "
        "nothing, or lists and mappings of these"
    )

    @property
    def kind(self) -> str:
        return type(self.value).__name__


@error
class OutputError(NbdagError):
    """The report cannot be written to the requested path."""

    exit_code = 2

    path: Path
    why: str
    template = "the report cannot be written to {path}: {why}"


@error
class OutputExistsError(NbdagError):
    """The report would replace a file that is not a report."""

    exit_code = 2

    path: Path
    template = "{path} already exists and is not a run report; choose another file or pass --overwrite"


@error
class FolderMissingError(NbdagError):
    """The requested working directory does not exist."""

    exit_code = 2

    path: Path
    template = "the working directory {path} does not exist; create it first"


@error
class KernelMissingError(NbdagError):
    """The notebook's kernel is not installed here."""

    name: str
    installed: tuple[str, ...]
    template = (
        "the kernel {name!r} is not installed (installed: {known}); install it, or choose another kernel in Jupyter's "
        "Kernel menu and save the notebook"
    )

    @property
    def known(self) -> str:
        return ", ".join(self.installed) or "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The tasks to execute, each with the reason for choosing it."""

    tasks: Mapping[str, str]  # key: task to execute; value: why it was chosen
    partial: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A notebook that is ready to run."""

    path: Path  # absolute path of the notebook
    dag: Dag
    file: bytes  # the notebook file as it was read
    source: bytes  # `file` without the record of the files and packages that another version has pinned
    text: bytes  # the notebook after its %%dag cell has built tasks; a run pins this text
    digest: str  # digest of `text`
    parameters: Mapping[str, Any]
    choice: Choice
    notes: tuple[Note, ...]  # warnings to show before the run starts
    output: Path | None
    cwd: Path
    kernel: str | None  # name of the kernel to use; None for the kernel that the notebook names


def prepare(
    notebook: str | PurePath,
    *,
    parameters: Mapping[str, Any] | None = None,
    allow_unknown: bool = False,
    only: Sequence[str] | None = None,
    upto: Sequence[str] | None = None,
    from_: Sequence[str] | None = None,
    output: str | PurePath | None = None,
    overwrite: bool = False,
    cwd: str | PurePath | None = None,
    kernel_name: str | None = None,
    built: BuiltNotebook | None = None,
) -> Prepared:
    """Check everything that needs no store.

    `built` is the notebook with its tasks built, if the caller has already read it.
    """
    path = absolute(notebook)
    # By default, tasks run in the notebook's folder, as in Jupyter, so that relative paths in the notebook work.
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
        raise NotebookProblemsError(Path(notebook), tuple(dag.errors))
    recorded, notes = record_parameters(dag, parameters or {}, allow_unknown=allow_unknown, stays_here=True)
    kernel_installed(kernel_name or dag.kernel_name)
    source, text = built.source, built.text
    if not built.deployed:  # a downloaded notebook may contain a record of what another version has pinned
        source, text = (notebooks.with_pins(each, {}, name=path.name) for each in (source, text))
        dag = replace(dag, pinned_files="", packages="")
    return Prepared(
        path=path,
        dag=dag,
        file=built.source,
        source=source,
        text=text,
        digest=digest_of(text),
        parameters=recorded,
        choice=choose(dag, only=only, upto=upto, from_=from_),
        notes=notes,
        output=_output(output, overwrite),
        cwd=folder,
        kernel=kernel_name,
    )


def with_environment(prepared: Prepared) -> Prepared:
    """Resolve the packages of %dag --requires. In a deployed version, they are resolved already.

    Raises the errors of `environments.locked`.
    """
    requires = prepared.dag.options.requires
    if not requires or prepared.dag.packages:
        return prepared
    packages = environments.locked(requires, prepared.cwd)
    text = notebooks.with_pins(prepared.text, {"packages": packages}, name=prepared.path.name)
    return replace(prepared, text=text, digest=digest_of(text), dag=replace(prepared.dag, packages=packages))


def digest_of(text: bytes) -> str:
    """Return the digest that identifies a pinned notebook."""
    return hashlib.sha256(text).hexdigest()


def plain_parameters(said: Mapping[str, Any]) -> dict[str, Any]:
    """Convert parameters to the plain data that a run records. Raises `ParameterValueError` or `ParameterSizeError`."""
    return {name: _Plain(name).value(value) for name, value in said.items()}


def record_parameters(
    dag: Dag, said: Mapping[str, Any], *, allow_unknown: bool = False, stays_here: bool = False
) -> tuple[dict[str, Any], tuple[Note, ...]]:
    """Return the parameters as a run records them, and notes about parameters that are probably mistakes.

    A secret is recorded by its name. With `stays_here`, this process executes the run, so a secret's value is accepted.
    Raises `ParameterRuleError`, `ParameterTypeError`, `SecretParameterError`, and, without `allow_unknown`,
    `UnknownParameterError`.
    """
    plain = plain_parameters(said)
    for name in plain:
        if name not in dag.parameters and not allow_unknown:
            has_cell = any(cell.kind is CellKind.PARAMETERS for cell in dag.cells)
            raise UnknownParameterError(dag.id, name, tuple(dag.parameters), has_cell)
    checked = parameter_types.resolve(dag.parameter_schemas, dag.parameters, plain)
    notes = tuple(_doubtful_parameters(dag, checked))
    return without_secrets(checked, secret_parameters(dag), stays_here=stays_here), notes


def choose(
    dag: Dag,
    *,
    only: Sequence[str] | None = None,
    upto: Sequence[str] | None = None,
    from_: Sequence[str] | None = None,
) -> Choice:
    """Return all tasks that `--only`, `--upto` or `--from` selects; without these options, return all tasks.

    The options accept tasks and groups. The setup and teardown tasks of a selected task are also selected.

    An empty selection raises `EmptySelectionError`: a script that computes an empty selection does not mean all tasks.
    """
    only, upto, from_ = (_names("--only", only), _names("--upto", upto), _names("--from", from_))
    for task in (*only, *upto, *from_):
        if not dag.members(task):
            raise UnknownTaskError(task, tuple(dag.tasks))
    only, upto, from_ = dag.members(*only), dag.members(*upto), dag.members(*from_)
    if not (only or upto or from_):
        return Choice(tasks=dict.fromkeys(dag.tasks, "the whole notebook runs"), partial=False)
    why: dict[str, str] = {}
    for task in only:
        why.setdefault(task, "selected by --only")
    for last in upto:
        why.setdefault(last, "selected by --upto")
        for task in dag.ancestors(last):
            why.setdefault(task, f"{last} needs it")
    for first in from_:
        why.setdefault(first, "selected by --from")
        for task in dag.descendants(first):
            why.setdefault(task, f"it follows {first}")
    for task in with_setups(dag, tuple(why)):
        role = "releases" if dag.tasks[task].options.teardown_for else "prepares"
        why.setdefault(task, f"it {role} what a selected task uses")
    return Choice(tasks={task: why[task] for task in dag.tasks if task in why}, partial=len(why) < len(dag.tasks))


def _names(option: str, tasks: Sequence[str] | None) -> tuple[str, ...]:
    if tasks is None:
        return ()
    if not tasks:
        raise EmptySelectionError(option)
    return (tasks,) if isinstance(tasks, str) else tuple(tasks)


def kernel_installed(name: str | None) -> None:
    """Reject a kernel that is not installed. The kernel `python3` is always accepted, because ipykernel provides it."""
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
        raise KernelMissingError(name, tuple(sorted(found | {"python3"})))


def new_name(now: datetime, kind: str = "manual") -> str:
    """Return a new run id. Ids sort by time, and contain no colon, so they are valid folder names on every system."""
    return f"{kind}__{now.astimezone(UTC):%Y-%m-%dT%H-%M-%S.%f}Z"


def _output(said: str | PurePath | None, overwrite: bool) -> Path | None:
    if said is None:
        return None
    path = absolute(said)
    if path.is_dir():
        raise OutputError(Path(said), "the path is a folder; choose a file in it, such as out.ipynb")
    if not path.parent.is_dir():
        raise OutputError(Path(said), f"no folder {path.parent}; create it first")
    if path.exists() and not (overwrite or _replaceable(path)):
        raise OutputExistsError(Path(said))
    return path


def _replaceable(path: Path) -> bool:
    """Return whether a file may be overwritten: it must be empty, or written by nbdag or papermill."""
    try:
        text = path.read_bytes() if path.is_file() else b"nothing that may be replaced"
        return not text or isinstance(json.loads(text)["metadata"]["papermill"], dict)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def _folder(said: Path) -> Path:
    path = absolute(said)
    if not path.is_dir():
        raise FolderMissingError(said)
    return path


def _doubtful_parameters(dag: Dag, said: Mapping[str, Any]) -> Iterable[Note]:
    for name in said:
        if name not in dag.parameters:
            yield Note(
                code="NB411",
                name=name,
                message=f"the parameters cell sets no {name!r}{_nearest(name, dag.parameters)}; injected anyway",
            )
    for name, text in parameter_types.texts_given_for_numbers(dag.parameters, said):
        text = masked_value(name, text)
        message = f"{name} is a number in the parameters cell, but is set to the text {text!r}"
        yield Note(code="NB416", name=name, message=message)


class _Plain:
    """Converts the value of one parameter to JSON data; a run records its parameters in this form."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def value(self, value: Any, depth: int = 0) -> Any:
        """Return the value as JSON data."""
        self._count += 1
        if isinstance(value, Enum):
            return self.value(value.value, depth + 1)
        if depth > _MAX_DEPTH:
            raise ParameterSizeError(self._name, f"contains itself or is nested more than {_MAX_DEPTH} levels deep")
        if self._count > _MAX_VALUES:
            raise ParameterSizeError(self._name, f"contains more than {_MAX_VALUES:,} values")
        # Convert numbers of numpy first, because some of these numbers are also instances of float.
        scalar = getattr(value, "item", None)
        if scalar is not None and getattr(value, "ndim", None) == 0:
            return self.value(scalar(), depth + 1)
        if isinstance(value, str):
            return self._text(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, datetime | date | time):
            return value.isoformat()
        if isinstance(value, PurePath):
            return self._text(str(value))
        if isinstance(value, Mapping):
            return {self._text(str(key)): self.value(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(each, depth + 1) for each in value]
        if isinstance(value, set | frozenset):
            return [self.value(each, depth + 1) for each in sorted(value, key=repr)]
        raise ParameterValueError(self._name, value)

    def _text(self, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ParameterSizeError(self._name, "contains half of a character (a lone surrogate)") from None
        return text


def _nearest(name: str, among: Iterable[str]) -> str:
    found = nearest(name, among)
    return f" (did you mean {found!r}?)" if found else ""


def _line(problem: Problem) -> str:
    where = f"{problem.place}: " if problem.place else ""
    return f"{where}{problem.message}{f'; {problem.hint}' if problem.hint else ''} ({problem.code})"
