"""The loop, with a clock that only the test moves and a scripted executor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

import nbdag.store
from nbdag.core.model.dag import Dag
from nbdag.core.model.job import Job
from nbdag.core.model.states import RunState, TaskState
from nbdag.store.rows import Change

Shape = Callable[..., Dag]
CHAIN = {"a": [], "b": ["a"], "c": ["b"]}
FORK = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def test_a_run_executes_its_tasks_in_order(bench: Any, shape: Shape) -> None:
    row = bench.run(shape(FORK))
    assert row.state is RunState.SUCCESS
    assert bench.executor.names == ["a", "b", "c", "d"]
    assert set(bench.states(row).values()) == {"success"}
    assert row.started is not None and row.ended is not None


def test_a_task_gets_the_outputs_of_the_tasks_before_it(bench: Any, shape: Shape) -> None:
    bench.run(shape(FORK))
    given = {job.key.task: {each.name: each.digests for each in job.inputs} for job in bench.executor.submitted}
    assert given == {
        "a": {},
        "b": {"a": ("a()",)},
        "c": {"a": ("a()",)},
        "d": {"b": ("b(a())",), "c": ("c(a())",)},
    }


def test_a_job_has_its_paths_and_context(bench: Any, shape: Shape) -> None:
    row = bench.run(shape({"a": []}), parameters={"alpha": 1}, cwd="/somewhere")
    (job,) = bench.executor.submitted
    assert job.path == str(bench.home.root / "runs" / "churn" / row.name / "tasks" / "a" / "1.ipynb")
    assert (job.cwd, job.kernel_name, job.parameters) == ("/somewhere", "python3", {"alpha": 1})
    assert job.context["run_id"] == row.name
    assert job.context["logical_date"] == "2026-01-01T00:00:00+00:00"


def test_a_job_has_the_number_of_attempts_that_may_follow(bench: Any, shape: Shape) -> None:
    bench.run(shape(FORK))
    assert [job.to_come for job in bench.executor.submitted] == [3, 1, 1, 0]
    bench.executor.submitted.clear()
    lengths = iter([{"length": 2, "elements": ({"x": "1"}, {"x": "2"})}])
    bench.executor.script = lambda job: next(lengths) if job.expand else {}
    bench.run(shape({"a": [], "m": ["a"], "z": ["m"]}, {"m": {"map": (("x", "a"),)}}))
    # The number of instances of `m` is unknown until `m` has been expanded.
    assert [job.to_come for job in bench.executor.submitted] == [None, None, 1, 1, 0]


def test_no_more_tasks_run_at_once_than_there_are_slots(bench: Any, shape: Shape) -> None:
    bench.executor.script = lambda job: None
    scheduler, row = bench.begin(shape({name: [] for name in "abcde"}))
    while not scheduler.done:
        scheduler.tick(bench.now)
        if bench.executor.open:
            bench.executor.finish(next(iter(bench.executor.open)).task)
    assert bench.executor.most == 2
    assert bench.store.run(row.id).state is RunState.SUCCESS


def test_the_host_of_an_attempt_is_recorded_while_the_attempt_runs(bench: Any, shape: Shape) -> None:
    bench.executor.script = lambda job: None

    def hosts() -> dict[str, str | None]:
        return {each.task: each.host for each in bench.store.attempts([row.id])[row.id]}

    bench.executor.host = "here"
    scheduler, row = bench.begin(shape({"a": [], "b": []}))
    scheduler.tick(bench.now)
    assert hosts() == {"a": "here", "b": "here"}  # one host executes all attempts
    bench.executor.finish("a", state=TaskState.FAILED)  # a result that names no host
    bench.executor.located = dict.fromkeys(bench.executor.open, "elsewhere")
    scheduler.tick(bench.now)
    assert hosts() == {"a": "here", "b": "here"}
    revision = bench.store.revision(row.id)
    for seconds in (5, 10):  # heartbeats
        scheduler.tick(bench.now + timedelta(seconds=seconds))
        assert hosts() == {"a": "here", "b": "elsewhere"}
        assert bench.store.revision(row.id) == revision + 1  # it is recorded once


def test_an_attempt_is_recorded_before_it_is_submitted(bench: Any, shape: Shape) -> None:
    seen = []

    def look(job: Job) -> dict[str, Any]:
        other = nbdag.store.open(bench.home)
        (row,) = other.runs()
        seen.extend((each.task, each.state) for each in other.attempts([row.id])[row.id] if each.task == job.key.task)
        other.close()
        return {}

    bench.executor.script = look
    bench.run(shape(CHAIN))
    assert seen == [(task, TaskState.RUNNING) for task in "abc"]


def test_tasks_downstream_of_a_failure_do_not_run_and_others_do(bench: Any, shape: Shape) -> None:
    bench.executor.script = lambda job: {"state": TaskState.FAILED, "error": "boom"} if job.key.task == "b" else {}
    row = bench.run(shape({**FORK, "e": ["c"]}))
    assert bench.states(row) == {
        "a": "success", "b": "failed", "c": "success", "d": "upstream_failed", "e": "success",
    }  # fmt: skip
    assert row.state is RunState.FAILED
    assert row.error is not None and "b failed" in row.error


def test_a_run_that_fails_fast_terminates_running_tasks(bench: Any, shape: Shape) -> None:
    bench.executor.script = lambda job: None
    scheduler, row = bench.begin(shape({"a": [], "b": [], "c": ["b"]}, fail_fast=True))
    scheduler.tick(bench.now)
    bench.executor.finish("a", TaskState.FAILED, error="boom")
    scheduler.tick(bench.now)
    scheduler.tick(bench.now)
    assert scheduler.done
    assert [key.task for key in bench.executor.cancelled] == ["b"]
    assert bench.store.run(row.id).state is RunState.FAILED
    assert all(attempt.ended is not None for attempt in bench.store.attempts([row.id])[row.id])


@pytest.mark.parametrize(
    ("failures", "retries", "final", "tries", "state"),
    [
        (1, 2, False, 2, "success"),
        (2, 2, False, 3, "success"),
        (9, 2, False, 3, "failed"),
        (9, 0, False, 1, "failed"),
        (9, 2, True, 1, "failed"),
    ],
)
def test_a_task_is_retried_up_to_its_limit(
    bench: Any, shape: Shape, failures: int, retries: int, final: bool, tries: int, state: str
) -> None:
    def fail(job: Job) -> dict[str, Any]:
        bad = job.key.try_number <= failures
        return {"state": TaskState.FAILED, "error": "boom", "final": final} if bad else {}

    bench.executor.script = fail
    row = bench.run(shape({"a": []}, {"a": {"retries": retries, "retry_delay": 600.0}}))
    assert bench.states(row) == {"a": state}
    assert [job.key.try_number for job in bench.executor.submitted] == list(range(1, tries + 1))
    assert bench.now.timestamp() - row.created == 600.0 * (tries - 1)
    assert [each.state.value for each in bench.store.attempts([row.id])[row.id]] == ["failed"] * (tries - 1) + [state]


def test_a_retry_does_not_start_before_its_time(bench: Any, shape: Shape) -> None:
    bench.executor.script = lambda job: {"state": TaskState.FAILED} if job.key.try_number == 1 else {}
    scheduler, _ = bench.begin(shape({"a": []}, {"a": {"retries": 1, "retry_delay": 60.0}}))
    scheduler.tick(bench.now)
    wake = scheduler.tick(bench.now)
    assert wake == bench.now + timedelta(seconds=60)
    scheduler.tick(bench.later(59))
    assert len(bench.executor.submitted) == 1
    scheduler.tick(bench.later(1))
    assert len(bench.executor.submitted) == 2


def test_a_sensor_between_two_polls_has_no_slot_and_resumes_its_attempt(bench: Any, shape: Shape) -> None:
    looks = iter([TaskState.UP_FOR_RESCHEDULE, TaskState.UP_FOR_RESCHEDULE, TaskState.SUCCESS])
    bench.executor.script = lambda job: {"state": next(looks)}
    row = bench.run(shape({"a": []}, {"a": {"poke": 30.0}}))
    assert row.state is RunState.SUCCESS
    assert [job.key.try_number for job in bench.executor.submitted] == [1, 1, 1]
    (attempt,) = bench.store.attempts([row.id])[row.id]
    assert attempt.ended is not None and attempt.ended - attempt.started == 60.0


def test_a_mapped_task_runs_once_for_each_element_and_outputs_the_list(bench: Any, shape: Shape) -> None:
    def answer(job: Job) -> dict[str, Any]:
        return {"length": 3, "elements": ({"x": "e0"}, {"x": "e1"}, {"x": "e2"})} if job.expand else {}

    bench.executor.script = answer
    row = bench.run(shape({"a": [], "m": ["a"], "z": ["m"]}, {"m": {"map": (("x", "a"),)}}))
    assert bench.executor.names == ["a", "m", "m[0]", "m[1]", "m[2]", "z"]
    assert [job.element for job in bench.executor.submitted if job.key.map_index >= 0] == [
        {"x": "e0"}, {"x": "e1"}, {"x": "e2"},
    ]  # fmt: skip
    (given,) = bench.executor.submitted[-1].inputs
    assert given.is_list
    assert given.digests == ("m(a())", "m1(a())", "m2(a())")
    assert list(bench.states(row)) == ["a", "m[0]", "m[1]", "m[2]", "z"]


def test_a_mapped_task_without_elements_is_skipped(bench: Any, shape: Shape) -> None:
    bench.executor.script = lambda job: {"length": 0} if job.expand else {}
    row = bench.run(shape({"m": [], "z": ["m"]}, {"m": {"map": (("x", "[]"),)}}))
    assert bench.states(row) == {"m": "skipped", "z": "skipped"}


def test_a_partial_run_uses_values_of_another_run(bench: Any, shape: Shape) -> None:
    whole = bench.run(shape(CHAIN))
    row = bench.run(shape(CHAIN), tasks=("c",), borrowed={"b": whole.id})
    assert bench.executor.names == ["a", "b", "c", "c"]
    assert [each.digests for each in bench.executor.submitted[-1].inputs] == [("b(a())",)]
    assert (row.state, bench.states(row)) == (RunState.SUCCESS, {"c": "success"})


def test_a_pool_is_shared_with_the_runs_of_other_processes(bench: Any, shape: Shape) -> None:
    bench.store.set_pool("gpu", 1)
    dag = shape({"a": []}, {"a": {"pool": "gpu"}})
    bench.executor.script = lambda job: None
    first, _ = bench.begin(dag)
    first.tick(bench.now)
    second, _ = bench.begin(dag)
    second.tick(bench.now)
    assert len(bench.executor.submitted) == 1


def test_a_slot_released_by_another_process_is_used(bench: Any, shape: Shape) -> None:
    bench.store.set_pool("gpu", 1)
    dag = shape({"a": []}, {"a": {"pool": "gpu"}})
    bench.executor.script = lambda job: None
    other = type(bench)(bench.home, nbdag.store.open(bench.home), type(bench.executor)(script=lambda job: None))
    theirs, _ = other.begin(dag)
    theirs.tick(bench.now)
    mine, _ = bench.begin(dag)
    mine.tick(bench.now)
    assert bench.executor.submitted == []
    other.executor.finish("a")
    theirs.tick(bench.now)
    mine.tick(bench.now)
    assert len(bench.executor.submitted) == 1
    other.store.close()


def test_a_stop_terminates_the_attempts_and_cancels_the_run(bench: Any, shape: Shape) -> None:
    bench.executor.script = lambda job: None
    scheduler, row = bench.begin(shape(FORK))
    scheduler.tick(bench.now)
    scheduler.stop()
    scheduler.run_until_done()
    row = bench.store.run(row.id)
    assert (row.state, row.ended) == (RunState.CANCELLED, bench.now.timestamp())
    assert bench.states(row) == {"a": "failed", "b": "skipped", "c": "skipped", "d": "skipped"}
    (attempt,) = bench.store.attempts([row.id])[row.id]
    assert (attempt.state, attempt.error) == (TaskState.FAILED, "cancelled")


def test_a_run_cancelled_by_another_process_is_stopped(bench: Any, shape: Shape) -> None:
    bench.executor.script = lambda job: None
    scheduler, row = bench.begin(shape(FORK))
    scheduler.tick(bench.now)
    other = nbdag.store.open(bench.home)
    threading.Timer(0.05, lambda: other.request_cancel(row.id, bench.now.timestamp())).start()
    scheduler.run_until_done()
    other.close()
    assert bench.store.run(row.id).state is RunState.CANCELLED
    assert bench.executor.open == {}


def test_a_change_by_another_process_during_a_step_repeats_the_step(bench: Any, shape: Shape) -> None:
    scheduler, row = bench.begin(shape(CHAIN))
    other = nbdag.store.open(bench.home)
    save, meddled = bench.store.save, []

    def meddle(change: Change) -> Any:
        if not meddled:
            meddled.append(other.save(Change(run=other.run(row.id))))
        return save(change)

    bench.store.save = meddle
    while not scheduler.done:
        scheduler.tick(bench.now)
    other.close()
    assert meddled == [[]]
    assert bench.executor.names == ["a", "b", "c"]
    assert bench.store.run(row.id).state is RunState.SUCCESS


def test_a_result_of_an_unknown_attempt_changes_nothing(bench: Any, shape: Shape) -> None:
    bench.executor.script = lambda job: None
    scheduler, row = bench.begin(shape({"a": []}))
    scheduler.tick(bench.now)
    (job,) = bench.executor.submitted
    bench.executor.open[replace(job.key, try_number=7)] = bench.executor.open.pop(job.key)
    bench.executor.finish("a")
    scheduler.tick(bench.now)
    assert bench.states(row) == {"a": "running"}


def test_events_are_in_order(bench: Any, shape: Shape) -> None:
    bench.executor.script = lambda job: {"state": TaskState.FAILED, "error": "boom"} if job.key.task == "b" else {}
    bench.run(shape(CHAIN))
    assert [(event.task or "run", event.state.value) for event in bench.events] == [
        ("run", "running"),
        ("a", "running"),
        ("a", "success"),
        ("b", "running"),
        ("b", "failed"),
        ("c", "upstream_failed"),
        ("run", "failed"),
    ]
    assert [event.message for event in bench.events if event.task == "b"] == ["", "boom"]
    assert bench.events[-1].message


def test_the_scheduler_records_heartbeats(bench: Any, shape: Shape) -> None:
    bench.executor.script = lambda job: None
    scheduler, _ = bench.begin(shape({"a": []}))
    began = bench.now.timestamp()
    for seconds, beat in [(1, 0), (4, 5), (3, 5), (2, 10)]:
        scheduler.tick(bench.later(seconds))
        ((_, row),) = bench.store.owned_runs()
        assert row.heartbeat == began + beat


def test_a_clock_that_is_set_back_stops_no_task(bench: Any, shape: Shape) -> None:
    scheduler, row = bench.begin(shape(CHAIN))
    while not scheduler.done:
        scheduler.tick(bench.now)
        bench.now -= timedelta(hours=1)
    assert bench.store.run(row.id).state is RunState.SUCCESS


def test_no_attempt_ends_before_its_start_if_the_clock_is_set_back(bench: Any, shape: Shape) -> None:
    bench.executor.script = lambda job: None
    scheduler, row = bench.begin(shape({"a": ()}, {"a": {"reschedule": True, "poke": 60.0}}))
    scheduler.tick(bench.now)
    bench.executor.finish("a", TaskState.UP_FOR_RESCHEDULE)
    scheduler.tick(bench.later(1))
    scheduler.tick(bench.later(60))
    bench.later(-3600)
    bench.executor.finish("a")
    while not scheduler.done:
        scheduler.tick(bench.now)
    row = bench.store.run(row.id)
    (attempt,) = bench.store.attempts([row.id])[row.id]
    assert (attempt.state, row.state) == (TaskState.SUCCESS, RunState.SUCCESS)
    assert attempt.ended == attempt.started and row.ended == row.started


def test_a_run_that_times_out_fails_and_skips_its_unfinished_tasks(bench: Any, shape: Shape) -> None:
    bench.executor.script = lambda job: None
    scheduler, row = bench.begin(shape(CHAIN, timeout=60.0))
    wake: datetime | None = scheduler.tick(bench.now)
    assert wake == bench.now + timedelta(seconds=60)
    scheduler.tick(bench.later(60))
    scheduler.tick(bench.now)
    assert scheduler.done
    row = bench.store.run(row.id)
    assert row.state is RunState.FAILED
    assert set(bench.states(row).values()) == {"skipped"}


def test_an_error_of_the_store_terminates_the_attempts(bench: Any, shape: Shape) -> None:
    bench.executor.script = lambda job: None
    scheduler, _ = bench.begin(shape(FORK))
    scheduler.tick(bench.now)
    scheduler.terminate()
    assert bench.executor.open == {}
    assert bench.store.runs()[0].state is RunState.CANCELLED


def test_a_slot_claimed_by_two_processes_is_given_once(bench: Any, shape: Shape) -> None:
    bench.store.set_pool("gpu", 1)
    dag = shape({"a": []}, {"a": {"pool": "gpu"}})
    bench.executor.script = lambda job: None
    other = type(bench)(bench.home, nbdag.store.open(bench.home), type(bench.executor)(script=lambda job: None))
    theirs, _ = other.begin(dag)
    mine, _ = bench.begin(dag)
    save = bench.store.save

    def late(change: Change) -> Any:
        theirs.tick(bench.now)  # after this scheduler has looked, and before it saves
        return save(change)

    bench.store.save = late
    mine.tick(bench.now)
    assert (len(other.executor.submitted), len(bench.executor.submitted)) == (1, 0)
    other.executor.finish("a")
    theirs.tick(bench.now)
    mine.tick(bench.now)
    assert len(bench.executor.submitted) == 1
    other.store.close()


def test_a_sensor_whose_next_poll_is_due_at_once_stays_in_its_try(bench: Any, shape: Callable[..., Dag]) -> None:
    dag = shape({"wait": []}, {"wait": {"operator": "sensor", "reschedule": True, "poke": 1.0}})
    bench.executor.script = lambda job: None
    scheduler, row = bench.begin(dag)
    scheduler.tick(bench.now)
    for _ in range(5):
        bench.executor.finish("wait", TaskState.UP_FOR_RESCHEDULE)
        scheduler.tick(bench.later(5))  # the scheduler was busy for longer than --poke
        scheduler.tick(bench.now)
    bench.executor.finish("wait")
    scheduler.tick(bench.later(5))
    (instance,) = bench.store.instances([row.id])[row.id]
    assert (instance.state, instance.tries) == (TaskState.SUCCESS, 1)
    assert len(bench.executor.submitted) == 6
