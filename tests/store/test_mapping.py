"""The tables and the classes that their rows are read into."""

from __future__ import annotations

from dataclasses import MISSING, fields

import pytest
from sqlalchemy import Table

from nbdag.store import schema as t
from nbdag.store.mapping import READ_FROM, columns_of
from nbdag.store.rows import NewAttempt, NewInstance, NewRun

WRITTEN_TO: dict[type, Table] = {NewRun: t.runs, NewInstance: t.instances, NewAttempt: t.attempts}


@pytest.mark.parametrize("cls", READ_FROM)
def test_a_class_has_a_field_for_each_column_of_its_table(cls: type) -> None:
    columns, left_out = READ_FROM[cls]
    assert sorted([column for _, column in columns_of(cls)] + [*left_out]) == sorted(each.name for each in columns)


@pytest.mark.parametrize("cls", READ_FROM)
def test_a_field_may_be_none_only_where_its_column_may_be_null(cls: type) -> None:
    nullable = {column.name: column.nullable for column in READ_FROM[cls][0]}
    optional = {column for name, column in columns_of(cls) if "None" in str(cls.__annotations__[name])}
    assert [column for column in sorted(optional) if not nullable[column]] == []


@pytest.mark.parametrize("cls", WRITTEN_TO)
def test_every_field_of_a_new_record_has_a_column(cls: type) -> None:
    assert {column for _, column in columns_of(cls)} <= set(WRITTEN_TO[cls].c.keys())


@pytest.mark.parametrize("cls", WRITTEN_TO)
def test_a_field_without_a_column_is_marked_so(cls: type) -> None:
    marked = {field.name for field in fields(cls) if field.metadata.get("column", MISSING) is None}
    assert {field.name for field in fields(cls)} - marked == {name for name, _ in columns_of(cls)}
