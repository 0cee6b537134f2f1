"""Reports of many runs: who is told that one could not be written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import nbdag
import nbdag.store
from nbdag.core.model.states import RunState
from nbdag.errors import NbdagError
from nbdag.home import Home
from nbdag.runs.execution.report import Reports
from nbdag.runs.queries.pinned import run_dag
from nbdag.scheduler import OwnedRun

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.SUCCESS])
def test_a_failed_write_is_reported_during_the_run(write: Callable[..., Path], home: Home, state: RunState) -> None:
    done = nbdag.run(write("%%task a\nx = 1"), home=home)
    store = nbdag.store.open(home)
    (row,) = store.named(done.id)
    run = OwnedRun.of(replace(row, state=state), run_dag(home, row), (), (), {})
    home.notebook(row.digest).unlink()
    told: list[tuple[str, NbdagError]] = []
    reports = Reports(store, home, lambda row, error: told.append((row.name, error)))
    reports.on_change(run)
    reports.close()
    store.close()
    assert [run for run, _ in told] == [done.id]
    assert "is missing at" in str(told[0][1])


def test_a_run_that_changes_often_has_one_thread(
    write: Callable[..., Path], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = nbdag.run(write("%%task a\nx = 1"), home=home)
    store = nbdag.store.open(home)
    (row,) = store.named(done.id)
    run = OwnedRun.of(replace(row, state=RunState.RUNNING), run_dag(home, row), (), (), {})
    made: list[str] = []
    begin = threading.Thread.__init__

    def count(self: threading.Thread, *args: object, **more: object) -> None:
        made.append(str(more.get("name")))
        begin(self, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(threading.Thread, "__init__", count)
    reports = Reports(store, home, lambda row, error: None)
    for _ in range(5):
        reports.on_change(run)
    assert made.count("nbdag-report") == 1
    reports.close()
    store.close()
