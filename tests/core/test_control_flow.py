"""Branches, short circuits, setup, teardown, groups, retries by kind and deadlines, as tables. Nothing runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nbdag.core.dataflow.graph import dag_from_cells
from nbdag.core.model.dag import Cell, CellKind, Dag, Place, groups_of
from nbdag.core.model.job import CANCELLED, Outcome
from nbdag.core.model.states import RunState, TaskState
from nbdag.core.options.options import DagOptions, TaskOptions
from nbdag.core.planning.clearing import relevant_setups, with_setups
from nbdag.core.planning.deadlines import deadline_of
from nbdag.core.planning.plan import plan
from nbdag.core.planning.plan_types import Instance, Plan, RunView
from nbdag.core.planning.retries import judged, why_not_retried

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def notebook(*cells: tuple[str, str], edges: str = "", dag: DagOptions | None = None, **said: dict[str, Any]) -> Dag:
    """A notebook of (kind or task, code); options by the task's name, with __ for the dot; `edges` as a>b."""
    made, options = [], {}
    for index, (kind, code) in enumerate(cells):
        task = None if kind in set(CellKind) else kind
        made.append(
            Cell(index=index, kind=CellKind.TASK if task else CellKind(kind), source=code, code=code, task=task)
        )
        if task:
            options[index] = TaskOptions(**said.get(task.replace(".", "__"), {}))
    declared = [(*pair.split(">"), Place(cell=99, line=1)) for pair in edges.split()]
    return dag_from_cells(made, dag_id="nb", options=dag, task_options=options, declared=declared)  # type: ignore[arg-type]


def tasks(names: str, edges: str = "", **said: dict[str, Any]) -> Dag:
    """A notebook of tasks that pass no values."""
    return notebook(*((name, "'x'") for name in names.split()), edges=edges, **said)


def arrows(dag: Dag) -> str:
    return " ".join(f"{edge.source}>{edge.target}" for edge in dag.edges)


def problems(dag: Dag) -> list[tuple[str, str, str]]:
    return [(each.code, each.message, each.hint) for each in dag.problems]


def instances(text: str) -> Iterator[Instance]:
    """Instances such as "a=success b[0]=success+x,y c", where + gives what a branch chose and ! is a short circuit."""
    for word in text.split():
        name, _, state = word.partition("=")
        task, _, index = name.rstrip("]").partition("[")
        state, plus, chosen = state.partition("+")
        yield Instance(
            task=task,
            map_index=int(index or -1),
            state=TaskState(state.rstrip("!") or "none"),
            chosen=tuple(filter(None, chosen.split(","))) if plus else None,
            short_circuit=state.endswith("!"),
        )


def planned(dag: Dag, text: str, *, now: datetime = NOW, explain: bool = False, **said: Any) -> Plan:
    assert not dag.errors, dag.errors
    given = {
        "run_id": "r",
        "dag_id": "nb",
        "logical_date": NOW,
        "state": RunState.RUNNING,
        "started": NOW,
        "created": NOW,
    }
    return plan(dag, RunView(**{**given, **said}), list(instances(text)), now=now, explain=explain)


def moved(found: Plan) -> dict[str, str]:
    return {move.task: move.state.value for move in found.moves}


# -- groups --------------------------------------------------------------------------------------------------------------


def test_a_dot_makes_a_group_and_groups_nest() -> None:
    assert groups_of(["eu.west.load", "eu.east", "us.load", "load", ".x", "a."]) == {
        "eu.west": ("eu.west.load",),
        "eu": ("eu.west.load", "eu.east"),
        "us": ("us.load",),
    }


GROUPS = [
    # (tasks, declared edges, edges)
    ("eu.a eu.b z", "eu.a>eu.b eu>z", "eu.a>eu.b eu.b>z"),
    ("eu.a eu.b z", "eu>z", "eu.a>z eu.b>z"),
    ("s eu.a eu.b eu.c", "s>eu eu.a>eu.b", "s>eu.a s>eu.c eu.a>eu.b"),
    ("eu.a eu.b us.a us.b", "eu>us eu.a>eu.b us.a>us.b", "eu.a>eu.b eu.b>us.a us.a>us.b"),
    ("eu.w.a eu.w.b eu.z q", "eu.w>eu.z eu>q eu.w.a>eu.w.b", "eu.w.a>eu.w.b eu.w.b>eu.z eu.z>q"),
    ("eu.w.a eu.z q", "eu>q eu.w>eu.z", "eu.w.a>eu.z eu.z>q"),
]


