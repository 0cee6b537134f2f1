"""The types of requests and answers that `frontend.messages` does not have.

Instants are seconds since the epoch and durations are seconds, as in `frontend.messages`. "Pipeline" stands for a
deployed notebook; in URLs it is called a DAG, as in Airflow.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta, Struct

from ..core.model.states import RunState
from ..frontend.messages import DirectionChoice

# An id of a pipeline, a run or a task, as `home.path_part` accepts it.
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", min_length=1, max_length=250)]
Version = Annotated[str, Meta(pattern=r"^[0-9a-f]{1,64}$", description="Number or digest of a version.")]
Cursor = Annotated[str, Meta(min_length=1, max_length=500, description="The `next` of the previous page.")]
Limit = Annotated[int, Meta(ge=1, le=500, description="Most entries of a page.")]
Seconds = Annotated[float, Meta(description="Seconds since the epoch.", ge=0, le=1e11)]


MapIndex = Annotated[int, Meta(ge=-1, le=10_000_000, description="Index of a mapped task's instance, or -1.")]
TryNumber = Annotated[int, Meta(ge=1, le=1_000_000, description="Number of the try, from 1.")]


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


class GraphQuery(Struct, kw_only=True):
    """How to draw a graph."""

    direction: DirectionChoice = "auto"
    collapsed: bool = False  # draw each long chain as one box
    folded: Annotated[list[str], Meta(max_length=500, description="Groups to draw as one box.")] = []


class PipelineGraphQuery(GraphQuery, kw_only=True):
    """Which graph to draw, and how."""

    version: Version | None = None


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
