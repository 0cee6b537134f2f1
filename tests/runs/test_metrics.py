"""Numbers that runs keep: recorded for each run, carried by the cache, replaced by clear, listed over runs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import nbdag
from nbdag import runs
from nbdag.cli import main
from nbdag.home import Home

CELLS = (
    "%%params\nalpha = 0.5",
    "%%task load\nimport pathlib\nrows = 120",
    "%%task fit --metric accuracy --cache\naccuracy = alpha * rows / 100\nloss = float('nan')\nmodel = [loss]",
    "%%task grid --map k=[1,2,3] --metric score\nscore = k * alpha",
    "%%task use\nassert model and loss",
)


def printed(*arguments: str) -> list[str]:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return [" ".join(line.split()) for line in done.output.splitlines()]


@pytest.mark.usefixtures("in_process")
def test_metrics_are_kept_for_each_run_and_listed(
    write: Callable[..., Path], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(*CELLS)
    first = runs.run(path, home=home)
    second = runs.run(path, parameters={"alpha": 0.25}, home=home)
    assert first["fit"].to_dict()["metrics"] == {"accuracy": 0.6, "loss": "NaN"}
    assert [each.metrics[0].value for each in first if each.id == "grid"] == [0.5, 1.0, 1.5]

    history = runs.metric_history("churn", home=home)
    assert [each.id for each in history.runs] == [first.id, second.id]
    assert [(each.label, each.marked) for each in history.series] == [
        ("fit.accuracy", True), ("grid.score", True), ("load.rows", False), ("fit.loss", False),
    ]  # fmt: skip
    accuracy, score, _, loss = history.series
    assert [point.value for point in accuracy.points.values()] == [0.6, 0.3]
    assert [(p.value, p.lowest, p.highest, p.count) for p in score.points.values()] == [
        (1.0, 0.5, 1.5, 3), (0.5, 0.25, 0.75, 3),
    ]  # fmt: skip
    assert math.isnan(loss.points[first.id].value)
    assert runs.metric_history(str(path), 1, home=home).to_dict()["metrics"][0]["values"] == [
        {"run_id": second.id, "value": 0.3}
    ]

    monkeypatch.setenv("NBDAG_HOME", str(home.root))
    lines = printed("metrics", "churn")
    assert lines[0] == "run state created fit.accuracy grid.score"
    assert lines[1].startswith(f"{second.id} ✓ success")
    assert lines[1].endswith(" 0.3 0.5 (0.25 to 0.75)")
    assert lines[3:] == ["lowest 0.3 0.5", "highest 0.6 1", "--all shows 2 more metrics"]
    assert printed("metrics", str(path), "--all")[0].endswith("grid.score load.rows fit.loss")
    data = json.loads("\n".join(printed("metrics", "churn", "-o", "json")))
    assert data["metrics"][3]["values"][0] == {"run_id": first.id, "value": "NaN"}
    compared = printed("compare", first.id, second.id)
    assert compared[3:6] == [
        "metric before after change",
        "fit.accuracy 0.6 0.3 -0.3 (-50.0%)",
        "grid.score 1 0.5 -0.5 (-50.0%)",
    ]


@pytest.mark.usefixtures("in_process")
def test_a_cached_task_has_the_metrics_of_its_result_and_a_cleared_one_those_of_its_next_attempt(
    write: Callable[..., Path], home: Home, tmp_path: Path
) -> None:
    path = write(*CELLS)
    first = runs.run(path, home=home)
    notebook = first["fit"].notebook
    assert notebook is not None
    notebook.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (".ipynb", ".log"):  # which the cache copies; tasks in this process write none
        notebook.with_suffix(suffix).write_text("{}")
    again = runs.run(path, home=home)
    assert again["fit"].cached == first.id
    assert again["fit"].metrics[0] == first["fit"].metrics[0]

    path = write(
        f"%%task a --metric n\nimport pathlib\nn = len(list(pathlib.Path({str(tmp_path)!r}).glob('*.txt')))",
        name="count.ipynb",
    )
    run = runs.run(path, home=home)
    (tmp_path / "one.txt").touch()
    runs.clear(run.id, ["a"], dag="count", home=home)
    assert runs.metric_history("count", home=home).series == ()
    runs.resume(run.id, dag="count", home=home)
    (series,) = runs.metric_history("count", home=home).series
    assert [point.value for point in series.points.values()] == [1.0]


@pytest.mark.usefixtures("in_process")
def test_a_home_without_runs_has_no_metrics(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs.metric_history("churn", home=home).to_dict() == {"dag": "churn", "runs": [], "metrics": []}
    monkeypatch.setenv("NBDAG_HOME", str(home.root))
    assert printed("metrics", "churn") == ["no runs of churn"]


@pytest.mark.parametrize(
    ("header", "cell", "hint"),
    [
        ("--metric acuracy", "accuracy = 1", "did you mean accuracy?"),
        ("--metric loss", "accuracy = 1", "set loss in the cell, or remove it from --metric"),
        ("--metric accuracy", "if True:\n    accuracy = 1", None),
        ("--metric accuracy", "exec('accuracy = 1')", None),
        ("--metric pi", "from math import *", None),
        ("--metric total --operator sql --out total", "SELECT 1", None),
    ],
)
def test_check_reports_a_metric_that_its_task_cannot_set(
    write: Callable[..., Path], header: str, cell: str, hint: str | None
) -> None:
    dag = nbdag.read(write(f"%%task fit {header}\n{cell}"))
    assert [each.hint for each in dag.problems if each.code == "NB322"] == ([] if hint is None else [hint])
