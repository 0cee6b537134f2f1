"""The contract of the store, on both databases."""

from __future__ import annotations

import math
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import nbdag.store
from nbdag.core.model.job import Key, Note, Result, StoredOutput
from nbdag.core.model.metrics import Metric
from nbdag.core.model.states import RunState, TaskState
from nbdag.home import Home
from nbdag.scheduler.planning_views import claim_of
from nbdag.store.rows import Change, DagRow, InstanceRow, NewAttempt, NewInstance, NewRun, RunRow, SchedulerRow
from nbdag.store.saving import RunExistsError
from nbdag.store.store import Store

ME = SchedulerRow(id="a" * 32, host="here", pid=1, birth="0", started=1.0, heartbeat=1.0)


def a_run(name: str = "manual__1", *, dag: str = "churn", created: float = 100.0, **more: object) -> NewRun:
    said = {
        "dag": dag,
        "name": name,
        "digest": "d1",
        "path": "/churn.ipynb",
        "cwd": "/",
        "created": created,
        "logical_date": created,
        "interval_start": created,
        "interval_end": created,
    }
    return NewRun(**{**said, **more})  # type: ignore[arg-type]


def tasks(*names: str) -> list[NewInstance]:
    return [NewInstance(task=name, position=n) for n, name in enumerate(names)]


def key(run: RunRow, instance: InstanceRow) -> Key:
    return Key(dag=run.dag, run=run.name, task=instance.task, map_index=instance.map_index)


def instances(store: Store, run: RunRow) -> list[InstanceRow]:
    return store.instances([run.id])[run.id]


def begin(store: Store, run: RunRow, task: str, at: float = 101.0) -> RunRow:
    """One attempt at a task begins."""
    instance = next(each for each in instances(store, run) if each.task == task)
    begun = replace(instance, state=TaskState.RUNNING, tries=instance.tries + 1)
    assert (
        store.save(Change(run=run, instances=[begun], begun=[NewAttempt(begun, begun.tries)], at=at, scheduler=ME.id))
        is not None
    )
    return store.run(run.id)


def end(store: Store, run: RunRow, task: str, state: TaskState = TaskState.SUCCESS, **more: object) -> RunRow:
    instance = next(each for each in instances(store, run) if each.task == task)
    result = Result(key=key(run, instance), state=state, started=102.0, ended=103.5, **more)  # type: ignore[arg-type]
    moved = replace(instance, state=state)
    assert store.save(Change(run=run, instances=[moved], ended=[(instance, result)], at=104.0)) is not None
    return store.run(run.id)


OUT = StoredOutput(name="df", digest="ab12", type="pandas.DataFrame", bytes=1 << 40, summary="10 rows × 2 columns")


def test_a_new_run_is_queued_with_its_values(store: Store) -> None:
    new = a_run(parameters={"alpha": 0.5, "names": ["é", None]}, tasks=("b",), output="/out.ipynb", fail_fast=True)
    made = store.create_run(new, tasks("b"))
    assert store.run(made.id) == made
    assert (made.state, made.revision, made.ended) == (RunState.QUEUED, 0, None)
    assert (made.parameters, made.tasks, made.output) == (new.parameters, ("b",), "/out.ipynb")
    assert [each.state for each in instances(store, made)] == [TaskState.NONE]


def test_a_run_without_selected_tasks_has_all_tasks(store: Store) -> None:
    assert store.create_run(a_run(), tasks("a")).tasks is None


def test_two_runs_of_one_dag_cannot_share_an_id(store: Store) -> None:
    store.create_run(a_run(), [])
    with pytest.raises(RunExistsError, match=r"already has a run manual__1"):
        store.create_run(a_run(), [])
    assert store.create_run(a_run(dag="other"), []).name == "manual__1"
    with pytest.raises(RunExistsError):
        store.create_runs([a_run("manual__0"), a_run()], [])
    assert store.named("manual__0") == []  # all or none


