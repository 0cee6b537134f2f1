from datetime import UTC, datetime, timedelta

import pytest

from nbdag.core.model.dag import Dag, Edge, Task
from nbdag.core.model.states import RunState, TaskState
from nbdag.core.options.options import DagOptions, TaskOptions
from nbdag.core.planning.plan import expansion_of, plan
from nbdag.core.planning.plan_types import Instance, Plan, RunView

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def dag_of(shape, *, options=None, **tasks):
    """A notebook such as "a b c: a>b b>c"; tasks' options by name."""
    names, _, arrows = shape.partition(":")
    return Dag(
        id="churn",
        options=options or DagOptions(),
        cells=(),
        tasks={
            name: Task(id=name, cell=n, options=TaskOptions(**tasks.get(name, {})), code="")
            for n, name in enumerate(names.split())
        },
        edges=tuple(
            Edge(source=source, target=target) for source, _, target in (x.partition(">") for x in arrows.split())
        ),
        order=tuple(names.split()),
    )


def run_of(**said):
    given = {"run_id": "r1", "dag_id": "churn", "logical_date": NOW, "state": RunState.RUNNING, "started": NOW}
    return RunView(**(given | said))


def standing(text):
    """Instances such as "a=success b[0]=running c"."""
    for word in text.split():
        name, _, state = word.partition("=")
        task, _, index = name.rstrip("]").partition("[")
        yield Instance(task=task, map_index=int(index or -1), state=TaskState(state or "none"))


def planned(dag, text, *, now=NOW, previous=None, explain=False, **run):
    return plan(dag, run_of(**run), list(standing(text)), now=now, previous=previous, explain=explain)


def told(moves):
    """Moves in short: {"a": "scheduled", "b[1]": "skipped"}."""
    return {move.task + (f"[{move.map_index}]" if move.map_index >= 0 else ""): move.state.value for move in moves}


def labels(instances):
    return [instance.label for instance in instances]


CHAIN = dag_of("a b c: a>b b>c")
DIAMOND = dag_of("a b c d: a>b a>c b>d c>d")


def test_a_free_task_is_scheduled_and_ready():
    found = planned(DIAMOND, "a=success b c d")
    assert told(found.moves) == {"b": "scheduled", "c": "scheduled"}
    assert labels(found.ready) == ["b", "c"]
    assert {one.state for one in found.ready} == {TaskState.SCHEDULED}
    assert found.verdict is None


def test_a_scheduled_task_stays_ready_without_a_move():
    found = planned(DIAMOND, "a=success b=scheduled c=running d")
    assert found.moves == ()
    assert labels(found.ready) == ["b"]


def test_a_scheduled_task_waits_again_if_an_upstream_task_was_cleared():
    found = planned(CHAIN, "a b=scheduled c")
    assert labels(found.ready) == ["a"]


def test_ready_tasks_are_ordered_by_weight_notebook_and_map_index():
    dag = dag_of("a b c d e: b>e c>e", c={"priority": 5}, d={"map": (("x", "xs"),)})
    found = planned(dag, "a b c d[1] d[0] e")
    assert labels(found.ready) == ["c", "b", "a", "d[0]", "d[1]"]


def test_one_plan_settles_all_descendants_of_a_failure():
    found = planned(CHAIN, "a=failed b c")
    assert told(found.moves) == {"b": "upstream_failed", "c": "upstream_failed"}
    assert [move.reason for move in found.moves] == ["a failed", "b could not run, because an upstream task failed"]
    assert (found.verdict, found.reason) == (RunState.FAILED, "a failed")


VERDICTS = [
    ("a=success b=success c=success d=success", "success", ""),
    ("a=success b=skipped c=success d=skipped", "success", ""),
    ("a=success b=failed c=success d=success", "success", ""),  # d, the leaf, decides
    ("a=success b=failed c=success d=failed", "failed", "b, d failed"),
    ("a=success b=failed c=success d=upstream_failed", "failed", "b failed"),
    ("a=success b=skipped c=success d=upstream_failed", "failed", "d could not run"),
    ("a=success b=success c=success d=removed", "success", ""),
    ("a=success b=success c=success d=running", None, ""),
    ("a=success b=success c=restarting d", None, ""),
    ("a=success b=up_for_retry c=success d", None, ""),
]


