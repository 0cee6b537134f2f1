"""Deploy a notebook: pin it and activate its schedule; pause, unpause, remove and trigger a deployed DAG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

from ... import environments, notebooks
from ... import store as stores
from ...building import BuiltNotebook
from ...core.schedule.assets import located
from ...core.schedule.timetable import Timetable
from ...home import Home, the_home
from ...scheduler import instances_of, new_run, next_date, timetable_of
from ...storage import pinned_files
from ...store.rows import DagRow
from ..creation.build import pin_built
from ..creation.plan import pool_notes
from ..creation.prepare import Prepared, digest_of, new_name, plain_parameters, prepare, record_parameters
from ..queries.deployments import Deployed, open_store_and_dag, read_deployments
from ..queries.pinned import pin, pin_archive, pinned_dag
from ..queries.records import Run
from ..queries.runs import read_runs


def deploy(
    notebook: str | PurePath,
    *,
    cwd: str | PurePath | None = None,
    home: Home | None = None,
    built: BuiltNotebook | None = None,
) -> Deployed:
    """Pin the current version of a notebook and activate its schedule. Each deployed change becomes a new version.

    The notebook is pinned as the user wrote it. Each run builds the tasks of the %%dag cell again; `deploy` builds them
    only to check them. For `built`, see `run`. If the notebook cannot run, an `NbdagError` is raised. An unchanged
    schedule continues from its last tick, and a paused DAG stays paused. If the DAG was deployed from another notebook
    before, `replaced` is the path of that notebook.
    """
    here = the_home(home)
    prepared = prepare(notebook, cwd=cwd, built=built)
    source = pin_all(here, prepared)
    digest = digest_of(source)
    dag, options = prepared.dag, prepared.dag.options
    timetable = Timetable.of(options)
    now = datetime.now(UTC)
    store = stores.open(here)
    try:
        for _ in pool_notes(store.pools(), prepared):
            pass  # the loop raises an error if a pool is too small; notes about missing pools are not shown here
        pin(here, digest, source, prepared.path.name, len(dag.tasks))
        before = store.deployments.get(dag.id)
        row = DagRow(
            id=dag.id,
            digest=digest,
            source=digest_of(prepared.file),
            path=str(prepared.path),
            cwd=str(prepared.cwd),
            deployed=now.timestamp(),
            schedule=timetable.schedule,
            tz=options.tz,
            start_date=None if timetable.start is None else timetable.start.timestamp(),
            end_date=None if timetable.end is None else timetable.end.timestamp(),
            catchup=options.catchup,
            fail_fast=options.fail_fast,
            max_active_runs=options.max_active_runs,
            paused=before is not None and before.paused,
            last_date=None if before is None else before.last_date,
            events_since=None if timetable.condition is None else now.timestamp(),
            owner=options.owner,
            tags=options.tags,
            description=options.description,
        )
        needs = () if timetable.condition is None else timetable.condition.located(row.cwd).assets
        produces, reads = (
            {task.id: [located(asset, row.cwd) for asset in getattr(task.options, name)] for task in dag.tasks.values()}
            for name in ("produces", "consumes")
        )
        store.deployments.put(_live(row, before, now), now.timestamp(), needs=needs, produces=produces, reads=reads)
        replaced = None if before is None or before.path == row.path else Path(before.path)
        return replace(read_deployments(store, [dag.id])[0], is_first=before is None, replaced=replaced)
    finally:
        store.close()


def remove(dag: str, *, home: Home | None = None) -> None:
    """Remove a deployment, so that its schedule creates no more runs. Existing runs are kept and continue."""
    with open_store_and_dag(home, dag, to_change=True) as (store, row):
        store.deployments.remove(row.id)


def pause(dag: str, *, home: Home | None = None) -> Deployed:
    """Pause a DAG's schedule, so that the schedule creates no runs until `unpause`.

    Triggered runs are still executed.
    """
    with open_store_and_dag(home, dag, to_change=True) as (store, row):
        store.deployments.set_paused(row.id, True, row.next_date)
        return read_deployments(store, [row.id])[0]


def unpause(dag: str, *, home: Home | None = None) -> Deployed:
    """Unpause a DAG's schedule.

    The schedule then creates a run for the last missed tick; with catchup, for each missed tick.
    """
    with open_store_and_dag(home, dag, to_change=True) as (store, row):
        now = datetime.now(UTC)
        store.deployments.set_paused(row.id, False, next_date(row, now), now.timestamp())
        return read_deployments(store, [row.id])[0]


def trigger(
    dag: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    allow_unknown: bool = False,
    logical_date: datetime | None = None,
    cache: bool = True,
    name: str | None = None,
    home: Home | None = None,
) -> Run:
    """Create a run of a deployed DAG, paused or not. A scheduler executes the run; see `live_scheduler`.

    `name` is the id of the run (default: an id from the current time).
    `logical_date` is the time that the run is for (default: now), and determines the run's data interval. A date
    without a time zone is in the schedule's zone. With `cache=False`, tasks with --cache are executed even if
    unchanged. Without `allow_unknown`, a parameter that the parameters cell does not set is an error.
    """
    here = the_home(home)
    with open_store_and_dag(here, dag, to_change=True) as (store, row):
        now = datetime.now(UTC)
        notebook = pinned_dag(here, row.digest, row.path)
        known = notebook
        if notebook.unbuilt and set(parameters or {}) - set(notebook.parameters):
            # The code of %%dag may set parameters, too.
            given = plain_parameters(parameters or {})
            known = pin_built(here, row.digest, row.path, row.cwd, given)[1]
        values, notes = record_parameters(known, parameters or {}, allow_unknown=allow_unknown)
        start = end = now
        if logical_date is not None:
            timetable = timetable_of(row)
            date = logical_date if logical_date.tzinfo else logical_date.replace(tzinfo=timetable.zone)
            start, end = timetable.data_interval(date.astimezone(UTC))
        new = new_run(row, name=name or new_name(now), kind="manual", at=now, date=end, start=start)
        made = replace(new, parameters=values, notes=notes, cache=cache)
        return read_runs(store, here, [store.create_run(made, instances_of(notebook))])[0]


def pin_all(home: Home, prepared: Prepared) -> bytes:
    """Pin the files of %dag --with and the packages of --requires. Return the notebook with a record of both.

    Raises `PinError`, or the errors of `environments.locked`.
    """
    options, pins = prepared.dag.options, {}
    if options.with_:
        pins["files"], archive = pinned_files.pack(prepared.cwd, options.with_)
        pin_archive(home, pins["files"], archive)
    if options.requires:
        pins["packages"] = environments.locked(options.requires, prepared.cwd)
        environments.ensure(pins["packages"])  # so the first run does not wait for the environment
    return notebooks.with_pins(prepared.source, pins, name=prepared.path.name)


def _live(row: DagRow, before: DagRow | None, now: datetime) -> DagRow:
    same = before is not None and _schedule(before) == _schedule(row)
    if before is not None and same:
        row = replace(row, deployed=before.deployed, events_since=before.events_since)
    return replace(row, next_date=next_date(row, now))


def _schedule(row: DagRow) -> tuple[object, ...]:
    return (row.schedule, row.tz, row.start_date, row.end_date)
