"""What the store gives and takes: frozen values, one class for each thing that it keeps.

Instants are seconds since the epoch. `Change` is all that one look of a scheduler changes in one run; it is saved
whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.model.job import Note, Result, StoredOutput
from ..core.model.states import RunState, TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerRow:
    """A process that drives runs."""

    id: str
    host: str  # which machine, which boot of it, which container
    pid: int
    birth: str  # when the process began, as its system counts
    started: float
    heartbeat: float  # when it last said that it is alive
    kind: str = "run"  # run: drives its own run; scheduler: all that are nobody's own
    ended: float | None = None  # it ended in good order
    jobs: int | None = None  # how many tasks it makes at once


@dataclass(frozen=True, slots=True, kw_only=True)
class DagRow:
    """A deployed notebook."""

    id: str
    digest: str  # the version that new runs take
    path: str  # the notebook's file when it was deployed
    cwd: str  # working directory of its tasks
    deployed: float  # when its schedule became live
    schedule: str | None
    tz: str = "UTC"
    start_date: float | None = None
    end_date: float | None = None
    catchup: bool = False
    fail_fast: bool = False
    max_active_runs: int = 16
    paused: bool = False
    last_date: float | None = None  # logical date of its last scheduled run
    next_date: float | None = None  # of the next one: not before this is it worth a look; None: never


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to be created."""

    dag: str
    name: str  # what people call its id
    digest: str  # of the pinned notebook
    path: str  # the notebook's file
    cwd: str  # working directory of its tasks
    created: float
    logical_date: float
    interval_start: float
    interval_end: float
    kind: str = "manual"
    output: str | None = None  # a second place for the report
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tasks: tuple[str, ...] | None = None  # of a partial run, those chosen; None: all
    fail_fast: bool = False
    cache: bool = True  # earlier outcomes may stand for those of its tasks with --cache
    kernel: str | None = None  # that its tasks get; None: the notebook's
    scheduler: str | None = None  # the only one that may drive it
    notes: tuple[Note, ...] = ()  # said of it before it starts
    borrowed: Mapping[str, int] = field(default_factory=dict)  # task → number of the run that gives its values
    built: bool = False  # the notebook is what %%dag has made of another
    backfill: int | None = None  # of which it is a part


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run as it stands."""

    id: int
    dag: str
    name: str
    digest: str
    kind: str
    state: RunState
    error: str | None
    created: float
    started: float | None
    ended: float | None
    logical_date: float
    interval_start: float
    interval_end: float
    path: str
    cwd: str
    output: str | None
    parameters: Mapping[str, Any]
    tasks: tuple[str, ...] | None
    fail_fast: bool
    cancel_asked: float | None
    scheduler: str | None
    revision: int
    backfill: int | None = None  # of which it is a part
    cache: bool = True  # earlier outcomes may stand for those of its tasks with --cache
    kernel: str | None = None  # that its tasks get; None: the notebook's


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInstance:
    """A task instance to be created."""

    task: str
    position: int  # of the task in the notebook, from 0
    map_index: int = -1
    pool: str = "default_pool"
    slots: int = 1
    element: Mapping[str, str] = field(default_factory=dict)  # mapped: variable → digest of its element
    state: TaskState = TaskState.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRow:
    """A task instance as it stands."""

    id: int
    task: str
    map_index: int
    position: int  # of the task in the notebook, from 0
    state: TaskState
    tries: int  # attempts begun, ever
    wake: float | None  # not before: the next retry, the next look of a sensor
    pool: str
    slots: int
    short_circuit: bool  # skipped in such a way that every descendant is skipped
    element: Mapping[str, str]
    forgiven: int = 0  # of its tries, those before it was last cleared: they count no more

    @property
    def is_reset(self) -> bool:
        """Whether it was cleared, and has not been tried since."""
        return self.forgiven == self.tries and self.tries > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveRow:
    """A task instance that has slots of a pool."""

    number: int  # of its run
    dag: str
    run: str
    task: str
    map_index: int
    pool: str
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """An attempt as it stands."""

    instance: int
    task: str
    map_index: int
    try_number: int
    state: TaskState
    started: float
    ended: float | None
    error: str | None
    traceback: str | None
    scheduler: str
    cached: str | None = None  # it was not made: its outcome is that of this run of the DAG
    outputs: tuple[StoredOutput, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedOutcome:
    """The outcome of a successful attempt, which may stand for that of another."""

    run: str  # the id of the run that has it
    map_index: int
    try_number: int
    made_in: str  # the id of the run in which the attempt was really made
    outputs: tuple[StoredOutput, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """An attempt that begins."""

    instance: InstanceRow
    try_number: int
    cache_key: str | None = None  # of a task with --cache
    cached: str | None = None  # it is not made: its outcome is that of this run of the DAG


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one look at one run changes."""

    run: RunRow  # as it will stand; its revision is the one that was seen
    instances: Sequence[InstanceRow] = ()  # as they will stand
    begun: Sequence[NewAttempt] = ()  # attempts that begin now
    resumed: Sequence[tuple[InstanceRow, int]] = ()  # attempts that go on: a sensor looks again
    ended: Sequence[tuple[InstanceRow, Result]] = ()  # attempts that have ended
    added: Sequence[NewInstance] = ()  # of a mapped task, once its elements are known; of a run, once it is built
    built: bool = False  # the run's notebook is what %%dag has made of another, and may not be on record
    dropped: Sequence[InstanceRow] = ()  # the placeholder of a mapped task, with its attempt
    notes: Sequence[Note] = ()  # of the run as a whole
    pools: Mapping[str, int] = field(default_factory=dict)  # sizes that must hold for what begins; −1: no limit
    at: float = 0.0
    scheduler: str = ""
    most: int | None = None  # of a run that starts: how many of its DAG and kind may run at once
