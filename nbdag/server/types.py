"""The types of requests and answers that `frontend.messages` does not have.

Instants are seconds since the epoch and durations are seconds, as in `frontend.messages`. "Pipeline" stands for a
deployed notebook; in URLs it is called a DAG, as in Airflow.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta, Struct

from ..core.model.states import RunState, TaskState
from ..frontend.messages import DirectionChoice

# An id of a pipeline, a run or a task, as `home.path_part` accepts it.
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", min_length=1, max_length=250)]
Version = Annotated[str, Meta(pattern=r"^[0-9a-f]{1,64}$", description="Number or digest of a version.")]
Cursor = Annotated[str, Meta(min_length=1, max_length=500, description="The `next` of the previous page.")]
Limit = Annotated[int, Meta(ge=1, le=500, description="Most entries of a page.")]
Seconds = Annotated[float, Meta(description="Seconds since the epoch.", ge=0, le=1e11)]


Moment = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?$",
        description="Date of ISO 8601; without a time zone it is in the schedule's.",
    ),
]
Day = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\d$", description="A day, such as 2026-01-31.")]
PoolName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", min_length=1, max_length=250)]
AssetName = Annotated[
    str, Meta(min_length=1, max_length=2000, description="Name of an asset, such as s3://lake/orders.")
]
ValueName = Annotated[
    str, Meta(pattern=r"^[^\x00-\x1f/]+$", min_length=1, max_length=250, description="Name of a variable.")
]
FilePath = Annotated[
    str, Meta(min_length=1, max_length=4096, description="Path of a file, relative to the server's root directory.")
]
MapIndex = Annotated[int, Meta(ge=-1, le=10_000_000, description="Index of a mapped task's instance, or -1.")]
TryNumber = Annotated[int, Meta(ge=1, le=1_000_000, description="Number of the try, from 1.")]
# The name of a task, or of an instance of a mapped task: `train`, or `train[3]`.
Instance = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(\[[0-9]{1,9}\])?$", min_length=1, max_length=262)]
Instances = Annotated[list[Instance], Meta(max_length=10_000)]


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


class PipelinesQuery(Struct, kw_only=True):
    """Which pipelines to list."""

    search: Annotated[
        str, Meta(max_length=200, description="Words that occur in the id, owner, tags or description.")
    ] = ""
    tag: Annotated[list[str], Meta(max_length=20, description="Tags that the pipeline has.")] = []
    paused: bool | None = None
    state: Annotated[list[RunState], Meta(max_length=10, description="States, one of which the newest run has.")] = []
    cursor: Id | None = None
    limit: Limit = 50


class RunsQuery(Struct, kw_only=True):
    """Which runs to list."""

    dag: Id | None = None
    state: Annotated[list[RunState], Meta(max_length=10, description="States, any of which the run has.")] = []
    since: Seconds | None = None  # earliest time of creation
    until: Seconds | None = None  # latest time of creation, exclusive
    cursor: Cursor | None = None
    limit: Limit = 50


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


Pixels = Annotated[float, Meta(gt=0, le=100_000)]


class GraphQuery(Struct, kw_only=True):
    """How to draw a graph."""

    direction: DirectionChoice = "auto"
    collapsed: bool = False  # draw each long chain as one box
    folded: Annotated[list[str], Meta(max_length=500, description="Groups to draw as one box.")] = []
    width: Pixels | None = None  # the space of the view, in which the text shall be as large as possible
    height: Pixels | None = None

    @property
    def space(self) -> tuple[float, float] | None:
        """The width and the height, or None if one of them is missing."""
        return None if self.width is None or self.height is None else (self.width, self.height)


class PipelineGraphQuery(GraphQuery, kw_only=True):
    """Which graph to draw, and how."""

    version: Version | None = None


class NotebookQuery(Struct, kw_only=True):
    """Which version of a notebook to return."""

    version: Version | None = None
    run: Id | None = None  # the notebook that this run executes


class GridQuery(Struct, kw_only=True):
    """How many runs the grid shows at most."""

    limit: Annotated[int, Meta(ge=1, le=100, description="Most runs.")] = 20


class LogQuery(Struct, kw_only=True):
    """Which part of a log to send. A header `Range` overrides `offset` and `limit`."""

    offset: Annotated[
        int, Meta(ge=-(2**53), le=2**53, description="First byte; a negative number counts from the end.")
    ] = 0
    limit: Annotated[int, Meta(ge=0, le=4 << 20, description="Most bytes.")] = 1 << 20
    download: Annotated[bool, Meta(description="Send the whole log as a file.")] = False


class ClearBody(Struct, kw_only=True):
    """Which tasks of a run to reset. Without `tasks`, every task is reset."""

    tasks: Instances = []
    upstream: bool = False  # whether tasks upstream of `tasks` are reset too
    downstream: bool = False
    only_failed: bool = False  # whether only tasks are reset that failed or could not run
    deployed: bool = False  # whether the run is switched to the deployed version of the notebook
    dry_run: bool = False  # whether nothing is changed


class MarkBody(Struct, kw_only=True):
    """Which tasks of a run get which state."""

    tasks: Annotated[list[Instance], Meta(min_length=1, max_length=10_000)]
    state: Literal["success", "failed", "skipped"]
    dry_run: bool = False  # whether nothing is changed


class AnswerBody(Struct, kw_only=True):
    """The answer to the question of a task."""

    task: Instance
    approved: bool
    why: Annotated[str, Meta(max_length=2000)] = ""


class Affected(TypedDict):
    """The tasks that a change of a run affects; each is `train`, or `train[3]` for an instance."""

    tasks: list[str]
    restarting: list[str]  # those among `tasks` that are running, and are terminated first
    again: list[str]  # further tasks, downstream of marked tasks, that run again
    queued_again: bool  # whether the run had ended, so that it is queued again
    owner: str  # describes the process that executes the run; "" if no process does
    edited: str  # one sentence if cells of these tasks were edited since, which the run does not notice; else ""


class TriggerBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """The run to create."""

    parameters: dict[str, Any] = {}  # values for parameters, by name
    logical_date: Moment | None = None  # the time that the run is for; None: now
    cache: bool = True  # whether tasks with --cache may take earlier results
    allow_unknown: bool = False  # whether parameters are accepted that the notebook does not have
    run: Id | None = None  # id of the run; None: an id from the current time


class DeployBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """The notebook to deploy."""

    path: FilePath


class BackfillBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """The past ticks of a schedule that get runs."""

    first: Moment
    last: Moment  # included
    # Ticks that get another run although they have one: those whose latest run failed, or has ended.
    reprocess: Literal["none", "failed", "completed"] = "none"
    backwards: bool = False  # whether the newest tick runs first
    tasks: Annotated[list[Id], Meta(max_length=10_000)] = []  # tasks to execute; []: all tasks
    parameters: dict[str, Any] = {}
    allow_unknown: bool = False
    max_active_runs: Annotated[int, Meta(ge=1, le=10_000)] = 10
    dry_run: bool = False  # whether no run is created


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


class TicksQuery(Struct, kw_only=True):
    """How many ticks to list."""

    limit: Annotated[int, Meta(ge=1, le=100, description="Most ticks.")] = 5


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


class PoolBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """The size of a pool."""

    slots: Annotated[int, Meta(ge=-1, le=2_147_483_647, description="Number of slots; -1 means no limit.")]


class Process(TypedDict):
    """A process that executes runs and has not shut down cleanly."""

    pid: int
    host: str  # name of the machine
    kind: str  # "scheduler": it executes all runs without an owner; "run": it executes only its own run
    started: float
    heartbeat: float  # time of the last heartbeat
    alive: bool  # false: the process was killed, or its host does not answer
    jobs: int | None  # how many tasks it executes at once
    running: int  # number of tasks that it executes now


class QueuedTask(TypedDict):
    """A task that waits for a slot, a retry or a poll, or runs."""

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
    queue: list[QueuedTask]  # the oldest run first
    states: dict[str, int]  # number of task instances of unfinished runs by state
    runs: dict[str, int]  # number of unfinished runs by state
    unowned: int  # number of unfinished runs that wait for a scheduler
    overdue: list[Overdue]
    deployed: int  # number of deployed pipelines
    paused: int  # number of deployed pipelines whose schedules are paused


class SchedulerQuery(Struct, kw_only=True):
    """How many waiting and running tasks are listed."""

    limit: Annotated[int, Meta(ge=0, le=5000, description="Most tasks.")] = 500


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


class AssetProducer(TypedDict):
    """A task that produces an asset."""

    dag: str
    task: str


class AssetState(TypedDict):
    """An asset, with the deployed pipelines that produce and need it."""

    name: str
    versions: int  # number of recorded versions
    latest: float | None  # time of the newest version
    producers: list[AssetProducer]
    consumers: list[str]  # pipelines whose schedules need the asset


class AssetList(TypedDict):
    """All assets by name."""

    items: list[AssetState]


class AssetEvent(TypedDict):
    """A new version of an asset."""

    asset: str
    at: float
    extra: dict[str, Any]  # facts that the producer recorded about the version
    dag: str | None  # the pipeline that produced the version; None if a person or a watched file did
    run: str | None
    task: str | None  # the task that produced the version; None if the whole run did
    map_index: int | None
    started: dict[str, str]  # the runs that the version started, by pipeline


class AssetEventList(TypedDict):
    """The newest versions of an asset, newest first."""

    items: list[AssetEvent]


class AssetEventsQuery(Struct, kw_only=True):
    """How many versions are listed."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="Most versions.")] = 20


class EmitBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """The facts about a new version of an asset."""

    extra: dict[str, Any] = {}


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
    try_number: int  # 0 if the event is about no attempt
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


class CalendarQuery(Struct, kw_only=True):
    """Which days to return; at most 800 days."""

    first: Day
    last: Day  # included


class ReportQuery(Struct, kw_only=True):
    """How to show the report of a run."""

    code: Literal["shown", "folded", "hidden"] = "shown"  # how the source of the cells is shown
    download: bool = False  # whether the page is sent as a file


class ValueQuery(Struct, kw_only=True):
    """Which instance of a mapped task has the value."""

    map_index: MapIndex = -1