@pytest.mark.parametrize(("names", "declared", "edges"), GROUPS)
def test_an_edge_of_a_group_joins_its_leaves_and_roots(names: str, declared: str, edges: str) -> None:
    dag = tasks(names, declared)
    assert arrows(dag) == edges
    assert not dag.errors


def test_the_variables_that_tasks_pass_decide_what_the_leaves_are() -> None:
    dag = notebook(("eu.a", "x = 1"), ("eu.b", "y = x"), ("z", "1"), z={"after": ("eu",)})
    assert arrows(dag) == "eu.a>eu.b eu.b>z"
    assert [edge.declared for edge in dag.edges] == [False, True]


def test_a_group_ends_with_its_work_and_not_with_its_teardown() -> None:
    dag = tasks(
        "g.make g.work g.drop z",
        "g.make>g.work g.work>g.drop",
        g__drop={"teardown_for": ("g.make",)},
        z={"after": ("g",)},
    )
    assert arrows(dag) == "g.make>g.work g.make>g.drop g.work>g.drop g.work>z"


def test_the_label_of_an_edge_declares_it() -> None:
    given = (("eu.b", "if all\n of it"), ("a", "first"))
    dag = notebook(("a", "x = 1"), ("eu.b", "1"), ("z", "x"), z={"edge_label": given})
    assert {(edge.source, edge.declared): edge.label for edge in dag.edges} == {
        ("a", True): "first",
        ("eu.b", True): "if all\n of it",
    }
    dag = notebook(
        ("eu.a", "1"), ("eu.b", "1"), ("us.c", "1"), ("z", "1"), z={"edge_label": (("eu", "both"), ("us.c", "one"))}
    )
    assert [edge.label for edge in dag.edges] == ["both", "both", "one"]
    assert problems(notebook(("a", "1"), ("z", "1"), z={"edge_label": (("aa", "x"),)}))[0][:2] == (
        "NB203",
        "unknown task aa",
    )


IMPOSSIBLE_GROUPS = [
    ("eu.a", "eu.a>eu", "NB207", "group eu is declared to come after eu.a, which is one of its tasks"),
    ("eu.a eu.b", "eu>eu.b", "NB207", "task eu.b is declared to come after its own group eu"),
    ("eu.a z", "ue>z", "NB203", "unknown task ue"),
    ("eu eu.a", "", "NB233", "eu is both a task and the group of eu.a"),
]


@pytest.mark.parametrize(("names", "declared", "code", "message"), IMPOSSIBLE_GROUPS)
def test_an_impossible_group_is_reported(names: str, declared: str, code: str, message: str) -> None:
    assert (code, message) in [each[:2] for each in problems(tasks(names, declared))]


def test_groups_work_without_inference() -> None:
    dag = notebook(("eu.a", "x = 1"), ("eu.b", "y = 1"), ("z", "x"), dag=DagOptions(infer=False), z={"after": ("eu",)})
    assert arrows(dag) == "eu.a>z eu.b>z"
    assert not dag.errors


# -- branches ------------------------------------------------------------------------------------------------------------

