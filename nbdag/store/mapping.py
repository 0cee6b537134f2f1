"""Conversion between database rows and the classes of `rows`, derived from the fields of the classes.

The type of a column in `schema` converts the column's values. The metadata of a field in `rows` names the field's
column. So a column is declared in these two places only, and a test fails if the places differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Column, Result, Row, bindparam

from ..core.model.job import Note, StoredOutput
from ..core.model.metrics import Metric
from . import schema as t
from .rows import AssetEvent, AttemptRow, BackfillRow, DagRow, InstanceRow, RunRow, SchedulerRow

_R = TypeVar("_R")
NEW = "new_"  # prefix of the bound parameters of an UPDATE, because SQLAlchemy itself uses the bare column names

# Key: class of records; value: (columns of the rows, names of columns that have no field in the class).
_ATTEMPTS = [*t.attempts.c, t.instances.c.task, t.instances.c.map_index]
READ_FROM: Mapping[type, tuple[list[Column[Any]], frozenset[str]]] = {
    SchedulerRow: ([*t.schedulers.c], frozenset()),
    DagRow: ([*t.dags.c], frozenset()),
    RunRow: ([*t.runs.c], frozenset()),
    InstanceRow: ([*t.instances.c], frozenset({"run_id"})),
    AttemptRow: (_ATTEMPTS, frozenset({"cache_key"})),
    AssetEvent: ([*t.asset_events.c], frozenset()),
    BackfillRow: ([*t.backfills.c], frozenset({"created", "first", "last"})),
    StoredOutput: ([*t.outputs.c], frozenset({"instance_id", "try_number"})),
    Metric: ([*t.metrics.c], frozenset({"instance_id", "try_number"})),
    Note: ([*t.notes.c], frozenset({"id", "run_id", "instance_id", "try_number"})),
}


def from_row(cls: type[_R], row: Row[Any], prefix: str = "", **more: object) -> _R:
    """Convert a row into an object of this class.

    The names of the columns in the row begin with `prefix`. `more` gives the values of fields that have no column.
    """
    names, values = _reader(cls, prefix)  # type: ignore[arg-type]  # mypy doubts that classes hash
    return cls(**dict(zip(names, values(row), strict=True)), **more)


def row_reader(cls: type[_R], result: Result[Any]) -> Callable[..., _R]:
    """Return a function that converts the rows of this result as `from_row` does, but faster for thousands of rows."""
    stored = columns_of(cls)  # type: ignore[arg-type]  # mypy doubts that classes hash
    names, columns = [name for name, _ in stored], list(result.keys())
    values = itemgetter(*(columns.index(column) for _, column in stored))

    def read(row: Row[Any], **more: object) -> _R:
        return cls(**dict(zip(names, values(row), strict=True)), **more)

    return read


def to_row(obj: Any) -> dict[str, Any]:
    """Return the values of an object's fields, by column."""
    return {column: getattr(obj, name) for name, column in columns_of(type(obj))}  # type: ignore[arg-type]  # mypy doubts that classes hash


def updates(cls: type) -> dict[str, BindParameter[Any]]:
    """Return the columns that an update of this class writes, each with a parameter for `update().values`."""
    return {column: bindparam(NEW + column) for _, column in _updated(cls)}


def update_values(cls: type, obj: Any) -> dict[str, Any]:
    """Return the values of an object's fields, by the names of the parameters in `updates(cls)`."""
    return {NEW + column: getattr(obj, name) for name, column in _updated(cls)}


@cache
def columns_of(cls: type) -> tuple[tuple[str, str], ...]:
    """Return (name of the field, name of the column) for each stored field of a class."""
    named = ((field.name, field.metadata.get("column", field.name)) for field in fields(cls))
    return tuple((name, column) for name, column in named if column is not None)


@cache
def _reader(cls: type, prefix: str) -> tuple[tuple[str, ...], Callable[[Row[Any]], tuple[Any, ...]]]:
    stored = columns_of(cls)
    return tuple(name for name, _ in stored), attrgetter(*(prefix + column for _, column in stored))


@cache
def _updated(cls: type) -> tuple[tuple[str, str], ...]:
    names = {field.name for field in fields(cls) if field.metadata.get("updated")}
    return tuple((name, column) for name, column in columns_of(cls) if name in names)
