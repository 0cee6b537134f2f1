from datetime import UTC, datetime, timedelta

import pytest

from nbdag.core.model.dag import Dag, Task
from nbdag.core.model.states import RunState
from nbdag.core.options.options import DagOptions, TaskOptions
from nbdag.core.planning.plan_types import Instance, RunView
from nbdag.core.planning.pools import Claim, assign_slots, claims, runs_to_start
from nbdag.core.planning.resources import Offers

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def claim(task, **said):
    given = {"dag_id": "d", "run_id": "r", "weight": 1, "logical_date": DAY, "position": 0}
    return Claim(task=task, **(given | said))


def taken(ready, active=(), *, pools=None, jobs=99, **said):
    return assign_slots(ready, list(active), pools=pools or {}, jobs=jobs, **said)


def started(*args, **said):
    return [one.label for one in taken(*args, **said).start]


ORDER = [
    ("priority weight first", {"weight": 9}, {"weight": 1, "logical_date": DAY - timedelta(days=1)}),
    ("then the logical date", {"logical_date": DAY - timedelta(days=1), "position": 5}, {"position": 1}),
    ("a run of no date comes last", {}, {"logical_date": None}),
    ("then notebook order", {"position": 1, "map_index": 7}, {"position": 2, "map_index": 0}),
    ("then the map index", {"map_index": 2}, {"map_index": 10}),
]


@pytest.mark.parametrize(("first", "second"), [case[1:] for case in ORDER], ids=[case[0] for case in ORDER])
def test_the_queue_is_in_this_order(first, second):
    one, two = claim("one", **first), claim("two", **second)
    assert taken([two, one], jobs=1).start == (one,)
    assert taken([two, one]).start == (one, two)


def test_no_more_claims_start_than_there_are_jobs():
    ready = [claim(name, position=n) for n, name in enumerate("abcd")]
    assert started(ready, [claim("x")], jobs=3) == ["a", "b"]
    assert started(ready, [claim("x")], jobs=3, busy=0) == ["a", "b", "c"]  # x is another scheduler's
    assert started(ready, [claim("x")], jobs=1) == []


def test_an_active_claim_gets_no_second_slot():
    assert started([claim("a"), claim("a"), claim("b")], [claim("b")]) == ["a"]


def test_a_full_pool_blocks_a_large_claim_but_not_a_small_one():
    ready = [
        claim("big", weight=3, pool="gpu", slots=2),
        claim("small", weight=2, pool="gpu"),
        claim("other", weight=1),
        claim("late", weight=0, pool="gpu"),
    ]
    assert started(ready, [claim("x", pool="gpu")], pools={"gpu": 2}) == ["small", "other"]
    assert started(ready, pools={"gpu": 2}) == ["big", "other"]
    assert started(ready, pools={"gpu": -1}) == ["big", "small", "other", "late"]
    assert started(ready, pools={"gpu": 0}) == ["other"]


def test_the_default_pool_has_128_slots_unless_it_is_set():
    ready = [claim(f"t{n}", position=n, limit=999) for n in range(200)]
    assert len(started(ready, jobs=999)) == 128
    assert len(started(ready, jobs=999, pools={"default_pool": 5})) == 5


def test_a_run_at_its_limit_does_not_block_another_run():
    mine = [claim(name, position=n, limit=2, weight=9) for n, name in enumerate("abc")]
    other = [claim("o", run_id="r2", limit=2)]
    assert started(mine + other) == ["a", "b", "o"]
    assert started(mine + other, [claim("x", limit=2)]) == ["a", "o"]


WHY = [
    ({"pool": "gpu"}, {"pools": {"gpu": 2}}, "waits for pool gpu: 2 of 2 slots taken by x, y[3]"),
    (
        {"pool": "gpu", "slots": 2},
        {"pools": {"gpu": 3}},
        "waits for pool gpu: 2 of 3 slots taken by x, y[3] (it needs 2)",
    ),
    ({"pool": "gpu", "slots": 4}, {"pools": {"gpu": 3}}, "needs 4 slots of pool gpu, which has 3 in all"),
    ({"pool": "tpu"}, {}, "waits for pool tpu, which does not exist; create it with `nbdag pools set tpu 1`"),
    ({"limit": 2}, {}, "waits for max_active_tasks: 2 of 2 run, x, y[3]"),
    ({}, {"jobs": 2}, "waits for a job: 2 of 2 taken"),
]


