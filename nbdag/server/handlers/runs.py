"""Runs of all pipelines, deployed or not."""

from __future__ import annotations

from ... import runs
from ..types import ListedRun, RunList, RunsQuery
from .base import ROUTES, Call


@ROUTES.get("runs")
def list_runs(call: Call, query: RunsQuery) -> RunList:
    """List runs, the newest first."""
    page = runs.page_of_runs(
        dag=query.dag,
        states=query.state,
        since=query.since,
        until=query.until,
        cursor=query.cursor,
        limit=query.limit,
        home=call.home,
    )
    return {"items": [listed(each) for each in page.items], "next": page.next}


def listed(run: runs.RunEntry) -> ListedRun:
    """Return a run of a list as an answer."""
    return {
        "id": run.id,
        "dag": run.dag,
        "state": run.state,
        "kind": run.kind,
        "created": run.created,
        "started": run.started,
        "ended": run.ended,
        "logical_date": run.logical_date,
        "partial": run.only is not None,
        "error": run.error or "",
        "digest": run.digest,
        "tasks": {state.value: number for state, number in run.tasks.items()},
    }
