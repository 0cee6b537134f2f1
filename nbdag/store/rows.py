"""The arguments and results of the store: one frozen class for each kind of record.

By default, a field is stored in the column with the name of the field. In the metadata of a field, `stored_as` names
another column, `UPDATED` marks a column that `Store.save` updates, and `NOT_STORED` marks a field without a column.
`mapping` converts between rows and these classes, so a new column needs one line in `schema` and one field here.

Instants are seconds since the epoch. A `Change` holds everything that one step of a scheduler changes in one run; it is
saved as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..core.model.job import Note, Result, StoredOutput
from ..core.model.metrics import Metric
from ..core.model.states import RunState, TaskState

UPDATED = {"updated": True}
NOT_STORED = {"column": None}


def stored_as(column: str, *, updated: bool = False) -> dict[str, Any]:
    """Return the metadata of a field whose column has another name than the field."""
    return {"column": column, "updated": updated}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerRow:
    """A process that owns and executes runs."""

    id: str
    host: str  # identifies the machine, its boot and the container
    pid: int
    birth: str  # start time of the process, in its system's units
    started: float
    heartbeat: float  # time of the last heartbeat
    # "run": the process executes only its own run; "scheduler": the process executes all runs without an owner.
    kind: str = "run"
    ended: float | None = None  # when the process shut down cleanly; None: the process is running or was killed
    jobs: int | None = None  # how many tasks the process executes at once
    offers: Mapping[str, Any] = field(default_factory=dict)  # the resources of its hosts; empty: no limits
    # The executor: its name under "name", and its options, such as the address of a cluster; empty for the local one.
    executor: Mapping[str, Any] = field(default_factory=dict)
    # The hosts of the executor at the last heartbeat: name, address, slots, running, load and cores; None: unknown.
    hosts: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DagRow:
    """A deployed notebook."""

    id: str
    digest: str  # digest of the notebook version that new runs use
    path: str  # the notebook's file at the time of the deployment
    cwd: str  # working directory of the tasks
    deployed: float  # time at which the schedule became active
    schedule: str | None
    tz: str = "UTC"
    start_date: float | None = None
    end_date: float | None = None
    catchup: bool = False
    fail_fast: bool = False
    max_active_runs: int = 16
    paused: bool = False
    last_date: float | None = None  # logical date of the last scheduled run
    # Events of assets before this time start no run; None if the schedule waits for no asset.
    events_since: float | None = None
    next_date: float | None = None  # earliest time at which the next run may be due; None: no run will be due
    owner: str | None = None
    tags: tuple[str, ...] | None = None  # None: the notebook was deployed by an nbdag that did not record tags
    description: str | None = None
    source: str | None = None  # digest of the notebook's file; None: the same as `digest`


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to be created."""

    dag: str = field(metadata=stored_as("dag_id"))
    name: str  # the run id that people see
    digest: str  # digest of the pinned notebook
    path: str  # the notebook's file
    cwd: str  # working directory of the tasks
    created: float
    logical_date: float
    interval_start: float
    interval_end: float
    kind: str = "manual"
    output: str | None = None  # path for a second copy of the report, if the user gave one
    parameters: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[Mapping[str, Any], ...] | None = None  # the events of assets that started the run
    tasks: tuple[str, ...] | None = None  # the tasks of a partial run; None: all tasks
    fail_fast: bool = False
    cache: bool = True  # whether tasks with --cache may take earlier outcomes
    kernel: str | None = None  # kernel name for the tasks; None: the notebook's kernel
    # Id of the scheduler that owns the run; None: any scheduler may execute the run.
    scheduler: str | None = field(default=None, metadata=stored_as("scheduler_id"))
    notes: tuple[Note, ...] = field(default=(), metadata=NOT_STORED)  # warnings that are reported before the run starts
    # Key: task that this partial run does not contain; value: record id of the run with the task's values.
    borrowed: Mapping[str, int] = field(default_factory=dict, metadata=NOT_STORED)
    built: bool = field(default=False, metadata=NOT_STORED)  # whether %%dag built tasks in the pinned notebook
    backfill: int | None = None  # id of the backfill that contains the run; None: no backfill


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
    events: tuple[Mapping[str, Any], ...] | None = None  # the events of assets that started the run
    cancel_asked: float | None = field(metadata=UPDATED)
    scheduler: str | None = field(metadata=stored_as("scheduler_id", updated=True))
    revision: int
    # Earlier ends of a run that was continued, oldest first; keys: started, ended, state, error, cancel_asked.
    earlier: tuple[Mapping[str, Any], ...] | None = field(default=None, metadata=UPDATED)
    backfill: int | None = None  # id of the backfill that contains the run; None: no backfill
    cache: bool = True  # whether tasks with --cache may take earlier outcomes
    kernel: str | None = None  # kernel name for the tasks; None: the notebook's kernel
    files: str | None = None  # id of the folder or URL with the run's files (`storage.owners`); None: not recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInstance:
    """A task instance to be recorded."""

    task: str
    position: int  # position of the task in the notebook, from 0
    map_index: int = -1
    pool: str = "default_pool"
    slots: int = 1
    resources: Mapping[str, float] = field(default_factory=dict)  # amounts of the host's resources that the task needs
    # For an instance of a mapped task; key: variable; value: digest of the element.
    element: Mapping[str, str] = field(default_factory=dict)
    state: TaskState = TaskState.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRow:
    """A recorded task instance."""

    id: int
    task: str
    map_index: int
    position: int  # position of the task in the notebook, from 0
    state: TaskState = field(metadata=UPDATED)
    tries: int = field(metadata=UPDATED)  # number of all attempts so far
    wake: float | None = field(metadata=UPDATED)  # earliest time of the next retry, or of a sensor's next poll
    pool: str
    slots: int
    resources: Mapping[str, float]
    # Whether the condition of --short-circuit was false; if so, all descendants are skipped.
    short_circuit: bool = field(metadata=UPDATED)
    element: Mapping[str, str] = field(metadata=UPDATED)
    # For a task with --approve; keys: question, asked, until; after the answer also approved, by, why, at.
    answer: Mapping[str, Any] = field(default_factory=dict, metadata=UPDATED)
    # Tasks and groups that a branch task chose; None for any other task, and before the branch task has ended.
    chosen: tuple[str, ...] | None = field(default=None, metadata=UPDATED)
    # Number of tries before the last reset; these tries do not count as retries.
    tries_before_reset: int = field(default=0, metadata=stored_as("forgiven", updated=True))

    @property
    def is_reset(self) -> bool:
        """Return whether the instance was cleared and has had no attempt since."""
        return self.tries_before_reset == self.tries and self.tries > 0

    @property
    def asks(self) -> bool:
        """Return whether the task has a question that nobody has answered yet."""
        waits = self.state is TaskState.UP_FOR_RESCHEDULE
        return waits and "question" in self.answer and "approved" not in self.answer


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveRow:
    """A task instance that occupies slots of a pool."""

    number: int  # id of the run's record
    dag: str
    run: str
    task: str
    map_index: int
    pool: str
    slots: int
    resources: Mapping[str, float] = field(default_factory=dict)
    host: str | None = None  # the machine of the scheduler that executes the instance
    offers: Mapping[str, Any] = field(default_factory=dict)  # the resources of that scheduler's hosts


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
    host: str | None = field(default=None, metadata=UPDATED)  # host that executed the attempt; None if unknown
    cached: str | None = None  # id of the run whose outcome the attempt reuses; None: the attempt was executed
    outputs: tuple[StoredOutput, ...] = field(default=(), metadata=NOT_STORED)
    metrics: tuple[Metric, ...] = field(default=(), metadata=NOT_STORED)
    notes: tuple[Note, ...] = field(default=(), metadata=NOT_STORED)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillRow:
    """A backfill that is in progress."""

    id: int
    dag: str = field(metadata=stored_as("dag_id"))
    backwards: bool
    max_active_runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetEvent:
    """A new version of an asset."""

    asset: str
    at: float
    extra: Mapping[str, Any] = field(default_factory=dict)  # what the producer recorded about the new version
    # Id of the DAG that produced the version; None if a person recorded the version or a watched file changed.
    dag: str | None = field(default=None, metadata=stored_as("dag_id"))
    run: str | None = None
    task: str | None = None  # the task that produced the version; None if the whole run produced it
    map_index: int | None = None
    id: int = 0  # id of the record; 0 if the event is not recorded yet

    def to_dict(self) -> dict[str, Any]:
        """Return the event as JSON, without fields that are None; `at` is an ISO date."""
        known = {name: getattr(self, name) for name in ("dag", "run", "task", "map_index")}
        return {
            "asset": self.asset,
            "at": datetime.fromtimestamp(self.at, UTC).isoformat(),
            "extra": dict(self.extra),
            **{name: value for name, value in known.items() if value is not None},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedOutcome:
    """The stored outcome of a successful attempt, which a later attempt may reuse."""

    run: str  # id of the run that contains the attempt
    map_index: int
    try_number: int
    made_in: str  # id of the run in which the task was executed
    outputs: tuple[StoredOutput, ...] = ()
    metrics: tuple[Metric, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """An attempt that begins."""

    instance: InstanceRow = field(metadata=NOT_STORED)
    try_number: int
    cache_key: str | None = None  # cache key, for a task with --cache
    cached: str | None = None  # id of the run whose outcome the attempt reuses; None: the attempt is executed


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Everything that one step of one run changes."""

    run: RunRow  # the run in its new state, but with the revision on which the step is based
    instances: Sequence[InstanceRow] = ()  # changed instances, in their new state
    begun: Sequence[NewAttempt] = ()  # attempts that begin now
    resumed: Sequence[tuple[InstanceRow, int]] = ()  # sensors that poll again, each as (instance, try number)
    ended: Sequence[tuple[InstanceRow, Result]] = ()  # attempts that have ended
    added: Sequence[NewInstance] = ()  # new instances of mapped tasks, or of a run whose tasks were built
    # Whether %%dag built the tasks of the run; if so, the notebook version may be new and is recorded.
    built: bool = False
    dropped: Sequence[InstanceRow] = ()  # placeholders of tasks that are now expanded, deleted with their attempts
    notes: Sequence[Note] = ()  # new notes about the run as a whole
    events: Sequence[AssetEvent] = ()  # new versions of assets to record
    # Key: pool; value: maximum number of slots that the attempts in `begun` may occupy, or −1 for no limit.
    pools: Mapping[str, int] = field(default_factory=dict)
    # Key: resource; value: total amount that attempts on the scheduler's machine may hold. Empty: no limits.
    resources: Mapping[str, float] = field(default_factory=dict)
    at: float = 0.0
    scheduler: str = ""
    host: str | None = None  # name of the host that executes the attempts in `begun`; None if not yet known
    hosts: Sequence[tuple[InstanceRow, str]] = ()  # hosts of attempts that have started
    most: int | None = None  # if the run starts in this step: how many runs of its DAG and kind may run at once