FORK = "choose>a choose>b a>join b>join"
BRANCH = {"choose": {"branch": True}}
BRANCHES = [
    # (tasks and options, edges, instances, moves)
    ("choose a b join", FORK, {}, "choose=success+a a b join", {"a": "scheduled", "b": "skipped", "join": "skipped"}),
    (
        "choose a b join", FORK, {"join": {"trigger": "none_failed_min_one_success"}},
        "choose=success+a a=success b join", {"b": "skipped", "join": "scheduled"},
    ),
    ("choose a b join", FORK, {}, "choose=success+a,b a b join", {"a": "scheduled", "b": "scheduled"}),
    ("choose a b join", FORK, {}, "choose=success+ a b join", {"a": "skipped", "b": "skipped", "join": "skipped"}),
    # What was not chosen is skipped whatever its rule, and not only what needs a success.
    ("choose a b join", FORK, {"b": {"trigger": "all_done"}}, "choose=success+a a b join", {"a": "scheduled", "b": "skipped", "join": "skipped"}),
    # A join that follows the branch directly, too, is downstream of what was chosen (Airflow's empty branch).
    ("choose a join", "choose>a choose>join a>join", {}, "choose=success+a a=success join", {"join": "scheduled"}),
    ("choose a join", "choose>a choose>join a>join", {}, "choose=success+join a join", {"a": "skipped", "join": "skipped"}),
    (
        "choose a join", "choose>a choose>join a>join", {"join": {"trigger": "none_failed"}},
        "choose=success+join a join", {"a": "skipped", "join": "scheduled"},
    ),
    # A group is chosen as a whole.
    ("choose eu.a eu.b us.a", "choose>eu choose>us", {}, "choose=success+eu eu.a eu.b us.a", {"eu.a": "scheduled", "eu.b": "scheduled", "us.a": "skipped"}),
    # A branch that failed, was skipped or was marked by hand has chosen nothing: the rules decide.
    ("choose a b", "choose>a choose>b", {}, "choose=failed a b", {"a": "upstream_failed", "b": "upstream_failed"}),
    ("choose a b", "choose>a choose>b", {"b": {"trigger": "all_done"}}, "choose=skipped a b", {"a": "skipped", "b": "scheduled"}),
    ("choose a b", "choose>a choose>b", {}, "choose=success a b", {"a": "scheduled", "b": "scheduled"}),
    # Two branches: what one of them did not choose is skipped.
    ("choose other a", "choose>a other>a", {"other": {"branch": True}}, "choose=success+a other=success+ a", {"a": "skipped"}),
    # What has run already is not touched.
    ("choose a b", "choose>a choose>b", {"b": {"trigger": "always"}}, "choose=success+a a b=success", {"a": "scheduled"}),
    # The instances of a mapped branch choose together, once all have ended.
    ("choose a b", "choose>a choose>b", {"choose": {"branch": True, "map": (("x", "xs"),)}}, "choose[0]=success+a choose[1]=running a b", {}),
    (
        "choose a b", "choose>a choose>b", {"choose": {"branch": True, "map": (("x", "[1]"),)}},
        "choose[0]=success+a choose[1]=success+ a b", {"a": "scheduled", "b": "skipped"},
    ),
]  # fmt: skip


VARIABLES = [
    # (cells below the branch, what it chose, tasks that run)
    ([("a", "xs.append(1)"), ("b", "xs.append(2)")], "a>b", "a", {"a"}),  # both change one list
    ([("a", "x = 1"), ("b", "y = x")], "a>b", "a", {"a"}),
    ([("a", "x = 1"), ("join", "print(x, score)")], "a>join", "a", {"a", "join"}),  # `join` is no alternative
    ([("a", "x = 1"), ("join", "print(x, score)")], "a>join", "", set()),
]


@pytest.mark.parametrize(("cells", "edge", "chosen", "run"), VARIABLES)
def test_an_alternative_does_not_run_because_it_uses_a_variable_of_the_chosen_task(
    cells: list[tuple[str, str]], edge: str, chosen: str, run: set[str]
) -> None:
    dag = notebook(("start", "xs = []\nx = 0"), ("choose", "score = len(xs)\n'a' if score else 'b'"), *cells, **BRANCH,
                   a={"after": ("choose",)}, b={"after": ("choose",)})  # fmt: skip
    assert edge in arrows(dag).split()
    assert dag.followed("choose", filter(None, [chosen])) == run


@pytest.mark.parametrize(
    ("chosen", "moves"), [("a", {"a": "scheduled", "b": "skipped"}), ("b", {"a": "skipped", "b": "scheduled"})]
)
def test_a_chosen_task_does_not_wait_for_an_alternative_that_changes_the_same_object(
    chosen: str, moves: dict[str, str]
) -> None:
    dag = notebook(
        ("start", "xs = []"), ("choose", "'a' if xs else 'b'"), ("a", "xs.append(1)"), ("b", "xs.append(2)"),
        a={"after": ("choose",)}, b={"after": ("choose",)}, **BRANCH,
    )  # fmt: skip
    assert arrows(dag) == "start>choose start>a start>b choose>a choose>b a>b"
    assert moved(planned(dag, f"start=success choose=success+{chosen} a b")) == moves
    assert [each.sources for each in dag.tasks["b"].inputs] == [("a", "start")]


