"""Tests of the command line with notebooks whose tasks a `%%dag` cell builds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WriteNotebook = Callable[..., Path]

SWEEP = (
    ("markdown", "# A sweep"),
    "%%params\nn = 2",
    "%%task extract\nX = [1, 2, 3]",
    "%%dag sweep\nprint('building', n)\n"
    "for depth in range(n):\n    Python(f'fit_{depth}', f'm{depth} = sum(X) * {depth}')",
    "%%task report --after fit_0\nprint('m0 is', m0)",
)


def test_check_json_uses_cell_positions_of_the_file(write_notebook: WriteNotebook, nbdag: Any) -> None:
    done = nbdag("check", "--json", write_notebook(*SWEEP, "%%task last\nnosuch"))
    assert done.returncode == 1
    assert done.stderr == "building 2\n"
    told = json.loads(done.stdout)
    assert {task["id"]: task["cell"] for task in told["tasks"]} == {
        "extract": 2, "fit_0": 3, "fit_1": 3, "report": 4, "last": 5,
    }  # fmt: skip
    assert [(each["code"], each["task"], each["cell"], each["line"]) for each in told["problems"]] == [
        ("NB201", "last", 5, 2)
    ]
    reads = {edge["to"]: edge["names"][0] for edge in told["edges"] if edge["from"] in ("extract", "fit_0")}
    assert reads["fit_1"] == {"name": "X", "read_at": [3, 4], "written_at": [2, 2]}
    assert reads["report"] == {"name": "m0", "read_at": [4, 2], "written_at": [3, 4]}


def test_check_shows_the_line_that_built_a_faulty_task(write_notebook: WriteNotebook, nbdag: Any) -> None:
    path = write_notebook(*SWEEP[:3], "%%dag\n\nPython('fit', '''x = 1\ny = nosuch''')", "1 / 0", "%%task last\nunset")
    done = nbdag("check", path)
    assert "nb.ipynb: cell 4, line 3: NB201 error: no cell above sets nosuch (line 2 of fit)" in done.stdout
    assert "     3 | Python('fit', '''x = 1\n" in done.stdout
    assert "     2 | unset\n" in done.stdout


@pytest.mark.slow
def test_parameters_decide_which_tasks_a_run_builds(write_notebook: WriteNotebook, nbdag: Any) -> None:
    path = write_notebook(*SWEEP)
    done = nbdag("run", path, "-p", "n", "1", "--json", "--kernels", "fresh")
    assert done.returncode == 0, done.stderr
    assert [task["id"] for task in json.loads(done.stdout)["tasks"]] == ["extract", "fit_0", "report"]
    assert done.stderr.count("building 1") == 1
    planned = nbdag("run", path, "-p", "n", "1", "--from", "fit_0", "--dry-run", "--json")
    assert [(each["task"], each["runs"]) for each in json.loads(planned.stdout)] == [
        ("extract", False), ("fit_0", True), ("report", True),
    ]  # fmt: skip


@pytest.mark.slow
def test_status_reports_that_a_queued_run_is_not_built_yet(write_notebook: WriteNotebook, nbdag: Any) -> None:
    assert nbdag("deploy", write_notebook(*SWEEP)).returncode == 0
    assert nbdag("trigger", "sweep", "-p", "n", "two").returncode == 0
    assert "its tasks are built when the run starts" in nbdag("status", "latest").stdout
    assert "they are not built" in nbdag("why", "latest", "fit_0").stderr
    assert nbdag("resume", "latest").returncode == 1
    assert "cell 4, line 3: TypeError" in nbdag("status", "latest").stdout


@pytest.mark.slow
def test_a_build_error_is_reported_once_and_no_task_runs(write_notebook: WriteNotebook, nbdag: Any) -> None:
    path = write_notebook(*SWEEP[:3], "%%dag\nPython('a', '1', retires=2)")
    for command in ("run", "deploy"):
        done = nbdag(command, path)
        assert done.returncode == 1
        assert "cell 4, line 2: NB114 error: unknown keyword retires for Python (did you mean retries?)" in done.stderr
        assert done.stderr.count("NB114") == 1
    assert not nbdag.home.exists()
    shown = nbdag("show", path)
    assert "extract" in shown.stdout
    assert "NB114" in shown.stderr