@pytest.mark.parametrize(("text", "verdict", "reason"), VERDICTS)
def test_the_leaves_decide_the_verdict(text, verdict, reason):
    found = planned(DIAMOND, text)
    assert (found.verdict and found.verdict.value, found.reason) == (verdict, reason)


def test_a_notebook_without_tasks_succeeds():
    assert planned(dag_of(""), "").verdict is RunState.SUCCESS


@pytest.mark.parametrize("state", [RunState.QUEUED, RunState.SUCCESS, RunState.FAILED])
def test_nothing_moves_in_a_run_that_is_not_running(state):
    assert planned(CHAIN, "a b c", state=state) == Plan()


# -- the whole run stops -----------------------------------------------------------------------------------------------


def test_fail_fast_terminates_running_tasks_and_starts_no_others():
    dag = dag_of("a b c d e: a>b c>d", options=DagOptions(fail_fast=True), e={"trigger": "always"})
    found = planned(dag, "a=failed b c=running d e=up_for_retry")
    assert told(found.moves) == {"b": "upstream_failed", "c": "failed", "d": "upstream_failed", "e": "skipped"}
    assert labels(found.cancel) == ["c"]
    assert found.ready == ()
    assert (found.verdict, found.reason) == (RunState.FAILED, "a failed, and the run fails fast")


def test_a_failure_with_a_retry_does_not_stop_the_run():
    dag = dag_of("a b", options=DagOptions(fail_fast=True))
    assert planned(dag, "a=up_for_retry b=running").verdict is None


def test_a_run_that_failed_fast_is_failed_even_if_its_leaves_succeeded():
    dag = dag_of("a b: a>b", options=DagOptions(fail_fast=True), b={"trigger": "one_failed"})
    found = planned(dag, "a=failed b")
    assert told(found.moves) == {"b": "skipped"}
    assert found.verdict is RunState.FAILED


def test_a_run_past_its_timeout_fails_and_skips_its_other_tasks():
    dag = dag_of("a b c d: a>b b>c", options=DagOptions(timeout=5400.0))
    late = NOW + timedelta(seconds=5400)
    found = planned(dag, "a=success b=running c d=scheduled", now=late)
    assert told(found.moves) == {"b": "skipped", "c": "skipped", "d": "skipped"}
    assert labels(found.cancel) == ["b"]
    assert (found.verdict, found.reason) == (RunState.FAILED, "the run did not end within its timeout of 1h30m")
    early = planned(dag, "a=success b=running c d=scheduled", now=late - timedelta(seconds=1))
    assert (early.verdict, early.next_check) == (None, late)
    assert planned(dag, "a=success b=success c=success d=success", now=late).verdict is RunState.SUCCESS


def test_a_cancelled_run_terminates_running_tasks_and_skips_the_others():
    found = planned(CHAIN, "a=running b c", state=RunState.CANCELLED)
    assert told(found.moves) == {"a": "failed", "b": "skipped", "c": "skipped"}
    assert labels(found.cancel) == ["a"]
    assert found.verdict is None


# -- waiting -----------------------------------------------------------------------------------------------------------


def test_a_retry_waits_for_its_time_and_sets_the_next_check():
    dag = dag_of("a", a={"retries": 2})
    retry = Instance(task="a", state=TaskState.UP_FOR_RETRY, tries=1, ready_at=NOW + timedelta(seconds=10))
    found = plan(dag, run_of(), [retry], now=NOW, explain=True)
    assert (found.ready, found.verdict, found.next_check) == ((), None, retry.ready_at)
    assert found.waiting == {("a", -1): ("is retried at 12:00:10 UTC (try 2 of 3)",)}
    again = plan(dag, run_of(), [retry], now=retry.ready_at)
    assert told(again.moves) == {"a": "scheduled"}
    assert labels(again.ready) == ["a"]


def test_a_time_is_shown_in_the_notebooks_zone_with_its_date_if_not_today():
    dag = dag_of("a", options=DagOptions(tz="Europe/Riga"))
    later = NOW + timedelta(hours=11)
    sensor = Instance(task="a", state=TaskState.UP_FOR_RESCHEDULE, tries=1, ready_at=later)
    found = plan(dag, run_of(), [sensor], now=NOW, explain=True)
    assert found.waiting == {("a", -1): ("polls again at 2026-01-02 01:00:00 EET",)}


