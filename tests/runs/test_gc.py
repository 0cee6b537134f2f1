"""`runs.clean` and `gc`: what may be forgotten; pools; and why a task waits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import nbdag
import nbdag.store
from nbdag import runs
from nbdag.core.model.states import RunState, TaskState
from nbdag.home import Home
from nbdag.runs import clear, gc, why
from nbdag.runs.actions.gc import _remove
from nbdag.storage.owners import ATTEMPTS, record_owner
from nbdag.store.rows import Change, NewAttempt
from nbdag.values import ValueStore

pytestmark = pytest.mark.usefixtures("in_process")
Write = Callable[..., Path]
CELLS = ("%%task a\nx = 1", "%%task b --pool gpu\ny = x", "%%task c\n1 / 0", "%%task d --after c\nz = 1")


def age(home: Home) -> None:
    """Every file of the home becomes a day old."""
    for path in home.root.rglob("*"):
        if path.is_file() or path.is_dir():
            at = path.stat().st_mtime - 86_400
            os.utime(path, (at, at))


def test_files_go_with_the_runs_that_needed_them(write: Write, home: Home) -> None:
    run = nbdag.run(write(*CELLS), home=home)
    age(home)
    assert gc(home=home) == runs.Cleaned()
    planned = gc(0.0, dry_run=True, home=home)
    assert (planned.runs, planned.values, planned.notebooks, planned.folders) == ((run.id,), 1, 1, 1)
    assert planned.bytes > 0
    assert runs.find_run(home=home).id == run.id
    assert gc(0.0, home=home) == planned
    assert runs.list_runs(home=home) == []
    assert not list(home.values.glob("*/*"))


@pytest.mark.parametrize("shared", ["folder", "memory", "home"])
def test_files_of_another_owner_of_the_storage_are_kept(
    shared: str, write: Write, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"memory://{tmp_path}/shared" if shared == "memory" else str(tmp_path / "shared")
    one = home if shared == "home" else replace(home, storage=place)
    two = replace(home, root=tmp_path / "two", storage=str(home.root) if shared == "home" else place)
    path = write(*CELLS)
    first = nbdag.run(path, home=one)
    nbdag.run(path, home=two)
    monkeypatch.setattr("nbdag.runs.actions.gc.GRACE", -10.0)
    for each in (one, two):
        done = gc(home=each)
        assert "does not know the runs of" in done.kept and "use one storage for each project" in done.kept
        assert (done.values, done.folders) == (0, 0)
    done = gc(0.0, home=two)
    assert (len(done.runs), done.values, done.folders) == (1, 0, 0)
    assert runs.load(first.dag, run=first.id, task="a", home=one)["x"] == 1


def test_files_of_single_attempts_are_kept(home: Home) -> None:
    record_owner(home, ATTEMPTS)
    nbdag.store.open(home).close()
    path = home.values / "ab" / ("ab" * 16)
    home.write(path, b"value")
    age(home)
    assert "the runs of nbdag attempt, perhaps called by Airflow" in gc(home=home).kept
    assert path.exists()


def test_a_value_that_a_kept_value_refers_to_stays(write: Write, home: Home) -> None:
    path = write(
        "%%task a\nclass Node: pass\nstart = Node()", "%%task b\ngraph = {start: 1}", "%%task c\nn = len(graph)"
    )
    first = nbdag.run(path, home=home)
    later = nbdag.run(path, only=["b", "c"], home=home)
    store = nbdag.store.open(home)
    rows = {row.name: row.id for row in store.runs()}
    in_use, _, _ = store.maintenance.files_in_use(without={rows[first.id]})
    store.close()
    (graph,) = [output.digest for output in later["b"].outputs]
    (start,) = [output.digest for output in first["a"].outputs if output.name == "start"]
    assert start not in in_use
    assert ValueStore(str(home.values)).in_use(in_use) >= {graph, start}
    age(home)
    assert gc(home=home).values == 0
    assert runs.check_db(home).missing_values == 0


def test_a_file_that_was_used_meanwhile_stays(home: Home, tmp_path: Path) -> None:
    value = tmp_path / "value"
    value.write_text("x")
    assert not _remove(value, value.stat().st_mtime - 1)  # listed as old, and used since
    assert value.read_text() == "x"
    assert _remove(value, value.stat().st_mtime + 1)
    assert not list(tmp_path.glob("*value*"))


def test_damaged_values_are_found_by_reading_them(write: Write, home: Home) -> None:
    nbdag.run(write(*CELLS), home=home)
    assert runs.check_db(home, read_values=True).damaged_values == ()
    (path,) = home.values.glob("*/*")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert runs.check_db(home).damaged_values == ()
    assert runs.check_db(home, read_values=True).damaged_values == (path.name,)


def test_what_is_new_stays(write: Write, home: Home) -> None:
    nbdag.run(write(*CELLS), home=home)
    done = gc(0.0, home=home)
    assert (len(done.runs), done.values, done.folders) == (1, 0, 0)


def test_a_run_whose_values_a_kept_run_uses_stays(write: Write, home: Home) -> None:
    path = write("%%task a\nx = 1", "%%task b\ny = x")
    first = nbdag.run(path, home=home)
    nbdag.run(path, only=["b"], home=home)
    store = nbdag.store.open(home)
    ended = [row.ended or 0 for row in store.runs()]
    assert store.maintenance.ended_before(ended[0]) == []
    assert {row.name for row in store.maintenance.ended_before(ended[0] + 1)} > {first.id}
    store.close()


def test_a_database_in_good_order_has_no_faults(write: Write, home: Home) -> None:
    nbdag.run(write(*CELLS), home=home)
    found = runs.check_db(home)
    assert (found.faults, found.missing_values, found.counts["runs"]) == ((), 0, 1)
    for path in home.values.glob("*/*"):
        path.unlink()
    assert runs.check_db(home).missing_values == 1


def test_pools_are_made_and_deleted(home: Home) -> None:
    assert [pool.name for pool in runs.list_pools(home)] == ["default_pool"]
    assert runs.set_pool("gpu", 2, home=home) == runs.Pool(name="gpu", slots=2)
    assert runs.set_pool("gpu", -1, home=home).slots == -1
    assert runs.delete_pool("gpu", home=home).name == "gpu"
    for wrong, error in (("gpu", runs.UnknownPoolError), ("default_pool", runs.DefaultPoolError)):
        with pytest.raises(error):
            runs.delete_pool(wrong, home=home)
    with pytest.raises(runs.PoolSizeError):
        runs.set_pool("gpu", -2, home=home)
    with pytest.raises(runs.PoolNameError):
        runs.set_pool("g p u", 2, home=home)


def test_why_a_task_stands_where_it_stands(write: Write, home: Home) -> None:
    run = nbdag.run(write(*CELLS), home=home)

    def said(task: str) -> str:
        (found,) = why(run, task)
        return "; ".join(found.reasons)

    assert said("a") == "succeeded (try 1)"
    assert said("c") == "failed (try 1): ZeroDivisionError: division by zero"
    assert said("d") == (
        "could not run, because an upstream task failed: c failed; "
        "needs c, which failed first: ZeroDivisionError: division by zero"
    )
    runs.set_pool("gpu", 0, home=home)
    clear(run)
    assert why(run, "d")[0].state is TaskState.NONE
    assert said("d").startswith(
        "waits for c, which is waiting for a slot; belongs to a run that no process executes: start `nbdag scheduler`"
    )
    clear_a = runs.find_run(run.id, home=home)
    assert clear_a["a"].tries == 1


def test_why_counts_the_slots_of_a_pool_that_nobody_made_as_the_scheduler_does(write: Write, home: Home) -> None:
    cells = ("%%task a --pool gpu", "%%task b --pool gpu", "%%task large --slots 5")
    run = nbdag.run(write(*(f"{cell}\nx_{n} = 1" for n, cell in enumerate(cells))), home=home)
    clear(run)
    store = nbdag.store.open(home)
    (row,) = store.runs()
    a = next(each for each in store.instances([row.id])[row.id] if each.task == "a")
    going_on = replace(a, state=TaskState.RUNNING, tries=a.tries + 1)
    change = Change(
        run=replace(row, state=RunState.RUNNING), instances=[going_on], begun=[NewAttempt(going_on, going_on.tries)],
        at=time.time(), scheduler=store.attempts([row.id])[row.id][0].scheduler,
    )  # fmt: skip
    assert store.save(change) is not None
    store.close()
    assert why(run, "b")[0].reasons[0] == "waits for pool gpu: 1 of 1 slot taken by a"
