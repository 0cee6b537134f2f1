"""Between the tables' rows and the values that cross: one function for each thing that the store keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Row

from ..core.model.job import Note, StoredOutput
from ..core.model.states import RunState, TaskState
from .rows import AttemptRow, CachedOutcome, InstanceRow, RunRow


def values_of(instance: InstanceRow) -> dict[str, Any]:
    """What is saved of an instance."""
    return {
        "which": instance.id,
        "to": instance.state,
        "tried": instance.tries,
        "at": instance.wake,
        "cut": instance.short_circuit,
        "forgave": instance.forgiven,
        "of": dict(instance.element) or None,
    }


def run_of(row: Row[Any]) -> RunRow:
    """A run."""
    return RunRow(
        id=row.id,
        dag=row.dag_id,
        name=row.name,
        digest=row.digest,
        kind=row.kind,
        state=RunState(row.state),
        error=row.error,
        created=row.created,
        started=row.started,
        ended=row.ended,
        logical_date=row.logical_date,
        interval_start=row.interval_start,
        interval_end=row.interval_end,
        path=row.path,
        cwd=row.cwd,
        output=row.output,
        parameters=row.parameters,
        tasks=None if row.tasks is None else tuple(row.tasks),
        fail_fast=row.fail_fast,
        cancel_asked=row.cancel_asked,
        scheduler=row.scheduler_id,
        revision=row.revision,
        backfill=row.backfill,
        cache=row.cache,
        kernel=row.kernel,
    )


def instance_of(row: Row[Any]) -> InstanceRow:
    """A task instance."""
    return InstanceRow(
        id=row.id,
        task=row.task,
        map_index=row.map_index,
        position=row.position,
        state=TaskState(row.state),
        tries=row.tries,
        wake=row.wake,
        pool=row.pool,
        slots=row.slots,
        short_circuit=row.short_circuit,
        element=cast(Mapping[str, str], row.element or {}),
        forgiven=row.forgiven,
    )


def attempt_of(row: Row[Any], outputs: Sequence[StoredOutput], notes: Sequence[Note]) -> AttemptRow:
    """An attempt, with what it left and what was said of it."""
    return AttemptRow(
        instance=row.instance_id,
        task=row.task,
        map_index=row.map_index,
        try_number=row.try_number,
        state=TaskState(row.state),
        started=row.started,
        ended=row.ended,
        error=row.error,
        traceback=row.traceback,
        scheduler=row.scheduler_id,
        cached=row.cached,
        outputs=tuple(outputs),
        notes=tuple(notes),
    )


def cached_outcome_of(row: Row[Any], outputs: Sequence[StoredOutput], notes: Sequence[Note]) -> CachedOutcome:
    """The outcome of an attempt."""
    return CachedOutcome(
        run=row.run,
        map_index=row.map_index,
        try_number=row.try_number,
        made_in=row.cached or row.run,
        outputs=tuple(outputs),
        notes=tuple(notes),
    )


def output_of(row: Row[Any]) -> StoredOutput:
    """A stored value."""
    return StoredOutput(name=row.name, digest=row.digest, type=row.type, bytes=row.bytes, summary=row.summary)


def note_of(row: Row[Any]) -> Note:
    """Something said."""
    return Note(code=row.code, name=row.name, message=row.message)