def test_check_reports_a_join_that_needs_every_alternative() -> None:
    cells = [("start", "x = 1"), ("choose", "'a' if x else 'b'"), ("a", "y = 1"), ("b", "y = 2"), ("join", "print(y)")]
    after: dict[str, Any] = {"a": {"after": ("choose",)}, "b": {"after": ("choose",)}, **BRANCH}
    (found,) = problems(notebook(*cells, **after))
    assert found == (
        "NB319", "join is always skipped: it needs a, b, but choose chooses only one of them",
        "add --trigger none_failed_min_one_success",
    )  # fmt: skip
    assert not notebook(*cells, **after, join={"trigger": "none_failed_min_one_success"}).problems
    cells[1] = ("choose", "['a', 'b'] if x else 'b'")
    assert not notebook(*cells, **after).problems


@pytest.mark.parametrize(("names", "edges", "said", "text", "moves"), BRANCHES)
def test_a_branch_skips_what_it_did_not_choose(
    names: str, edges: str, said: dict[str, Any], text: str, moves: dict[str, str]
) -> None:
    dag = tasks(names, edges, **{**BRANCH, **said})
    dag = replace(dag, problems=())  # the cells here name nothing
    assert moved(planned(dag, text)) == moves


def test_the_reason_of_a_skip_names_the_branch_and_its_choice() -> None:
    dag = replace(tasks("choose a b", "choose>a choose>b", **BRANCH), problems=())
    assert [move.reason for move in planned(dag, "choose=success+a a=success b").moves] == ["choose chose a"]
    assert planned(dag, "choose=success+ a b").moves[0].reason == "choose chose no task"


SAYS = [
    # (the branch's cell, problems)
    ("'a' if x > 1 else 'b'", []),
    ("['a', 'b'] if x else None", []),
    ("{'big': 'a', 'small': 'b'}[str(x)]", []),
    ("if x:\n    to = 'a'\nelse:\n    to = 'b'\nto", []),
    ("pick(x)", []),
    ("'eu' if x else ('a', 'b')", []),
    ("'aa' if x else 'b'", [("NB230", "the branch choose names 'aa', which is neither a task nor a group", "did you mean a?")]),
    ("'far' if x else ['a', 'b']", [("NB230", "the branch choose names far, which does not follow it directly", "add --after choose to %%task far")]),
    ("'a' if x else None", [("NB319", "the branch choose never names b, which follows it, so b is always skipped", "name b in choose, or let b follow a task that choose names")]),
    ("to = 'a'", [("NB234", "the last expression of choose names the tasks that follow, but its cell does not end with an expression", "end the cell with the name of a task, such as 'train'")]),
    ("'a';", [("NB234", "the cell of choose ends with a semicolon, so its last expression has no value for --branch", "remove the semicolon")]),
]  # fmt: skip


@pytest.mark.parametrize(("code", "expected"), SAYS)
def test_check_reports_what_a_branch_cannot_choose(code: str, expected: list[tuple[str, str, str]]) -> None:
    dag = notebook(
        ("setup", "x = 1\npick = print"), ("choose", code), ("a", "1"), ("b", "2"), ("eu.c", "3"), ("far", "4"),
        edges="choose>a choose>b choose>eu a>far", **BRANCH,
    )  # fmt: skip
    found = [each for each in problems(dag) if "names eu.c" not in each[1]]
    assert found == expected


def test_a_branch_that_nothing_follows_is_reported() -> None:
    assert problems(tasks("choose a", **BRANCH)) == [
        ("NB230", "no task follows the branch choose", "add --after choose to the tasks that it may choose")
    ]


