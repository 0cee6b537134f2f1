"""The changes among a DAG's latest runs, by whatever process."""

from __future__ import annotations

import contextlib

import pytest

import nbdag.runs.queries.runs
import nbdag.store
from nbdag import runs
from nbdag.core.model.states import RunState
from nbdag.home import Home
from nbdag.runs import watch_runs
from nbdag.store.rows import NewInstance, NewRun, SchedulerRow

LIMIT = 3


def new(name: str, created: float, dag: str = "churn", **more: str) -> NewRun:
    return NewRun(
        dag=dag, name=name, digest="d", path="/churn.ipynb", cwd="/", created=created, logical_date=created,
        interval_start=created, interval_end=created, **more,
    )  # fmt: skip


def test_changes_are_reported_once_and_oldest_first(home: Home) -> None:
    store = nbdag.store.open(home)
    named = ["churn"]

    def create(name: str, created: float, dag: str = "churn") -> None:
        store.create_run(new(name, created, dag), [NewInstance(task="a", position=0)])

    for n in range(4):
        create(f"r{n}", float(n))
    with contextlib.closing(watch_runs(lambda: named[0], limit=LIMIT, home=home)) as looks:

        def moved() -> list[str]:
            return [run.id for run in next(looks)]

        assert moved() == ["r1", "r2", "r3"]
        assert moved() == moved() == []
        create("r4", 4.0)
        create("other", 5.0, dag="other")
        assert moved() == ["r4"]
        runs.cancel("r2", home=home)
        assert moved() == ["r2"]
        runs.cancel("r0", home=home)  # an old one
        assert moved() == []
        named[0] = "other"
        assert moved() == ["other"]
    store.close()


def test_an_orphaned_run_is_reported_but_not_changed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nbdag.runs.queries.runs, "_CHECK_OWNERS", 0.0)
    store = nbdag.store.open(home)
    gone = SchedulerRow(id="s", host="elsewhere", pid=1, birth="0", started=0.0, heartbeat=0.0)
    with contextlib.closing(watch_runs(lambda: "churn", limit=LIMIT, home=home)) as looks:
        assert next(looks) == []
        store.schedulers.register(gone)
        store.create_run(new("r", 1.0, scheduler="s"), [NewInstance(task="a", position=0)])
        (run,) = next(looks)
        assert run.state is RunState.QUEUED
        assert run.orphaned is not None and "the process that executed it (pid 1) has ended" in run.orphaned
        assert next(looks) == []
    assert [row.state for row in store.runs()] == [RunState.QUEUED]
    store.close()
