"""Runs of some tasks, with the values of earlier runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import nbdag
from nbdag import runs
from nbdag.home import Home

pytestmark = pytest.mark.usefixtures("in_process")
Write = Callable[..., Path]


def cells(extract: str = "rows = [1, 2, 3]", prep: str = "scaled = [alpha * row for row in rows]") -> tuple[str, ...]:
    return (
        "%%params\nalpha = 2",
        f"%%task extract\n{extract}",
        f"%%task prep\n{prep}",
        "%%task train\nmodel = sum(scaled)",
        "%%task other\nelse_ = 1",
        "%%task report --out text\ntext = f'{model} {else_}'",
    )


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ({"only": ["train"]}, ["train"]),
        ({"only": ["train", "extract"]}, ["extract", "train"]),
        ({"upto": ["prep"]}, ["extract", "prep"]),
        ({"from_": ["train"]}, ["train", "report"]),
        ({"upto": ["prep"], "from_": ["other"]}, ["extract", "prep", "other", "report"]),
        ({"from_": ["extract"], "only": ["other"]}, ["extract", "prep", "train", "other", "report"]),
    ],
)
def test_some_tasks_run_with_the_values_of_the_latest_run(
    write: Write, home: Home, choice: dict[str, list[str]], chosen: list[str]
) -> None:
    path = write(*cells())
    nbdag.run(path, home=home)
    run = nbdag.run(path, home=home, **choice)  # type: ignore[arg-type]
    assert [task.id for task in run] == chosen
    assert run.state.value == "success"
    assert run.warnings == ()


def test_a_value_comes_from_the_newest_run_that_has_it(write: Write, home: Home) -> None:
    path = write(*cells())
    first = nbdag.run(path, home=home)
    nbdag.run(path, home=home, only=["prep"], parameters={"alpha": 100})
    assert nbdag.run(path, home=home, only=["train"], parameters={"alpha": 100}).value("model") == 600
    assert nbdag.run(path, home=home, only=["train"], values_from=first.id).value("model") == 12


def test_a_partial_run_may_lend_what_it_borrowed(write: Write, home: Home) -> None:
    path = write(*cells())
    nbdag.run(path, home=home)
    part = nbdag.run(path, home=home, only=["train"])
    again = nbdag.run(path, home=home, only=["train"], values_from=part.id)
    assert again.value("model") == 12
    assert nbdag.load("churn", run=again.id, task="train", home=home) == {"scaled": [2, 4, 6], "model": 12}


def test_a_value_that_no_run_has_is_reported_before_the_start(write: Write, home: Home) -> None:
    with pytest.raises(
        runs.NoStoredValueError, match=r"train reads 'scaled' of prep, which no run has stored yet; .*--upto train"
    ):
        nbdag.run(write(*cells()), home=home, only=["train"])
    assert runs.list_runs(home=home) == []


def test_a_failed_task_has_no_value_to_lend(write: Write, home: Home) -> None:
    path = write(*cells(prep="scaled = rows[7]"))
    nbdag.run(path, home=home)
    with pytest.raises(runs.NoStoredValueError, match="no run has stored yet"):
        nbdag.run(path, home=home, only=["train"])


def test_a_value_that_the_earlier_run_did_not_store_is_missing(write: Write, home: Home) -> None:
    run = nbdag.run(write("%%task a\nx, y = 1, 2", "%%task b\nprint(x)"), home=home)
    with pytest.raises(runs.NoStoredValueError, match=rf"b reads 'y' of a, which run {run.id} did not store"):
        nbdag.run(write("%%task a\nx, y = 1, 2", "%%task b\nprint(x, y)"), home=home, only=["b"])


@pytest.mark.parametrize(
    ("edited", "says"),
    [
        ({"prep": "scaled = [0]"}, "prep has changed since run"),
        ({"extract": "rows = []"}, "extract, which is upstream of prep, has changed since run"),
    ],
)
def test_a_value_of_changed_code_is_used_and_reported(
    write: Write, home: Home, edited: dict[str, str], says: str
) -> None:
    nbdag.run(write(*cells()), home=home)
    run = nbdag.run(write(*cells(**edited)), home=home, only=["train"])
    (warning,) = run.warnings
    assert (warning.code, warning.name) == ("NB412", "prep")
    assert says in warning.message
    assert run.value("model") == 12


@pytest.mark.parametrize(
    ("options", "warned"),
    [("--check scaled", True), ("--change alpha", True), ("--out row", True), ("--retries 3 --doc text", False)],
)
def test_a_changed_option_is_reported_if_it_affects_the_result(
    write: Write, home: Home, options: str, warned: bool
) -> None:
    nbdag.run(write(*cells()), home=home)
    edited = (cell.replace("%%task prep", f"%%task prep {options}") for cell in cells())
    run = nbdag.run(write(*edited), home=home, only=["train"])
    assert [(each.code, each.name) for each in run.warnings] == ([("NB412", "prep")] if warned else [])


def test_a_value_of_other_parameters_is_used_and_reported(write: Write, home: Home) -> None:
    path = write(*cells())
    nbdag.run(path, home=home)
    (warning,) = nbdag.run(path, home=home, only=["train"], parameters={"alpha": 3}).warnings
    assert warning.code == "NB413"
    assert "had other parameters (alpha)" in warning.message


def test_what_was_skipped_lends_nothing_so_what_stands_above_counts(write: Write, home: Home) -> None:
    path = write(
        "import nbdag",
        "%%task a\nx = 1",
        "%%task b --when 'False'\nx = 2\nraise nbdag.Skip('not today')",
        "%%task c --trigger none_failed --out y\ny = x",
    )
    nbdag.run(path, home=home)
    assert nbdag.run(path, home=home, only=["c"]).value("y") == 1


def test_a_task_that_is_not_there_is_answered_with_the_nearest(write: Write, home: Home) -> None:
    with pytest.raises(runs.UnknownTaskError, match=r"unknown task 'trian' \(did you mean 'train'\?\); the tasks are"):
        nbdag.run(write(*cells()), home=home, upto=["trian"])


def test_a_dry_run_lists_tasks_with_reasons_and_writes_nothing(write: Write, home: Home) -> None:
    path = write(*cells())
    assert [(line.task, line.runs) for line in runs.plan_run(path, home=home, upto=["train"])] == [
        ("extract", True), ("prep", True), ("train", True), ("other", False), ("report", False),
    ]  # fmt: skip
    assert not home.root.exists()
    run = nbdag.run(path, home=home)
    lines = {line.task: line for line in runs.plan_run(write(*cells(prep="scaled = [1]")), home=home, from_=["train"])}
    assert lines["extract"].reason == "not selected"
    assert lines["prep"].reason.startswith(f"prep has changed since run {run.id}, whose values of prep are used")
    assert lines["train"].reason == "selected by --from"
    assert (lines["report"].reason, lines["report"].after) == ("it follows train", ("train",))
    assert len(runs.list_runs(home=home)) == 1
