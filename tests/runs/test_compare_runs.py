"""Two runs are compared: parameters, metrics, states, durations, and other values."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from nbdag import runs
from nbdag.cli import main
from nbdag.home import Home

CELLS = (
    "%dag churn",
    "%%params\nalpha = 0.5",
    "%%task fit --out accuracy --out rows --out label --out big\n"
    "accuracy = alpha * 1.5\nrows = [alpha]\nbig = [1] * 9999 + [alpha]\nlabel = 'v1'",
    "%%task deploy\nassert accuracy < 1",
)


@pytest.mark.usefixtures("in_process")
def test_what_differs_between_two_runs_is_printed(
    write: Callable[..., Path], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(*CELLS)
    first = runs.run(path, home=home)
    second = runs.run(path, parameters={"alpha": 0.75}, home=home)
    found = runs.compare_runs(first.id, "latest", home=home)
    assert [(each.before, each.after) for each in found.parameters] == [(None, 0.75)]
    assert [(each.task, each.name, each.before, each.after) for each in found.metrics] == [
        ("fit", "accuracy", 0.75, 1.125)
    ]
    assert [(each.task, each.before, each.after) for each in found.states if not each.same] == [
        ("deploy", "success", "failed")
    ]
    assert [each.name for each in found.values] == ["big", "rows"]
    assert (found.values[1].before, found.values[1].after) == ("[0.5]", "[0.75]")
    assert {each.task for each in found.durations} == {"fit", "deploy"}
    assert not found.notebook_changed
    stored = runs.outputs_by_task(second)
    assert {task: list(outputs) for task, outputs in stored.items()} == {"fit": ["accuracy", "big", "label", "rows"]}

    monkeypatch.setenv("NBDAG_HOME", str(home.root))
    done = CliRunner().invoke(main, ["compare", first.id, second.id])
    assert done.exit_code == 0
    for line in ("alpha (default) 0.75", "fit.accuracy 0.75 1.125 +0.375 (+50.0%)", "fit.rows [0.5] [0.75]"):
        assert line in [" ".join(each.split()) for each in done.output.splitlines()]
    assert re.search(r"^fit\.big .* \(differs\) *$", done.output, re.MULTILINE)

    assert CliRunner().invoke(main, ["compare"]).output == done.output
    refused = CliRunner().invoke(main, ["compare", first.id], standalone_mode=False)
    assert isinstance(refused.exception, runs.NoEarlierRunError)
    refused = CliRunner().invoke(main, ["status", "churn"], standalone_mode=False)
    assert str(refused.exception).endswith("for the latest run of churn, write `latest --dag churn`")

    write("%dag other", "%%task a\nx = 1", name="other.ipynb")
    other = runs.run(path.with_name("other.ipynb"), home=home)
    refused = CliRunner().invoke(main, ["compare", first.id, other.id], standalone_mode=False)
    assert isinstance(refused.exception, runs.DifferentDagsError)
    assert "choose two runs of one DAG" in str(refused.exception)
