"""Tests of a `%%dag` cell in the live notebook, in a real kernel."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from kernel import notebook_kernel, reset

CELLS = {
    "load": "%load_ext nbdag",
    "setup": "%%setup\nimport math\ndepths = (1, 2)\ndef fit(X, depth): return sum(X) * depth",
    "extract": "%%task extract\nX = [1, 2, 3]",
    "build": "%%dag sweep --retries 1\nfits = [Python(f'fit_{d}', f'm{d} = fit(X, {d})') for d in depths]\n"
    "Python('best', f'best = max({\", \".join(f\"m{d}\" for d in depths)})') << fits",
    "report": "%%task report\nprint(best)",
}


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Yield one kernel for all tests."""
    with notebook_kernel(tmp_path_factory.mktemp("kernel"), "sweep.ipynb") as kernel:
        yield kernel


@pytest.fixture
def kernel(started):
    """Return the kernel in its initial state."""
    return reset(started)


def run(kernel, *cells):
    return [kernel.run(CELLS[cell], cell) for cell in cells][-1]


def drawn(reply):
    return [
        [line.strip() for line in content["data"]["text/plain"].splitlines()[1:]]
        for content in reply.of("display_data")
    ]


SWEEP = [
    "✓ extract  [done]",
    "○ fit_1    ← extract (X)",
    "○ fit_2    ← extract (X)",
    "○ best     ← fit_1 (m1), fit_2 (m2)",
]


def test_running_a_dag_cell_builds_its_tasks_and_draws_the_graph(kernel):
    run(kernel, "setup", "extract")
    reply = run(kernel, "build")
    assert (reply.status, reply.stderr, reply.result) == ("ok", "", None)
    assert drawn(reply) == [SWEEP]
    assert kernel.value("fits[1].id") == "'fit_2'"  # what it made is there, as after any cell
    assert kernel.value("'Python' in globals()") == "False"  # what it was lent is not
    kernel.run("%%dag\nfrom nbdag.operators import Bash\nBash('a', 'ls')", "bash")
    assert kernel.value("'Bash' in globals()") == "True"  # that it has imported itself
    kernel.run("%%skip", "bash")
    assert drawn(kernel.run("%dag", "picture")) == [SWEEP]


def test_running_a_dag_cell_again_replaces_its_tasks(kernel):
    run(kernel, "setup", "extract", "build")
    reply = kernel.run("%%dag sweep\nPython('only', 'm = fit(X, 1)')", "build")
    assert drawn(reply) == [["✓ extract  [done]", "○ only     ← extract (X)"]]
    kernel.run("%%dag\nPython('other', 'm = fit(X, 1)')")  # from a frontend that sends no id
    kernel.run("%%dag\nPython('another', 'm = fit(X, 1)')")
    last = drawn(kernel.run("%dag", "picture"))[0]
    assert [line.split()[1] for line in last] == ["extract", "only", "another"]


def test_a_task_downstream_of_a_built_task_is_stale_until_that_task_has_run(kernel):
    run(kernel, "setup", "extract", "build")
    kernel.quietly("best = 6")
    assert run(kernel, "report").stdout == "6\n"
    assert "△ report   ← best (best)  [stale: the upstream task best has not run]" in drawn(kernel.run("%dag", "p"))[0]


ERRORS = [
    ("\nfor n in (1, 2):\n    1 / 0", 4, "ZeroDivisionError: division by zero"),
    ("def f():\n    return Python('a', '1', retires=2)\n\nf()", 3, "OperatorError: unknown keyword retires for Python; did you mean retries?"),
    ("Python('a', '1')\nPython('a', '1')", 3, "OperatorError: task a already exists, created in line 2"),
    ("Python('a', fit)", 2, "OperatorError: fit cannot be called with these arguments"),
    ("x = (", 2, "SyntaxError"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "line", "said"), ERRORS)
def test_an_error_in_the_body_is_reported_as_in_any_cell(kernel, body, line, said):
    run(kernel, "setup")
    reply = kernel.run(f"%%dag\n{body}", "build")
    assert reply.status == "error"
    assert said in reply.traceback
    assert f"line {line}" in reply.traceback
    assert "nbdag/" not in reply.traceback and "_nbdag" not in reply.traceback  # what is nbdag's own is not shown
    assert kernel.value("'Python' in globals()") == "False"
    assert kernel.run("x = 1").status == "ok"


