"""One attempt of a task: its job and its result.

A job holds everything that a worker needs, so a worker reads no notebook and queries no database. A result holds
everything that the worker reports. Both are plain data and can be sent to other processes and hosts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .dag import Task
from .metrics import Metric
from .states import TaskState

# Names by which --retry-on selects failures that are not errors of a cell.
KERNEL_DIED: tuple[str, ...] = ("KernelDied",)
TIMED_OUT: tuple[str, ...] = ("TimeoutError",)
PUSHED = "ti."  # `ti.xcom_push` stores a value under a name with this prefix, which no variable can have
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
    digests: tuple[str, ...]  # digests of the stored value: one, or one per instance if `source` is a mapped task
    is_list: bool = False  # whether `name` becomes a list with one element per digest


class PulledInput(NamedTuple):
    """Stored values that `ti.xcom_pull(task, key=key)` returns."""

    task: str
    key: str
    name: str  # the name under which the task stored the values
    digests: tuple[str, ...]  # digests of the values: one, or one for each instance of a mapped task
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
    storage: str = ""  # URL of the storage through which hosts exchange files; "" if the hosts share the folders
    # Whether the result contains the changes of `nbdag.state`; if not, the attempt's host stores the changes. True for
    # executors that may give up attempts on hosts that do not answer.
    returns_state: bool = False
    folder: str = ""  # digest of a copy of `cwd` in the storage, for hosts that lack this folder; "" if there is none
    packages: str = ""  # exact versions of the kernel's packages; "" if `kernel_name` defines the environment
    pinned_files: str = ""  # digest of the archive of pinned files, which replace files of `cwd`; "" if there are none
    home: str = ""  # path of the run's home; "" means the folder that contains `values`
    parameter_cells: tuple[str, ...] = ()  # code of the parameters cells
    setup_cells: tuple[str, ...] = ()  # code of the setup cells that this task needs, in order
    # Key: exported name; value: the first task that reads the name.
    readers: Mapping[str, str] = field(default_factory=dict)
    # Imports of the whole notebook (core.cells.imports); equal for all its tasks.
    imports: tuple[str, ...] = ()
    kernels: str = "warm"  # "warm" (the fork server, where possible) or "fresh"
    inputs: tuple[StoredInput, ...] = ()
    pulled: tuple[PulledInput, ...] = ()
    pull_tasks: tuple[str, ...] = ()  # the tasks that `ti.xcom_pull` may name
    parameters: Mapping[str, Any] = field(default_factory=dict)  # values injected after the parameters cell
    # For an instance of a mapped task; key: variable of --map; value: digest of the element.
    element: Mapping[str, str] = field(default_factory=dict)
    # Whether to evaluate the --map expressions and save their elements instead of running the cell.
    expand: bool = False
    mark: str = ""  # id in the environment of the attempt's processes, by which any scheduler finds these processes
    context: Mapping[str, Any] = field(default_factory=dict)  # attributes of `dag_run`: logical_date, params, …
    # Objects that this task shares with other tasks, which would miss a change that its code does not show. Key: name
    # that this task reads; value: names by which other tasks read the object. None: unknown, so report every change.
    held: Mapping[str, tuple[str, ...]] | None = None
    # Key: name that this task loads; value: other names that the name's writer stored and that later tasks load. The
    # values of all these names may share objects.
    beside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # Key: name; value: the first later task that changes the name's object.
    changed_later: Mapping[str, str] = field(default_factory=dict)
    # Values that earlier tasks have stored and later tasks load. They may contain objects of this task's inputs.
    given_below: tuple[StoredInput, ...] = ()
    # As `given_below`, for values not stored yet. Key: input; value: names whose values may contain its objects.
    awaited_below: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    of_setup_below: tuple[str, ...] = ()  # names that later tasks read and that setup creates again for each task
    choices: tuple[str, ...] = ()  # for a branch task: the tasks and groups that it may choose
    # Key: a module, or a kind of state outside of variables (core.analysis.hidden_state). Value: the first later task
    # that may observe a change of the module or the state.
    state_observers: Mapping[str, str] = field(default_factory=dict)
    # Key: random generator; value: the last earlier task in the notebook that seeds the generator.
    seeded_before: Mapping[str, str] = field(default_factory=dict)
    # Maximum number of attempts that may follow this one; None if the number is unknown. The executor prepares
    # processes for at most this many attempts.
    to_come: int | None = None


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

    code: str  # the problem code, such as NB401, which never changes
    name: str  # the variable, task or pool that the warning is about
    message: str  # one sentence that describes the warning and the remedy


class FileUse(NamedTuple):
    """A file or folder that an attempt used, and in which way."""

    path: str  # an absolute path; a path found in source code is kept as written
    # One letter for each use. r: read, w: written, a: appended to, c: created, moved or removed, l: listed (a folder),
    # e: existence or size checked, s: changed, by this attempt or by another attempt that ran at the same time.
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesOfAttempt:
    """The files that one attempt used."""

    task: str
    started: float  # start of the attempt, in seconds since the epoch
    ended: float
    files: tuple[FileUse, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of one attempt, as the task's kernel observed it."""

    state: TaskState  # new state of the task: success, failed, skipped, or up_for_reschedule
    outputs: tuple[StoredOutput, ...] = ()
    metrics: tuple[Metric, ...] = ()  # stored values that are single numbers, and variables of --metric
    notes: tuple[Note, ...] = ()
    files: tuple[FileUse, ...] = ()  # files that the cell read or wrote; see kernels.runtime.file_watch
    error: str | None = None  # why the attempt failed or was skipped: one sentence, or the last line of the traceback
    final: bool = False  # whether the failure must not be retried, as after --check or nbdag.Fail
    kinds: tuple[str, ...] = ()  # full names of the error's class and base classes, which --retry-on compares
    retry: bool | None = None  # value of --retry-if; None if the option is not set or could not be evaluated
    short_circuit: bool = False  # whether the condition of --short-circuit was false; if so, descendants are skipped
    chosen: tuple[str, ...] | None = None  # tasks and groups that a branch task chose; None for other tasks
    # For up_for_reschedule: time of the next poll, in seconds since the epoch; None: the interval of --poke applies.
    wake: float | None = None
    question: str | None = None  # for up_for_reschedule: the question of --approve, which a person must answer
    length: int | None = None  # number of instances, if the attempt evaluated --map
    # Key: asset of --produces; value: facts that `nbdag.produced` recorded about the new version.
    assets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # If the attempt evaluated --map: one mapping per instance. Key: variable of --map; value: digest of the element.
    elements: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Outcome):
    """The outcome of one attempt, with what the worker adds: the attempt's key, its times and the traceback."""

    key: Key
    started: float  # start of the attempt, in seconds since the epoch
    ended: float
    traceback: str | None = None  # the traceback as plain text; None if the attempt has no traceback
    host: str | None = None  # name of the host that executed the attempt; None if it is unknown
    # With `Job.returns_state`: the files of `nbdag.state` that the attempt has changed. Key: index of the file in
    # `state_files` of the job's context; value: content.
    state_changes: Mapping[int, bytes] = field(default_factory=dict)
