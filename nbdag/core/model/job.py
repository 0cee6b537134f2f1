"""One attempt of a task: its job and its result.

A job holds everything that a worker needs, so a worker reads no notebook and queries no database. A result holds
everything that the worker reports. Both are plain data and can be sent to other processes and hosts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .dag import Task
from .states import TaskState

PUSHED = "ti."  # prefix of the names under which `ti.xcom_push` stores values; no variable can have such a name
CANCELLED = "cancelled"  # error text of an attempt that was terminated on request


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Identifies one attempt among all attempts of all runs."""

    dag: str
    run: str
    task: str
    map_index: int = -1  # index of a mapped task's instance, from 0; -1 for any other task
    try_number: int = 1  # number of the try, from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInput:
    """A stored value that is loaded into `name` before the cell runs."""

    name: str
    source: str  # the task that wrote the value
    digests: tuple[str, ...]  # digest of the stored value; for a mapped source, one digest per instance, in order
    is_list: bool = False  # True: the name becomes a list, one element per digest


class PulledInput(NamedTuple):
    """Stored values that `ti.xcom_pull(task, key=key)` returns."""

    task: str
    key: str
    name: str  # the name under which the task stored them
    digests: tuple[str, ...]  # one digest, or one for each instance of a mapped task
    is_list: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attempt, ready to be executed."""

    key: Key
    task: Task  # the task's code, options, exports and definitions
    path: str  # file of this attempt's notebook, …/TRY.ipynb; the text log is TRY.log in the same folder
    values: str  # root of the value store: a path or an fsspec URL
    cwd: str  # the working directory of the task's kernel
    kernel_name: str
    parameter_cells: tuple[str, ...] = ()  # code of the parameters cells
    setup_cells: tuple[str, ...] = ()  # code of the setup cells that this task needs, in order
    readers: Mapping[str, str] = field(default_factory=dict)  # exported name → the first task that reads it
    imports: tuple[str, ...] = ()  # the notebook's imports (core.cells.imports); equal for all tasks of the notebook
    kernels: str = "warm"  # "warm" (the fork server, where possible) or "fresh"
    inputs: tuple[StoredInput, ...] = ()
    pulled: tuple[PulledInput, ...] = ()
    pull_tasks: tuple[str, ...] = ()  # the tasks that `ti.xcom_pull` may name
    parameters: Mapping[str, Any] = field(default_factory=dict)  # values injected after the parameters cell
    element: Mapping[str, str] = field(default_factory=dict)  # for a mapped task: variable → digest of the element
    expand: bool = False  # evaluate the --map expressions and save their elements; do not run the cell
    mark: str = ""  # of its processes; the same for every scheduler that knows this attempt
    context: Mapping[str, Any] = field(default_factory=dict)  # attributes of `dag_run`: logical_date, params, …
    # Name that the task reads → names of the same object in other tasks, which would miss a hidden change of it. None:
    # not known, so every change counts.
    held: Mapping[str, tuple[str, ...]] | None = None
    # Name that it is given → names that the same task stored and that tasks below are given: they may share objects.
    beside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    changed_later: Mapping[str, str] = field(default_factory=dict)  # name → the first later task that changes it
    # State without a name (core.analysis.hidden_state) or module → the first later task that can observe it.
    state_observers: Mapping[str, str] = field(default_factory=dict)
    seeded_before: Mapping[str, str] = field(default_factory=dict)  # random generator → last task above that seeds it


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOutput:
    """A value that an attempt stored."""

    name: str
    digest: str  # digest of the stored value, which may hold several names that share objects
    type: str  # full name of the value's type, such as pandas.DataFrame
    bytes: int
    summary: str  # short text for display: shape, columns, a short repr


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A warning of a run about a task that succeeded."""

    code: str  # stable, such as NB401
    name: str  # the variable, task or pool that the warning is about
    message: str  # one sentence, with the remedy


class FileUse(NamedTuple):
    """How one attempt used one file or folder."""

    path: str  # absolute; in code that is only read, as it is written there
    # Letters: r read, w written, a appended to, c created, moved or removed, l the folder was listed, s seen to have
    # changed meanwhile, so this attempt or another one wrote it.
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesOfAttempt:
    """The files that one attempt used."""

    task: str
    started: float  # seconds since the epoch
    ended: float
    files: tuple[FileUse, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a task's kernel observed of one attempt."""

    state: TaskState  # success, failed, skipped, or up_for_reschedule
    outputs: tuple[StoredOutput, ...] = ()
    notes: tuple[Note, ...] = ()
    files: tuple[FileUse, ...] = ()  # files that the cell read or wrote; see kernels.runtime.file_watch
    error: str | None = None  # one sentence, or the exception's last line
    final: bool = False  # True: the failure must not be retried (--check or nbdag.Fail)
    short_circuit: bool = False  # True: skipped by --when with --short-circuit, so all descendants are skipped too
    length: int | None = None  # after an expansion: the number of instances
    elements: tuple[Mapping[str, str], ...] = ()  # after an expansion, for each instance: variable → digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Outcome):
    """The outcome of one attempt, with what the worker adds: the attempt's key, its times and the traceback."""

    key: Key
    started: float  # in seconds since the epoch
    ended: float
    traceback: str | None = None  # plain text
