"""LatestOnlyOperator: which runs of a schedule go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nbdag.airflow import latest_only
from nbdag.task_api.context import DagRun

NOW = datetime(2026, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("run_id", "date", "schedule", "following"),
    [
        ("scheduled__1", NOW, "@hourly", ["a"]),
        ("scheduled__1", NOW - timedelta(hours=3), "@hourly", []),
        ("backfill__1", NOW - timedelta(days=300), "0 6 * * *", []),
        ("manual__1", NOW - timedelta(days=300), "0 6 * * *", ["a"]),
        ("scheduled__1", NOW - timedelta(days=300), None, ["a"]),
        ("scheduled__1", NOW - timedelta(minutes=90), "every 1h", []),
        ("scheduled__1", NOW, "every 1d", ["a"]),
    ],
)
def test_only_the_run_of_the_latest_tick_goes_on(run_id, date, schedule, following):
    run = DagRun.of({"run_id": run_id, "logical_date": date})
    assert latest_only(run, ["a"], schedule, "UTC", NOW + timedelta(minutes=30)) == following
