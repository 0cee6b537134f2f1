"""The queries and bodies of requests, which the server checks before a handler runs.

Instants are seconds since the epoch and durations are seconds, as in `frontend.messages`. "Pipeline"
stands for a deployed notebook; in URLs it is called a DAG, as in Airflow.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from ..core.model.states import RunState
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
        description="Date of ISO 8601; without a time zone, the time zone of the schedule applies.",
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


class PipelinesQuery(Struct, kw_only=True):
    """Which pipelines to list."""

    search: Annotated[
        str,
        Meta(max_length=200, description="Return pipelines whose id, owner, tags or description contain these words."),
    ] = ""
    tag: Annotated[list[str], Meta(max_length=20, description="Tags that the pipeline has.")] = []
    paused: bool | None = None
    state: Annotated[
        list[RunState], Meta(max_length=10, description="Return pipelines whose newest run has one of these states.")
    ] = []
    cursor: Id | None = None
    limit: Limit = 50


class RunsQuery(Struct, kw_only=True):
    """Which runs to list."""

    dag: Id | None = None
    state: Annotated[list[RunState], Meta(max_length=10, description="Return runs whose state is one of these.")] = []
    since: Seconds | None = None  # earliest time of creation
    until: Seconds | None = None  # latest time of creation, exclusive
    cursor: Cursor | None = None
    limit: Limit = 50


Pixels = Annotated[float, Meta(gt=0, le=100_000)]


class GraphQuery(Struct, kw_only=True):
    """Options for drawing a graph."""

    direction: DirectionChoice = "auto"
    collapsed: bool = False  # draw each long chain as one box
    folded: Annotated[list[str], Meta(max_length=200, description="Groups to draw as one box.")] = []
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
    """The maximum number of runs in the grid."""

    limit: Annotated[int, Meta(ge=1, le=100, description="Most runs.")] = 20


class MetricsQuery(Struct, kw_only=True):
    """The maximum number of runs whose metrics are compared."""

    limit: Annotated[int, Meta(ge=1, le=500, description="Most runs.")] = 20


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


class TicksQuery(Struct, kw_only=True):
    """How many ticks to list."""

    limit: Annotated[int, Meta(ge=1, le=100, description="Most ticks.")] = 5


class PoolBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """The size of a pool."""

    slots: Annotated[int, Meta(ge=-1, le=2_147_483_647, description="Number of slots; -1 means no limit.")]


class SchedulerQuery(Struct, kw_only=True):
    """How many waiting and running tasks are listed."""

    limit: Annotated[int, Meta(ge=0, le=5000, description="Most tasks.")] = 500


class AssetEventsQuery(Struct, kw_only=True):
    """How many versions are listed."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="Most versions.")] = 20


class EmitBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """The facts about a new version of an asset."""

    extra: dict[str, Any] = {}


class CalendarQuery(Struct, kw_only=True):
    """Which days to return; at most 800 days."""

    first: Day
    last: Day  # included


class ReportQuery(Struct, kw_only=True):
    """Options for the report of a run."""

    code: Literal["shown", "folded", "hidden"] = "shown"  # how the source of the cells is shown
    download: bool = False  # whether the page is sent as a file


class ValueQuery(Struct, kw_only=True):
    """Which instance of a mapped task has the value."""

    map_index: MapIndex = -1