def test_a_reader_takes_the_value_of_the_last_writer_that_a_branch_may_skip() -> None:
    dag = notebook(
        ("start", "x = 0"), ("choose", "'a' if x else 'b'"), ("a", "x = 1"), ("b", "y = 2"), ("join", "print(x)"),
        edges="choose>a choose>b b>join", **BRANCH, join={"trigger": "none_failed"}, a={"trigger": "all_done"},
    )  # fmt: skip
    assert [each.sources for each in dag.tasks["join"].inputs] == [("a", "start")]
    assert not dag.errors


@pytest.mark.parametrize(
    ("rule", "sources"),
    [
        ("all_success", ("work",)),
        ("all_done", ("work", "start")),
        ("one_done", ("work",)),
        ("teardown", ("work", "start")),
    ],
)
def test_a_task_that_runs_after_failures_takes_the_value_of_the_last_writer_that_succeeded(
    rule: str, sources: tuple[str, ...]
) -> None:
    options = {"teardown_for": ("start",)} if rule == "teardown" else {"trigger": rule}
    dag = notebook(("start", "x = 1"), ("work", "x = 2"), ("last", "print(x)"), last=options)
    assert dag.tasks["last"].inputs[0].sources == sources
    assert set(sources) <= set(dag.upstream["last"])


# -- short circuits ------------------------------------------------------------------------------------------------------

STOP = {"stop": {"short_circuit": True}}


@pytest.mark.parametrize(
    ("text", "moves"),
    [
        ("stop=success! a z t", {"a": "skipped", "z": "skipped", "t": "scheduled"}),
        ("stop=skipped! a z t", {"a": "skipped", "z": "skipped", "t": "skipped"}),  # the teardown's setup was skipped
        ("stop=success a z t", {"a": "scheduled"}),
    ],
)
def test_a_false_condition_skips_every_descendant_except_teardowns(text: str, moves: dict[str, str]) -> None:
    dag = replace(
        tasks("stop a z t", "stop>a a>z z>t", z={"trigger": "all_done"}, t={"teardown_for": ("stop",)}, **STOP),
        problems=(),
    )
    found = planned(dag, text)
    assert moved(found) == moves
    if "!" in text:
        how = "is false" if "success" in text else "was skipped"
        assert found.moves[0].reason == f"stop {how} with --short-circuit"


def test_a_short_circuit_needs_a_condition() -> None:
    (found,) = problems(notebook(("stop", "x = 1"), ("a", "x"), **STOP))
    assert found[0] == "NB234"
    assert "says whether the tasks below run" in found[1]
    assert not notebook(("stop", "x = 1"), ("a", "x"), stop={"short_circuit": True, "when": "1"}).problems


# -- setup and teardown --------------------------------------------------------------------------------------------------

AROUND = {"make": {"setup": True}, "drop": {"teardown_for": ("make",)}}
SCOPES = [
    # (tasks, edges, options, all edges)
    ("make a b drop", "make>a a>b", {}, "make>a make>drop a>b b>drop"),
    ("make a b drop", "make>a make>b", {}, "make>a make>b make>drop a>drop b>drop"),
    ("make a free drop", "make>a", {}, "make>a make>drop a>drop"),  # `free` does not use what was made
    ("make a b drop", "make>a a>b", {"drop": {"teardown_for": ("make",), "after": ("a",)}}, "make>a make>drop a>b a>drop"),
    ("make drop", "", {}, "make>drop"),
    (
        "make inner work undo drop", "make>inner inner>work", {"undo": {"teardown_for": ("inner",)}},
        "make>inner make>drop inner>work inner>undo work>undo undo>drop",
    ),
    ("make a drop later", "make>a make>later", {}, "make>a make>drop make>later a>drop"),  # only what is above
]  # fmt: skip


@pytest.mark.parametrize(("names", "edges", "said", "expected"), SCOPES)
def test_a_teardown_follows_everything_above_that_depends_on_its_setup(
    names: str, edges: str, said: dict[str, Any], expected: str
) -> None:
    dag = tasks(names, edges, **{**AROUND, **said})
    assert arrows(dag) == expected
    assert dag.tasks["drop"].options.trigger == "all_done_setup_success"
    assert not dag.problems


def test_a_task_that_a_teardown_names_is_a_setup_task() -> None:
    assert tasks("make drop", drop={"teardown_for": ("make",)}).tasks["make"].options.setup


