"""Airflow's DAG files, run by nbdag with only the prefix of their imports changed, end as they do under Airflow.

expected.json has the states and XComs of Airflow 3.3.2; `record.py` has made it from the same files.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from airflow_files import DAG_FILES, SETTINGS, as_cell

import nbdag
from nbdag.building import read_built
from nbdag.errors import NbdagError
from nbdag.home import Home

EXPECTED = json.loads(Path(__file__).with_name("expected.json").read_text(encoding="utf-8"))


def write(folder: Path, *cells: str) -> Path:
    """Write a notebook of these cells; its name is not that of the DAG."""
    path = folder / "from_file.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in cells]), path)
    return path


def xcoms_of(run: nbdag.Run, task: Any, home: Home) -> dict[str, Any]:
    """Return the values that a task has stored: its result as return_value, and what it has pushed."""
    values = nbdag.load(run.dag, run=run.id, task=task.id, map_index=task.map_index, home=home) if task.outputs else {}
    names = [output.name for output in task.outputs]
    return {name.removeprefix("ti.") if name.startswith("ti.") else "return_value": values[name] for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("name", DAG_FILES)
def test_a_dag_file_ends_as_under_airflow(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in SETTINGS.items():
        monkeypatch.setenv(variable, value)
    path = write(tmp_path, as_cell(DAG_FILES[name]))
    built = read_built(path)  # builds the tasks once for the check and the run
    dag = built.dag
    assert [each for each in dag.problems if each.code != "NB117"] == []
    home = Home(tmp_path / "home")
    run = nbdag.runs.run(path, jobs=2, home=home, built=built)
    expected = EXPECTED[name]
    assert run.dag == expected["dag"]
    states = {task.id if task.map_index < 0 else f"{task.id}[{task.map_index}]": task for task in run}
    assert {each: task.state.value for each, task in states.items()} == {
        each: task["state"] for each, task in expected["tasks"].items()
    }
    assert run.state.value == expected["state"]
    for each, task in expected["tasks"].items():
        stored = xcoms_of(run, states[each], home)
        assert {key: stored.get(key) for key in task["xcoms"]} == task["xcoms"]
    if name == "ml_tutorial":
        assert (dag.options.schedule, dag.options.owner, dag.options.catchup) == ("@daily", "ml-team", False)
        assert dag.options.defaults["retries"] == 1
        assert {(edge.source, edge.target): [use.name for use in edge.names] for edge in dag.edges} == {
            ("extract_data", "pre_process_data"): ["extract_data_result"],
            ("pre_process_data", "train_model"): ["mean", "pre_process_data_result"],
            ("train_model", "deploy_model"): ["train_model_result"],
        }


def test_only_the_imports_of_a_dag_file_change() -> None:
    for source in DAG_FILES.values():
        before, after = source.splitlines(), as_cell(source).splitlines()[1:]
        changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        assert changed
        assert all(
            re.match(r"\s*(from|import) airflow", a) and b == a.replace("airflow", "nbdag.airflow", 1)
            for a, b in changed
        )


def test_the_options_of_a_dag_file_are_those_of_its_deployment(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    deployed = nbdag.deploy(write(tmp_path, as_cell(DAG_FILES["branches"])), home=home)
    assert (deployed.id, deployed.schedule) == ("branches", "0 6 * * 1-5")
    nbdag.deploy(write(tmp_path, as_cell(DAG_FILES["commands"])), home=home)
    assert nbdag.trigger("commands", parameters={"times": 5}, home=home).parameters == {"times": 5}
    with pytest.raises(NbdagError, match=r"sets no 'tims'; did you mean 'times'\?"):
        nbdag.trigger("commands", parameters={"tims": 5}, home=home)


NO_TASK = "from airflow import DAG\nDAG('x')"


@pytest.mark.parametrize(
    ("cells", "code", "line", "hint"),
    [
        (
            ["x = 1", NO_TASK],
            "NB107",
            1,
            "begin the cell of the DAG with %%dag, and write nbdag.airflow instead of airflow",
        ),
        (
            ["x = 1", "%dag\nfrom nbdag.airflow import DAG\nDAG('x')"],
            "NB107",
            2,
            "begin the cell of the DAG with %%dag",
        ),
        (["x = 1", f"%%dag\n{NO_TASK}"], "NB114", 2, "write nbdag.airflow instead of airflow"),
    ],
)
def test_airflow_itself_is_not_what_is_needed(cells, code, line, hint, tmp_path: Path) -> None:
    (found,) = nbdag.read(write(tmp_path, *cells)).errors
    assert (found.code, found.place and (found.place.cell, found.place.line), found.hint) == (code, (1, line), hint)


def test_a_header_and_a_dag_do_not_both_set_options(tmp_path: Path) -> None:
    path = write(
        tmp_path, "%%dag mine\nfrom nbdag.airflow import DAG, EmptyOperator\n\nDAG('other')\nEmptyOperator(task_id='a')"
    )
    (found,) = nbdag.read(path).errors
    assert (found.code, found.place and found.place.line) == ("NB105", 4)


PROVIDERS = """%%dag
from nbdag.airflow import DAG
from nbdag.airflow.operators.latest_only import LatestOnlyOperator
from nbdag.airflow.operators.trigger_dagrun import TriggerDagRunOperator
from nbdag.airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from nbdag.airflow.providers.papermill.operators.papermill import PapermillOperator
from nbdag.airflow.sdk import task

