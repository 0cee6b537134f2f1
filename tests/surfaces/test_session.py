"""Tests of the session: which cells have run, which tasks are stale, and why."""

import json
import os

import pytest

from nbdag.core.cells.cells import RawCell
from nbdag.session import Session, notebook_path


class Clock:
    """A clock that tests set by hand."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def session(clock):
    return Session(wall=clock, timer=clock)


def run(session, source, cell=None, state="success", **told):
    session.begin(source, cell)
    session.end(state, **told)


def states(session):
    return {task: mark.state for task, mark in session.dag_and_marks()[1].items()}


def reason(session, task):
    return session.dag_and_marks()[1][task].reason


CHAIN = {"a": "%%task extract\ndf = 1", "b": "%%task prep\nX = df + 1", "c": "%%task train\nmodel = X * 2"}


def run_chain(session):
    for cell, source in CHAIN.items():
        run(session, source, cell)


def test_an_unsaved_edit_makes_a_task_and_its_downstream_tasks_stale(session):
    run_chain(session)
    session.edit({"b": "%%task prep\nX = df + 2", "other": "x"})
    assert states(session) == {"extract": "success", "prep": "stale", "train": "stale"}
    assert reason(session, "prep") == "the cell was edited after it ran"
    assert session.dag().tasks["prep"].code.endswith("X = df + 1"), "the graph is that of the executed cells"
    session.edit({"b": CHAIN["b"]})
    assert states(session)["prep"] == "success"
    session.edit({"b": "%%task prep\nX = 3"})
    run(session, "%%task prep\nX = 3", "b")
    assert states(session)["prep"] == "success"


def test_the_graph_contains_the_tasks_that_have_run(session):
    run_chain(session)
    dag = session.dag()
    assert list(dag.tasks) == ["extract", "prep", "train"]
    assert [(edge.source, edge.target) for edge in dag.edges] == [("extract", "prep"), ("prep", "train")]
    assert states(session) == {"extract": "success", "prep": "success", "train": "success"}


def test_a_cell_that_runs_again_replaces_its_task(session):
    run_chain(session)
    run(session, "%%task prep\nY = 5", "b")
    assert session.dag().tasks["prep"].writes == ("Y",)
    assert list(session.dag().tasks) == ["extract", "prep", "train"], "in its old place"


def test_renaming_a_task_removes_its_old_name(session):
    run_chain(session)
    run(session, "%%task prepare\nX = df + 1", "b")
    assert list(session.dag().tasks) == ["extract", "prepare", "train"]


@pytest.mark.parametrize(
    ("again", "tasks"),
    [
        ("%%task prep\nX = df + 1", ["extract", "prep"]),
        ("%%task prep\nX = df + 2", ["extract", "prep"]),
        ("%%task prepare\nX = df + 1", ["extract", "prepare"]),
        ("%%task prep --retries 2\nX = df + 1", ["extract", "prep"]),
        ("%%task other\nZ = 1", ["extract", "prep", "other"]),
    ],
)
def test_a_cell_without_id_is_matched_by_text_then_name_then_body(session, again, tasks):
    run(session, CHAIN["a"])
    run(session, CHAIN["b"])
    run(session, again)
    assert list(session.dag().tasks) == tasks


def test_all_tasks_downstream_of_one_that_ran_again_are_stale(session):
    run_chain(session)
    run(session, CHAIN["a"], "a")
    assert states(session) == {"extract": "success", "prep": "stale", "train": "stale"}
    assert reason(session, "prep") == "extract ran again after this task"
    assert reason(session, "train") == "prep is stale"
    run(session, CHAIN["b"], "b")
    assert states(session) == {"extract": "success", "prep": "success", "train": "stale"}
    run(session, CHAIN["c"], "c")
    assert set(states(session).values()) == {"success"}


def test_a_task_downstream_of_one_that_has_not_run_is_stale(session):
    run_chain(session)
    run(session, "%%task more\nX = X + 1", "d")
    run(session, "%%task late --after more\nz = 1", "e")
    run(session, "%%task renamed\nX = X + 1", "d")
    assert "late" in session.dag().tasks


@pytest.mark.parametrize(
    ("setup", "state"),
    [("scale = 3", "stale"), ("scale = 2", "success"), ("scale = 2\nother = 1", "stale"), ("other = 1", "success")],
)
def test_tasks_that_read_a_changed_setup_cell_are_stale(session, setup, state):
    run(session, "scale = 2", "s")
    run(session, "%%task a\nx = scale", "a")
    run(session, "%%task b\ny = 1", "b")
    run(session, setup, "s")
    found = states(session)
    assert found == {"a": state, "b": "success"}
    if state == "stale":
        assert reason(session, "a") == "setup cell 1 was changed after it ran"


def test_a_task_is_running_while_its_cell_runs(session, clock):
    session.begin(CHAIN["a"], "a")
    assert states(session) == {"extract": "running"}
    clock.now += 2.5
    session.end("success")
    assert session.dag_and_marks()[1]["extract"].duration == 2.5


@pytest.mark.parametrize("state", ["failed", "skipped"])
def test_the_outcome_of_a_task_has_a_reason(session, state):
    run(session, CHAIN["a"], "a", state=state, reason="because")
    assert states(session) == {"extract": state}
    assert reason(session, "extract") == "because"


def test_a_cell_with_an_invalid_header_changes_no_state(session):
    run_chain(session)
    session.begin("%%task prep --retires 2\nX = df + 1", "b")
    session.discard()
    session.begin("%%task new --retires 2\nX = df + 1", "z")
    session.discard()
    assert states(session) == {"extract": "success", "prep": "success", "train": "success"}


@pytest.fixture
def notebook(tmp_path, clock):
    path = tmp_path / "churn.ipynb"

    def save(*cells, ids=True):
        told = [
            {"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None}
            | ({"id": cell} if ids else {})
            for cell, source in cells
        ]
        path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5 if ids else 4, "metadata": {}, "cells": told}))
        os.utime(path, (clock.now, clock.now))
        return path

    return save


@pytest.fixture
def filed(notebook, clock):
    """Return a session whose saved notebook contains the three tasks of the chain."""
    path = notebook(*CHAIN.items())
    clock.now += 10
    return Session(notebook=lambda: path, wall=clock, timer=clock)


def test_the_file_adds_tasks_that_have_not_run_and_sets_the_order(filed):
    run(filed, CHAIN["c"], "c")
    run(filed, CHAIN["a"], "a")
    assert states(filed) == {"extract": "success", "prep": "none", "train": "stale"}
    assert reason(filed, "train") == "the upstream task prep has not run"
    assert filed.dag().id == "churn"


def test_cells_that_ran_after_the_file_was_saved_replace_the_saved_ones(filed):
    run(filed, "%%task prepare\nX = df + 7", "b")
    assert list(filed.dag().tasks) == ["extract", "prepare", "train"]


def test_a_new_cell_is_placed_below_the_cell_that_ran_before_it(filed):
    run(filed, CHAIN["a"], "a")
    run(filed, "%%task between\nQ = df", "new")
    assert list(filed.dag().tasks) == ["extract", "between", "prep", "train"]


def test_a_cell_edited_after_it_ran_is_stale(filed, notebook, clock):
    for cell, source in CHAIN.items():
        run(filed, source, cell)
    clock.now += 10
    notebook(*{**CHAIN, "b": "%%task prep\nX = df + 99"}.items())
    assert states(filed) == {"extract": "success", "prep": "stale", "train": "stale"}
    assert reason(filed, "prep") == "the cell was edited after it ran"


def test_a_deleted_cell_is_removed_once_the_notebook_is_saved(filed, notebook, clock):
    for cell, source in CHAIN.items():
        run(filed, source, cell)
    clock.now += 10
    notebook(*[pair for pair in CHAIN.items() if pair[0] != "b"])
    assert list(filed.dag().tasks) == ["extract", "train"]


def test_cells_with_ids_unknown_to_the_file_are_matched_by_text_and_task(filed):
    """VS Code gives cells ids that differ from those in the file."""
    run(filed, CHAIN["a"], "vscode-notebook-cell:1")
    run(filed, "%%task prep\nX = df + 3", "vscode-notebook-cell:2")
    assert states(filed) == {"extract": "success", "prep": "success", "train": "none"}


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"cells": 3}', '{"cells": [3]}'])
def test_an_invalid_notebook_file_is_ignored(tmp_path, text):
    path = tmp_path / "x.ipynb"
    path.write_text(text)
    session = Session(notebook=lambda: path)
    run(session, CHAIN["a"], "a")
    assert states(session) == {"extract": "success"}


@pytest.mark.parametrize("minor", [0, 4])
def test_cells_of_a_notebook_without_ids_are_matched_by_text(notebook, clock, minor):
    path = notebook(*CHAIN.items(), ids=False)
    clock.now += 10
    session = Session(notebook=lambda: path, wall=clock, timer=clock)
    run(session, CHAIN["b"], "anything")
    assert states(session) == {"extract": "none", "prep": "stale", "train": "none"}


def test_the_notebooks_file_is_found_from_jupyter_and_vscode(tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    path.write_text("{}")
    other = tmp_path / "b.ipynb"
    other.write_text("{}")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert notebook_path({}) is None
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    assert notebook_path({}) == path.resolve()
    assert notebook_path({"__vsc_ipynb_file__": str(other)}) == other.resolve()
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "gone.ipynb"))
    assert notebook_path({}) is None


# -- what a %%dag cell has built ---------------------------------------------------------------------------------------


BUILD = "%%dag\nPython('fit', 'model = df')"
BUILT = [RawCell("%%task fit\nmodel = df", built=2)]


def run_builder(session, source=BUILD, cells=BUILT, cell="build"):
    session.begin(source, cell)
    session.built(cells)
    session.end("success")


def test_built_tasks_are_placed_below_their_cell_and_have_not_run(session):
    run(session, CHAIN["a"], "a")
    run_builder(session)
    run(session, "%%task report\nprint(model)", "r")
    dag = session.dag()
    assert list(dag.tasks) == ["extract", "fit", "report"]
    assert states(session) == {"extract": "success", "fit": "none", "report": "stale"}
    assert dag.problems == ()


@pytest.mark.parametrize("cell", ["build", None])
def test_a_cell_that_builds_again_replaces_its_built_tasks(session, cell):
    run_builder(session, cell=cell)
    run_builder(session, "%%dag\nPython('other', '1')", [RawCell("%%task other\n1", built=2)], cell)
    assert list(session.dag().tasks) == ["other"]


def test_a_cell_that_fails_to_build_adds_no_tasks(session):
    run_builder(session)
    run(session, "%%dag\n1 / 0", "build", "failed")
    dag = session.dag()
    assert dag.unbuilt
    assert [(each.code, each.place.cell) for each in dag.problems] == [("NB115", 0)]


def test_an_open_report_keeps_the_built_tasks_of_its_run_until_the_cell_runs(tmp_path, clock):
    session = Session(notebook=lambda: tmp_path / "nb.ipynb", wall=clock, timer=clock)
    cells = [
        {"cell_type": "code", "id": "build", "source": BUILD, "metadata": {"nbdag": {"built": 0}}},
        {"cell_type": "code", "id": "x", "source": "%%task old\n1", "metadata": {"nbdag": {"built": 2}}},
    ]
    (tmp_path / "nb.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    assert list(session.dag().tasks) == ["old"]
    run_builder(session)
    assert list(session.dag().tasks) == ["fit"]


# -- what must run again, and what a run has loaded --------------------------------------------------------------------


def saved_notebook(folder, sources):
    cells = [{"cell_type": "code", "id": id, "source": source, "metadata": {}} for id, source in sources.items()]
    path = folder / "nb.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


SHARED = {"s": "%%setup\nimport math\nscale = 2", "a": "%%task extract\ndf = 1", "b": "%%task prep\nX = df * scale"}


def test_cells_that_an_edit_makes_stale_are_listed_in_the_order_in_which_to_run_them(session):
    run_chain(session)
    assert session.stale_cells() == []
    session.edit({"b": "%%task prep\nX = df + 2"})
    assert [index for index, _ in session.stale_cells()] == [1, 2]


def test_an_edited_setup_cell_runs_before_the_tasks_that_need_it(session):
    for cell, source in SHARED.items():
        run(session, source, cell)
    session.edit({"s": "%%setup\nimport math\nscale = 3"})
    assert states(session) == {"extract": "success", "prep": "stale"}
    assert reason(session, "prep") == "setup cell 1 was edited and has not run again"
    assert [index for index, _ in session.stale_cells()] == [0, 2]


def test_a_repaired_task_and_the_upstream_tasks_that_have_not_run_are_run_too(session, tmp_path):
    session._notebook = lambda: saved_notebook(tmp_path, CHAIN)
    run(session, CHAIN["b"], "b", state="failed")
    assert session.stale_cells() == [], "a failed task that was not edited would fail again"
    session.edit({"b": "%%task prep\nX = df + 2"})
    assert session.stale_cells() == [(0, "a"), (1, "b")]


def test_tasks_whose_values_were_loaded_from_a_run_count_as_executed(session, tmp_path):
    session._notebook = lambda: saved_notebook(tmp_path, CHAIN)
    session.record_loaded("train", {"extract": CHAIN["a"], "prep": CHAIN["b"]}, reason="loaded from run r1")
    assert states(session) == {"extract": "success", "prep": "success", "train": "none"}
    assert reason(session, "prep") == "loaded from run r1"
    run(session, CHAIN["c"], "c")
    assert states(session)["train"] == "success"
    assert session.executed()["b"]["loaded"]
    session.record_loaded("train", {"prep": "%%task prep\nX = df + 9"}, reason="loaded from run r2")
    assert states(session) == {"extract": "success", "prep": "stale", "train": "stale"}
    assert session.dag().tasks["prep"].code.endswith("X = df + 1"), "the graph is that of the file"


def test_the_cells_that_a_task_needs_and_that_have_not_run_are_known(session, tmp_path):
    session._notebook = lambda: saved_notebook(tmp_path, SHARED)
    assert session.cells_without_run("prep") == (0,)
    assert session.cells_without_run("prep", known=["scale"]) == ()
    assert session.cells_without_run("extract") == ()
    run(session, SHARED["s"], "s")
    assert session.cells_without_run("prep") == ()
