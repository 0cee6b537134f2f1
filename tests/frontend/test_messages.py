"""The contents of messages: pictures, statuses, tasks, outputs, earlier runs."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from nbdag import notebooks, runs
from nbdag.core.model.job import StoredOutput
from nbdag.core.model.states import RunState, TaskState
from nbdag.frontend import outputs, status, task
from nbdag.frontend.graph import chains, picture
from nbdag.frontend.history import History
from nbdag.frontend.watcher import RunWatcher
from nbdag.graphs import Mark
from nbdag.graphs.marks import STATE_STYLES
from nbdag.graphs.svg import svg
from nbdag.home import Home
from nbdag.runs import Run, TaskRun

ROOT = Path(__file__).parents[2]


def book(*cells):
    written = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": s, "execution_count": None, "outputs": []}
        for n, s in enumerate(cells)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return json.dumps({"cells": written, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})


def dag(*cells):
    return notebooks.read_text(book(*cells).encode(), name="nb.ipynb")


LONG = dag(
    "%dag long",
    "%%task a\nx = 1",
    "%%task b\ny = x",
    "%%task c\nz = y",
    "%%task d\nw = z",
    "%%task e\nv = w, z",
    "%%task f --edge-label d='if it works'\nprint(1)",
)


def test_the_committed_typescript_matches_the_python_messages():
    """`python nbdag/frontend/ui/messages.py` generates the committed TypeScript files."""
    written = runpy.run_path(str(ROOT / "nbdag" / "frontend" / "ui" / "messages.py"))
    assert written["typescript"]() == written["TARGET"].read_text(encoding="utf-8")
    assert written["api_typescript"]() == written["API_TARGET"].read_text(encoding="utf-8")


class TestPicture:
    @pytest.mark.parametrize("direction", ["LR", "TB"])
    def test_has_every_task_and_every_edge_in_the_given_direction(self, direction):
        drawn = picture(LONG, direction=direction)
        assert [node["id"] for node in drawn["nodes"]] == list("abcdef")
        assert drawn["direction"] == direction
        assert {(line["source"], line["target"]) for line in drawn["lines"]} == {
            (e.source, e.target) for e in LONG.edges
        }
        across = drawn["nodes"][3]["x"] - drawn["nodes"][0]["x"]
        down = drawn["nodes"][3]["y"] - drawn["nodes"][0]["y"]
        assert (across > down) == (direction == "LR")

    def test_has_the_variables_and_the_reasons_of_each_edge(self):
        lines = {(line["source"], line["target"]): line for line in picture(LONG)["lines"]}
        assert lines["a", "b"]["names"] == ["x"]
        assert not lines["a", "b"]["declared"]
        assert lines["a", "b"]["why"] == ["x: written in cell 2, line 2; read in cell 3, line 2"]
        assert lines["d", "f"]["declared"]
        assert lines["d", "f"]["why"] == ["declared by --after, --edge-label, %edges or --teardown-for", "if it works"]
        assert lines["d", "f"]["label"] == "if it works"

    def test_can_draw_a_long_chain_as_one_box(self):
        assert chains(LONG) == [("a", "b", "c")]
        drawn = picture(LONG, collapsed=True)
        chain = drawn["nodes"][0]
        assert (chain["members"], chain["label"], chain["note"]) == (["a", "b", "c"], "a … c", "3 tasks")
        assert {line["target"] for line in drawn["lines"] if line["source"] == chain["id"]} == {"d", "e"}

    def test_can_draw_a_group_as_one_box(self):
        nested = dag("%%task a\nx = 1", "%%task eu.load\ny = x", "%%task eu.w.go\nz = y", "%%task b\nprint(z)")
        assert picture(nested)["groups"] == ["eu", "eu.w"]
        drawn = picture(nested, folded=["eu", "eu.w", "gone"])
        assert drawn["folded"] == ["eu"]
        (box,) = [node for node in drawn["nodes"] if node["group"]]
        assert (box["id"], box["members"], box["note"]) == ("eu", ["eu.load", "eu.w.go"], "2 tasks")
        assert {(line["source"], line["target"]) for line in drawn["lines"]} == {("a", "eu"), ("eu", "b")}
        assert drawn["order"] == ["a", "eu.load", "eu.w.go", "b"]

    def test_says_whether_a_dag_cell_creates_further_tasks_later(self):
        assert picture(dag("%%task a\nx = 1", "%%dag\nPython('b', print)"))["unbuilt"]
        assert not picture(LONG)["unbuilt"]

    def test_does_not_depend_on_states(self):
        assert picture(LONG) == picture(LONG)
        assert "state" not in json.dumps(picture(LONG))


def test_a_dag_with_a_cycle_has_a_picture():
    assert len(picture(dag("%%task a --after b\nx = 1", "%%task b --after a\ny = 1"))["nodes"]) == 2


def one(state, index=-1, **more):
    return TaskRun(
        id="t", map_index=index, state=state, tries=more.pop("tries", 1), **({"started": None, "ended": None} | more)
    )


def of(*tasks, state=RunState.RUNNING, ended=None):
    return Run(
        id="r",
        dag="d",
        state=state,
        created=0,
        started=0,
        ended=ended,
        notebook=Path(),
        tasks=tasks,
        home=Home(Path("/nowhere")),
    )


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ([one(TaskState.NONE, tries=0)], None),
        ([one(TaskState.RUNNING, started=5.0)], {"state": "running", "started": 5.0}),
        ([one(TaskState.SUCCESS, started=5.0, ended=7.0)], {"state": "success", "started": 5.0, "duration": 2.0}),
        ([one(TaskState.FAILED, tries=3, error="x\n y")], {"state": "failed", "tries": 3, "reason": "x y"}),
        (
            [one(TaskState.SUCCESS, 0), one(TaskState.FAILED, 1, error="no"), one(TaskState.RUNNING, 2)],
            {"state": "failed", "count": 3, "ended": 2, "failed": 1, "reason": "no"},
        ),
        ([one(TaskState.SUCCESS, 0), one(TaskState.SKIPPED, 1)], {"state": "success", "count": 2, "ended": 2}),
    ],
)
def test_the_instances_of_a_task_share_one_status(tasks, expected):
    assert status.run_statuses(of(*tasks)).get("t") == expected


@pytest.mark.parametrize(
    ("tasks", "state"),
    [
        ([one(TaskState.FAILED, started=1.0, ended=5.2)], "cancelled"),
        ([one(TaskState.FAILED, started=1.0)], "cancelled"),
        ([one(TaskState.FAILED, started=1.0, ended=4.0)], "failed"),
        ([one(TaskState.FAILED, started=1.0, ended=5.2, by_hand=True)], "failed"),
        ([one(TaskState.FAILED, 0, ended=4.0), one(TaskState.FAILED, 1, ended=5.2)], "failed"),
        ([one(TaskState.SUCCESS, 0, ended=4.0), one(TaskState.FAILED, 1, ended=5.2)], "cancelled"),
        ([one(TaskState.SUCCESS, started=1.0, ended=5.2)], "success"),
    ],
)
def test_a_task_that_fails_after_its_run_was_cancelled_is_drawn_as_cancelled(tasks, state):
    cancelled = of(*tasks, state=RunState.CANCELLED, ended=5.0)
    assert status.run_statuses(cancelled)["t"]["state"] == state
    failed = of(*tasks, state=RunState.FAILED, ended=5.0)
    assert status.run_statuses(failed)["t"]["state"] != "cancelled"


def test_every_display_state_has_a_precedence_and_a_style():
    assert sorted(status.DISPLAY_PRECEDENCE) == sorted(STATE_STYLES)
    assert len(status.DISPLAY_PRECEDENCE) == len(set(status.DISPLAY_PRECEDENCE))


def test_a_change_contains_only_changed_statuses_and_is_short():
    before = status.session_statuses({f"t{n}": Mark(state="success", duration=1.0) for n in range(500)})
    now = before | status.session_statuses({"t7": Mark(state="stale", duration=1.0, reason="r" * 2000)})
    changed = status.changed_statuses(before, now)
    assert list(changed) == ["t7"]
    assert len(json.dumps(changed)) < 500
    assert status.changed_statuses(before, {}) == {f"t{n}": {"state": "none"} for n in range(500)}


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"output_type": "stream", "name": "stdout", "text": ["a\n", "\x1b[31mb\x1b[0m"]}, ("text/plain", "a\nb")),
        ({"output_type": "stream", "name": "stderr", "text": "10%\r20%\r30%"}, ("text/x-stderr", "30%")),
        ({"output_type": "error", "traceback": ["\x1b[1mBoom", "line"]}, ("text/x-error", "Boom\nline")),
        ({"output_type": "display_data", "data": {"text/plain": "p", "image/png": "ab\nc"}}, ("image/png", "abc")),
        ({"output_type": "display_data", "data": {"text/html": "<b>", "text/plain": "p"}}, ("text/html", "<b>")),
        ({"output_type": "display_data", "data": {"application/javascript": "run()", "text/plain": "p"}}, ("text/plain", "p")),
        ({"output_type": "display_data", "data": {"text/html": "x" * 3_000_000}}, ("text/plain", "output of 3,000,000 characters is too long to show; see the attempt's notebook")),
    ],
)  # fmt: skip
def test_an_output_is_reduced_to_its_richest_safe_form(output, expected):
    assert outputs.display_outputs(output) == [{"mime": expected[0], "data": expected[1]}]


def test_a_missing_or_incomplete_attempt_notebook_has_no_outputs(tmp_path):
    (tmp_path / "half.ipynb").write_text('{"cells": [')
    assert outputs.attempt_outputs(tmp_path / "half.ipynb") == outputs.attempt_outputs(tmp_path / "none.ipynb") == []


def test_highlighted_source_joins_to_the_original_source():
    source = '%%task a --doc \'x\'\n\ndef f(x):\n    return \'a\' + """b\nc"""  # why\n'
    lines = task.highlight(source)
    assert "\n".join("".join(text for _, text in line) for line in lines) == source
    assert lines[0] == [["meta", "%%task a --doc 'x'"]]
    assert ["keyword", "def"] in lines[2]
    assert ["comment", "# why"] in lines[4]


def test_task_details_include_options_neighbours_and_live_values():
    notebook = dag("%%task a --retries 2\nx = [1, 2]", "%%task b --doc 'twice'\ny = x * 2")
    details = task.task_details(notebook, "b")
    assert (details["doc"], details["options"], details["cell"]) == ("twice", [], 1)
    assert task.task_details(notebook, "a")["options"] == [["retries", "2"]]
    assert [use["name"] for use in details["upstream"][0]["uses"]] == ["x"]
    inputs, left = task.live_values(notebook, "b", {"x": [1, 2]})
    assert [(value["name"], value["task"], value["type"], value["summary"]) for value in inputs] == [
        ("x", "a", "list", "[1, 2]")
    ]
    assert left == []


def test_the_output_of_a_mapped_task_is_a_list():
    notebook = dag("%%task a\nxs = [1, 2]", "%%task t --map x=xs\ny = x", "%%task b\ny")
    left = [StoredOutput(name="y", type="int", bytes=28, summary=str(n), digest="d") for n in range(7)]
    run = of(*(one(TaskState.SUCCESS, n, outputs=(output,)) for n, output in enumerate(left)))
    inputs, _ = task.run_values(notebook, "b", run)
    _, outputs = task.run_values(notebook, "t", run)
    assert inputs == outputs
    (value,) = outputs
    assert (value["type"], value["summary"]) == ("list of 7 × int", "[0, 1, 2, 3, 4, …]")
    assert task.run_values(notebook, "t", of())[1] == []


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ran")
    path = folder / "nb.ipynb"
    path.write_text(book("%dag h", "%%task a\nx = 3\nprint('out')\nx", "%%task b\nraise ValueError(x)"))
    home = Home(folder / "home")
    changed: list[Run] = []
    watcher = RunWatcher(lambda: home, lambda: "h", changed.append, poll=0.02)
    watcher.start()
    done = runs.run(path, home=home, kernels="fresh")
    while not changed or changed[-1].state is not done.state:
        assert watcher._thread.is_alive()
        watcher._thread.join(0.05)
    watcher.stop()
    return History(home, "h"), done, changed


class TestHistory:
    @pytest.mark.slow
    def test_the_watcher_reports_a_run_until_it_ends(self, ran):
        _, done, changed = ran
        assert {run.id for run in changed} == {done.id}
        assert changed[-1]["a"].state is TaskState.SUCCESS
        assert changed[-1].state is RunState.FAILED

    def test_an_attempt_has_outputs_and_a_log(self, ran):
        history, done, _ = ran
        attempt = history.attempt(done.id, "a", -1, 1)
        assert [output["data"].strip() for output in attempt["outputs"]] == ["out", "3"]
        failed = history.attempt(done.id, "b", -1, 1)
        assert failed["outputs"][-1]["mime"] == "text/x-error"
        assert "ValueError: 3" in failed["outputs"][-1]["data"]
        assert "ValueError" in failed["log"]

    def test_a_run_has_values_attempts_and_bars(self, ran):
        history, done, _ = ran
        notebook = notebooks.read(done.source)
        inputs, _ = task.run_values(notebook, "b", runs.find_run(done.id, home=history.home))
        assert [(value["name"], value["task"], value["summary"], value["stored"]) for value in inputs] == [
            ("x", "a", "3", True)
        ]
        assert [each["try_number"] for each in history.attempts(done.id, "b")] == [1]
        assert [each["task"] for each in history.timeline(done.id)["bars"]] == ["a", "b"]

    def test_the_grid_has_a_column_for_each_run(self, ran):
        history, done, _ = ran
        (column,) = history.grid()["runs"]
        assert (column["summary"]["id"], column["states"]) == (done.id, {"a": "success", "b": "failed"})
        assert [past["state"] for past in history.durations("b")] == ["failed"]

    def test_a_new_home_has_no_runs_and_is_not_created(self, tmp_path):
        empty = History(Home(tmp_path / "none"), "h")
        assert empty.runs() == []
        assert empty.grid()["runs"] == []
        assert not (tmp_path / "none").exists()


def test_the_picture_shows_files_that_nothing_orders_and_cells_that_runs_drop():
    cells = ["%%task a\nx = 1\nopen('f', 'w')", "x = 2", "%%task b\nopen('f')", "%%task c\nprint(x)"]
    drawn_dag = dag(*cells)
    for collapsed in (False, True):
        drawn = picture(drawn_dag, collapsed=collapsed)
        lines = {(line["source"], line["target"]): line for line in drawn["lines"]}
        assert lines["a", "b"]["files"] == ["f"]
        assert lines["a", "b"]["why"][0] == "nothing orders these tasks: add --after a to %%task b"
        assert lines["a", "c"]["files"] == []
        assert drawn["dropped"] == [1]
    assert 'class="line files"' in svg(drawn_dag)
