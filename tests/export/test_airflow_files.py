"""DAG files of Airflow: their text, and what is refused. `tests/examples` executes such files under Airflow.

`NBDAG_WRITE_GOLDEN=1 pytest tests/export` writes the expected files after a change that is meant.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from export_notebooks import NOTEBOOKS

from nbdag import runs
from nbdag.core.model.dag import Dag
from nbdag.errors import NbdagError
from nbdag.export import ExportError
from nbdag.export.airflow import airflow_file
from nbdag.export.airflow_operators import Target
from nbdag.home import StoragePasswordError

GOLDEN = Path(__file__).parent / "golden"
BASH = Target(
    operator="bash",
    notebook="/repo/nb.ipynb",
    storage="s3://lake/nbdag",
    version="0123456789ab",
    python="/opt/ml/bin/python",
    image="ml:1",
    command="nbdag export airflow nb.ipynb -o dags/nb.py",
)
DagOf = Callable[..., Dag]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_dag_file_reads_as_the_golden_file(name: str, dag_of: DagOf) -> None:
    operator, cells = NOTEBOOKS[name]
    storage = "/shared/nbdag" if operator == "docker" else BASH.storage
    text = airflow_file(dag_of(*cells, name=name), replace(BASH, operator=operator, storage=storage))
    path = GOLDEN / f"{name}.py.txt"
    if os.environ.get("NBDAG_WRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
    ast.parse(text)


def test_the_golden_files_are_formatted_as_ruff_does(tmp_path: Path) -> None:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    assert ruff
    for path in GOLDEN.glob("*.txt"):
        shutil.copy(path, tmp_path / path.name.removesuffix(".txt"))
    for command in (["format", "--check", "--diff"], ["check", "--select", "E,F,I,W"]):
        words = [ruff, *command, "--isolated", "--line-length", "120", str(tmp_path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (["%dag --schedule 'after other'", "%%task a\n1"], r"let a task of other declare --produces ASSET"),
        (["%dag --schedule 'on file:in.csv'", "%%task a\n1"], r"Airflow watches no files"),
        (["%%task a --approve 'Go?'\n1"], r"task a \(cell 1\) has --approve"),
        (["%%task a --operator trigger\nother"], r"task a \(cell 1\) triggers a deployed pipeline"),
        (["%%task a --branch --map x='[1]'\n'b'", "%%task b --after a\n1"], r"combines --branch with --map"),
    ],
)
def test_what_has_no_equal_in_airflow_is_refused_with_its_place(cells: list[str], reason: str, dag_of: DagOf) -> None:
    with pytest.raises(ExportError, match=f"nb cannot be exported to Airflow: .*{reason}"):
        airflow_file(dag_of(*cells), BASH)


def test_all_reasons_are_given_at_once(dag_of: DagOf) -> None:
    with pytest.raises(ExportError, match=r"for 2 reasons:\n  .*\n  "):
        airflow_file(dag_of("%%task a --approve 'Go?'\n1", "%%task b --approve 'Go?'\n1"), BASH)


def test_a_path_that_airflow_would_render_is_refused(dag_of: DagOf) -> None:
    with pytest.raises(ExportError, match="which Airflow renders as a template"):
        airflow_file(dag_of("%%task a\n1"), replace(BASH, notebook="/repo/{{ x }}.ipynb"))


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (
            ["%dag --schedule 'every 1d' --tz Asia/Tokyo", "%%task a\n1"],
            "# nbdag keeps the time of day when the clocks",
        ),
        (["%dag --fail-fast", "%%task a --trigger all_done\n1"], "# --fail-fast is not exported"),
        (["%dag --fail-fast", "%%task a\n1"], "fail_fast=True,"),
        (
            ["%dag --schedule 'on s3://a or at 06:30'", "%%task a\n1"],
            'CronTriggerTimetable("30 6 * * *", timezone="UTC")',
        ),
        (["%dag --weight-rule absolute", "%%task a\n1"], '"weight_rule": "absolute",'),
        (["%dag --cache", "%%task a\n1"], "# --cache has no equivalent in Airflow: the tasks are"),
        (
            ["%%task a --map x='[1]'\ny = x", "%%task b --map y=y --in-step a\ny"],
            "# --in-step a has no equivalent in Airflow: all instances wait for all of that task\n    b__elements = ",
        ),
        (["%dag --end-date 2027-01-01", "%%task a\n1"], 'end_date=pendulum.datetime(2027, 1, 1, tz="UTC")'),
        (["%%task class\n1", "%%task json\n1"], "task_class = "),
        (["%%task a --doc 'a \"quoted\" {text}'\n1"], "doc_md='a \"quoted\" {text}'"),
    ],
)
def test_single_options(cells: list[str], text: str, dag_of: DagOf) -> None:
    file = airflow_file(dag_of(*cells), BASH)
    ast.parse(file)
    assert text in file


@pytest.mark.parametrize("operator", ["bash", "external-python", "docker", "kubernetes-pod"])
def test_files_and_packages_are_passed_to_each_attempt(operator: str, dag_of: DagOf) -> None:
    cells = ("%dag --with lib/ --requires six==1.16", "%%task a\n1")
    text = airflow_file(dag_of(*cells), replace(BASH, operator=operator, files="f00", environment="e00"))
    ast.parse(text)
    assert 'PINNED_FILES = "f00"  # %dag --with lib/\n' in text
    assert 'ENVIRONMENT = "e00"  # %dag --requires six==1.16\n' in text
    assert '    words += ["--with-files", PINNED_FILES]\n    words += ["--environment", ENVIRONMENT]\n' in text
    again = "# uv makes the environment again in each container, unless NBDAG_CACHE is a mounted folder."
    assert (again in text) is (operator in ("docker", "kubernetes-pod"))
    assert "PINNED_FILES" not in (plain := airflow_file(dag_of("%%task a\n1"), BASH)) and "ENVIRONMENT" not in plain


def test_a_refused_export_stores_nothing(tmp_path: Path) -> None:
    cells = map(nbformat.v4.new_code_cell, ("%dag --with q.sql", "%%task a --approve 'Go?'\n1"))
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), tmp_path / "nb.ipynb")
    (tmp_path / "q.sql").write_text("select 1")
    with pytest.raises(ExportError):
        runs.export_airflow(tmp_path / "nb.ipynb", storage=str(tmp_path / "shared"))
    assert not (tmp_path / "shared").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"operator": "bsh"}, r"unknown operator 'bsh' of Airflow; did you mean bash\?"),
        ({"operator": "docker"}, "the operator docker needs --image"),
        ({"operator": "docker", "image": "ml:1"}, "the operator docker needs --storage"),
    ],
)
def test_wrong_input_is_refused_in_one_sentence(
    options: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NBDAG_STORAGE", raising=False)
    with pytest.raises(NbdagError, match=message):
        runs.export_airflow("nb.ipynb", **options)


def test_the_storage_of_the_file_is_absolute_and_contains_no_password(
    dag_of: DagOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = tmp_path / "nb.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%%task a\nx = 1")]), notebook)
    assert f"STORAGE = '{tmp_path}/shared'" in runs.export_airflow(notebook, storage="shared").replace('"', "'")
    for place in ("option", "environment"):
        monkeypatch.setenv("NBDAG_STORAGE", "s3://key:topsecret@bucket/x" if place == "environment" else "")
        with pytest.raises(StoragePasswordError) as caught:
            runs.export_airflow(notebook, storage="s3://key:topsecret@bucket" if place == "option" else None)
        assert "topsecret" not in str(caught.value)


def test_tasks_do_not_replace_the_names_that_the_file_uses(dag_of: DagOf) -> None:
    names = (
        "STORAGE",
        "NOTEBOOK",
        "PYTHON",
        "CODE_VERSION",
        "Asset",
        "BashOperator",
        "timedelta",
        "TaskGroup",
        "MARGIN",
    )
    tree = ast.parse(airflow_file(dag_of(*(f"%%task {name} --timeout 5m\n1" for name in names), "%%task g.a\n1"), BASH))
    block = next(node for node in tree.body if isinstance(node, ast.With))
    bound = {node.id for node in ast.walk(block) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assert bound == {"g__a", *(f"{name}_" for name in names)}
