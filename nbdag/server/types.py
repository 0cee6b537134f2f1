"""The types of requests and answers that `frontend.messages` does not have.

Instants are seconds since the epoch and durations are seconds, as in `frontend.messages`. "Pipeline" stands for a
deployed notebook; in URLs it is called a DAG, as in Airflow.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from msgspec import Meta, Struct

from ..core.model.states import RunState

# An id of a pipeline, a run or a task, as `home.path_part` accepts it.
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", min_length=1, max_length=250)]
Cursor = Annotated[str, Meta(min_length=1, max_length=500, description="The `next` of the previous page.")]
Limit = Annotated[int, Meta(ge=1, le=500, description="Most entries of a page.")]
Seconds = Annotated[float, Meta(description="Seconds since the epoch.", ge=0, le=1e11)]


class RecentRun(TypedDict):
    """One of the latest runs of a pipeline, for a bar."""

    id: str
    state: RunState
    created: float
    started: float | None
    ended: float | None


class Pipeline(TypedDict):
    """A deployed notebook."""

    id: str
    notebook: str  # path of the notebook's file when it was deployed
    changed: Literal["", "changed", "gone"]  # how that file differs from the deployed version
    version: int  # number of the deployed version, from 1
    digest: str  # digest of the deployed version
    deployed: float
    schedule: str | None  # None: runs are only created on request
    tz: str
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