UNMET = [
    ("a=running b c", "b", {}, ("waits for a, which is running",)),
    ("a=success b c", "c", {}, ("waits for b, which is waiting for a slot",)),
    ("a b=success c", "b", {}, None),
    ("a=restarting b c", "b", {}, ("waits for a, which is restarting",)),
    ("a[0]=success a[1]=running a[2] b c", "b", {}, ("waits for a: 2 of 3 instances have not ended",)),
    ("a=running b c", "b", {"b": {"trigger": "all_done"}},
     ("waits for a, which is running", "has trigger rule all_done: runs when all have ended")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "task", "options", "words"), UNMET)
def test_every_unmet_condition_is_explained(text, task, options, words):
    dag = dag_of("a b c: a>b b>c", **options)
    assert planned(dag, text, explain=True).waiting.get((task, -1)) == words


def test_many_conditions_are_cut_and_counted():
    many = " ".join(f"t{n}" for n in range(9))
    dag = dag_of(f"{many} z: {' '.join(f't{n}>z' for n in range(9))}")
    words = planned(dag, f"{many} z", explain=True).waiting["z", -1]
    assert len(words) == 6
    assert words[-1] == "waits for 4 more tasks"


def test_conditions_are_explained_only_on_request():
    assert planned(CHAIN, "a=running b c").waiting == {}


PAST = [
    # (option, states of the run before by task, is b free?)
    ("depends_on_past", None, True),  # a first run
    ("depends_on_past", {}, True),  # the task is new
    ("depends_on_past", {"b": ["success"], "c": ["failed"]}, True),
    ("depends_on_past", {"b": ["skipped"]}, True),
    ("depends_on_past", {"b": ["success", "removed"]}, True),
    ("depends_on_past", {"b": ["failed"]}, False),
    ("depends_on_past", {"b": ["success", "upstream_failed"]}, False),
    ("depends_on_past", {"b": ["running"]}, False),
    ("wait_for_downstream", {"b": ["success"], "c": ["success"]}, True),
    ("wait_for_downstream", {"b": ["success"], "c": ["running"]}, False),
    ("wait_for_downstream", {"b": ["failed"], "c": ["success"]}, False),
    ("wait_for_downstream", {"a": ["failed"], "b": ["success"], "c": ["skipped"], "d": ["failed"]}, True),
    ("priority", {"b": ["failed"]}, True),
]


@pytest.mark.parametrize(("option", "before", "free"), PAST)
def test_a_task_that_depends_on_the_past_waits_for_the_previous_run(option, before, free):
    dag = dag_of("a b c d: a>b b>c c>d", b={option: True})
    previous = before and {task: [TaskState(state) for state in states] for task, states in before.items()}
    found = planned(dag, "a=success b c d", previous=previous, explain=True)
    assert labels(found.ready) == (["b"] if free else [])
    assert found.verdict is None  # a run that waits for another is no deadlock
    if not free:
        assert found.waiting["b", -1][0].startswith("waits for ")
        assert "in the previous run, which " in found.waiting["b", -1][0]


def test_a_deadlock_explains_each_task_that_can_never_run():
    dag = dag_of("m a b: m>a a>b", a={"trigger": "all_skipped"})
    found = planned(dag, "m[0]=skipped m[1]=skipped m[2]=removed a b")
    assert (found.verdict, found.reason) == (RunState.FAILED, "no remaining task can ever run")
    assert found.deadlock == {
        ("a", -1): (
            "trigger rule all_skipped runs it when all were skipped; of 3 upstream tasks 2 were skipped, 1 was removed",
        ),
        ("b", -1): ("waits for a, which has not started",),
    }
    assert found.waiting == {}


# -- partial runs ------------------------------------------------------------------------------------------------------

RULES_OUTSIDE = [
    ("all_success", "b=success", "scheduled"),
    ("one_success", "b=failed", "scheduled"),  # a, outside, counts as a success
    ("none_failed", "b=failed", "upstream_failed"),
    ("all_done", "b=failed", "scheduled"),
    ("all_failed", "b=failed", "scheduled"),  # a, outside, does not hinder
    ("all_failed", "b=success", "skipped"),
    ("all_skipped", "b=skipped", "scheduled"),
    ("one_failed", "b=success", "skipped"),
    ("one_failed", "b=failed", "scheduled"),
]


