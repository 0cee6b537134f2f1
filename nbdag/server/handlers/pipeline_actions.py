"""Changes of pipelines: deploy, remove, pause, trigger, backfill; and what forms for them need to know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ... import runs
from ...core.cells.parameter_schema import schema_of
from ...errors import NbdagError, error
from ...frontend.messages import RunSummary
from ...frontend.status import run_summary
from ..types import BackfillBody, BackfillPlan, DeployBody, Id, Pipeline, TickList, TriggerBody
from .base import ROUTES, Call
from .dags import pipeline

_TICKS = 5  # ticks that a view shows


@error
class OutsideError(NbdagError):
    """The notebook is outside the server's folder."""

    path: str
    template = "{path} is not in the server's folder; write a path relative to it, or use `nbdag deploy`"


@ROUTES.post("dags", statuses=(201,))
def deploy_notebook(call: Call, body: DeployBody) -> Pipeline:
    """Deploy a notebook of the server's folder, or deploy it again."""
    done = runs.deploy(_inside(call, body.path), home=call.home)
    return pipeline(runs.dag_entry(done.id, home=call.home))


@ROUTES.delete("dags/{dag}")
def remove_pipeline(call: Call, dag: Id) -> None:
    """Remove a pipeline from the schedule. Its runs are kept."""
    runs.remove(dag, home=call.home)


@ROUTES.post("dags/{dag}/pause")
def pause_pipeline(call: Call, dag: Id) -> Pipeline:
    """Pause a pipeline: its schedule starts no runs."""
    runs.pause(dag, home=call.home)
    return pipeline(runs.dag_entry(dag, home=call.home))


@ROUTES.post("dags/{dag}/unpause")
def unpause_pipeline(call: Call, dag: Id) -> Pipeline:
    """Resume the schedule of a pipeline."""
    runs.unpause(dag, home=call.home)
    return pipeline(runs.dag_entry(dag, home=call.home))


@ROUTES.get("dags/{dag}/parameters")
def get_parameters(call: Call, dag: Id) -> dict[str, Any]:
    """Return the parameters of a pipeline as a JSON Schema. Secrets are masked."""
    return schema_of(runs.pinned_notebook(dag, home=call.home).dag.parameter_schemas)


@ROUTES.get("dags/{dag}/ticks")
def get_ticks(call: Call, dag: Id) -> TickList:
    """Return the next ticks of a pipeline's schedule."""
    return {
        "items": [
            {"at": each.at.timestamp(), "interval_start": each.interval_start.timestamp(), "note": each.note}
            for each in runs.next_ticks(dag, _TICKS, home=call.home)
        ]
    }


@ROUTES.post("dags/{dag}/trigger", statuses=(201,))
def trigger_run(call: Call, dag: Id, body: TriggerBody) -> RunSummary:
    """Create a run, which a scheduler executes. Parameters that are not given keep their defaults."""
    run = runs.trigger(
        dag, parameters=body.parameters, logical_date=body.logical_date, cache=body.cache, home=call.home
    )
    return run_summary(run)


@ROUTES.post("dags/{dag}/backfill")
def backfill_pipeline(call: Call, dag: Id, body: BackfillBody) -> BackfillPlan:
    """Create runs for past ticks, which a scheduler executes, or with `dry_run` only return the ticks."""
    done = runs.backfill(
        dag,
        body.first,
        body.last,
        reprocess=body.reprocess,
        backwards=body.backwards,
        tasks=body.tasks,
        parameters=body.parameters,
        max_active_runs=body.max_active_runs,
        dry_run=body.dry_run,
        execute=False,
        home=call.home,
    )
    return {
        "ticks": [
            {"at": each.date.timestamp(), "made": each.made, "reason": each.reason, "run": each.run}
            for each in done.ticks
        ],
        "owner": done.owner,
    }


def _inside(call: Call, written: str) -> Path:
    """Return the path of a notebook in the server's folder, or of one that is deployed already."""
    path = (call.root / written).resolve()
    if path.is_relative_to(call.root.resolve()) or any(each.path == path for each in runs.list_dags(home=call.home)):
        return path
    raise OutsideError(written)
