"""The details on the page of a run: how the run was created, its parameters, and warnings about the whole run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.model.job import Note
from ...core.model.secret_names import masked
from ...home import Home, the_home
from .files.notebooks import recorded_versions
from .liveness import owner_of
from .monitoring.listings import RunEntry, run_entries
from .runs import UnknownRunError, find_row, open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetails:
    """A run without the states of its tasks."""

    entry: RunEntry
    parameters: Mapping[str, Any]  # the parameters that the user set; secrets are masked
    interval_start: float  # start of the data interval
    interval_end: float
    source: Path  # the notebook's file when the run was created
    version: int | None  # number of the notebook version, from 1; None if the version has tasks that %%dag built
    warnings: tuple[Note, ...]  # notes about the whole run
    events: tuple[Mapping[str, Any], ...]  # the events of assets that started the run
    owner: str  # describes the process that owns the run; "" if no process owns it
    revision: int  # number of changes of the run


def run_details(run: str, dag: str, *, home: Home | None = None) -> RunDetails:
    """Return a run without the states of its tasks."""
    here = the_home(home)
    with open_store(here) as store:
        if store is None:
            raise UnknownRunError(run, dag, here.root)
        row = find_row(store, here, run, dag)
        numbers = {each.digest: each.number for each in recorded_versions(store, row.dag)}
        return RunDetails(
            entry=run_entries(store, [row], store.listings.task_counts([row.id]))[0],
            parameters=masked(row.parameters),
            interval_start=row.interval_start,
            interval_end=row.interval_end,
            source=Path(row.path),
            version=numbers.get(row.digest),
            warnings=store.notes([row.id])[row.id],
            events=row.events or (),
            owner=owner_of(store, row),
            revision=row.revision,
        )