@pytest.mark.parametrize(("rule", "inside", "state"), RULES_OUTSIDE)
def test_in_a_partial_run_excluded_tasks_count_as_succeeded(rule, inside, state):
    dag = dag_of("a b c: a>c b>c", c={"trigger": rule})
    found = planned(dag, f"{inside} c", selection=frozenset("bc"))
    assert told(found.moves)["c"] == state


def test_a_task_without_upstream_runs_under_every_rule():
    for rule in ("all_success", "all_failed", "one_failed", "all_skipped"):
        dag = dag_of("a b c: a>b b>c", b={"trigger": rule})
        assert labels(planned(dag, "b", selection=frozenset("b")).ready) == ["b"]


def test_the_leaves_of_a_partial_run_are_among_its_tasks():
    found = planned(CHAIN, "a=success b=failed", selection=frozenset("ab"))
    assert found.verdict is RunState.FAILED
    assert planned(CHAIN, "a=success b=success", selection=frozenset("ab")).verdict is RunState.SUCCESS


# -- skipping all that follows -----------------------------------------------------------------------------------------


def short(task, **said):
    return Instance(task=task, state=TaskState.SKIPPED, short_circuit=True, **said)


def test_a_short_circuit_skips_every_descendant_under_every_rule():
    dag = dag_of("a b d c e: a>b b>c d>c", b={"trigger": "all_done"}, c={"trigger": "always"})
    found = plan(dag, run_of(), [short("a"), *standing("b c d=running e")], now=NOW)
    assert told(found.moves) == {"b": "skipped", "c": "skipped", "e": "scheduled"}
    assert found.moves[0].reason == "a was skipped with --short-circuit"


def test_a_short_circuit_reaches_through_excluded_tasks():
    found = plan(CHAIN, run_of(selection=frozenset("ac")), [short("a"), *standing("c")], now=NOW)
    assert told(found.moves) == {"c": "skipped"}


def test_a_mapped_task_short_circuits_only_if_all_instances_do():
    dag = dag_of("a b: a>b", a={"map": (("x", "xs"),)}, b={"trigger": "all_done"})
    some = [short("a", map_index=0), *standing("a[1]=success b")]
    assert told(plan(dag, run_of(), some, now=NOW).moves) == {"b": "scheduled"}
    every = [short("a", map_index=0), short("a", map_index=1), *standing("a[2]=removed b")]
    assert told(plan(dag, run_of(), every, now=NOW).moves) == {"b": "skipped"}


# -- mapped tasks ------------------------------------------------------------------------------------------------------

MAPPED = dag_of("a m z: a>m m>z", m={"map": (("x", "xs"),)})


def test_a_mapped_task_is_expanded_when_its_rule_lets_it_run():
    assert planned(MAPPED, "a=running m z").expand == frozenset()
    found = planned(MAPPED, "a=success m z")
    assert labels(found.ready) == ["m"]
    assert found.expand == {"m"}


def test_elements_run_in_parallel_and_downstream_waits_for_all():
    found = planned(MAPPED, "a=success m[0] m[1] m[2]=success z")
    assert labels(found.ready) == ["m[0]", "m[1]"]
    assert found.expand == frozenset()
    assert labels(planned(MAPPED, "a=success m[0]=success m[1]=success z").ready) == ["z"]


EXPANSIONS = [
    # (length, instances, added, dropped, moves)
    (3, "m=running", ["m[0]", "m[1]", "m[2]"], True, {}),
    (0, "m=running", [], False, {"m": "skipped"}),
    (2, "m=running m[0]=success m[1] m[2] m[3]=failed a", [], True, {"m[2]": "removed"}),
    (3, "m=running m[0]=success", ["m[1]", "m[2]"], True, {}),
    (0, "m=running m[0]", [], False, {"m[0]": "removed", "m": "skipped"}),
]


@pytest.mark.parametrize(("length", "text", "added", "dropped", "moves"), EXPANSIONS)
def test_elements_replace_the_placeholder(length, text, added, dropped, moves):
    found = expansion_of("m", length, standing(text))
    assert labels(found.add) == added
    assert found.drop == ((("m", -1),) if dropped else ())
    assert told(found.moves) == moves


def test_elements_from_before_a_clear_wait_until_the_length_is_known_again():
    found = planned(MAPPED, "a=success m=running m[0] m[1] z", explain=True)
    assert found.ready == ()
    assert found.waiting["m", 0] == ("waits until the task's elements are known",)


