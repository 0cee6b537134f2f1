"""Values that tasks exchange by `ti`, and Airflow's context in functions, in runs of the in-process executor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nbdag import runs
from nbdag.core.model.states import RunState
from nbdag.runs.creation.partial_runs import NoStoredValueError

pytestmark = pytest.mark.usefixtures("in_process")
Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_tasks_pull_results_variables_and_pushed_values(write: Write) -> None:
    path = write(
        "%%params\nalpha = 0.5\nname = 'x'",
        "%%task a\nx = [1, 2]\ndag_run.ti.xcom_push('rows', {'n': alpha})\ndag_run.ti.xcom_push(key='x', value='pushed')",
        "%%task b --map i=[1,2,3]\nsquare = i * i",
        "%%task c --when False\nz = 1",
        "%%task d --trigger all_done\n"
        "ti = dag_run.ti\n"
        "got = [ti.xcom_pull('a', key='rows'), ti.xcom_pull('a', key='x'), ti.xcom_pull('b'), "
        "ti.xcom_pull('b', map_indexes=1), ti.xcom_pull('c'), ti.xcom_pull(['a', 'b'], key='square')]\n"
        "params, conf = dict(dag_run.params), dict(dag_run.conf)",
        "%%task e --out result\nresult = got, params, conf",
    )
    run = runs.run(path, parameters={"alpha": 2})
    assert run.state is RunState.SUCCESS, run.error
    got, params, conf = run.value("result")
    assert got == [{"n": 2}, "pushed", [1, 4, 9], 4, None, [None, [1, 4, 9]]]
    assert params == {"alpha": 2, "name": "x"} and conf == {"alpha": 2}


def test_functions_get_the_context_that_they_ask_for(write: Write) -> None:
    path = write(
        "%%params\nalpha = 0.5",
        "%%setup\ndef load(ds, params, ti, run_id, n=1):\n    ti.xcom_push('day', ds)\n    return n, params['alpha']\n"
        "def show(first, *, ds=None, **context):\n"
        "    return first, ds, context['ti'].xcom_pull('load', key='day'), context['logical_date'].add(days=1).day\n"
        "def say(text, many): return text, many",
        "%%dag d\n"
        "Python('load', load, n=3) >> Python('show', show, op_args=['x'])\n"
        "Python('say', say, '{{ ds }} {{ ti.xcom_pull(\\'load\\', key=\\'day\\') }}', many=['{{ params.alpha }}', 1])",
        "%%task end --out result\nresult = load_result, show_result, say_result, dag_run.ds, dag_run.logical_date.day",
    )
    run = runs.run(path, parameters={"alpha": 7})
    assert run.state is RunState.SUCCESS, run.error
    loaded, shown, said, ds, _ = run.value("result")
    assert loaded == (3, 7)
    assert shown[:3] == ("x", ds, ds)
    assert said == (f"{ds} {ds}", ["7", 1])


def test_a_partial_run_borrows_what_it_pulls(write: Write) -> None:
    cells = ("%%task a\nx = 1\ndag_run.ti.xcom_push('k', 5)", "%%task b\ny = dag_run.ti.xcom_pull('a', key='k')")
    path = write(*cells)
    with pytest.raises(NoStoredValueError, match="b reads 'k' of a, which no run has stored yet"):
        runs.run(path, only=["b"])
    runs.run(path)
    assert runs.run(path, only=["b"]).state is RunState.SUCCESS


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("t = 'b'\ndag_run.ti.xcom_pull(t)", "a cannot pull the values of 'b'; write the task's name as a constant"),
        ("dag_run.ti.xcom_pull(key='x')", "ti.xcom_pull needs the name of a task"),
        ("dag_run.ti.xcom_pull('a', dag_id='other')", "of this pipeline only"),
        ("dag_run.ti.xcom_pull('a', include_prior_dates=True)", "of this run only"),
        ("dag_run.ti.xcom_pull('a', session=1)", "no argument 'session'"),
    ],
)
def test_a_pull_that_cannot_work_is_one_sentence(write: Write, code: str, message: str) -> None:
    run = runs.run(write(f"%%task a\n{code}", "%%task b\nx = 1"))
    assert run.state is RunState.FAILED
    assert message in str(run["a"].error)