def test_instances_are_in_notebook_order_and_by_map_index(store: Store) -> None:
    run = store.create_run(a_run(), tasks("first", "mapped", "last"))
    placeholder = instances(store, run)[1]
    elements = [NewInstance(task="mapped", position=1, map_index=n, element={"x": f"digest{n}"}) for n in (0, 1, 2)]
    added = store.save(Change(run=run, dropped=[placeholder], added=elements))
    assert added is not None
    assert [each.map_index for each in added] == [0, 1, 2]
    found = instances(store, run)
    assert [(each.task, each.map_index) for each in found] == [
        ("first", -1), ("mapped", 0), ("mapped", 1), ("mapped", 2), ("last", -1),
    ]  # fmt: skip
    assert found[2].element == {"x": "digest1"}


def test_a_change_of_an_older_revision_is_rejected_as_a_whole(store: Store) -> None:
    run = store.create_run(a_run(), tasks("a"))
    store.schedulers.register(ME)
    begin(store, run, "a")
    late = replace(instances(store, run)[0], state=TaskState.SKIPPED)
    assert store.save(Change(run=run, instances=[late], notes=[Note(code="NB400", name="", message="no")])) is None
    assert instances(store, run)[0].state is TaskState.RUNNING
    assert store.notes([run.id]) == {run.id: ()}