TEARDOWNS = [
    ("make=success work=success drop", {"drop": "scheduled"}, None),
    ("make=success work=failed drop", {"drop": "scheduled"}, None),
    ("make=success work=skipped drop", {"drop": "scheduled"}, None),
    ("make=success work=running drop", {}, None),
    ("make=failed work drop", {"work": "upstream_failed", "drop": "upstream_failed"}, RunState.FAILED),
    ("make=skipped work drop", {"work": "skipped", "drop": "skipped"}, RunState.SUCCESS),
    ("make=success work=success drop=failed", {}, RunState.SUCCESS),  # its failure does not fail the run
    ("make=success work=failed drop=success", {}, RunState.FAILED),  # nor does its success hide a failure
]


@pytest.mark.parametrize(("text", "moves", "verdict"), TEARDOWNS)
def test_a_teardown_runs_once_its_setup_has_succeeded(
    text: str, moves: dict[str, str], verdict: RunState | None
) -> None:
    found = planned(tasks("make work drop", "make>work", **AROUND), text)
    assert (moved(found), found.verdict) == (moves, verdict)


def test_a_teardown_fails_the_run_if_asked() -> None:
    dag = tasks("make work drop", "make>work", make={}, drop={"teardown_for": ("make",), "fail_run": True})
    found = planned(dag, "make=success work=success drop=failed")
    assert (found.verdict, found.reason) == (RunState.FAILED, "drop failed")


def test_a_run_of_teardowns_alone_is_judged_by_them() -> None:
    dag = tasks("make drop", **AROUND)
    assert planned(dag, "drop=failed", selection=frozenset({"drop"})).verdict is RunState.FAILED


def test_a_run_that_fails_fast_waits_for_its_teardowns() -> None:
    dag = replace(tasks("make work other drop", "make>work", **AROUND), options=DagOptions(fail_fast=True))
    found = planned(dag, "make=success work=failed other=running drop")
    assert moved(found) == {"other": "failed", "drop": "scheduled"}
    assert ([one.task for one in found.ready], found.verdict) == (["drop"], None)
    assert planned(dag, "make=success work=failed other=failed drop=running").moves == ()
    ended = planned(dag, "make=success work=failed other=failed drop=success")
    assert (ended.verdict, ended.reason) == (RunState.FAILED, "work failed, and the run fails fast")


FURTHER_UP = [
    # `late` follows `work` with rule all_done, and uses what `make` prepared.
    ("make=failed work=upstream_failed late drop", {"late": "upstream_failed", "drop": "upstream_failed"}),
    ("make=skipped work=skipped late drop", {"late": "skipped", "drop": "skipped"}),
    ("make=success work=failed late drop", {"late": "scheduled"}),
]


@pytest.mark.parametrize(("text", "moves"), FURTHER_UP)
def test_a_task_does_not_run_without_the_setup_further_up(text: str, moves: dict[str, str]) -> None:
    dag = tasks("make work late drop", "make>work work>late", late={"trigger": "all_done"}, **AROUND)
    assert moved(planned(dag, text)) == moves


CLEARED = [
    # (cleared, also cleared)
    (["a"], "make drop"),
    (["make"], "drop"),
    (["drop"], ""),
    (["b"], ""),  # outside: its setup's teardown is not below it
    (["free"], ""),
    (["a", "b"], "make drop"),
]


@pytest.mark.parametrize(("names", "also"), CLEARED)
def test_clearing_a_task_clears_its_setup_and_teardown(names: list[str], also: str) -> None:
    dag = tasks("make a drop b free", "make>a a>b", **AROUND)
    assert " ".join(with_setups(dag, names)) == also


def test_a_setup_without_a_teardown_belongs_to_everything_below() -> None:
    dag = tasks("make a b", "make>a a>b", make={"setup": True})
    assert relevant_setups(dag, "b") == ("make",)


