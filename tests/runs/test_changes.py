"""A watcher of a home reports each change, by whatever process and however long ago."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from nbdag import runs
from nbdag import store as stores
from nbdag.core.model.states import RunState
from nbdag.home import Home
from nbdag.runs import Change, ChangeWatcher
from nbdag.runs.queries.monitoring import changes

pytestmark = pytest.mark.usefixtures("in_process")
Write = Callable[..., Path]


@pytest.fixture
def watcher(home: Home):
    found = ChangeWatcher(home)
    yield found
    found.close()


def test_each_kind_of_change_is_reported_once(write: Write, home: Home, watcher: ChangeWatcher) -> None:
    path = write("%dag churn", "%%task a\nx = 1")
    assert watcher.poll() == []
    run = runs.run(path, home=home)
    found = watcher.poll()  # the home was made after the first poll, so all in it is new
    assert Change(kind="run", dag="churn", run=run.id, state=RunState.SUCCESS) in found
    assert watcher.poll() == []
    runs.deploy(path, home=home)
    assert watcher.poll() == [Change(kind="dag", dag="churn")]
    runs.pause("churn", home=home)
    assert watcher.poll() == [Change(kind="dag", dag="churn")]
    runs.set_pool("db", 3, home=home)
    assert watcher.poll() == [Change(kind="scheduler")]
    runs.emit_asset("s3://lake/orders", home=home)
    assert watcher.poll() == [Change(kind="asset", asset="s3://lake/orders")]
    runs.mark("failed", run, ["a"])
    assert [(each.kind, each.run) for each in watcher.poll()] == [("run", run.id)]
    queued = runs.trigger("churn", home=home)
    assert watcher.poll() == [Change(kind="run", dag="churn", run=queued.id, state=RunState.QUEUED)]


def test_the_first_poll_of_a_home_is_the_beginning(write: Write, home: Home, watcher: ChangeWatcher) -> None:
    runs.run(write("%dag churn", "%%task a\nx = 1"), home=home)
    runs.emit_asset("orders", home=home)
    assert watcher.poll() == []
    runs.emit_asset("orders", home=home)
    assert watcher.poll() == [Change(kind="asset", asset="orders")]


def test_old_runs_are_compared_at_longer_intervals(
    write: Write, home: Home, watcher: ChangeWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_LATEST", 1)
    path = write("%dag churn", "%%task a\nx = 1")
    old, _ = runs.run(path, home=home), runs.run(path, home=home)
    watcher.poll()
    runs.mark("failed", old, ["a"])
    runs.resume(old)
    assert watcher.poll() == []  # it is neither unfinished nor among the latest
    watcher._slow = float("-inf")  # some seconds later
    assert [each.run for each in watcher.poll()] == [old.id]
    with contextlib.closing(stores.open(home)) as store:
        store.maintenance.delete_runs([row.id for row in store.runs(limit=9) if row.name == old.id])
    watcher._slow = float("-inf")
    assert watcher.poll() == [Change(kind="run", dag="churn", run=old.id)]


def test_an_error_of_the_database_loses_no_change(
    write: Write, home: Home, watcher: ChangeWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("%dag churn", "%%task a\nx = 1")
    runs.deploy(path, home=home)
    watcher.poll()
    run = runs.run(path, home=home)
    with monkeypatch.context() as broken, pytest.raises(runs.UnknownRunError):
        broken.setattr(
            "nbdag.store.changes.Changes.asset_events",
            lambda self, after: (_ for _ in ()).throw(runs.UnknownRunError("x", None, home.root)),
        )
        watcher.poll()
    assert [each.run for each in watcher.poll() if each.kind == "run"] == [run.id]