with DAG("providers", params={"least": 2, "name": "it's"}):

    @task
    def numbers():
        return [1, 2, 3]

    made = SQLExecuteQueryOperator(
        task_id="made",
        conn_id="local",
        sql=["CREATE TABLE t (n int, s text)", "INSERT INTO t VALUES (1, 'a'), (2, '{{ params.name }}'), (3, 'c')"],
    )
    read = SQLExecuteQueryOperator(
        task_id="read",
        conn_id="local",
        sql="SELECT n, s FROM t WHERE n >= {{ params.least }} AND n < %(most)s AND s != '?' ORDER BY n",
        parameters={"most": 3},
    )
    in_order = SQLExecuteQueryOperator(
        task_id="in_order", conn_id="local", sql="SELECT count(*) FROM t WHERE n > ? AND s != 'a?'", parameters=[1]
    )
    book = PapermillOperator(
        task_id="book", input_nb="other.ipynb", output_nb="out/{{ params.least }}.ipynb", parameters={"n": "{{ ds }}"}
    )
    other = TriggerDagRunOperator(task_id="other", trigger_dag_id="other", conf={"n": "{{ params.name }}", "m": [1]})
    latest = LatestOnlyOperator(task_id="latest")
    numbers() >> made >> [read, in_order]
    latest >> book >> other
"""


@pytest.mark.slow
def test_operators_of_providers_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home")
    monkeypatch.setenv("AIRFLOW_CONN_LOCAL", f"sqlite:///{tmp_path}/data.db")
    cells = ["%load_ext nbdag", "%%params\nn = 0\nm = None", "%%task show\nprint(n)"]
    cells = [nbformat.v4.new_code_cell(each) for each in cells]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "other.ipynb")
    nbdag.deploy(tmp_path / "other.ipynb", home=home)
    run = nbdag.run(write(tmp_path, PROVIDERS), jobs=2, home=home)
    assert {task.id: (task.state.value, task.error) for task in run} == {task.id: ("success", None) for task in run}
    values = {task.id: xcoms_of(run, task, home).get("return_value") for task in run}
    assert (values["read"], values["in_order"]) == ([(2, "it's")], [(2,)])
    assert (values["latest"], values["book"]) == (["book"], "out/2.ipynb")
    assert nbformat.read(tmp_path / "out" / "2.ipynb", as_version=4).metadata["papermill"]["exception"] is None
    (child,) = nbdag.runs.list_runs("other", home=home)
    assert (child.id, child.parameters) == (values["other"], {"n": "it's", "m": [1]})