IMPOSSIBLE_TEARDOWNS = [
    ({"teardown_for": ("mkae",)}, "NB231", "--teardown-for mkae names no task", "did you mean make?"),
    ({"teardown_for": ("drop",)}, "NB231", "drop is declared as the teardown for itself", "name its setup task"),
    ({"teardown_for": ("g",)}, "NB231", "--teardown-for g names a group", "name the tasks that prepare something, such as g.a"),
    ({"teardown_for": ("make",), "trigger": "one_failed"}, "NB232",
     "drop is a teardown, so its trigger rule is all_done_setup_success and cannot be one_failed", "remove --trigger"),
    ({"fail_run": True}, "NB314", "--fail-run is for teardown tasks", "add --teardown-for NAME, or remove --fail-run"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "code", "message", "hint"), IMPOSSIBLE_TEARDOWNS)
def test_an_impossible_teardown_is_reported(said: dict[str, Any], code: str, message: str, hint: str) -> None:
    assert (code, message, hint) in problems(tasks("make g.a drop", drop=said))


# -- retries by kind of error --------------------------------------------------------------------------------------------

HTTP = (
    "requests.exceptions.HTTPError",
    "requests.exceptions.RequestException",
    "builtins.OSError",
    "builtins.Exception",
)
KINDS = [
    # (--retry-on, --retry-if, kinds of the error, value of --retry-if, is it retried?)
    ((), None, HTTP, None, True),
    (("OSError",), None, HTTP, None, True),
    (("HTTPError",), None, HTTP, None, True),
    (("requests.exceptions.HTTPError",), None, HTTP, None, True),
    (("exceptions.HTTPError",), None, HTTP, None, True),
    (("ValueError", "OSError"), None, HTTP, None, True),
    (("ValueError",), None, HTTP, None, False),
    (("PError",), None, HTTP, None, False),
    (("OSError",), None, ("KernelDied",), None, False),
    (("OSError", "KernelDied"), None, ("KernelDied",), None, True),
    (("TimeoutError",), None, ("TimeoutError",), None, True),
    ((), "error.errno == 5", (), True, True),
    ((), "error.errno == 5", (), False, False),
    ((), "error.errno == 5", ("KernelDied",), None, True),
    (("OSError",), "error.errno == 5", HTTP, True, True),
    (("OSError",), "error.errno == 5", HTTP, False, False),
    (("ValueError",), "error.errno == 5", HTTP, True, False),
]


@pytest.mark.parametrize(("on", "condition", "kinds", "value", "retried"), KINDS)
def test_a_try_is_retried_by_the_kind_of_its_error(
    on: tuple[str, ...], condition: str | None, kinds: tuple[str, ...], value: bool | None, retried: bool
) -> None:
    why = why_not_retried(TaskOptions(retries=1, retry_on=on, retry_if=condition), kinds, value)
    assert (why == "") is retried


JUDGED = [
    # (options, outcome, state, is it final?, error)
    ({"soft_fail": True}, {"kinds": ("TimeoutError",)}, "skipped", False, "late (skipped because of --soft-fail)"),
    ({"soft_fail": True}, {"kinds": ("nbdag.errors.Fail", "builtins.Exception"), "final": True}, "skipped", True,
     "late (skipped because of --soft-fail)"),
    ({"soft_fail": True}, {"kinds": ("builtins.ValueError",)}, "failed", False, "late"),
    ({"soft_fail": True}, {"kinds": ("builtins.TimeoutError", "builtins.OSError")}, "failed", False, "late"),
    ({"soft_fail": True}, {"kinds": ("TimeoutError",), "error": CANCELLED}, "failed", False, CANCELLED),
    ({}, {"kinds": ("TimeoutError",)}, "failed", False, "late"),
    ({"retries": 1, "retry_on": ("OSError",)}, {"kinds": ("TimeoutError",)}, "failed", True,
     "late (not retried: --retry-on OSError does not name this error)"),
    ({"retries": 1, "retry_on": ("OSError",)}, {"state": TaskState.SUCCESS, "error": None}, "success", False, None),
]  # fmt: skip


@pytest.mark.parametrize(("options", "given", "state", "final", "error"), JUDGED)
def test_options_judge_a_failure(
    options: dict[str, Any], given: dict[str, Any], state: str, final: bool, error: str | None
) -> None:
    outcome = judged(TaskOptions(**options), Outcome(**{"state": TaskState.FAILED, "error": "late", **given}))
    assert (outcome.state.value, outcome.final, outcome.error) == (state, final, error)


