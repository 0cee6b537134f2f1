"""Pipelines of other tools become notebooks that do the same. `foreign/` has inputs that these tools made or ran."""

from __future__ import annotations

import ast
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nbdag import runs
from nbdag.cli import main
from nbdag.core.model.dag import Dag
from nbdag.errors import NbdagError
from nbdag.home import Home
from nbdag.migrate.formats import FORMATS, Imported, detect
from nbdag.migrate.formats.imported import task_name
from nbdag.notebooks import read

FOREIGN = Path(__file__).parent / "foreign"


def recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOREIGN / f"{name}.json").read_text(encoding="utf-8"))
    return found


def imported(path: Path) -> Imported:
    return FORMATS[detect(path)].read(path)


def sources(found: Imported, number: int = 0) -> list[str]:
    return ["".join(cell["source"]) for cell in found.notebooks[number].content["cells"]]


def after(dag: Dag) -> dict[str, list[str]]:
    return {task: sorted(before) for task, before in dag.upstream.items()}


def left(found: Imported) -> list[str]:
    return [f"{each.place}: {each.what}" for each in found.not_carried_over]


def exit_code(*words: object) -> object:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


@pytest.fixture(params=["ploomber", "elyra"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    shutil.copytree(FOREIGN / request.param, tmp_path, dirs_exist_ok=True)
    return request.param, tmp_path / {"ploomber": "pipeline.yaml", "elyra": "editor.pipeline"}[request.param]


@pytest.mark.slow
def test_a_run_leaves_the_files_that_the_other_tool_leaves(project: tuple[str, Path]) -> None:
    name, file = project
    notebook = file.with_name("all.ipynb")
    assert exit_code("import", file, "-o", notebook) == 0
    assert runs.run(notebook, home=Home(file.parent / "home")).state.value == "success"
    files = {each: (file.parent / each).read_text(encoding="utf-8") for each in recorded(name)["files"]}
    assert files == recorded(name)["files"]


# -- Ploomber ----------------------------------------------------------------------------------------------------------


def test_ploombers_tasks_have_its_edges_products_and_parameters() -> None:
    found = imported(FOREIGN / "ploomber")
    (made,) = found.notebooks
    dag = made.dag()
    assert not dag.problems
    tasks = recorded("ploomber")["tasks"]
    assert after(dag) == {name: task["after"] for name, task in tasks.items()}
    for name, task in tasks.items():
        code = dag.cells[dag.tasks[name].cell].code
        injected = {
            node.targets[0].id: ast.unparse(node.value)
            for node in ast.walk(ast.parse(code) if name != "count" else ast.Module([], []))
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        if name not in ("get", "count"):  # a function is called with these values, a script has them in its text
            assert ast.literal_eval(injected["product"]) == task["product"]
            assert {key: ast.literal_eval(injected[key]) for key in task["params"]} == task["params"]
    assert "get(product=Path('output/raw.csv'), rows=4)" in sources(found)[3]
    assert "wc -l < output/deep/clean.csv > output/count.txt" in sources(found)[-1]


def test_what_ploomber_does_besides_is_listed_with_its_line() -> None:
    assert left(imported(FOREIGN / "ploomber")) == [
        "env.yaml, line 1: rows",
        "env.yaml, line 2: sub",
        "pipeline.yaml, line 4: executor",
        "pipeline.yaml, line 12: on_finish",
        "pipeline.yaml, line 16: the executed notebook output/clean.ipynb",
        "pipeline.yaml, line 22: the executed notebook output/fit.html",
        "pipeline.yaml, line 31: the executed notebook output/report.html",
        "pipeline.yaml, line 33: papermill_params",
    ]


def test_a_task_that_cannot_be_carried_over_fails_with_the_reason(tmp_path: Path) -> None:
    spec = "tasks:\n  - source: load.sql\n    product: [t, table]\n  - source: gone.py\n    product: x\n"
    (tmp_path / "pipeline.yaml").write_text(
        f"{spec}  - source: m.f\n    product: '{{{{what}}}}.csv'\n", encoding="utf-8"
    )
    (tmp_path / "load.sql").write_text("SELECT 1\n", encoding="utf-8")
    found = imported(tmp_path)
    assert "raise NotImplementedError('load.sql is in SQL" in sources(found)[2]
    assert sources(found)[2].endswith("# SELECT 1")
    assert "raise NotImplementedError('gone.py cannot be read')" in sources(found)[3]
    assert [each.partition(": ")[2] for each in left(found)] == ["load.sql", "gone.py", "m.f", "{{what}}"]
    assert list(found.notebooks[0].dag().tasks) == ["load", "gone", "f"]


def test_cells_that_ploomber_has_injected_are_replaced(tmp_path: Path) -> None:
    grid = "    grid:\n      - {k: [a], n: [1]}\n      - {k: [b]}\n"
    spec = f"tasks:\n  - source: fit.py\n    name: fit-[[k]][[n]]\n    product: 'out/[[k]][[n]].html'\n{grid}"
    (tmp_path / "pipeline.yaml").write_text(spec, encoding="utf-8")
    cells = [
        'tags=["parameters"]\nproduct = None',
        'tags=["injected-parameters"]\nproduct = "/home/me"',
        "\nprint(product)",
    ]
    (tmp_path / "fit.py").write_text("\n\n".join(f"# %% {cell}" for cell in cells), encoding="utf-8")
    found = imported(tmp_path)
    assert [source.splitlines() for source in sources(found)[3:]] == [
        ["%%task fit-a1", "product = 'out/a1.html'", "k = 'a'", "n = 1", "", "print(product)"],
        ["%%task fit-b", "product = 'out/b.html'", "k = 'b'", "", "print(product)"],
    ]


def test_values_of_other_types_in_a_ploomber_file_are_listed(tmp_path: Path) -> None:
    task = "    name: a b\n    product: [1]\n    grid: 3\n    params: x\n    upstream: {a: b}\n"
    (tmp_path / "pipeline.yaml").write_text(f"meta: 3\ntasks:\n  - source: 5\n  - foo\n  - source: a.py\n{task}")
    (tmp_path / "a.py").write_text("x = 1\n", encoding="utf-8")
    found = imported(tmp_path)
    assert {each.partition(": ")[2] for each in left(found)} >= {"a task", "foo", "grid", "params"}
    assert list(found.notebooks[0].dag().tasks) == ["foo", "a_b"]


# -- Elyra -------------------------------------------------------------------------------------------------------------


CONTAINER = ["runtime_image: tensorflow/tensorflow:2.8.0", "cpu: 2"]


def test_elyras_nodes_become_tasks_below_those_that_they_need() -> None:
    found = imported(FOREIGN / "elyra" / "churn.pipeline")
    dag = found.notebooks[0].dag()
    operations = recorded("elyra")["operations"]
    names = {file: task_name(each["name"]) for file, each in operations.items()}
    assert after(dag) == {names[file]: sorted(names[each] for each in one["after"]) for file, one in operations.items()}
    assert list(dag.tasks) == ["load", "left_half", "right", "report"]
    assert not dag.errors
    assert left(found) == [
        *(f"churn.pipeline, node Load: {what}" for what in CONTAINER),
        *(f"churn.pipeline, node Left half: {what}" for what in CONTAINER),
        *(f"churn.pipeline, node right: {what}" for what in CONTAINER),
        'churn.pipeline, node right: mounted_volumes: [{"path": "/d", "pvc_name": "v"}]',
        *(f"churn.pipeline, node report: {what}" for what in CONTAINER),
    ]


def test_a_pipeline_of_elyras_editor_has_the_same_tasks() -> None:
    found = imported(FOREIGN / "elyra" / "editor.pipeline")
    dag = found.notebooks[0].dag()
    assert after(dag) == {"load": [], "left_half": ["load"], "right": ["load"], "report": ["left_half", "right"]}
    assert left(found) == [] and dag.problems == ()


def test_a_variable_without_a_value_is_ignored_as_elyra_does(tmp_path: Path) -> None:
    shutil.copytree(FOREIGN / "elyra", tmp_path, dirs_exist_ok=True)
    path = tmp_path / "editor.pipeline"
    path.write_text(path.read_text().replace('"value": "2"', '"value": ""'))
    code = "\n".join(sources(imported(path)))
    assert "os.environ['STAGE'] = 'test'" in code and "os.environ['K'] =" not in code


# -- jupyter-scheduler -------------------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "scheduler.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((FOREIGN / "jupyter_scheduler.sql").read_text(encoding="utf-8"))
    shutil.copytree(FOREIGN / "jupyter_scheduler", tmp_path / "scheduler_staging_area")
    return path


def test_each_job_definition_becomes_a_notebook_with_its_schedule(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    found = imported(database)
    dags = [made.dag() for made in found.notebooks]
    assert [(dag.id, dag.options.schedule, dag.options.tz, dag.options.tags) for dag in dags] == [
        ("nightly_sales", "30 2 * * 1-5", "Europe/Berlin", ("sales", "eu")),
        ("nightly_sales_2", "@daily", "UTC", ()),
        ("weekly_us", "0 0 * * 0", "America/New_York", ()),
    ]
    assert [dict(dag.parameters) for dag in dags] == [
        {"alpha": "0.1", "region": "'EU'"},
        {"alpha": "0.1", "region": "'EU'"},
        {"region": "'US'", "alpha": "2 / 4"},
    ]
    assert [dag.problems for dag in dags] == [()] * 3
    assert left(found) == ["scheduler.sqlite, definition nightly sales: output formats html"]


def test_a_definition_without_its_notebook_is_listed(database: Path) -> None:
    shutil.rmtree(database.parent / "scheduler_staging_area" / "definition-1")
    found = imported(database)
    assert [made.name for made in found.notebooks] == ["nightly_sales.ipynb", "weekly_us.ipynb"]
    assert "scheduler.sqlite, definition nightly sales: the notebook sales.ipynb" in left(found)


def test_a_definition_of_unknown_form_is_listed(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE job_definitions SET parameters = '[1]' WHERE name = 'nightly sales'")
        connection.commit()
    found = imported(database)
    assert "weekly_us.ipynb" in [made.name for made in found.notebooks]
    assert "scheduler.sqlite: definition nightly sales" in left(found)


# -- crontab -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def crontab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Imported]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    notebook = FOREIGN / "jupyter_scheduler" / "definition-0" / "sales.ipynb"
    for name in ("sales.ipynb", "load data.ipynb"):
        shutil.copy(notebook, tmp_path / name)
    (tmp_path / "p.yaml").write_text("alpha: 3\nnames: [a, b]\n", encoding="utf-8")

    def read_lines(text: str) -> Imported:
        (tmp_path / "cron.txt").write_text(text, encoding="utf-8")
        return imported(tmp_path / "cron.txt")

    return read_lines


VALUES = [
    (
        "-p alpha 0.5 -p n 3 -p on True -p none None",
        {"alpha": "0.5", "region": "'EU'", "n": "3", "on": "True", "none": "None"},
    ),
    ("-p region 'US East' -r alpha 007", {"alpha": "'007'", "region": "'US East'"}),
    ("-f p.yaml --parameters region $PLACE/x", {"alpha": "3", "names": "['a', 'b']", "region": "'/srv/x'"}),
    ('-y "{alpha: 2, region: x}" --log-output', {"alpha": "2", "region": "'x'"}),
    ("-b YWxwaGE6IDk= -k python3", {"alpha": "9", "region": "'EU'"}),
    (
        r"-p alpha $(date +\%F)",
        {"alpha": "__import__('datetime').datetime.now().strftime('%Y-%m-%d')", "region": "'EU'"},
    ),
    ("-p alpha $(hostname)", {"alpha": "0.1", "region": "'EU'"}),
]


@pytest.mark.parametrize(("arguments", "expected"), VALUES)
def test_values_of_papermill_become_defaults_with_their_types(
    crontab: Callable[[str], Imported], arguments: str, expected: dict[str, str]
) -> None:
    found = crontab(f"PLACE=/srv\n5 4 * * * papermill {arguments} sales.ipynb out.ipynb\n")
    dag = found.notebooks[0].dag()
    assert (dict(dag.parameters), dag.options.schedule, dag.options.tz) == (expected, "5 4 * * *", "UTC")
    assert not dag.problems


def test_a_damaged_notebook_of_one_line_is_listed_and_the_others_are_imported(
    crontab: Callable[[str], Imported], tmp_path: Path
) -> None:
    (tmp_path / "bad.ipynb").write_text('{"nbformat": 4, "cells": [5]}', encoding="utf-8")
    found = crontab(
        "@daily papermill bad.ipynb -\n@daily papermill bad.ipynb - && ls\n@daily papermill sales.ipynb -\n"
    )
    assert [made.name for made in found.notebooks] == ["sales.ipynb"]
    assert left(found) == [f"cron.txt, line {number}: the notebook bad.ipynb" for number in (1, 2)]


def test_several_commands_of_a_line_become_tasks_in_a_row(crontab: Callable[[str], Imported]) -> None:
    line = "cd $HOME && ./fetch.sh 'a b' \"$X\" 2>&1 > log && python -m papermill 'load data.ipynb' - && papermill sales.ipynb o.ipynb"
    found = crontab(
        f"CRON_TZ=Europe/Berlin\n@midnight bash -c '{line.replace(chr(39), chr(39) + chr(92) + chr(39) * 2)}'\n"
    )
    dag = found.notebooks[0].dag()
    assert after(dag) == {"fetch": [], "load_data": ["fetch"], "sales": ["load_data"]}
    assert (dag.options.schedule, dag.options.tz) == ("@daily", "Europe/Berlin")
    assert sources(found)[1] == "%%task fetch --operator bash\n./fetch.sh 'a b' \"$X\" 2>&1 >log"


LEFT = [
    (
        "0 1 * * * papermill gone.ipynb o.ipynb",
        ["line 1: the executed notebook o.ipynb", "line 1: the notebook gone.ipynb"],
    ),
    ("@reboot papermill sales.ipynb -", ["line 1: @reboot"]),
    ("0 1 * * * papermill 'a", ["line 1: papermill 'a"]),
    ("0 1 * * * backup\n0 2 * * * run papermill", ["line 1: backup", "line 2: run papermill"]),
    ("MAILTO=x@y.z\n0 1 * * * papermill sales.ipynb -", ["line 1: MAILTO=x@y.z"]),
    (
        "0 1 * * * flock -n /tmp/l timeout 60 conda run -n ml papermill sales.ipynb - >> log 2>&1 || mail me",
        [
            "line 1: flock /tmp/l",
            "line 1: timeout 60",
            "line 1: conda ml",
            "line 1: output into log",
            "line 1: || mail me",
        ],
    ),
    (
        "0 1 * * * . env/bin/activate; papermill sales.ipynb - --cwd /srv --execution-timeout 9 --engine x",
        ["line 1: . env/bin/activate", "line 1: --execution-timeout 9", "line 1: --engine x"],
    ),
]


@pytest.mark.parametrize(("text", "expected"), LEFT)
def test_what_a_line_does_besides_is_listed(crontab: Callable[[str], Imported], text: str, expected: list[str]) -> None:
    assert left(crontab(text)) == [f"cron.txt, {each}" for each in expected]


def test_the_working_folder_of_papermill_is_that_of_the_notebook(crontab: Callable[[str], Imported]) -> None:
    (alone,) = crontab("0 1 * * * papermill sales.ipynb - --cwd /srv").notebooks
    assert alone.folder == Path("/srv")
    several = crontab("0 1 * * * ls && papermill sales.ipynb - --cwd /srv")
    assert left(several) == ["cron.txt, line 1: --cwd /srv"]


# -- numbered notebooks ------------------------------------------------------------------------------------------------


def test_numbered_notebooks_become_tasks_in_their_order(tmp_path: Path) -> None:
    code = {"cell_type": "code", "outputs": [], "execution_count": None, "metadata": {}}

    def write(name: str, *cells: str, **metadata: Any) -> None:
        made = [{**code, "source": each} for each in cells]
        made[0]["metadata"] = {"tags": ["parameters"]} if cells[0].startswith("n =") else {}
        text = json.dumps({"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4})
        (tmp_path / name).write_text(text, encoding="utf-8")

    write("10_Report.ipynb", "print(1)", kernelspec={"name": "k2", "language": "python"})
    write("1-load data.ipynb", "n = 1\nm = 2", "x = n")
    write("02_left.ipynb", "n = 1\nm = 3", "%%time\ny = m", kernelspec={"name": "k1", "language": "python"})
    write("02_right.ipynb", "print(2)")
    write("notes.ipynb", "print(3)")
    write("2020.ipynb", "print(4)")
    (tmp_path / "03b.py").write_text("# %%\nz = 1\n", encoding="utf-8")
    (tmp_path / "04_script.py").write_text("z = 1\n", encoding="utf-8")
    found = imported(tmp_path)
    dag = found.notebooks[0].dag()
    assert after(dag) == {
        "load_data": [],
        "left": ["load_data"],
        "right": ["load_data"],
        "step_03b": ["left", "right"],
        "report": ["step_03b"],
        "step_2020": ["report"],
    }
    assert dict(dag.parameters) == {"n": "1"}
    assert "%%task load_data\nm = 2\n\nx = n" in sources(found)
    assert not dag.errors
    assert left(found) == ["1-load data.ipynb, 02_left.ipynb: parameter m", "10_Report.ipynb: kernel k2"]


# -- the command -------------------------------------------------------------------------------------------------------


def test_metadata_of_a_wrong_type_counts_as_missing(tmp_path: Path) -> None:
    metadata = {"kernelspec": 5, "kubeflow_notebook": 5}
    cell = {"cell_type": "code", "source": "x = 1", "metadata": {"tags": ["block:a"]}}
    for name in ("01_load.ipynb", "kale.ipynb"):
        book = {"nbformat": 4, "metadata": metadata, "cells": [cell]}
        (tmp_path / name).write_text(json.dumps(book), encoding="utf-8")
    assert list(imported(tmp_path / "kale.ipynb").notebooks[0].dag().tasks) == ["a"]
    assert list(imported(tmp_path).notebooks[0].dag().tasks) == ["load"]


def test_kales_tags_become_headers(tmp_path: Path) -> None:
    target = tmp_path / "churn.py"
    assert exit_code("import", FOREIGN / "kale.ipynb", "-o", target) == 0
    dag, kale = read(target), read(FOREIGN / "kale.ipynb")
    assert (dag.id, after(dag), dag.parameters) == (kale.id, after(kale), kale.parameters)
    assert not dag.problems
    assert not [cell for cell in dag.cells if cell.origin]


def test_the_command_prints_tasks_and_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(FOREIGN)
    assert exit_code("import", "ploomber") == 0
    out = capsys.readouterr().out
    assert out.startswith("ploomber.ipynb: 6 tasks\n    get\n    clean, after get\n")
    assert "\n  pipeline.yaml, line 12: on_finish\n      add its code at the end of the task's cell\n" in out
    assert out.endswith("\nWrite with: nbdag import ploomber -o ploomber.ipynb\n")
    assert exit_code("import", "elyra/churn.pipeline", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [task["id"] for task in found["notebooks"][0]["tasks"]] == ["load", "left_half", "right", "report"]
    assert found["not_carried_over"][0]["place"].startswith("churn.pipeline, node ")


def test_files_are_written_into_a_folder_and_not_over_others(
    database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(database.parent)
    assert exit_code("import", "scheduler.sqlite", "-o", "jobs.ipynb") == 2
    assert "there are 3 notebooks; name a folder: -o jobs/" in capsys.readouterr().err
    assert exit_code("import", "scheduler.sqlite", "-o", "jobs/") == 0
    assert (
        "next: nbdag deploy jobs/weekly_us.ipynb --cwd scheduler_staging_area/definition-2" in capsys.readouterr().out
    )
    assert exit_code("import", "scheduler.sqlite", "-o", "jobs/") == 2
    assert "jobs/nightly_sales.ipynb already exists" in capsys.readouterr().err
    assert exit_code("import", "scheduler.sqlite", "-o", "jobs/", "--overwrite") == 0


REFUSED = [
    ("none", None, "none does not exist; check the path"),
    ("a.txt", "hello", "a.txt has no known format; expected one of: pipeline.yaml of Ploomber, "),
    ("a.yaml", "tasks:\n  - source: [", "a.yaml is not valid YAML (line 2, column 14); correct it"),
    ("a.yaml", "- source: x", "a.yaml is no pipeline of Ploomber; it needs a list of tasks, each with a source"),
    (
        "a.pipeline",
        "{",
        "a.pipeline is no pipeline of Elyra (line 1: expecting property name enclosed in double quotes); choose a file that Elyra's pipeline editor",
    ),
    ("a.pipeline", "{}", "a.pipeline is no pipeline of Elyra (it has no primary pipeline with nodes); choose"),
    ("a.py", "from airflow.sdk import dag\n", "a.py is a DAG file of Airflow; paste it into a cell below %%dag, and"),
    ("a.md", "# Text", "a.md is a notebook without tags of Kale; nbdag suggest a.md proposes tasks"),
    ("empty.pipeline", "", "empty.pipeline is no pipeline of Elyra (line 1: expecting value)"),
    (
        "c.pipeline",
        '{"pipelines": [{"id": 1, "nodes": [5]}], "primary_pipeline": 1}',
        "c.pipeline is no pipeline of Elyra (",
    ),
    (
        "d.pipeline",
        '{"pipelines": [{"id": 1, "nodes": [{"id": "a", "type": "execution_node", "app_data": {"ui_data": 7}}]}],'
        '"primary_pipeline": 1}',
        "d.pipeline is no pipeline of Elyra (a node or a property has an unknown form)",
    ),
    ("empty.ipynb", "", "empty.ipynb is empty; create a notebook in Jupyter instead"),
    ("a.sqlite", "SQLite format 3\0rubbish", "a.sqlite has no known format"),
    ("folder/", None, "folder has no known format; expected one of"),
]


@pytest.mark.parametrize(("name", "text", "message"), REFUSED)
def test_a_source_that_cannot_be_imported_is_answered_in_one_sentence(
    name: str, text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if name.endswith("/"):
        Path(name).mkdir()
    elif text is not None:
        Path(name).write_text(text, encoding="utf-8")
    with pytest.raises(NbdagError) as raised:
        runs.import_pipeline(name.removesuffix("/"))
    assert str(raised.value).startswith(message)


def test_an_unknown_format_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(NbdagError, match=r"unknown format 'ploomer'; did you mean ploomber\?"):
        runs.import_pipeline(tmp_path, format="ploomer")