@pytest.mark.parametrize(("said", "given", "words"), WHY)
def test_the_reasons_of_a_wait_are_explained(said, given, words):
    active = [claim("x", pool="gpu"), claim("y", map_index=3, pool="gpu")]
    one = claim("a", **said)
    assert taken([one], active, explain=True, **given).waiting == {one.key: (words,)}


def test_a_claim_behind_others_is_explained():
    ready = [claim("a", weight=3), claim("b", weight=2), claim("c", weight=1)]
    held = taken(ready, [claim("x")], jobs=1, explain=True).waiting
    assert list(held) == [one.key for one in ready]
    assert held[ready[2].key] == ("waits for a job: 1 of 1 taken", "waits behind 2 tasks of higher priority")


def test_a_claim_has_the_options_of_its_task():
    options = TaskOptions(pool="gpu", slots=2, priority=7)
    dag = Dag(
        id="d",
        options=DagOptions(max_active_tasks=3),
        cells=(),
        tasks={
            "a": Task(id="a", cell=0, options=TaskOptions(), code=""),
            "b": Task(id="b", cell=1, options=options, code=""),
        },
        order=("a", "b"),
    )
    run = RunView(run_id="r", dag_id="d", logical_date=DAY, state=RunState.RUNNING)
    assert claims(dag, run, [Instance(task="b", map_index=4)]) == (
        claim("b", map_index=4, weight=7, position=1, pool="gpu", slots=2, limit=3),
    )
    (stranger,) = claims(dag, run, [Instance(task="gone")])  # still running, though the notebook has it no more
    assert (stranger.task, stranger.slots) == ("gone", 1)


def test_queued_runs_start_oldest_first_up_to_their_limit():
    def run(name, day, *, dag="d", kind="scheduled"):
        date = None if day is None else DAY + timedelta(days=day)
        return RunView(run_id=name, dag_id=dag, logical_date=date, state=RunState.QUEUED, kind=kind)

    queued = [
        run("m", None, kind="manual"),
        run("c", 3),
        run("a", 1),
        run("b", 2),
        run("f", 0, kind="backfill"),
        run("o", 9, dag="e"),
    ]
    limits = {("d", False): 3, ("d", True): 1, ("e", False): 1}
    assert [one.run_id for one in runs_to_start(queued, {("d", False): 1}, limits)] == ["f", "a", "b", "o"]
    assert [one.run_id for one in runs_to_start(queued, {("d", True): 1, ("e", False): 1}, limits)] == ["a", "b", "c"]


GPU, TWO = (("gpu", 1.0),), (("gpu", 2.0), ("memory", 8e9))
HOST = Offers(({"cpu": 4.0, "gpu": 2.0, "memory": 16e9},))


def test_a_claim_waits_until_its_host_has_enough_resources():
    ready = [claim("big", weight=3, resources=TWO), claim("small", weight=2, resources=GPU), claim("none", weight=1)]
    assert started(ready, [claim("x", resources=GPU)], offers=HOST) == ["small", "none"]
    assert started(ready, offers=HOST) == ["big", "none"]
    assert started(ready) == ["big", "small", "none"]  # an executor without limits
    waiting = taken(ready, [claim("x", resources=GPU)], offers=HOST, explain=True).waiting
    assert waiting["d", "r", "big", -1] == ("waits for gpu: 1 of 2 taken by x (it needs 2)",)


def test_a_claim_that_no_host_can_satisfy_starts_to_fail_or_waits_for_a_host_that_joins():
    ready = [claim("big", resources=(("gpu", 3.0), ("tpu", 1.0)))]
    cluster = Offers((*HOST.hosts, {"gpu": 2.0}), may_grow=True)
    assert started(ready, offers=HOST) == ["big"]
    assert started(ready, offers=cluster) == []
    (why,) = taken(ready, offers=cluster, explain=True).waiting.values()
    assert why == (
        "needs gpu=3 (the most on one host is 2) and tpu=1 (no host offers tpu); it starts when a host with these "
        "resources joins",
    )


def test_one_host_must_offer_everything_that_a_claim_needs():
    halves = Offers(({"gpu": 1.0}, {"memory": 16e9}), may_grow=True)
    assert halves.missing(GPU) == ()
    assert halves.missing((("gpu", 1.0), ("memory", 8e9))) == (("memory", 8e9),)
    assert Offers.of(halves.to_dict()) == halves and Offers.of({}) is None