WRONG_RETRIES = [
    ({"retry_on": ("ConectionError",), "retries": 1}, "NB318", "did you mean ConnectionError?"),
    ({"retry_on": ("Mine",), "retries": 1}, "NB318", "write the name of its class, as an import would name it"),
    ({"retry_on": ("ConnectionError",)}, "NB314", "add --retries 2, or remove --retry-on"),
    ({"retry_if": "True"}, "NB314", "add --retries 2, or remove --retry-if"),
    ({"retry_if": "eror.errno == 5", "retries": 1}, "NB201", None),
]


@pytest.mark.parametrize(("said", "code", "hint"), WRONG_RETRIES)
def test_check_reports_retries_that_cannot_be(said: dict[str, Any], code: str, hint: str | None) -> None:
    ((found, _, told),) = problems(notebook(("a", "1"), a=said))
    assert found == code
    assert hint is None or told == hint


def test_a_default_for_retries_is_no_mistake_of_a_task_without_retries() -> None:
    said = {"retry_on": ("OSError",)}
    assert not notebook(("a", "1"), dag=DagOptions(defaults=said), a=said).problems


def test_the_names_of_a_retry_condition_are_known() -> None:
    dag = notebook(
        ("setup", "from requests import HTTPError\nclass Mine(Exception): pass"), ("first", "codes = [429]"), ("a", "1"),
        a={"retries": 1, "retry_if": "error.code in codes", "retry_on": ("HTTPError", "Mine", "some.Other", "KernelDied")},
    )  # fmt: skip
    assert arrows(dag) == "first>a"
    assert not dag.problems


# -- deadlines -----------------------------------------------------------------------------------------------------------

DEADLINES = [
    # (deadline, due, time zone, moment)
    ("+2h", "2026-01-01T06:00+00:00", "UTC", "2026-01-01T08:00+00:00"),
    ("08:00", "2026-01-01T06:00+00:00", "UTC", "2026-01-01T08:00+00:00"),
    ("08:00", "2026-01-01T08:00+00:00", "UTC", "2026-01-01T08:00+00:00"),
    ("08:00", "2026-01-01T08:01+00:00", "UTC", "2026-01-02T08:00+00:00"),
    ("08:00", "2026-01-01T23:30+00:00", "Europe/Paris", "2026-01-02T07:00+00:00"),
    ("08:00", "2026-03-28T12:00+00:00", "Europe/Riga", "2026-03-29T05:00+00:00"),  # summer time begins that night
]


@pytest.mark.parametrize(("option", "due", "tz", "moment"), DEADLINES)
def test_a_deadline_is_a_moment_after_the_run_was_due(option: str, due: str, tz: str, moment: str) -> None:
    assert deadline_of(option, datetime.fromisoformat(due), tz) == datetime.fromisoformat(moment)


def test_a_missed_deadline_is_reported_and_ends_nothing() -> None:
    dag = replace(tasks("a b", "a>b", b={"deadline": "+1h"}), options=DagOptions(deadline="14:00"))
    before = planned(dag, "a=running b")
    assert (before.missed, before.next_check) == ((), NOW + timedelta(hours=1))
    after = planned(dag, "a=running b", now=NOW + timedelta(hours=1))
    assert [(each.task, each.option) for each in after.missed] == [("b", "+1h")]
    assert after.missed[0].describe(dag, NOW) == "b missed its deadline +1h (13:00:00 UTC)"
    assert (after.moves, after.verdict, after.next_check) == ((), None, NOW + timedelta(hours=2))
    late = planned(dag, "a=running b", now=NOW + timedelta(hours=3))
    assert [each.task for each in late.missed] == [None, "b"]
    assert planned(dag, "a=success b=success", now=NOW + timedelta(hours=3)).missed == ()


def test_a_scheduled_run_is_due_at_its_tick_and_any_other_when_it_was_created() -> None:
    dag = tasks("a", a={"deadline": "+1h"})
    tick = NOW - timedelta(hours=2)
    assert planned(dag, "a=running", kind="scheduled", logical_date=tick).missed
    assert not planned(dag, "a=running", kind="backfill", logical_date=tick).missed
