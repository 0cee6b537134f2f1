"""The report: the user's notebook, with each task's outputs where they belong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from nbdag.core.model.dag import Cell, CellKind, Dag, Task
from nbdag.core.model.states import TaskState
from nbdag.core.options.options import DagOptions, TaskOptions
from nbdag.reports import TaskOutcome, report, write

KINDS = [
    ("markdown", CellKind.PROSE, "# Title"),
    ("code", CellKind.PARAMETERS, "alpha = 1"),
    ("code", CellKind.SETUP, "print('setup')"),
    ("code", CellKind.TASK, "%%task one\n1 + 1"),
    ("code", CellKind.SCRATCH, "scratch"),
    ("code", CellKind.TASK, "%%task two\n1 / 0"),
    ("code", CellKind.CONTROL, "%dag"),
]
OLD = {"output_type": "stream", "name": "stdout", "text": "of an earlier time"}


def stream(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


def result(text: str, count: int) -> dict[str, Any]:
    return {"output_type": "execute_result", "execution_count": count, "data": {"text/plain": text}, "metadata": {}}


ERROR = {"output_type": "error", "ename": "ZeroDivisionError", "evalue": "division by zero", "traceback": ["…"]}


def source(minor: int = 5, *, as_list: bool = False) -> str:
    cells = []
    for n, (kind, _, text) in enumerate(KINDS):
        cell: dict[str, Any] = {
            "cell_type": kind,
            "metadata": {"keep": n},
            "source": text.splitlines(True) if as_list else text,
        }
        if minor >= 5:
            cell["id"] = f"c{n}"
        if kind == "code":
            cell |= {"execution_count": 77, "outputs": [OLD]}
        cells.append(cell)
    return json.dumps({"nbformat": 4, "nbformat_minor": minor, "metadata": {"mine": True}, "cells": cells})


@pytest.fixture
def dag() -> Dag:
    cells = tuple(Cell(index=n, kind=kind, source=text, code=text) for n, (_, kind, text) in enumerate(KINDS))
    tasks = {
        "one": Task(id="one", cell=3, options=TaskOptions(), code="", setup=(2,)),
        "two": Task(id="two", cell=5, options=TaskOptions(), code="", setup=(2,)),
    }
    return Dag(id="d", options=DagOptions(), cells=cells, tasks=tasks)


@pytest.fixture
def attempt(tmp_path: Path):
    def make(
        name: str, *outputs: dict[str, Any], helper: tuple[dict[str, Any], ...] = (), setup: str = "setup", **metadata
    ) -> str:
        cells = [
            (["nbdag"], "begin", ()),
            (["nbdag-parameters", "parameters"], "alpha = 1", ()),
            (["injected-parameters"], "# Parameters\nalpha = 5\n", ()),
            (["nbdag-setup"], "setup", (stream(setup),)),
            (["nbdag-task"], "code", outputs),
            (["nbdag"], "finish", helper),
        ]
        nb = {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": metadata,
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"x{n}",
                    "source": text,
                    "metadata": {"tags": tags},
                    "execution_count": n,
                    "outputs": list(outs),
                }
                for n, (tags, text, outs) in enumerate(cells)
            ],
        }
        path = tmp_path / f"{name}.ipynb"
        path.write_text(json.dumps(nb))
        return str(path)

    return make


def done(task: str, notebook: str, at: float, state: TaskState = TaskState.SUCCESS, **said: Any) -> TaskOutcome:
    return TaskOutcome(task=task, state=state, try_number=1, notebook=notebook, started=at, ended=at + 2.5, **said)


def sources(nb: dict[str, Any]) -> list[str]:
    return ["".join(cell["source"]) for cell in nb["cells"]]


@pytest.mark.parametrize("minor", range(6))
@pytest.mark.parametrize("as_list", [True, False])
def test_before_any_task_has_run_the_report_is_the_notebook_without_outputs(
    dag: Dag, minor: int, as_list: bool
) -> None:
    nb = report(source(minor, as_list=as_list), dag, [])
    nbformat.validate(nb)
    assert sources(nb) == [text for _, _, text in KINDS]
    assert [cell["metadata"]["keep"] for cell in nb["cells"]] == list(range(len(KINDS)))
    assert all(cell["outputs"] == [] for cell in nb["cells"] if cell["cell_type"] == "code")
    assert nb["metadata"]["mine"]


def test_each_task_shows_its_own_outputs_and_setup_those_of_the_first_that_ran(dag: Dag, attempt) -> None:
    late = done("one", attempt("one", result("2", 9), setup="late"), 200.0)
    early = done("two", attempt("two", stream("two"), setup="early"), 100.0)
    nb = report(source(), dag, [late, early], about={"run_id": "r1"})
    nbformat.validate(nb)
    _, _, setup, one, scratch, two, _ = nb["cells"]
    assert (two["execution_count"], one["execution_count"]) == (1, 2)  # in the order in which they began
    assert one["outputs"] == [result("2", 2)]
    assert two["outputs"] == [stream("two")]
    assert setup["outputs"] == [stream("early")]
    assert scratch["outputs"] == []
    assert one["metadata"]["papermill"] == {
        "start_time": "1970-01-01T00:03:20+00:00",
        "end_time": "1970-01-01T00:03:22.500000+00:00",
        "duration": 2.5,
        "exception": False,
        "status": "completed",
    }
    assert nb["metadata"]["nbdag"] == {"run_id": "r1"}
    assert nb["metadata"]["papermill"]["duration"] == 102.5


def test_a_failure_is_shown_where_papermill_shows_it(dag: Dag, attempt) -> None:
    failed = done("two", attempt("two", ERROR), 1.0, TaskState.FAILED, error="ZeroDivisionError: division by zero")
    nb = report(source(), dag, [failed])
    nbformat.validate(nb)
    top, anchor = nb["cells"][0], nb["cells"][6]
    assert "An Exception was encountered" in top["source"]
    assert 'href="#papermill-error-cell"' in top["source"]
    assert 'id="papermill-error-cell"' in anchor["source"]
    assert nb["cells"][7]["outputs"] == [ERROR]
    assert nb["metadata"]["papermill"]["exception"]


def test_a_check_that_failed_is_shown_in_the_tasks_cell(dag: Dag, attempt) -> None:
    error = ERROR | {"ename": "Fail"}
    nb = report(source(), dag, [done("two", attempt("two", stream("a"), helper=(error,)), 1.0, TaskState.FAILED)])
    assert [cell for cell in nb["cells"] if "task two" in "".join(cell["source"])][-1]["outputs"] == [
        stream("a"),
        error,
    ]


def test_a_task_whose_process_was_terminated_shows_it(dag: Dag, attempt) -> None:
    ended = done("two", attempt("two", stream("so far")), 1.0, TaskState.FAILED, error="timed out after 5 s")
    nb = report(source(), dag, [ended])
    (cell,) = [cell for cell in nb["cells"] if "".join(cell["source"]).startswith("%%task two")]
    assert cell["outputs"][0] == stream("so far")
    assert (cell["outputs"][1]["output_type"], cell["outputs"][1]["evalue"]) == ("error", "timed out after 5 s")


def test_a_task_that_did_not_run_shows_the_reason(dag: Dag) -> None:
    nb = report(source(), dag, [TaskOutcome(task="two", state=TaskState.UPSTREAM_FAILED)])
    assert "did not run" in nb["cells"][5]["outputs"][0]["data"]["text/plain"]


def test_instances_of_a_mapped_task_are_listed_in_order(dag: Dag, attempt) -> None:
    shown = [done("one", attempt(f"one{n}", stream(f"{n}")), 10.0 - n, map_index=n) for n in range(2)]
    outputs = report(source(), dag, shown)["cells"][3]["outputs"]
    assert [output.get("text") or output["data"]["text/plain"] for output in outputs] == [
        "── one[0] ──",
        "0",
        "── one[1] ──",
        "1",
    ]


def test_the_most_important_state_of_the_instances_is_shown(dag: Dag) -> None:
    states = (TaskState.FAILED, TaskState.RUNNING, TaskState.SUCCESS)
    shown = [TaskOutcome(task="one", state=state, map_index=n, started=1.0) for n, state in enumerate(states)]
    nb = report(source(), dag, shown)
    assert [cell["metadata"]["nbdag"]["state"] for cell in nb["cells"] if "nbdag" in cell["metadata"]] == ["failed"]


def test_overrides_are_shown_as_papermill_does(dag: Dag, attempt) -> None:
    nb = report(source(), dag, [done("one", attempt("one"), 1.0)], parameters={"alpha": 5})
    nbformat.validate(nb)
    assert nb["cells"][2]["metadata"]["tags"] == ["injected-parameters"]
    assert nb["cells"][2]["source"] == "# Parameters\nalpha = 5\n"
    assert nb["metadata"]["papermill"]["parameters"] == {"alpha": 5}


def test_a_bare_dag_cell_can_show_its_picture(dag: Dag) -> None:
    picture = {"output_type": "display_data", "data": {"image/svg+xml": "<svg/>"}, "metadata": {}}
    assert report(source(), dag, [], displays={6: picture})["cells"][6]["outputs"] == [picture]


def test_every_cell_has_a_unique_id_even_if_the_notebook_has_none(dag: Dag) -> None:
    nb = json.loads(source())
    del nb["cells"][0]["id"], nb["cells"][1]["id"]
    nb["cells"][3]["id"] = "c2"
    told = report(json.dumps(nb), dag, [TaskOutcome(task="two", state=TaskState.FAILED, started=1.0, ended=2.0)])
    ids = [cell["id"] for cell in told["cells"]]
    assert len(set(ids)) == len(ids) == len(KINDS) + 2
    assert {"c2", "c4", "c5", "c6"} < set(ids)
    nbformat.validate(told)
    assert told == report(
        json.dumps(nb), dag, [TaskOutcome(task="two", state=TaskState.FAILED, started=1.0, ended=2.0)]
    )


def test_widgets_are_kept(dag: Dag, attempt) -> None:
    mime = "application/vnd.jupyter.widget-state+json"
    states = [{mime: {"state": {name: {"model_name": name}}}} for name in "ab"]
    shown = [done(task, attempt(task, widgets=state), 1.0) for task, state in zip(("one", "two"), states, strict=True)]
    nb = report(source(), dag, shown)
    assert set(nb["metadata"]["widgets"][mime]["state"]) == {"a", "b"}


@pytest.mark.parametrize("content", [None, "", '{"cells": [', "[]"])
def test_an_unreadable_attempt_shows_no_outputs(dag: Dag, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "now.ipynb"
    if content is not None:
        path.write_text(content)
    running = TaskOutcome(task="one", state=TaskState.RUNNING, try_number=1, notebook=str(path), started=1.0)
    assert report(source(), dag, [running])["cells"][3]["outputs"] == []


def test_the_report_is_written_atomically(dag: Dag, tmp_path: Path) -> None:
    path = tmp_path / "report.ipynb"
    path.write_text("old")
    inode = path.stat().st_ino
    write(report(source(), dag, []), path)
    assert path.stat().st_ino != inode
    assert sources(json.loads(path.read_text())) == [text for _, _, text in KINDS]
    assert [each.name for each in tmp_path.iterdir()] == ["report.ipynb"]


def test_a_failed_write_leaves_no_file(dag: Dag, tmp_path: Path) -> None:
    (tmp_path / "report.ipynb").mkdir()
    with pytest.raises(OSError, match="directory"):
        write(report(source(), dag, []), tmp_path / "report.ipynb")
    assert [each.name for each in tmp_path.iterdir()] == ["report.ipynb"]
