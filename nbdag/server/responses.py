"""The responses of the REST API that `frontend.messages` does not have.

Instants are seconds since the epoch and durations are seconds, as in `frontend.messages`. "Pipeline" stands for a
deployed notebook; in URLs it is called a DAG, as in Airflow.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from ..core.model.states import RunState, TaskState


class RecentRun(TypedDict):
    """One of the latest runs of a pipeline, for a bar."""

    id: str
    state: RunState
    created: float
    started: float | None
    ended: float | None


class Pipeline(TypedDict):
    """A notebook that is deployed, or that only has runs; then all fields of the deployment are None."""

    id: str
    notebook: str  # path of the notebook's file when it was deployed, or when its newest run was created
    changed: Literal["", "changed", "gone"]  # how that file differs from the deployed version
    version: int | None  # number of the deployed version, from 1
    digest: str | None  # digest of the deployed version
    deployed: float | None  # None: the notebook is not deployed
    schedule: str | None  # None: runs are only created on request
    tz: str | None
    paused: bool
    next_run: float | None
    owner: str | None
    tags: list[str]
    description: str | None
    recent: list[RecentRun]  # the latest runs, oldest first


class PipelinePage(TypedDict):
    """A part of the list of pipelines."""

    items: list[Pipeline]
    total: int  # number of pipelines on all pages
    next: str | None  # cursor of the next page; None: this is the last page


class ListedRun(TypedDict):
    """A run in a list."""

    id: str
    dag: str
    state: RunState
    kind: str  # how the run was created: manual, scheduled, backfill or asset
    created: float
    started: float | None
    ended: float | None
    logical_date: float
    partial: bool  # whether the run executes only some of the tasks
    error: str
    digest: str  # digest of the version of the notebook that the run executes
    tasks: dict[str, int]  # number of task instances by state


class RunList(TypedDict):
    """A part of a list of runs."""

    items: list[ListedRun]
    next: str | None  # cursor of the next page; None: this is the last page


class RunWarning(TypedDict):
    """A warning about a whole run."""

    code: str  # such as NB401
    name: str  # the variable, task or pool that the warning is about
    message: str


class RunDetails(TypedDict):
    """A run without the states of its tasks."""

    run: ListedRun
    parameters: dict[str, Any]  # the parameters that the user set; secrets are masked
    interval_start: float  # start of the data interval
    interval_end: float
    notebook: str  # path of the notebook's file when the run was created
    version: int | None  # number of the notebook's version, from 1; None if %%dag built tasks in it
    warnings: list[RunWarning]
    events: list[dict[str, Any]]  # the events of assets that started the run
    owner: str  # the process that executes the run; "" if there is none
    revision: int  # number of changes of the run


class Affected(TypedDict):
    """The tasks that a change to a run affects, each written like `train`, or like `train[3]` for an instance."""

    tasks: list[str]
    restarting: list[str]  # those among `tasks` that are running, and are terminated first
    again: list[str]  # unmarked tasks downstream of marked ones, which run again too
    queued_again: bool  # whether the run had ended, so that it is queued again
    owner: str  # describes the process that executes the run; "" if no process does
    edited: str  # one sentence if cells of these tasks were edited since, which the run does not notice; else ""


class BackfillTick(TypedDict):
    """A tick of a backfill."""

    date: float  # the logical date
    made: bool  # whether a run is created for the tick
    reason: str  # why, such as "it has no run"
    run: str  # id of the new run; "" if none was created


class BackfillPlan(TypedDict):
    """The ticks of a backfill, in the order in which their runs start."""

    dag: str
    ticks: list[BackfillTick]
    owner: str  # describes the process that executes the runs; "" if they wait for a scheduler


class Tick(TypedDict):
    """A time at which a schedule creates a run."""

    at: float
    interval_start: float  # start of the run's data interval
    note: str  # how a clock change moves or repeats the tick; often empty


class TickList(TypedDict):
    """The next ticks of a schedule."""

    items: list[Tick]


class NotebookVersion(TypedDict):
    """A recorded version of a pipeline's notebook."""

    number: int  # from 1
    digest: str
    created: float
    deployed: bool  # whether new runs use this version
    runs: int  # number of runs of this version
    last_run: str | None  # id of the newest run of this version


class VersionList(TypedDict):
    """The versions of a pipeline, newest first."""

    items: list[NotebookVersion]


class PoolState(TypedDict):
    """A pool and the tasks that use its slots."""

    name: str
    slots: int  # -1 means no limit
    used: int  # slots that queued and running tasks occupy
    tasks: list[str]  # queued and running tasks of the pool, such as churn.train


class PoolList(TypedDict):
    """All pools by name."""

    items: list[PoolState]


class Process(TypedDict):
    """A process that executes runs and has not shut down cleanly."""

    pid: int
    host: str  # name of the machine
    kind: str  # "scheduler": it executes all runs without an owner; "run": it executes only its own run
    started: float
    heartbeat: float  # time of the last heartbeat
    alive: bool  # false: the process was killed, or its host does not answer
    jobs: int | None  # maximum number of tasks that the process executes at once
    running: int  # number of tasks that the process executes now