def test_of_concurrent_changes_one_is_saved(home: Home, store: Store) -> None:
    run = store.create_run(a_run(), tasks("a"))
    saved: list[bool] = []

    def try_it() -> None:
        mine = nbdag.store.open(home)
        saved.append(mine.save(Change(run=run)) is not None)
        mine.close()

    threads = [threading.Thread(target=try_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(saved) == [False] * 5 + [True]
    assert store.revision(run.id) == 1


def test_an_attempt_has_one_outcome_with_outputs_and_notes(store: Store) -> None:
    store.schedulers.register(ME)
    run = begin(store, store.create_run(a_run(), tasks("a")), "a")
    (attempt,) = store.attempts([run.id])[run.id]
    assert (attempt.state, attempt.started, attempt.ended) == (TaskState.RUNNING, 101.0, None)
    note = Note(code="NB401", name="df", message="df was changed")
    run = end(store, run, "a", outputs=(OUT,), notes=(note,))
    (attempt,) = store.attempts([run.id])[run.id]
    assert (attempt.state, attempt.started, attempt.ended) == (TaskState.SUCCESS, 102.0, 103.5)
    assert (attempt.outputs, attempt.notes) == ((OUT,), (note,))


def test_metrics_are_kept_exactly_and_listed_until_the_task_is_cleared(store: Store) -> None:
    store.schedulers.register(ME)
    run = begin(store, store.create_run(a_run(), tasks("a")), "a")
    given = (
        Metric(name="accuracy", value=0.1 + 0.2, marked=True),
        Metric(name="loss", value=math.inf, position=1),
        Metric(name="auc", value=math.nan, position=2),
    )
    run = end(store, run, "a", metrics=given)
    (attempt,) = store.attempts([run.id])[run.id]
    assert attempt.metrics[:2] == given[:2]
    assert math.isnan(attempt.metrics[2].value)
    found = store.listings.metrics([run.id])
    assert [(each.name, each.marked, each.point.count) for each in found] == [
        ("accuracy", True, 1), ("loss", False, 1), ("auc", False, 1),
    ]  # fmt: skip
    assert (found[0].point.value, found[1].point.highest) == (0.1 + 0.2, math.inf)
    assert math.isnan(found[2].point.value)
    reset = replace(instances(store, run)[0], state=TaskState.NONE, tries_before_reset=1)
    assert store.save(Change(run=run, instances=[reset])) is not None
    assert store.listings.metrics([run.id]) == []


def test_the_mean_of_huge_metrics_is_infinite(store: Store) -> None:
    store.schedulers.register(ME)
    run = store.create_run(a_run(), [NewInstance(task="a", map_index=n, position=0) for n in range(2)])
    for each in instances(store, run):
        begun = replace(each, state=TaskState.RUNNING, tries=1)
        found = (Metric(name="best", value=1.7e308),)
        result = Result(key=key(run, begun), state=TaskState.SUCCESS, started=1.0, ended=2.0, metrics=found)
        change = Change(
            run=run, instances=[begun], begun=[NewAttempt(begun, 1)], ended=[(begun, result)], scheduler=ME.id
        )
        assert store.save(change) is not None
        run = store.run(run.id)
    ((*_, point),) = store.listings.metrics([run.id])
    assert (point.value, point.lowest, point.highest, point.count) == (math.inf, 1.7e308, 1.7e308, 2)


def test_earlier_attempts_stay_recorded(store: Store) -> None:
    store.schedulers.register(ME)
    run = begin(store, store.create_run(a_run(), tasks("a")), "a")
    run = end(store, run, "a", TaskState.FAILED, error="boom", traceback="Traceback …\nboom")
    run = begin(store, run, "a", at=110.0)
    first, second = store.attempts([run.id])[run.id]
    assert (first.try_number, first.state, first.error, first.traceback) == (
        1, TaskState.FAILED, "boom", "Traceback …\nboom",
    )  # fmt: skip
    assert (second.try_number, second.state, second.started) == (2, TaskState.RUNNING, 110.0)


def test_an_attempt_cannot_begin_twice(store: Store) -> None:
    store.schedulers.register(ME)
    run = begin(store, store.create_run(a_run(), tasks("a")), "a")
    instance = instances(store, run)[0]
    with pytest.raises(Exception, match=r"(?i)unique"):
        store.save(Change(run=run, begun=[NewAttempt(instance, 1)], at=105.0, scheduler=ME.id))
    assert store.revision(run.id) == run.revision


def test_a_sensor_that_polls_again_resumes_its_attempt(store: Store) -> None:
    store.schedulers.register(ME)
    run = begin(store, store.create_run(a_run(), tasks("a")), "a")
    run = end(store, run, "a", TaskState.UP_FOR_RESCHEDULE)
    instance = instances(store, run)[0]
    assert store.save(Change(run=run, resumed=[(instance, 1)], at=120.0, scheduler=ME.id)) is not None
    (attempt,) = store.attempts([run.id])[run.id]
    assert (attempt.state, attempt.started, attempt.ended) == (TaskState.RUNNING, 102.0, None)


def test_runs_are_listed_newest_first_by_dag_state_and_limit(store: Store) -> None:
    for n in range(4):
        store.create_run(a_run(f"r{n}", created=100.0 + n), [])
    other = store.create_run(a_run("x", dag="other", created=200.0), [])
    store.save(Change(run=replace(other, state=RunState.SUCCESS)))
    assert [run.name for run in store.runs()] == ["x", "r3", "r2", "r1", "r0"]
    assert [run.name for run in store.runs(dag="churn", limit=2)] == ["r3", "r2"]
    assert [run.name for run in store.runs(states=[RunState.SUCCESS, RunState.FAILED])] == ["x"]
    assert store.dags() == ["churn", "other"]


@pytest.mark.parametrize(
    ("asked", "dag", "found"),
    [
        ("r1", None, ["r1"]),  # the id itself counts before what begins so
        ("r", None, ["r2", "r10", "r1"]),
        ("r1", "other", []),
        ("%", None, []),
        ("r_", None, []),
    ],
)
def test_a_run_is_found_by_its_id_or_a_prefix(store: Store, asked: str, dag: str | None, found: list[str]) -> None:
    for n, name in enumerate(("r1", "r10", "r2")):
        store.create_run(a_run(name, created=100.0 + n), [])
    assert [run.name for run in store.named(asked, dag)] == found


def test_a_cancel_request_is_kept_and_rejected_after_the_end(store: Store) -> None:
    run = store.create_run(a_run(), [])
    assert store.request_cancel(run.id, 105.0)
    assert store.request_cancel(run.id, 106.0)
    asked = store.run(run.id)
    assert (asked.cancel_asked, asked.revision) == (105.0, 2)
    store.save(Change(run=replace(asked, state=RunState.CANCELLED, ended=107.0)))
    assert not store.request_cancel(run.id, 108.0)


def test_unfinished_runs_are_listed_with_their_owner(store: Store) -> None:
    store.schedulers.register(ME)
    store.schedulers.record_heartbeat(ME.id, 9.0)
    run = store.create_run(a_run(scheduler=ME.id), [])
    store.create_run(a_run("anybody's"), [])
    assert store.owned_runs() == [(run, replace(ME, heartbeat=9.0))]
    store.save(Change(run=replace(run, state=RunState.SUCCESS)))
    assert store.owned_runs() == []


def test_active_instances_of_all_runs_are_listed(store: Store) -> None:
    store.schedulers.register(ME)
    for dag in ("a", "b"):
        run = store.create_run(a_run(dag=dag), [NewInstance(task="t", position=0, pool="gpu", slots=2), *tasks("u")])
        begin(store, run, "t")
    assert [(each.dag, each.task, each.pool, each.slots) for each in store.active_instances()] == [
        ("a", "t", "gpu", 2), ("b", "t", "gpu", 2),
    ]  # fmt: skip


def test_a_change_that_exceeds_a_pool_is_rejected_as_a_whole(store: Store) -> None:
    store.schedulers.register(ME)
    mine, theirs = (
        store.create_run(a_run(dag=dag), [NewInstance(task="t", position=0, pool="gpu")]) for dag in ("a", "b")
    )
    begin(store, theirs, "t")
    waiting = instances(store, mine)[0]
    begun = replace(waiting, state=TaskState.RUNNING, tries=1)
    change = Change(
        run=mine, instances=[begun], begun=[NewAttempt(begun, 1)], pools={"gpu": 1}, at=101.0, scheduler=ME.id
    )
    assert store.save(change) is None
    assert (instances(store, mine), store.revision(mine.id)) == ([waiting], 0)
    assert store.save(replace(change, pools={"gpu": 2})) == []


def test_a_change_that_exceeds_the_resources_of_a_machine_is_rejected(store: Store) -> None:
    store.schedulers.register(ME)
    store.schedulers.register(replace(ME, id="other"))
    store.schedulers.register(replace(ME, id="elsewhere", host="another"))
    task = NewInstance(task="t", position=0, resources={"gpu": 1.0})
    mine, theirs = (store.create_run(a_run(dag=dag), [task]) for dag in ("a", "b"))
    begin(store, theirs, "t")
    (active,) = store.active_instances()
    assert (active.resources, active.host) == ({"gpu": 1.0}, ME.host)
    begun = replace(instances(store, mine)[0], state=TaskState.RUNNING, tries=1)
    change = Change(
        run=mine, instances=[begun], begun=[NewAttempt(begun, 1)], resources={"gpu": 1}, at=101.0, scheduler="other"
    )
    assert store.save(change) is None
    assert store.save(replace(change, scheduler="elsewhere")) == []


def test_tasks_on_a_cluster_hold_no_resources_of_the_machine_of_their_scheduler(store: Store) -> None:
    store.schedulers.register(replace(ME, offers={"hosts": [{"gpu": 1.0}], "may_grow": True}))
    store.schedulers.register(replace(ME, id="other"))
    task = NewInstance(task="t", position=0, resources={"gpu": 1.0})
    mine, theirs = (store.create_run(a_run(dag=dag), [task]) for dag in ("a", "b"))
    begin(store, theirs, "t")
    (active,) = store.active_instances()
    assert claim_of(active, ME.host).resources == ()
    begun = replace(instances(store, mine)[0], state=TaskState.RUNNING, tries=1)
    change = Change(
        run=mine, instances=[begun], begun=[NewAttempt(begun, 1)], resources={"gpu": 1}, at=101.0, scheduler="other"
    )
    assert store.save(change) == []


def test_a_machine_limits_only_the_resources_that_an_attempt_needs(store: Store) -> None:
    store.schedulers.register(ME)
    store.schedulers.register(replace(ME, id="other"))
    for dag in ("a", "b"):  # this scheduler was started with more than one GPU
        begin(store, store.create_run(a_run(dag=dag), [NewInstance(task="t", position=0, resources={"gpu": 1.0})]), "t")
    mine = store.create_run(a_run(dag="c"), [NewInstance(task="t", position=0, resources={"memory": 1.0})])
    begun = replace(instances(store, mine)[0], state=TaskState.RUNNING, tries=1)
    limits = {"gpu": 1, "memory": 1}
    change = Change(
        run=mine, instances=[begun], begun=[NewAttempt(begun, 1)], resources=limits, at=101.0, scheduler="other"
    )
    assert store.save(change) == []


def test_the_default_pool_exists_and_pools_can_be_set(store: Store) -> None:
    assert store.pools() == {"default_pool": 128}
    store.set_pool("gpu", 2)
    store.set_pool("gpu", -1)
    assert store.pools() == {"default_pool": 128, "gpu": -1}


def test_values_are_borrowed_from_the_newest_run_that_finished_the_task(store: Store) -> None:
    store.schedulers.register(ME)
    assert store.latest_with("churn", "a") is None
    old = end(store, begin(store, store.create_run(a_run("old"), tasks("a", "b")), "a"), "a", outputs=(OUT,))
    new = store.create_run(a_run("new", created=200.0), tasks("a", "b"))
    new = end(store, begin(store, new, "b"), "b")
    found = store.latest_with("churn", "a")
    assert found is not None and found.name == "old"
    found = store.latest_with("churn", "b")
    assert found is not None and found.name == "new"
    assert store.latest_with("churn", "a", new.id) is None
    partial = store.create_run(a_run("partial", created=300.0, tasks=("b",), borrowed={"a": old.id}), tasks("b"))
    assert store.borrowed([partial.id, old.id]) == {partial.id: {"a": old.id}, old.id: {}}


@pytest.mark.parametrize("home", ["postgresql"], indirect=True)  # all processes of an SQLite database have one home
def test_no_values_are_borrowed_from_a_run_of_another_home(store: Store, home: Home, tmp_path: Path) -> None:
    store.schedulers.register(ME)
    end(store, begin(store, store.create_run(a_run("here"), tasks("a")), "a"), "a", outputs=(OUT,))
    with closing(nbdag.store.open(replace(home, root=tmp_path / "other"))) as other:
        there = other.create_run(a_run("there", created=200.0), tasks("a"))
        end(other, begin(other, there, "a"), "a", outputs=(OUT,))
        found = [each.latest_with("churn", "a") for each in (store, other)]
    assert [run and run.name for run in found] == ["here", "there"]


def test_unfinished_and_borrowed_runs_are_not_deleted(store: Store) -> None:
    def over(name: str, **more: object) -> RunRow:
        run = store.create_run(a_run(name, **more), tasks("a"))
        assert store.save(Change(run=replace(run, state=RunState.SUCCESS, ended=150.0))) is not None
        return store.run(run.id)

    far, lender, plain, cleared = over("far"), over("lender"), over("plain"), over("cleared")
    between = over("between", borrowed={"a": far.id})
    both = over("both", borrowed={"a": between.id})
    looked = [row.id for row in store.maintenance.ended_before(200.0)]
    assert looked == [far.id, lender.id, plain.id, cleared.id, between.id, both.id]
    # Since then one was cleared, and another has lent to a run that goes on, as has one that borrowed itself.
    assert store.save(Change(run=replace(cleared, state=RunState.QUEUED, ended=None))) is not None
    last = store.create_run(a_run("last", borrowed={"a": lender.id, "b": between.id}), tasks("c"))
    assert store.maintenance.delete_runs([*looked, last.id]) == [plain.id, both.id]
    assert {row.name for row in store.runs()} == {"far", "lender", "cleared", "between", "last"}
    assert store.borrowed([last.id, between.id]) == {
        last.id: {"a": lender.id, "b": between.id},
        between.id: {"a": far.id},
    }
    assert store.maintenance.integrity_errors() == []


def test_notes_of_a_new_run_are_kept(store: Store) -> None:
    note = Note(code="NB411", name="alhpa", message="did you mean alpha?")
    run = store.create_run(a_run(notes=(note,)), [])
    assert store.notes([run.id]) == {run.id: (note,)}


def test_a_reopened_store_keeps_its_records(home: Home, store: Store) -> None:
    made = store.create_run(a_run(), tasks("a"))
    again = nbdag.store.open(home)
    assert again.run(made.id) == made
    again.close()


def test_cached_outcomes_are_found_by_key_executed_ones_first(store: Store) -> None:
    store.schedulers.register(ME)

    def attempt(name: str, cached: str | None = None, *, at: float, **more: object) -> RunRow:
        run = store.create_run(a_run(name, **more), tasks("a"))
        begun = replace(instances(store, run)[0], state=TaskState.RUNNING, tries=1)
        result = Result(
            key=key(run, begun),
            state=TaskState.SUCCESS,
            started=at,
            ended=at,
            outputs=(OUT,),
            notes=(SAID,),
            metrics=(SCORE,),
        )
        done = replace(begun, state=TaskState.SUCCESS)
        change = Change(
            run=run, instances=[done], begun=[NewAttempt(begun, 1, "k" * 64, cached)], ended=[(begun, result)],
            at=at, scheduler=ME.id, host="here",
        )  # fmt: skip
        assert store.save(change) is not None
        return store.run(run.id)

    SAID, SCORE = Note(code="NB401", name="df", message="df was changed"), Metric(name="score", value=2.0)
    attempt("r1", at=101.0)
    made = attempt("r2", at=102.0)
    attempt("r3", "r2", at=103.0)
    attempt("r4", at=104.0, dag="other")
    found = store.cached_outcomes("churn", "a", "k" * 64)
    assert [(each.run, each.made_in, each.map_index, each.try_number) for each in found] == [
        ("r2", "r2", -1, 1), ("r1", "r1", -1, 1), ("r3", "r2", -1, 1),
    ]  # fmt: skip
    assert (found[0].outputs, found[0].metrics, found[0].notes) == ((OUT,), (SCORE,), (SAID,))
    assert [(each.cached, each.host) for each in store.attempts([2])[2]] == [(None, "here")]
    assert [(each.cached, each.host) for each in store.attempts([3])[3]] == [("r2", None)]  # no host executed it
    assert store.cached_outcomes("churn", "b", "k" * 64) == store.cached_outcomes("churn", "a", "l" * 64) == []
    cleared = replace(instances(store, made)[0], state=TaskState.NONE, tries_before_reset=1)
    assert store.save(Change(run=made, instances=[cleared])) is not None
    assert [each.run for each in store.cached_outcomes("churn", "a", "k" * 64)] == ["r1"]  # and r3 had it from r2


def test_a_run_records_that_it_uses_no_cache(store: Store) -> None:
    assert store.create_run(a_run("r1"), []).cache is True
    assert store.create_run(a_run("r2", cache=False), []).cache is False


def test_due_runs_are_created_together_or_not_at_all(store: Store) -> None:
    seen = DagRow(id="churn", digest="d", path="/x", cwd="/", deployed=0.0, schedule="@hourly", next_date=1.0)
    store.deployments.put(seen, 0.0)
    due = [a_run(f"s{n}", kind="scheduled", logical_date=float(n)) for n in (1, 2, 3)]
    store.create_run(due[1], tasks("a"))  # it is there already, from an earlier deployment
    made = store.deployments.create_due(seen, due, tasks("a", "b"), 4.0)
    assert made is not None and [run.name for run in made] == ["s1", "s3"]
    assert [[each.task for each in mine] for mine in store.instances([run.id for run in made]).values()] == [
        ["a", "b"]
    ] * 2
    now = store.deployments.get("churn")
    assert now is not None and (now.last_date, now.next_date) == (3.0, 4.0)
    late = [a_run("s4", kind="scheduled", logical_date=4.0)]
    assert store.deployments.create_due(seen, late, tasks("a"), 5.0) is None  # made from an older look
    assert store.named("s4") == []


def test_the_limit_of_running_runs_counts_backfills_separately(store: Store) -> None:
    def starts(run: RunRow, most: int) -> bool:
        begun = replace(run, state=RunState.RUNNING, started=101.0)
        return store.save(Change(run=begun, at=101.0, most=most)) is not None

    kinds = ("scheduled", "manual", "backfill", "backfill")
    made = [store.create_run(a_run(f"r{n}", kind=kind), tasks("a")) for n, kind in enumerate(kinds)]
    other = store.create_run(a_run("r0", dag="other"), tasks("a"))
    assert [starts(made[0], 1), starts(made[1], 1), starts(made[2], 1), starts(made[3], 1)] == [
        True,
        False,
        True,
        False,
    ]
    assert starts(other, 1)
    assert [run.state for run in store.runs(dag="churn", states=[RunState.QUEUED])] == [RunState.QUEUED] * 2
    assert starts(store.run(made[1].id), 2)


def test_the_previous_run_is_the_newest_of_the_previous_date_and_not_manual(store: Store) -> None:
    said = {
        "a": ("scheduled", 1.0),
        "b": ("backfill", 2.0),
        "c": ("scheduled", 2.0),
        "d": ("manual", 3.0),
        "e": ("scheduled", 4.0),
    }
    for n, (name, (kind, date)) in enumerate(said.items()):
        store.create_run(a_run(name, kind=kind, logical_date=date, created=100.0 + n), [])
    last = store.named("e")[0]
    before = store.deployments.previous_run(last)
    assert before is not None and before.name == "c"
    assert store.deployments.previous_run(store.named("a")[0]) is None
    assert [run.name for run in [store.deployments.previous_run(before)] if run] == ["a"]


def test_hosts_with_different_clocks_agree_on_heartbeats(store: Store, home: Home) -> None:
    """The other host's clock is an hour behind the server's; ours is right."""
    other = nbdag.store.open(home)
    ahead, other._database.clock_offset = store._database.clock_offset, store._database.clock_offset + 3600.0
    assert abs(ahead) < 60  # the server is here
    me = replace(ME, kind="scheduler", heartbeat=10_000.0)
    other.schedulers.register(me)
    assert [row.heartbeat for row in other.schedulers.unended()] == pytest.approx([10_000.0])
    assert [row.heartbeat for row in store.schedulers.unended()] == pytest.approx([13_600.0])
    store.create_run(a_run(scheduler=me.id), [])
    other.schedulers.record_heartbeat(me.id, 10_005.0)
    assert [by.heartbeat for _, by in store.owned_runs()] == pytest.approx([13_605.0])
    other.close()


def fill(store: Store, *new: NewRun, backwards: bool = False) -> list[RunRow] | None:
    return store.backfills.create(
        "churn", new, tasks("a"), now=1.0, first=1.0, last=2.0, backwards=backwards, max_active_runs=3
    )


def test_a_dag_has_one_backfill_at_a_time(store: Store) -> None:
    made = fill(store, a_run("b1", kind="backfill"), a_run("b2", kind="backfill"), backwards=True)
    assert made is not None
    (number,) = {run.backfill for run in made}
    assert number is not None
    assert store.backfills.max_active_runs(number) == 3
    assert store.backfills.newest(["churn"])["churn"].backwards
    assert fill(store, a_run("b3", kind="backfill")) is None
    assert [run.name for run in store.runs()] == ["b2", "b1"]
    for run in made:
        assert store.save(Change(run=replace(run, state=RunState.SUCCESS))) is not None
    assert fill(store, a_run("b3", kind="backfill")) is not None


def test_of_concurrent_backfills_one_is_created(home: Home, store: Store) -> None:
    others = [nbdag.store.open(home) for _ in range(4)]
    made: list[list[RunRow] | None] = []
    threads = [
        threading.Thread(target=lambda n=n, other=other: made.append(fill(other, a_run(f"b{n}", kind="backfill"))))
        for n, other in enumerate(others)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each is not None for each in made) == len(store.runs()) == 1
    for other in others:
        other.close()


def test_a_backfill_is_not_created_if_one_of_its_runs_exists(store: Store) -> None:
    store.create_run(a_run("b2"), [])
    with pytest.raises(RunExistsError):
        fill(store, a_run("b1", kind="backfill"), a_run("b2", kind="backfill"))
    assert [run.name for run in store.runs()] == ["b2"]
    assert store.backfills.newest(["churn"]) == {}


@pytest.mark.parametrize("backwards", [False, True])
def test_only_the_first_queued_runs_and_all_running_runs_are_read(store: Store, backwards: bool) -> None:
    made = fill(
        store, *(a_run(f"b{n}", kind="backfill", logical_date=float(n)) for n in range(130)), backwards=backwards
    )
    assert made is not None
    for id in ("s", "t"):
        store.schedulers.register(replace(ME, id=id))
    store.create_run(a_run("m", logical_date=500.0), [])
    store.create_run(a_run("own", scheduler="s", logical_date=501.0), [])
    store.create_run(a_run("other's", scheduler="t", logical_date=502.0), [])
    going_on, stopping = made[60], made[61]
    assert store.save(Change(run=replace(going_on, state=RunState.RUNNING, started=101.0), at=101.0)) is not None
    store.request_cancel(stopping.id, 102.0)
    names = [run.name for run in store.deployments.unfinished("s")]
    queue = [f"b{n}" for n in range(130) if n not in (60, 61)]
    first = queue[-100:] if backwards else queue[:100]
    assert set(names) == {*first, "b60", "b61", "m", "own"}
    assert len(names) == len(set(names))
    assert store.deployments.count_unowned() == 131
