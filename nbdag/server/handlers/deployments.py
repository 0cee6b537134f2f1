"""Deployments: deploy, remove, pause, trigger, backfill; the parameters, ticks and versions of a pipeline."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ... import runs
from ...core.cells.parameter_schema import schema_of
from ...frontend.compare.messages import NotebookDifference
from ...frontend.compare.notebooks import pinned_difference
from ...frontend.messages import RunSummary
from ...frontend.pinned_views import prepare
from ...frontend.status import run_summary
from ..requests import BackfillBody, DeployBody, Id, TicksQuery, TriggerBody, Version
from ..responses import BackfillPlan, NotebookVersion, Pipeline, TickList, VersionList
from .base import ROUTES, Call, InvalidArgumentError
from .dags import pipeline
from .files import file_of


@ROUTES.post("dags", statuses=(201,))
def deploy_notebook(call: Call, body: DeployBody) -> Pipeline:
    """Deploy a notebook: pin its current version, and activate its schedule."""
    deployed = runs.deploy(file_of(call, body.path), home=call.home)
    prepare(deployed.id, home=call.home)
    return pipeline(runs.dag_entry(deployed.id, home=call.home))


@ROUTES.delete("dags/{dag}", statuses=(204,), mime="")
def remove_pipeline(call: Call, dag: Id) -> None:
    """Remove a deployment. Its runs are kept, and unfinished runs continue."""
    runs.remove(dag, home=call.home)


@ROUTES.post("dags/{dag}/pause")
def pause_pipeline(call: Call, dag: Id) -> Pipeline:
    """Pause a schedule, so that it creates no runs. Triggered runs are still executed."""
    runs.pause(dag, home=call.home)
    return pipeline(runs.dag_entry(dag, home=call.home))


@ROUTES.post("dags/{dag}/unpause")
def unpause_pipeline(call: Call, dag: Id) -> Pipeline:
    """Unpause a schedule. It then creates a run for the last missed tick; with catchup, for each missed tick."""
    runs.unpause(dag, home=call.home)
    return pipeline(runs.dag_entry(dag, home=call.home))


@ROUTES.post("dags/{dag}/trigger", statuses=(201,))
def trigger_run(call: Call, dag: Id, body: TriggerBody) -> RunSummary:
    """Create a run of a deployed pipeline, paused or not. A scheduler executes the run."""
    run = runs.trigger(
        dag,
        parameters=body.parameters,
        allow_unknown=body.allow_unknown,
        logical_date=None if body.logical_date is None else _moment(body.logical_date),
        cache=body.cache,
        name=body.run,
        home=call.home,
    )
    return run_summary(run)


@ROUTES.post("dags/{dag}/backfill")
def backfill_pipeline(call: Call, dag: Id, body: BackfillBody) -> BackfillPlan:
    """Create runs for past ticks of a schedule. With `dry_run`, only return the ticks.

    A scheduler executes the runs.
    """
    done = runs.backfill(
        dag,
        _moment(body.first),
        _moment(body.last),
        reprocess=body.reprocess,
        backwards=body.backwards,
        tasks=body.tasks,
        parameters=body.parameters,
        allow_unknown=body.allow_unknown,
        max_active_runs=body.max_active_runs,
        dry_run=body.dry_run,
        execute=False,
        home=call.home,
    )
    return {
        "dag": done.dag,
        "ticks": [
            {"date": each.date.timestamp(), "made": each.made, "reason": each.reason, "run": each.run}
            for each in done.ticks
        ],
        "owner": done.owner,
    }


@ROUTES.get("dags/{dag}/parameters")
def get_parameters(call: Call, dag: Id) -> dict[str, Any]:
    """Return one JSON Schema for all parameters of the deployed notebook. Secrets are masked."""
    return schema_of(runs.pinned_notebook(dag, home=call.home).dag.parameter_schemas)


@ROUTES.get("dags/{dag}/ticks")
def list_ticks(call: Call, dag: Id, query: TicksQuery) -> TickList:
    """List the next ticks of a schedule."""
    found = runs.next_ticks(dag, query.limit, home=call.home)
    return {
        "items": [
            {"at": each.at.timestamp(), "interval_start": each.interval_start.timestamp(), "note": each.note}
            for each in found
        ]
    }


@ROUTES.get("dags/{dag}/versions")
def list_versions(call: Call, dag: Id) -> VersionList:
    """List the recorded versions of a pipeline's notebook, newest first."""
    return {"items": [version_of(each) for each in runs.list_versions(dag, home=call.home)]}


@ROUTES.get("dags/{dag}/versions/{version}")
def get_version(call: Call, dag: Id, version: Version) -> NotebookVersion:
    """Return a recorded version of a pipeline's notebook, by its number or digest."""
    return version_of(runs.find_version(dag, version, home=call.home))


@ROUTES.get("dags/{dag}/versions/{version}/diff/{other}")
def compare_versions(call: Call, dag: Id, version: Version, other: Version) -> NotebookDifference:
    """Return what has changed from the version `other` to the version `version`, cell by cell."""
    after = runs.pinned_notebook(dag, version=version, home=call.home)
    before = runs.pinned_notebook(dag, version=other, home=call.home)
    return pinned_difference(before, after)


def version_of(version: runs.Version) -> NotebookVersion:
    """Convert a version to the form that the API sends."""
    return {
        "number": version.number,
        "digest": version.digest,
        "created": version.created,
        "deployed": version.deployed,
        "runs": version.runs,
        "last_run": version.last_run,
    }


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as invalid:
        raise InvalidArgumentError("body", str(invalid)) from None
