"""Deployed pipelines."""

from __future__ import annotations

from ... import runs
from ..types import Id, Pipeline, PipelinePage, PipelinesQuery
from .base import ROUTES, Call


@ROUTES.get("dags")
def list_pipelines(call: Call, query: PipelinesQuery) -> PipelinePage:
    """List the deployed pipelines by id, each with its latest runs."""
    page = runs.page_of_dags(
        search=query.search,
        tags=query.tag,
        paused=query.paused,
        cursor=query.cursor,
        limit=query.limit,
        home=call.home,
    )
    return {"items": [pipeline(each) for each in page.items], "next": page.next}


@ROUTES.get("dags/{dag}")
def get_pipeline(call: Call, dag: Id) -> Pipeline:
    """Return a deployed pipeline with its latest runs."""
    return pipeline(runs.dag_entry(dag, home=call.home))


def pipeline(entry: runs.DagEntry) -> Pipeline:
    """Return a deployed DAG as an answer."""
    dag = entry.dag
    return {
        "id": dag.id,
        "notebook": str(dag.path),
        "changed": dag.changed,
        "version": dag.version,
        "digest": dag.digest,
        "deployed": dag.deployed.timestamp(),
        "schedule": dag.schedule,
        "tz": dag.tz,
        "paused": dag.paused,
        "next_run": None if dag.next_run is None else dag.next_run.timestamp(),
        "owner": dag.owner,
        "tags": list(dag.tags),
        "description": dag.description,
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
