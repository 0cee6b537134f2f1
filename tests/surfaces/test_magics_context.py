"""`dag_run`, `ti` and templates in a live notebook, in a real kernel."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from kernel import Kernel


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernel")
    env = {**os.environ, "IPYTHONDIR": str(folder / "ipython"), "NBDAG_HOME": str(folder / ".nbdag")}
    env.pop("JPY_SESSION_NAME", None)
    env["AIRFLOW_VAR_REGION"] = "north"
    kernel = Kernel(cwd=str(folder), env=env)
    try:
        for cell in ("%load_ext nbdag", "%%params\nalpha = 0.5", "%%task a\nx = 1\ndag_run.ti.xcom_push('rows', 5)"):
            assert kernel.run(cell).status == "ok"
        yield kernel
    finally:
        kernel.stop()


CELLS = [
    ("%%task b\ndag_run.ti.xcom_pull('a'), dag_run.ti.xcom_pull('a', key='rows')", "(1, 5)"),
    ("%%task b\nalpha = 2\ndag_run.params['alpha'], dag_run.render('{{ params.alpha }} {{ task.task_id }}')", "(2, '2 b')"),
    ("dag_run.render('{{ var.value.region }}'), dag_run.macros.ds_add('2026-01-31', 1)", "('north', '2026-02-01')"),
    ("dag_run.ds == dag_run.logical_date.strftime('%Y-%m-%d')", "True"),
    ("%%task g --operator bash --out text\necho {{ params.alpha }} '{{ ti.xcom_pull('a') }}' \"$x\"", None),
    ("text", "'2 1 1'"),
    ("%%task c --map i=[1,2,3]\nsquare = i * i", None),
    ("%%task d\ndag_run.ti.xcom_pull('c'), dag_run.ti.xcom_pull('c', map_indexes=2)", "([1, 4, 9], 9)"),
]  # fmt: skip


def test_a_cell_pulls_from_tasks_that_have_run_here(kernel):
    for cell, result in CELLS:
        reply = kernel.run(cell)
        assert (reply.status, reply.result) == ("ok", result), reply.content


WRONG = [
    ("%%task e\ndag_run.ti.xcom_pull('f')", "cannot pull the values of 'f'"),
    ("%%task f\n1 / 0", "ZeroDivisionError"),
    ("%%task e\ndag_run.ti.xcom_pull('f')", "task f has not run in this kernel; run its cell first"),
    ("dag_run.render('{{ dss }}')", "did you mean ds?"),
    ("dag_run.nothing", "dag_run has no 'nothing'"),
]


def test_an_error_names_the_next_step(kernel):
    for cell, message in WRONG:
        reply = kernel.run(cell)
        assert reply.status == "error"
        assert message in str(reply.content), cell
