"""Conversion between database rows and the classes of `rows`, derived from the fields of the classes.

The types of columns in `schema` convert single values, and the metadata of fields in `rows` names columns. So a column
is declared in these two places only, and a test fails if they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Column, Row, bindparam

from ..core.model.job import Note, StoredOutput
from . import schema as t
from .rows import AssetEvent, AttemptRow, BackfillRow, DagRow, InstanceRow, RunRow, SchedulerRow

_R = TypeVar("_R")
_NEW = "new_"  # prefix of the parameters of an update, because SQLAlchemy reserves the column names themselves

# Key: class of records; value: columns of the rows from which the class is read, and names of columns that the class
# ignores.
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
    Note: ([*t.notes.c], frozenset({"id", "run_id", "instance_id", "try_number"})),
}


def from_row(cls: type[_R], row: Row[Any], prefix: str = "", **more: object) -> _R:
    """Convert a row into an object of this class.

    The names of the columns in the row begin with `prefix`. `more` gives the values of fields that have no column.
    """
    names, values = _reader(cls, prefix)  # type: ignore[arg-type]  # mypy doubts that classes hash
    return cls(**dict(zip(names, values(row), strict=True)), **more)


def to_row(obj: Any) -> dict[str, Any]:
    """Return the values of an object's fields, by column."""
    return {column: getattr(obj, name) for name, column in columns_of(type(obj))}  # type: ignore[arg-type]  # mypy doubts that classes hash


def updates(cls: type) -> dict[str, BindParameter[Any]]:
    """Return the columns that an update of this class writes, each with a parameter for `update().values`."""
    return {column: bindparam(_NEW + column) for _, column in _updated(cls)}


def update_values(cls: type, obj: Any) -> dict[str, Any]:
    """Return the values of an object's fields, by the names of the parameters in `updates(cls)`."""
    return {_NEW + column: getattr(obj, name) for name, column in _updated(cls)}


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
