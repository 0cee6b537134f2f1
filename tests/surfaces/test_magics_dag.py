"""Tests of the picture that `%dag` draws and updates in the live notebook, in a real kernel."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nbdag.packages import is_built

sys.path.insert(0, str(Path(__file__).parent))
from kernel import notebook_kernel, reset

CELLS = {
    "load": "%load_ext nbdag",
    "dag": "%dag churn --owner ml",
    "setup": "%%setup\nimport math",
    "extract": "%%task extract\ndf = [1, 2, 3]",
    "prep": "%%task prep\nX = [row * 2 for row in df]\ny = len(df)",
    "train": "%%task train --retries 2\nmodel = sum(X) / y",
    "picture": "%dag",
}


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Yield one kernel for all tests."""
    with notebook_kernel(tmp_path_factory.mktemp("kernel"), "churn_notebook.ipynb") as kernel:
        yield kernel


@pytest.fixture
def kernel(started):
    """Return the kernel in its initial state."""
    return reset(started)


def save(kernel, cells, seconds=0):
    """Write the notebook's file, with a modification time so many `seconds` ago."""
    told = [
        {"cell_type": "code", "id": cell, "metadata": {}, "source": source, "outputs": [], "execution_count": None}
        for cell, source in cells.items()
    ]
    kernel.path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": told}))
    moment = kernel.path.stat().st_mtime + seconds
    os.utime(kernel.path, (moment, moment))


def run(kernel, *cells, of=CELLS):
    return [kernel.run(of[cell], cell) for cell in cells]


def pictures(reply):
    """Return the drawn or updated pictures as lines of text, without titles."""
    return [
        [line.strip() for line in content["data"]["text/plain"].splitlines()[1:]]
        for content in reply.of("display_data", "update_display_data")
    ]


def test_bare_dag_draws_the_tasks_that_have_run(kernel):
    replies = run(kernel, "dag", "setup", "extract", "prep", "train", "picture")
    assert [reply.status for reply in replies] == ["ok"] * 6
    assert pictures(replies[-1]) == [
        ["✓ extract  [done]", "✓ prep     ← extract (df)  [done]", "✓ train    ← prep (X, y)  [done]"]
    ]
    data = replies[-1].of("display_data")[0]["data"]
    widget = {"application/vnd.jupyter.widget-view+json"} if is_built() else set()
    assert set(data) == {"text/html", "image/svg+xml", "text/plain"} | widget
    assert data["text/plain"].startswith("churn: 3 tasks")
    assert "done, " in data["image/svg+xml"]
    assert re.search(r"df: written in cell \d+, line 2; read in cell \d+, line 2", data["image/svg+xml"])


def test_the_picture_is_updated_in_place_as_cells_run(kernel):
    run(kernel, "dag", "setup", "extract")
    drawn = run(kernel, "picture")[0].of("display_data")[0]
    reply = run(kernel, "prep")[0]
    again = reply.of("update_display_data")
    assert {update["transient"]["display_id"] for update in again} == {drawn["transient"]["display_id"]}
    assert pictures(reply) == [
        ["✓ extract  [done]", "◐ prep     ← extract (df)  [running]"],
        ["✓ extract  [done]", "✓ prep     ← extract (df)  [done]"],
    ]


@pytest.mark.skipif(not is_built(), reason="the front end is not built")
def test_no_picture_is_sent_while_a_page_may_still_show_the_widget(kernel):
    kernel.quietly("import nbdag.magics.graph_display as graph_display; graph_display.WIDGET_TIMEOUT = 3600")
    run(kernel, "extract", "picture")
    assert pictures(run(kernel, "prep")[0]) == []


def test_an_unchanged_picture_is_not_sent_again(kernel):
    run(kernel, "extract", "picture")
    assert pictures(kernel.run("1 + 1", "scratch")) == []