def test_an_error_of_the_whole_build_is_one_sentence_with_the_line(kernel):
    reply = kernel.run("%%dag\nfor n in (1, 2):\n    def f(): ...\n    Python(f'a{n}', f)", "build")
    assert (
        reply.traceback
        == "OperatorError: line 2: f is defined in a loop; define it once, outside of loops, and pass the differences as arguments"
    )


def test_an_invalid_header_keeps_the_body_from_running(kernel):
    reply = kernel.run("%%dag sweep --retires 2\nnever = 1", "build")
    assert reply.stderr == "UsageError: %%dag, column 13: unknown option --retires; did you mean --retries?\n"
    assert kernel.value("'never' in globals()") == "False"


def test_ipython_syntax_works_in_a_dag_cell(kernel):
    reply = kernel.run(
        "%%dag\nfiles = !echo a\nimport asyncio\nawait asyncio.sleep(0)\nPython(files[0], '1')\nprint('so')", "build"
    )
    assert (reply.status, reply.stdout) == ("ok", "so\n")
    assert drawn(reply) == [["○ a"]]
    assert kernel.run("%%dag\n%%time\nPython('b', '1')", "build").stdout.startswith("CPU times")
    assert drawn(kernel.run("get_ipython().run_cell_magic('dag', 'x', \"Python('c', '1')\")", "named"))[0][-1] == "○ c"


def test_options_in_the_header_are_defaults_for_tasks_in_cells(kernel):
    kernel.run("%%dag sweep --when False\nPython('a', '1')", "build")
    assert kernel.run("%%task b\nnever = 1", "b").stdout == "skipped: --when False is false\n"


def test_the_graph_notes_a_saved_dag_cell_that_has_not_run(kernel):
    told = [
        {"cell_type": "code", "id": cell, "metadata": {}, "source": source, "outputs": [], "execution_count": None}
        for cell, source in CELLS.items()
    ]
    kernel.path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": told}))
    reply = kernel.run("%dag", "picture")
    assert "NB115 cell 4, line 1: the tasks of this %%dag cell are not built yet; run the cell" in drawn(reply)[0][
        -1
    ] or any("NB115" in line and "run the cell" in line for line in drawn(reply)[0])
    run(kernel, "setup", "build")
    (lines,) = drawn(kernel.run("%dag", "picture"))
    assert not any("NB115" in line for line in lines)
    assert [line.split()[1] for line in lines] == ["extract", "fit_1", "fit_2", "best", "report"]


def test_help_and_completion_cover_dag_cells(kernel):
    reply = kernel.run("%%dag?")
    page = reply.content["payload"][0]["data"]["text/plain"]
    assert "the same; the code in the cell creates tasks" in page
    assert kernel.complete("%%dag sweep --sched")[0] == ["--schedule"]


@pytest.mark.slow
def test_tasks_of_a_dag_cell_run_headlessly_from_the_file(kernel):
    """The widget's buttons also call `nbdag run`, which builds the tasks again."""
    told = [
        {"cell_type": "code", "id": cell, "metadata": {}, "source": source, "outputs": [], "execution_count": None}
        for cell, source in CELLS.items()
    ]
    kernel.path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": told}))
    run(kernel, "setup", "extract", "build")
    reply = kernel.run("%nbdag run sweep.ipynb --upto fit_2 --no-progress", "run")
    assert reply.status == "ok", reply.stderr
    assert "success" in reply.stdout
    assert "2 success" in reply.stdout


AIRFLOW = """%%dag
from nbdag.airflow import DAG, Label, task

with DAG("orders", default_args={"retries": 2}):
    @task
    def load():
        return [1]

    @task(queue="q")
    def total(values):
        return sum(values)

    total(load())
"""


def test_code_of_airflow_is_drawn_and_its_warnings_are_printed(kernel):
    reply = kernel.run(AIRFLOW, "airflow")
    assert reply.status == "ok"
    assert drawn(reply) == [["○ load", "○ total  ← load (load_result)"]]
    assert reply.stderr.strip() == (
        "warning: line 13: queue of @task has no effect: it names workers of Airflow; remove queue"
    )
    wrong = kernel.run(AIRFLOW.replace('queue="q"', "task_concurrency=3"), "airflow")
    assert "task_concurrency=3 of @task is not supported; write pool='…', with a pool of that many" in wrong.traceback
    assert "line 13" in wrong.traceback
