"""`runs.backfill`: which ticks get a run, in which order, how many at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nbdag import runs
from nbdag.core.model.states import RunState
from nbdag.home import Home
from nbdag.runs.actions.backfill import Backfill, BackfillError, BackfillRunningError, backfill
from nbdag.runs.actions.deploy import deploy
from nbdag.runs.actions.resume import resume
from nbdag.runs.execution.foreground import PreviousRunError

pytestmark = pytest.mark.usefixtures("in_process")
Write = Callable[..., Path]
FIRST, LAST = datetime(2026, 1, 1), datetime(2026, 1, 3)
CELLS = (
    "%dag churn --schedule @daily",
    "from pathlib import Path",
    "%%task a\nx = 1 if Path('ready').exists() else 1 / 0",
    "%%task b\ny = x",
)


@pytest.fixture
def deployed(write: Write, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.chdir(tmp_path)
    deploy(write(*CELLS), home=home)
    Path("ready").touch()
    return home


def dates(done: Backfill) -> list[str]:
    return [f"{tick.date:%d}" for tick in done.ticks if tick.made]


def fill(home: Home, **more: Any) -> Backfill:
    return backfill("churn", FIRST, LAST, home=home, **more)


def test_each_tick_of_the_past_gets_a_run_and_no_second_one(deployed: Home) -> None:
    assert dates(fill(deployed, dry_run=True)) == ["01", "02", "03"]
    assert runs.list_runs(home=deployed) == []
    done = fill(deployed)
    assert [run.state for run in done.runs] == [RunState.SUCCESS] * 3
    assert done.runs[0].id == "backfill__2026-01-01T00-00-00.000000Z"
    assert dates(fill(deployed)) == []


def test_only_ticks_already_past_are_filled(deployed: Home) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    done = backfill("churn", today - timedelta(days=1), today + timedelta(days=9), dry_run=True, home=deployed)
    assert [tick.date for tick in done.ticks] == [today - timedelta(days=1), today]


@pytest.mark.parametrize(("backwards", "order"), [(False, ["01", "02", "03"]), (True, ["03", "02", "01"])])
def test_runs_go_in_order_and_no_more_at_once_than_asked(deployed: Home, backwards: bool, order: list[str]) -> None:
    seen: list[tuple[str, str]] = []
    fill(
        deployed, backwards=backwards, max_active_runs=1,
        on_event=lambda event: seen.append((event.run_id[18:20], event.state)) if event.kind == "run" else None,
    )  # fmt: skip
    assert seen == [(day, state) for day in order for state in ("running", "success")]


def test_reprocessing_makes_new_runs_where_it_is_asked_to(deployed: Home) -> None:
    Path("ready").unlink()
    assert {run.state for run in fill(deployed).runs} == {RunState.FAILED}
    Path("ready").touch()
    assert dates(fill(deployed)) == []
    again = fill(deployed, reprocess="failed")
    assert again.runs[0].id.endswith("Z.2")
    assert dates(fill(deployed, reprocess="failed")) == []
    assert dates(fill(deployed, reprocess="completed", dry_run=True)) == ["01", "02", "03"]


def test_a_subset_of_tasks_takes_the_values_of_its_own_date(deployed: Home) -> None:
    with pytest.raises((BackfillError, runs.NoStoredValueError)):
        fill(deployed, tasks=["b"])
    fill(deployed)
    done = fill(deployed, tasks=["b"], reprocess="completed")
    assert [[task.id for task in run] for run in done.runs] == [["b"]] * 3
    assert {run.state for run in done.runs} == {RunState.SUCCESS}


def test_one_backfill_of_a_dag_at_a_time(deployed: Home) -> None:
    def meanwhile(made: Backfill) -> None:
        with pytest.raises(BackfillRunningError, match="a backfill of churn is already running"):
            backfill("churn", datetime(2025, 1, 1), datetime(2025, 1, 2), home=deployed)

    assert len(fill(deployed, on_plan=meanwhile).runs) == 3


@pytest.fixture
def chained(write: Write, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A task that depends on the past, says which days it did, and cannot do the one that the file `bad` names."""
    monkeypatch.chdir(tmp_path)
    code = (
        "day = f'{dag_run.logical_date:%d}'\n"
        "assert not Path('bad').exists() or Path('bad').read_text() != day\n"
        "with open('did', 'a') as file: file.write(day + ' ')"
    )
    cells = ("%dag churn --schedule @daily", "from pathlib import Path", f"%%task a --depends-on-past\n{code}")
    deploy(write(*cells), home=home)
    return home


def test_a_task_that_depends_on_the_past_goes_through_the_dates_one_by_one(chained: Home) -> None:
    assert {run.state for run in fill(chained).runs} == {RunState.SUCCESS}
    assert Path("did").read_text() == "01 02 03 "
    with pytest.raises(BackfillError, match="a task depends on the previous run, so the ticks cannot run backwards"):
        fill(chained, backwards=True, reprocess="completed")


def test_runs_after_a_failed_run_do_not_wait_for_ever(chained: Home) -> None:
    Path("bad").write_text("02")
    failed, held = "backfill__2026-01-02T00-00-00.000000Z", "backfill__2026-01-03T00-00-00.000000Z"
    with pytest.raises(
        PreviousRunError, match=rf"{held} cannot start: .* {failed} did not succeed \(failed\); use `nbdag resume"
    ):
        fill(chained)
    assert [runs.find_run(each, home=chained).state.value for each in (failed, held)] == ["failed", "cancelled"]
    Path("bad").unlink()
    assert [resume(each, home=chained).state for each in (failed, held)] == [RunState.SUCCESS] * 2
    assert Path("did").read_text() == "01 02 03 "


@pytest.mark.parametrize(
    ("first", "last", "more", "said"),
    [
        (LAST, FIRST, {}, "the end is before the start"),
        (datetime(2999, 1, 1), datetime(2999, 1, 2), {}, "in the future"),
        (FIRST, LAST, {"max_active_runs": 0}, "invalid number of runs at once 0; expected 1 or more"),
    ],
)
def test_an_impossible_backfill_is_rejected(
    deployed: Home, first: datetime, last: datetime, more: Any, said: str
) -> None:
    with pytest.raises(BackfillError, match=said):
        backfill("churn", first, last, home=deployed, **more)


def test_the_scheduler_takes_the_latest_first_where_it_goes_backwards() -> None:
    from nbdag.core.planning.plan_types import RunView
    from nbdag.core.planning.pools import runs_to_start

    queued = [
        RunView(run_id=f"r{day}", dag_id="churn", logical_date=datetime(2026, 1, day, tzinfo=UTC),
                state=RunState.QUEUED, kind="backfill")
        for day in (1, 2, 3)
    ]  # fmt: skip
    start = runs_to_start(queued, {}, {("churn", True): 2}, backwards={"churn"})
    assert [run.run_id for run in start] == ["r3", "r2"]
