"""Schedules that wait for assets: how they are read, and when they are met."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nbdag.core.cells.header import parse as parse_header
from nbdag.core.schedule.assets import Condition, is_condition, label, parse
from nbdag.core.schedule.timetable import ScheduleError, Timetable


@pytest.mark.parametrize(
    ("schedule", "assets", "met", "not_met"),
    [
        ("on s3://lake/orders", ("s3://lake/orders",), [{"s3://lake/orders"}], [set(), {"s3://lake"}]),
        ("on a and b", ("a", "b"), [{"a", "b"}], [{"a"}, {"b"}]),
        ("on a or b", ("a", "b"), [{"a"}, {"b"}], [{"c"}]),
        ("on a and b or c", ("a", "b", "c"), [{"a", "b"}, {"c"}], [{"a"}]),
        ("on a and (b or c)", ("a", "b", "c"), [{"a", "c"}], [{"b", "c"}, {"a"}]),
        ("ON a AND b", ("a", "b"), [{"a", "b"}], [{"a"}]),
        ("after churn", ("dag:churn",), [{"dag:churn"}], [{"churn"}]),
        ("after churn and etl", ("dag:churn", "dag:etl"), [{"dag:churn", "dag:etl"}], [{"dag:churn"}]),
        ("on a and after churn", ("a", "dag:churn"), [{"a", "dag:churn"}], [{"a", "churn"}]),
        ("after churn or on a", ("dag:churn", "a"), [{"a"}], [{"dag:a"}]),
        ("on a or at 06:00", ("a",), [{"a"}], [set()]),
    ],
)
def test_a_condition_is_met_by_new_events(
    schedule: str, assets: tuple[str, ...], met: list[set[str]], not_met: list[set[str]]
) -> None:
    assert is_condition(schedule)
    condition, _ = parse(schedule)
    assert condition.assets == assets
    assert all(condition.met(new) for new in met)
    assert not any(condition.met(new) for new in not_met)
    assert all(condition.missing(new) for new in not_met)
    assert not any(condition.missing(new) for new in met)


@pytest.mark.parametrize(
    ("schedule", "time"),
    [
        ("on a or at 06:00", "0 6 * * *"),
        ("on a or at 6:05", "5 6 * * *"),
        ("on a or at 0 6 * * mon", "0 6 * * mon"),
        ("on a or at @daily", "@daily"),
        ("on a and b", None),
    ],
)
def test_a_schedule_may_add_a_time(schedule: str, time: str | None) -> None:
    assert parse(schedule)[1] == time


def test_a_time_beside_assets_has_ticks() -> None:
    timetable = Timetable.parse("on a or at 06:00", tz="Europe/Paris")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert timetable.next_run(None, now, now) == datetime(2026, 1, 1, 5, tzinfo=UTC)
    assert timetable.condition == Condition("a")
    assert Timetable.parse("on a").next_run(None, now, now) is None


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("on", "has no asset before its end"),
        ("on a b", "is not joined to the asset before it"),
        ("on a and", "has no asset before its end"),
        ("on (a or b", "without a matching )"),
        ("on a)", "has no matching ("),
        ("on or a", "has no asset before 'or'"),
        ("after not/an/id", "'not/an/id'"),
        ("on a or at noon", "has 1 field"),
        ("on a or at @once", "combines assets with @once"),
    ],
)
def test_an_invalid_condition_is_refused_with_the_next_step(schedule: str, problem: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        Timetable.parse(schedule)
    assert problem in str(refused.value)
    assert "; " in str(refused.value)


def test_a_header_needs_no_quotes_for_a_condition() -> None:
    header = parse_header("%dag report --schedule on s3://lake/orders and after churn --owner ml")
    assert header.options["schedule"] == "on s3://lake/orders and after churn"
    assert header.options["owner"] == "ml"


def test_the_asset_of_a_pipeline_reads_as_in_a_schedule() -> None:
    assert [label("dag:churn"), label("s3://lake")] == ["after churn", "s3://lake"]
