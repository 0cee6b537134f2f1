"""Runs of all pipelines, and one run."""

from __future__ import annotations

from ... import runs
from ...frontend.compare.messages import RunComparison
from ...frontend.compare.runs import compare
from ...frontend.history import History
from ...frontend.messages import RunMessage, TimelineMessage
from ..requests import Id, Instance, RunsQuery
from ..responses import ListedRun, RunDetails, RunEventList, RunList, WhyList
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


@ROUTES.get("dags/{dag}/runs/{run}")
def get_run(call: Call, dag: Id, run: Id) -> RunDetails:
    """Return a run without the states of its tasks. The run `latest` is the newest one."""
    found = runs.run_details(run, dag, home=call.home)
    return {
        "run": listed(found.entry),
        "parameters": dict(found.parameters),
        "interval_start": found.interval_start,
        "interval_end": found.interval_end,
        "notebook": str(found.source),
        "version": found.version,
        "warnings": [{"code": each.code, "name": each.name, "message": each.message} for each in found.warnings],
        "events": [dict(each) for each in found.events],
        "owner": found.owner,
        "revision": found.revision,
    }


@ROUTES.get("dags/{dag}/runs/{run}/tasks")
def get_tasks(call: Call, dag: Id, run: Id) -> RunMessage:
    """Return the status of every task of a run."""
    return History(call.home, dag).run(run)


@ROUTES.get("dags/{dag}/runs/{run}/timeline")
def get_timeline(call: Call, dag: Id, run: Id) -> TimelineMessage:
    """Return every attempt of a run."""
    return History(call.home, dag).timeline(run)


def listed(run: runs.RunEntry) -> ListedRun:
    """Convert a run of a list to the form that the API sends."""
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
        "tasks": dict(run.tasks),
    }


@ROUTES.get("dags/{dag}/runs/{run}/events")
def list_run_events(call: Call, dag: Id, run: Id) -> RunEventList:
    """List what happened in a run, the oldest first."""
    return {
        "items": [
            {
                "at": each.at,
                "kind": each.kind,
                "state": None if each.state is None else each.state.value,
                "task": each.task,
                "map_index": each.map_index,
                "try_number": each.try_number,
                "text": each.text,
            }
            for each in runs.run_events(run, dag, home=call.home)
        ]
    }


@ROUTES.get("dags/{dag}/runs/{run}/why/{instance}")
def explain_task(call: Call, dag: Id, run: Id, instance: Instance) -> WhyList:
    """Explain the state of each instance of a task (`train`), or of one instance (`train[3]`)."""
    return {
        "items": [
            {"task": each.task, "state": each.state, "reasons": list(each.reasons)}
            for each in runs.why(run, instance, dag=dag, home=call.home)
        ]
    }


@ROUTES.get("dags/{dag}/runs/{run}/compare/{other}")
def compare_runs(call: Call, dag: Id, run: Id, other: Id) -> RunComparison:
    """Compare a run with another run of the same pipeline: parameters, code, states, durations and values."""
    return compare(dag, run, other, home=call.home)