def test_failed_skipped_and_stale_tasks_are_shown_with_their_reasons(kernel):
    run(kernel, "extract", "prep", "picture")
    kernel.run("%%task train\nmodel = X / 0", "train")
    kernel.run("%%task extra --when 'y > 100'\nz = y", "extra")
    last = pictures(run(kernel, "extract")[0])[-1]
    assert last == [
        "✓ extract  [done]",
        "△ prep     ← extract (df)  [stale: extract ran again after this task]",
        "✗ train    ← prep (X)  [failed: TypeError: unsupported operand type(s) for /: 'list' and 'int']",
        "» extra    ← prep (y)  [skipped: --when y > 100 is false]",
    ]


def test_renaming_a_task_removes_its_old_name_from_the_graph(kernel):
    run(kernel, "extract", "prep", "picture")
    last = pictures(kernel.run("%%task prepare\nX = [row * 2 for row in df]", "prep"))[-1]
    assert last == ["✓ extract  [done]", "✓ prepare  ← extract (df)  [done]"]


def test_an_invalid_header_does_not_change_the_state_of_the_task(kernel):
    run(kernel, "extract", "prep", "picture")
    last = pictures(kernel.run("%%task prep --retires 2\nX = 1", "prep"))[-1]
    assert last == ["✓ extract  [done]", "✓ prep     ← extract (df)  [done]"]


def test_cells_that_ran_before_the_extension_was_loaded_are_included(kernel):
    kernel.quietly("%unload_ext nbdag")
    kernel.run("import math", "early")
    kernel.run("%load_ext nbdag", "load")
    kernel.run("%%task a\nx = math.pi", "a")
    data = run(kernel, "picture")[0].of("display_data")[0]["data"]
    assert "math" not in data["text/plain"], "no problem: setup sets it"


def test_tasks_of_the_file_that_have_not_run_are_shown_in_its_order(kernel):
    save(kernel, CELLS, seconds=-60)
    run(kernel, "prep")  # fails: there is no df
    reply = run(kernel, "extract", "picture")[-1]
    assert pictures(reply) == [
        [
            "✓ extract  [done]",
            "✗ prep     ← extract (df)  [failed: NameError: name 'df' is not defined]",
            "○ train    ← prep (X, y)",
        ]
    ]


def test_a_task_whose_cell_was_edited_and_saved_is_stale(kernel):
    save(kernel, CELLS, seconds=-60)
    run(kernel, "extract", "prep")
    save(kernel, {**CELLS, "prep": "%%task prep\nX = df\ny = 3"}, seconds=60)
    assert pictures(run(kernel, "picture")[0]) == [
        [
            "✓ extract  [done]",
            "△ prep     ← extract (df)  [stale: the cell was edited after it ran]",
            "○ train    ← prep (X, y)",
        ]
    ]


def test_problems_are_shown_below_the_picture(kernel):
    run(kernel, "extract")
    kernel.run("%%task prep --after extrakt\nX = df", "prep")
    data = run(kernel, "picture")[0].of("display_data")[0]["data"]
    assert "NB203" in data["text/plain"]
    assert re.search(r"<li>✗ NB203 .*did you mean", data["text/html"])


def test_text_from_a_notebook_is_escaped_in_the_picture(kernel):
    kernel.run("%%task a --doc '</title><script>alert(1)</script>' --when 'True or \"<script>\"'\nx = 1", "a")
    data = run(kernel, "picture")[0].of("display_data")[0]["data"]
    assert "<script>" not in data["text/html"] + data["image/svg+xml"]


@pytest.mark.parametrize("loaded", [True, False])
def test_a_dag_object_is_displayed_as_a_graph(kernel, loaded):
    save(kernel, CELLS)
    if not loaded:
        kernel.quietly(
            "%unload_ext nbdag\nimport sys\nfor name in [*sys.modules]:\n    if name.split('.')[0] == 'nbdag': del sys.modules[name]"
        )
        kernel.quietly("get_ipython().display_formatter.mimebundle_formatter.deferred_printers.clear()")
    reply = kernel.run(f"import nbdag\nnbdag.read({str(kernel.path)!r})")
    data = reply.of("execute_result")[0]["data"]
    assert {"text/html", "image/svg+xml"} <= set(data)
    assert data["text/plain"].startswith("churn: 3 tasks")


