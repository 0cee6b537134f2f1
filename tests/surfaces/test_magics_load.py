"""`%nbdag load`: a task of a headless run, loaded into a real kernel."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from nbdag import runs
from nbdag.home import Home

sys.path.insert(0, str(Path(__file__).parent))
from kernel import Kernel

CELLS = (
    "%load_ext nbdag",
    "%%params\nfrom datetime import date\nday: date = date(2026, 1, 1)\nn = 2\npassword = ''",
    "import math",
    "%%task rows\nrows = list(range(n))",
    "%%task each --map r=rows --out ratio\nratio = 6 // r",
    "%%task total --trigger all_done\nroot = math.sqrt(len(rows))\nf'{day:%d}{password}'\nroot / 0",
    "%%task last\nprint(root)",
)
PLACE = "application/vnd.nbdag.place+json"


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A kernel of a notebook of which one run failed."""
    folder = tmp_path_factory.mktemp("load")
    path, home = folder / "fails.ipynb", Home(folder / ".nbdag")
    cells = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": each, "execution_count": None, "outputs": []}
        for n, each in enumerate(CELLS)
    ]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    parameters = {"n": 3, "day": "2025-02-03", "password": "hidden"}
    ended = runs.run(path, parameters=parameters, home=home)
    assert {str(each.state) for each in ended} == {"success", "failed", "upstream_failed"}
    env = {
        **os.environ,
        "IPYTHONDIR": str(folder / "ipython"),
        "NBDAG_HOME": str(home.root),
        "JPY_SESSION_NAME": str(path),
    }
    started = Kernel(cwd=str(folder), env=env)
    try:
        assert started.run("%load_ext nbdag").status == "ok"
        yield started
    finally:
        started.stop()


def loaded(kernel, line):
    """Return the text and the place that the magic shows."""
    reply = kernel.run(line)
    assert reply.status == "ok", reply.traceback
    (shown,) = reply.of("display_data")
    return shown["data"]["text/plain"], shown["data"].get(PLACE)


def test_the_inputs_of_a_failed_task_are_set_with_the_place_where_it_failed(kernel):
    text, place = loaded(kernel, "%nbdag load total")
    first, second, third, fourth = text.splitlines()
    assert first.startswith("loaded day, rows of total in run manual__")
    assert second == "total (failed) is in cell 6, line 4"
    assert "password" in third and "secret" in third
    assert fourth == "run cells 2, 3 and load total again: total needs values of cells 2, 3"
    assert place == {"cell": 5, "line": 4}
    assert kernel.run("type(day).__name__, f'{day}', rows").result == "('date', '2025-02-03', [0, 1, 2])"


def test_the_first_failed_instance_of_a_mapped_task_is_loaded_with_its_element(kernel):
    assert "loaded r, rows of each[0]" in loaded(kernel, "%nbdag load each")[0]
    assert kernel.run("r").result == "0"
    assert "each[2] (success)" in loaded(kernel, "%nbdag load each[2]")[0]
    assert kernel.run("r, ratio").result == "(2, 3)"
    kernel.run("del ratio")
    loaded(kernel, "%nbdag load each[1] --inputs")
    assert kernel.run("r, 'ratio' in globals()").result == "(1, False)"


def test_an_input_that_no_task_stored_is_named(kernel):
    text, _ = loaded(kernel, "%nbdag load last")
    assert "did not store root: no task that sets it succeeded" in text
    assert "last (upstream failed)" in text


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("%nbdag load nothing", "no task 'nothing'; its tasks are rows, each, total, last"),
        ("%nbdag load each[9]", "each has no instance 9; the instances are 0 to 2"),
        ("%nbdag load total --run never", "unknown run 'never'"),
        ("%nbdag load", "Missing argument 'TASK'"),
        ("%nbdag load total --outputs", "No such option"),
    ],
)
def test_what_cannot_be_loaded_is_explained_in_a_sentence(kernel, line, reason):
    reply = kernel.run(line)
    assert reply.status == "error"
    assert reason in f"{reply.stderr}{reply.traceback}"


def test_commands_read_the_notebook_of_the_kernel_unless_another_is_named(kernel):
    assert "4 tasks" in kernel.run("%nbdag check").stdout
    assert "rows" in kernel.run("%nbdag show").stdout
    assert "has tasks already" in kernel.run("%nbdag suggest").stderr
    assert "missing.ipynb" in kernel.run("%nbdag check missing.ipynb").stderr


def test_load_its_options_and_the_tasks_are_completed(kernel):
    assert "load" in kernel.complete("%nbdag lo")[0]
    assert kernel.complete("%nbdag load to")[0] == ["total"]
    assert kernel.complete("%nbdag load total --in")[0] == ["--inputs"]