class Host(TypedDict):
    """A host that executes attempts, or one worker of a cluster there."""

    name: str
    address: str  # address of the worker; "" for the host of the scheduler itself
    executor: str  # name of the executor
    slots: int  # maximum number of attempts at once
    running: int  # number of attempts that the host executes
    load: float  # load average of the host's last minute
    cores: int  # 0: unknown
    problem: str  # why the host cannot execute attempts; "" if it can


class QueuedTask(TypedDict):
    """A task that is running, or is waiting for a slot, a retry or a poll."""

    dag: str
    run: str
    task: str
    map_index: int
    state: TaskState
    tries: int
    pool: str
    slots: int
    wake: float | None  # earliest time of the next retry or poll
    started: float | None  # start of the current attempt; None if it has not begun


class Overdue(TypedDict):
    """A pipeline whose schedule should have created a run."""

    dag: str
    since: float  # due time of the run


class SchedulerState(TypedDict):
    """The state of all schedulers."""

    processes: list[Process]  # the newest first
    hosts: list[Host]  # the hosts of all processes that are alive, by name
    queue: list[QueuedTask]  # the oldest run first
    states: dict[str, int]  # number of task instances of unfinished runs by state
    runs: dict[str, int]  # number of unfinished runs by state
    unowned: int  # number of unfinished runs that wait for a scheduler
    overdue: list[Overdue]
    deployed: int  # number of deployed pipelines
    paused: int  # number of deployed pipelines whose schedules are paused


class HealthFinding(TypedDict):
    """The result of one check of this installation."""

    what: str  # the subject, such as "kernels"
    level: Literal["ok", "note", "problem"]
    said: str  # one sentence; for a problem, including the remedy


class Health(TypedDict):
    """The results of all checks of this installation."""

    items: list[HealthFinding]


class OpenQuestion(TypedDict):
    """The question of a task with --approve, which waits for an answer."""

    dag: str
    run: str
    task: str  # name of the instance: `deploy`, or `deploy[3]`
    text: str
    asked: float
    until: float | None  # the task fails if nobody has answered by then


class QuestionList(TypedDict):
    """The open questions of all runs, the oldest first."""

    items: list[OpenQuestion]


class AssetTask(TypedDict):
    """A task that produces or reads an asset."""

    dag: str
    task: str


class AssetState(TypedDict):
    """An asset, with the deployed pipelines that produce and need it."""

    name: str
    versions: int  # number of recorded versions
    latest: float | None  # time of the newest version
    producers: list[AssetTask]
    consumers: list[str]  # pipelines whose schedules need the asset
    readers: list[AssetTask]


class AssetList(TypedDict):
    """All assets by name."""

    items: list[AssetState]


class AssetEvent(TypedDict):
    """A new version of an asset."""

    asset: str
    at: float
    extra: dict[str, Any]  # facts that the producer recorded about the version
    # The pipeline that produced the version; None if a person recorded the version or a watched file changed.
    dag: str | None
    run: str | None
    task: str | None  # the task that produced the version; None if the whole run produced it
    map_index: int | None
    started: dict[str, str]  # the runs that the version started, by pipeline


class AssetEventList(TypedDict):
    """The newest versions of an asset, newest first."""

    items: list[AssetEvent]


class Emitted(TypedDict):
    """The pipelines that wait for a new version of an asset."""

    consumers: list[str]


class LineageEdge(TypedDict):
    """A flow of data between a pipeline (`dag:ID`) and an asset (its name)."""

    source: str
    target: str


class LineageGraph(TypedDict):
    """All deployed pipelines and assets, and how data flows between them."""

    dags: list[str]
    assets: list[str]
    edges: list[LineageEdge]


class WhyInstance(TypedDict):
    """The state of a task instance, and the reasons for it."""

    task: str  # name of the instance: `train`, or `train[3]`
    state: TaskState
    reasons: list[str]  # such as "waits for prep, which is running"


class WhyList(TypedDict):
    """The instances of a task, each with the reasons for its state."""

    items: list[WhyInstance]


class RunEvent(TypedDict):
    """One event of a run or of one of its tasks."""

    at: float
    # created, started, ended, cancel (requested): the run. attempt (started), outcome (of an attempt), question (of
    # --approve), answer: a task. warning: either.
    kind: Literal["created", "started", "ended", "cancel", "attempt", "outcome", "question", "answer", "warning"]
    state: str | None  # the new state of the run or task
    task: str  # "" if the event is about the whole run
    map_index: int
    try_number: int  # 0 if the event does not concern an attempt
    text: str  # an error, a warning, a question, or how the run was created


class RunEventList(TypedDict):
    """The events of a run, oldest first."""

    items: list[RunEvent]


class CalendarDay(TypedDict):
    """A day with runs, or with ticks in the future."""

    day: str  # such as 2026-01-31
    runs: dict[str, int]  # number of runs whose logical date is on that day, by state
    planned: int  # number of ticks on that day that are still to come


class Calendar(TypedDict):
    """Days in the time zone of the schedule."""

    tz: str
    days: list[CalendarDay]  # the days with runs or ticks, oldest first
