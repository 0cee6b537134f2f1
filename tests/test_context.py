"""`dag_run`, headlessly and in a live notebook."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nbdag.task_api.context import DagRun

TICK = datetime(2026, 1, 2, 6, tzinfo=UTC)


@pytest.mark.parametrize("moment", [TICK, TICK.isoformat()])
def test_it_says_what_the_job_says(moment: object) -> None:
    run = DagRun.of(
        {"dag_id": "d", "run_id": "r", "logical_date": moment, "map_index": 2, "params": {"a": 1}, "new": 1}
    )
    assert (run.dag_id, run.run_id, run.logical_date, run.map_index, run.params["a"]) == ("d", "r", TICK, 2, 1)
    assert run.data_interval_start == run.data_interval_end == TICK


def test_a_live_notebook_has_sensible_values() -> None:
    run = DagRun.interactive("d", {"a": 1})
    assert (run.run_id, run.try_number, dict(run.params)) == ("interactive", 1, {"a": 1})
    assert run.logical_date.tzinfo is not None


def test_parameters_cannot_be_changed_by_a_task() -> None:
    with pytest.raises(TypeError):
        DagRun.interactive("d", {"a": 1}).params["a"] = 2  # type: ignore[index]