def test_an_empty_graph_explains_how_to_tag_a_task(kernel):
    data = run(kernel, "picture")[0].of("display_data")[0]["data"]
    assert "Begin a cell with %%task NAME to create a task" in data["text/plain"]


def test_the_nbdag_magic_checks_the_running_notebook(kernel):
    save(kernel, CELLS)
    reply = kernel.run(f"%nbdag check {kernel.path}")
    assert reply.status == "ok", reply.stderr + reply.traceback
    assert "churn" in reply.stdout


def test_the_nbdag_magic_proposes_tasks_for_a_notebook(kernel):
    save(kernel, {1: "import os", 2: "xs = sorted([2, 1])", 3: "print(xs)"})
    reply = kernel.run(f"%nbdag suggest {kernel.path}")
    assert reply.status == "ok", reply.stderr + reply.traceback
    assert "\n    cells 2, 3\n    cell 3 shows what cell 2 made\n" in reply.stdout


def test_the_nbdag_magic_deploys_the_running_notebook(kernel):
    save(kernel, CELLS)
    reply = kernel.run(f"%nbdag deploy {kernel.path}")
    assert reply.status == "ok", reply.stderr + reply.traceback
    assert "churn: version 1 is deployed; on demand\n" in reply.stdout
    assert "churn" in kernel.run("%nbdag list").stdout
    assert kernel.run("%nbdag remove churn").stdout == "churn: removed\n"


@pytest.mark.slow
def test_a_headless_run_by_the_nbdag_magic_prints_its_progress_in_lines(kernel):
    save(kernel, CELLS)
    reply = kernel.run(f"%nbdag run {kernel.path} --jobs 1")
    assert reply.status == "ok", reply.stdout + reply.stderr + reply.traceback
    assert not reply.of("display_data"), "a live table would fill the notebook"
    assert "[3/3] train: success" in reply.stdout
    assert "\x1b" not in reply.stdout
    assert kernel.value("'model' in globals()") == "False", "it ran in kernels of its own"


def test_a_tasks_log_is_printed_in_the_notebook(kernel):
    save(kernel, {"a": "%%task a\nprint('späte Grüße')"})
    kernel.run(f"%nbdag run {kernel.path} --no-progress")
    reply = kernel.run("%nbdag logs a")
    assert reply.status == "ok", reply.stderr + reply.traceback
    assert "späte Grüße\n" in reply.stdout


def test_a_failed_headless_run_ends_its_cell_with_an_error(kernel):
    save(kernel, {"a": "%%task a\nx = 1 / 0"})
    reply = kernel.run(f"%nbdag run {kernel.path}")
    assert reply.status == "error"
    assert "ZeroDivisionError" in reply.stdout
    assert reply.stderr == "UsageError: %nbdag run ended with exit code 1\n"


@pytest.mark.slow
def test_the_graph_is_text_in_a_terminal(tmp_path):
    env = {**os.environ, "IPYTHONDIR": str(tmp_path), "NBDAG_HOME": str(tmp_path / ".nbdag")}
    env.pop("JPY_SESSION_NAME", None)
    cells = [*(cell for cell in CELLS.values()), "%%task extract\ndf = [4]"]
    program = (
        "from IPython.terminal.interactiveshell import TerminalInteractiveShell as Shell\n"
        "shell = Shell.instance()\n"
        f"for cell in {cells!r}: shell.run_cell(cell, store_history=True).raise_error()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "churn: 3 tasks",
        "  ✓ extract  [done]",
        "  ✓ prep     ← extract (df)  [done]",
        "  ✓ train    ← prep (X, y)  [done]",
    ]
