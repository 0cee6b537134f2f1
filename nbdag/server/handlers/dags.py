"""Pipelines: deployed notebooks, and notebooks that only have runs."""

from __future__ import annotations

from datetime import date

from ... import runs
from ...frontend.history import History
from ...frontend.messages import GridMessage, MetricsMessage
from ..requests import CalendarQuery, GridQuery, Id, MetricsQuery, PipelinesQuery
from ..responses import Calendar, Pipeline, PipelinePage
from .base import ROUTES, Call, InvalidArgumentError

_MOST_DAYS = 800  # maximum number of days of a calendar


@ROUTES.get("dags")
def list_pipelines(call: Call, query: PipelinesQuery) -> PipelinePage:
    """List the deployed pipelines by id, each with its latest runs."""
    page = runs.page_of_dags(
        search=query.search,
        tags=query.tag,
        paused=query.paused,
        states=query.state,
        cursor=query.cursor,
        limit=query.limit,
        home=call.home,
    )
    return {"items": [pipeline(each) for each in page.items], "total": page.total, "next": page.next}


@ROUTES.get("dags/{dag}")
def get_pipeline(call: Call, dag: Id) -> Pipeline:
    """Return a pipeline with its latest runs."""
    return pipeline(runs.dag_entry(dag, home=call.home))


@ROUTES.get("dags/{dag}/grid")
def get_grid(call: Call, dag: Id, query: GridQuery) -> GridMessage:
    """Return the states of all tasks in the latest runs. The grid has room for a limited number of runs."""
    runs.dag_entry(dag, home=call.home)
    return History(call.home, dag).grid(query.limit)


@ROUTES.get("dags/{dag}/metrics")
def get_metrics(call: Call, dag: Id, query: MetricsQuery) -> MetricsMessage:
    """Return the metrics of the latest runs of a pipeline: the numbers that its tasks stored."""
    runs.dag_entry(dag, home=call.home)
    return History(call.home, dag).metrics(query.limit)


def pipeline(entry: runs.DagEntry) -> Pipeline:
    """Convert a pipeline to the form that the API sends."""
    dag = entry.deployed
    return {
        "id": entry.id,
        "notebook": str(entry.path),
        "changed": "" if dag is None else dag.changed,
        "version": None if dag is None else dag.version,
        "digest": None if dag is None else dag.digest,
        "deployed": None if dag is None else dag.deployed.timestamp(),
        "schedule": None if dag is None else dag.schedule,
        "tz": None if dag is None else dag.tz,
        "paused": dag is not None and dag.paused,
        "next_run": None if dag is None or dag.next_run is None else dag.next_run.timestamp(),
        "owner": None if dag is None else dag.owner,
        "tags": [] if dag is None else list(dag.tags),
        "description": None if dag is None else dag.description,
        "recent": [
            {
                "id": each.id,
                "state": each.state,
                "created": each.created,
                "started": each.started,
                "ended": each.ended,
            }
            for each in entry.recent
        ],
    }


@ROUTES.get("dags/{dag}/calendar")
def get_calendar(call: Call, dag: Id, query: CalendarQuery) -> Calendar:
    """Return the number of runs for each day, by logical date, and the number of ticks for each day to come."""
    first, last = day_of(query.first), day_of(query.last)
    if not 0 <= (last - first).days <= _MOST_DAYS:
        raise InvalidArgumentError("query", f"last is before first, or more than {_MOST_DAYS} days after it")
    found = runs.calendar(dag, first, last, home=call.home)
    return {
        "tz": found.tz,
        "days": [
            {
                "day": each.day.isoformat(),
                "runs": {state.value: number for state, number in each.runs.items()},
                "planned": each.planned,
            }
            for each in found.days
        ],
    }


def day_of(text: str) -> date:
    """Parse a date of a query, such as 2026-01-31. Raise `InvalidArgumentError`."""
    try:
        return date.fromisoformat(text)
    except ValueError as invalid:
        raise InvalidArgumentError("query", f"{text}: {invalid}") from None
