"""The values that cross the store's boundary: frozen, one class for each kind of record.

A field is stored in the column of its name, unless its metadata says otherwise: `stored_as` names another column,
`UPDATED` marks a column that `Store.save` writes again, and `NOT_STORED` marks a field without a column. `mapping`
turns rows of the database into these classes and back, so a new column takes one line in `schema` and one field here.

Instants are seconds since the epoch. A `Change` holds all that one step of a scheduler changes in one run; it is saved
as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.model.job import Note, Result, StoredOutput
from ..core.model.states import RunState, TaskState

UPDATED = {"updated": True}
NOT_STORED = {"column": None}


def stored_as(column: str, *, updated: bool = False) -> dict[str, Any]:
    """Return the metadata of a field whose column has another name."""
    return {"column": column, "updated": updated}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerRow:
    """A process that owns and executes runs."""

    id: str
    host: str  # the machine, its boot and the container
    pid: int
    birth: str  # when the process began, as its system counts
    started: float
    heartbeat: float  # the time of its last heartbeat
    kind: str = "run"  # run: executes only its own run; scheduler: executes every run without an owner
    ended: float | None = None  # when it ended in good order
    jobs: int | None = None  # how many tasks it executes at once


@dataclass(frozen=True, slots=True, kw_only=True)
class DagRow:
    """A deployed notebook."""

    id: str
    digest: str  # the version that new runs use
    path: str  # the notebook's file when it was deployed
    cwd: str  # working directory of its tasks
    deployed: float  # when its schedule became active
    schedule: str | None
    tz: str = "UTC"
    start_date: float | None = None
    end_date: float | None = None
    catchup: bool = False
    fail_fast: bool = False
    max_active_runs: int = 16
    paused: bool = False
    last_date: float | None = None  # logical date of its last scheduled run
    next_date: float | None = None  # earliest time at which its next run may be due; None: never


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to be created."""

    dag: str = field(metadata=stored_as("dag_id"))
    name: str  # the run id that people see
    digest: str  # of the pinned notebook
    path: str  # the notebook's file
    cwd: str  # working directory of its tasks
    created: float
    logical_date: float
    interval_start: float
    interval_end: float
    kind: str = "manual"
    output: str | None = None  # a second path for the report
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tasks: tuple[str, ...] | None = None  # the selected tasks of a partial run; None: all
    fail_fast: bool = False
    cache: bool = True  # tasks with --cache may take earlier outcomes
    kernel: str | None = None  # kernel of its tasks; None: the notebook's
    scheduler: str | None = field(default=None, metadata=stored_as("scheduler_id"))  # its owner; None: any scheduler
    notes: tuple[Note, ...] = field(default=(), metadata=NOT_STORED)  # reported before it starts
    borrowed: Mapping[str, int] = field(default_factory=dict, metadata=NOT_STORED)  # task → run that has its values
    built: bool = field(default=False, metadata=NOT_STORED)  # a %%dag cell built this notebook from another
    backfill: int | None = None  # the backfill that it belongs to


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A recorded run."""

    id: int
    dag: str = field(metadata=stored_as("dag_id"))
    name: str
    digest: str = field(metadata=UPDATED)
    kind: str
    state: RunState = field(metadata=UPDATED)
    error: str | None = field(metadata=UPDATED)
    created: float
    started: float | None = field(metadata=UPDATED)
    ended: float | None = field(metadata=UPDATED)
    logical_date: float
    interval_start: float
    interval_end: float
    path: str
    cwd: str
    output: str | None
    parameters: Mapping[str, Any]
    tasks: tuple[str, ...] | None
    fail_fast: bool
    cancel_asked: float | None = field(metadata=UPDATED)
    scheduler: str | None = field(metadata=stored_as("scheduler_id", updated=True))
    revision: int
    backfill: int | None = None  # the backfill that it belongs to
    cache: bool = True  # tasks with --cache may take earlier outcomes
    kernel: str | None = None  # kernel of its tasks; None: the notebook's


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInstance:
    """A task instance to be created."""

    task: str
    position: int  # of the task in the notebook, from 0
    map_index: int = -1
    pool: str = "default_pool"
    slots: int = 1
    element: Mapping[str, str] = field(default_factory=dict)  # of a mapped task: variable → digest of its element
    state: TaskState = TaskState.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRow:
    """A recorded task instance."""

    id: int
    task: str
    map_index: int
    position: int  # of the task in the notebook, from 0
    state: TaskState = field(metadata=UPDATED)
    tries: int = field(metadata=UPDATED)  # all attempts so far
    wake: float | None = field(metadata=UPDATED)  # earliest time of the next retry, or of a sensor's next poll
    pool: str
    slots: int
    short_circuit: bool = field(metadata=UPDATED)  # skipped so that every descendant is skipped too
    element: Mapping[str, str] = field(metadata=UPDATED)
    tries_before_reset: int = field(default=0, metadata=stored_as("forgiven", updated=True))  # do not count as retries

    @property
    def is_reset(self) -> bool:
        """Return whether the instance was cleared and has not been tried since."""
        return self.tries_before_reset == self.tries and self.tries > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveRow:
    """A task instance that holds slots of a pool."""

    number: int  # of its run
    dag: str
    run: str
    task: str
    map_index: int
    pool: str
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """A recorded attempt, with its outputs and notes."""

    instance: int = field(metadata=stored_as("instance_id"))
    task: str
    map_index: int
    try_number: int
    state: TaskState = field(metadata=UPDATED)
    started: float = field(metadata=UPDATED)
    ended: float | None = field(metadata=UPDATED)
    error: str | None = field(metadata=UPDATED)
    traceback: str | None = field(metadata=UPDATED)
    scheduler: str = field(metadata=stored_as("scheduler_id"))
    cached: str | None = None  # the run whose outcome it took instead of executing
    outputs: tuple[StoredOutput, ...] = field(default=(), metadata=NOT_STORED)
    notes: tuple[Note, ...] = field(default=(), metadata=NOT_STORED)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillRow:
    """A backfill that is in progress."""

    id: int
    dag: str = field(metadata=stored_as("dag_id"))
    backwards: bool
    max_active_runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedOutcome:
    """The outcome of a successful attempt that another attempt may take."""

    run: str  # the id of the run that has it
    map_index: int
    try_number: int
    made_in: str  # the id of the run that executed the attempt
    outputs: tuple[StoredOutput, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """An attempt that begins."""

    instance: InstanceRow = field(metadata=NOT_STORED)
    try_number: int
    cache_key: str | None = None  # of a task with --cache
    cached: str | None = None  # the run whose outcome it takes instead of executing


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """All that one step of one run changes."""

    run: RunRow  # its new state; `revision` is the revision that the step was based on
    instances: Sequence[InstanceRow] = ()  # in their new state
    begun: Sequence[NewAttempt] = ()  # attempts that begin now
    resumed: Sequence[tuple[InstanceRow, int]] = ()  # attempts of sensors that poll again
    ended: Sequence[tuple[InstanceRow, Result]] = ()  # attempts that have ended
    added: Sequence[NewInstance] = ()  # of a mapped task after its expansion, or of a run after it was built
    built: bool = False  # a %%dag cell built the run's notebook, which may not be recorded yet
    dropped: Sequence[InstanceRow] = ()  # the placeholder of a mapped task, deleted with its attempt
    notes: Sequence[Note] = ()  # about the run as a whole
    pools: Mapping[str, int] = field(default_factory=dict)  # pool sizes that `begun` must fit into; −1: no limit
    at: float = 0.0
    scheduler: str = ""
    most: int | None = None  # for a run that starts: how many runs of its DAG and kind may run at once