@pytest.mark.parametrize("end", ["skipped", "failed"])
def test_elements_from_before_a_clear_are_removed_if_there_are_none_now(end):
    found = planned(MAPPED, f"a=success m[0] m[1] m={end} z")
    assert told(found.moves) | {"z": ""} == {"m[0]": "removed", "m[1]": "removed", "z": ""}


# -- a notebook that has changed ---------------------------------------------------------------------------------------


def test_a_task_without_an_instance_is_added():
    found = planned(CHAIN, "a=success")
    assert labels(found.missing) == ["b", "c"]
    assert told(found.moves) == {"b": "scheduled"}


def test_a_task_deleted_from_the_notebook_is_removed_unless_active_or_ended():
    found = planned(CHAIN, "a=success b=success c=success old gone=failed late=running")
    assert told(found.moves) == {"old": "removed"}
    assert found.verdict is None
    assert planned(CHAIN, "a=success b=success c=success late=success gone=failed").verdict is RunState.SUCCESS
    stopped = planned(CHAIN, "a=success b=success c=success late=running", state=RunState.CANCELLED)
    assert labels(stopped.cancel) == ["late"]


@pytest.mark.slow
def test_five_thousand_tasks_are_weighed_and_planned_without_a_quadratic_loop():
    # the work is counted in calls, not in seconds: a loop over pairs of tasks would make millions
    import cProfile
    import pstats

    names = [f"t{n}" for n in range(5000)]
    arrows = " ".join(f"{names[m]}>{names[n]}" for n in range(1, 5000) for m in {n - 1, n // 2})
    dag = dag_of(f"{' '.join(names)}: {arrows}")
    first = [Instance(task=name) for name in names]
    with cProfile.Profile() as profile:
        found = plan(dag, run_of(), [Instance(task="t0", state=TaskState.FAILED), *first[1:]], now=NOW)
    assert len(found.moves) == 4999
    assert pstats.Stats(profile).total_calls < 100 * len(names)


# -- tasks in step -----------------------------------------------------------------------------------------------------

STEPS = dag_of(
    "load clean any last: load>clean clean>any clean>last",
    load={"map": (("n", "ids"),)},
    clean={"map": (("rows", "rows"),), "in_step": "load"},
    any={"map": (("n", "ids"),), "in_step": "load", "trigger": "all_done"},
)


@pytest.mark.parametrize(
    ("states", "ready", "moves"),
    [
        ("load=running clean any last", [], {}),
        ("load[0]=running load[1]=success clean[0] clean[1] any[0] any[1] last", ["clean[1]"], {}),
        (
            "load[0]=failed load[1]=skipped load[2] clean[0] clean[1] clean[2] any[0] any[1] any[2] last",
            ["any[0]", "any[1]", "load[2]"],
            {"clean[0]": "upstream_failed", "clean[1]": "skipped"},
        ),
        ("load[0]=success load[1]=success clean[0]=success clean[1] any[0] any[1] last", ["any[0]", "clean[1]"], {}),
        ("load=failed clean any last", [], {"clean": "upstream_failed", "any": "upstream_failed", "last": "upstream_failed"}),
        ("load=skipped clean any last", [], {"clean": "skipped", "any": "skipped", "last": "skipped"}),
    ],
)  # fmt: skip
def test_each_instance_follows_that_of_the_same_index(states, ready, moves):
    found = planned(STEPS, states)
    assert sorted(labels(found.ready)) == ready
    assert {name: state for name, state in told(found.moves).items() if state != "scheduled"} == moves | (
        {"last": "upstream_failed"} if "clean[0]" in moves else {}
    )


def test_the_reason_of_a_wait_names_the_own_instance():
    found = planned(STEPS, "load[0]=running load[1]=success clean[0] clean[1] any[0] any[1] last", explain=True)
    assert found.waiting["clean", 0] == ("waits for load[0], which is running",)
    assert planned(STEPS, "load=running clean any last", explain=True).waiting["clean", -1] == (
        "waits until the elements of load are known",
    )


def test_without_its_leader_a_task_is_planned_like_any_mapped_task():
    found = planned(STEPS, "clean any", selection=frozenset({"clean", "any"}))
    assert (labels(found.ready), found.expand) == (["clean"], {"clean"})
