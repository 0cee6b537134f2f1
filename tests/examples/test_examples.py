"""Run each example headlessly and top to bottom, and compare the results; check the claims of the README."""

from __future__ import annotations

import html
import json
import os
import re
from pathlib import Path

import joblib
import nbformat
import pytest
from example_results import RESULTS, RunExample, printed_in, printing
from patience import LONG
from warm import WarmCommands

import nbdag
from nbdag import graphs
from nbdag.cli import main
from nbdag.core.model.dag import CellKind
from nbdag.runs import list_runs

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
README = ROOT / "README.md"
LARGEST_PICTURE = 150_000  # bytes

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", RESULTS)
def test_an_example_has_the_same_results_top_to_bottom_headlessly_and_as_a_script(
    name: str, folder: Path, run_example: RunExample, scripts: WarmCommands
) -> None:
    plain = run_example(name, False).results
    assert run_example(name, True).results == plain
    if name == "from_airflow":
        return  # a script cannot pull values as Airflow does (ti.xcom_pull), so the export is refused
    script = nbdag.runs.export_script(NOTEBOOKS / f"{name}.ipynb")
    (folder / "script.py").write_text(f"{script}\n{printing(RESULTS[name])}\n")
    done = scripts([], cwd=folder, env=os.environ, timeout=LONG)
    assert done.returncode == 0, done.stderr
    assert printed_in(done.stdout) == plain


def test_every_example_has_results_to_compare() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(RESULTS)


@pytest.mark.parametrize("name", RESULTS)
def test_an_example_is_valid_has_no_outputs_and_is_explained(name: str) -> None:
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    assert notebook.cells[0].cell_type == "markdown"
    prose = sum(cell.cell_type == "markdown" for cell in notebook.cells)
    assert prose >= len(notebook.cells) / 3


class TestTheModelPipeline:
    def test_declares_its_schedule_and_its_owner(self) -> None:
        dag = nbdag.read(NOTEBOOKS / "ml_pipeline.ipynb")
        assert dag.options.schedule == "@daily"
        assert dag.options.start_date is not None
        assert dag.options.owner == "ml-team"
        assert {task.options.retries for task in dag.tasks.values()} == {1}

    def test_trains_its_models_in_parallel_before_it_validates(self) -> None:
        dag = nbdag.read(NOTEBOOKS / "ml_pipeline.ipynb")
        assert dag.upstream["train_linear"] == dag.upstream["train_forest"] == ("preprocess",)
        assert {"train_linear", "train_forest"} <= set(dag.upstream["validate"])
        assert "validate" in dag.ancestors("deploy")
        assert "deploy" in dag.upstream["use"]

    def test_saves_a_model_that_works(self, run_example: RunExample) -> None:
        from sklearn.datasets import load_breast_cancer

        folder = run_example("ml_pipeline", True).folder
        assert not (folder / "output").exists(), "the parameter names another folder"
        model = joblib.load(folder / "models" / "biopsies.joblib")
        X, y = load_breast_cancer(return_X_y=True, as_frame=True)
        assert model.score(X, y) > 0.95

    def test_deploys_nothing_if_the_gate_is_closed(self, folder: Path) -> None:
        run = nbdag.run(folder / "ml_pipeline.ipynb", parameters={"min_accuracy": 0.9999})
        assert run.state == "failed"
        assert run["validate"].state == "failed"
        assert run["validate"].tries == 1
        assert "0.9999" in str(run["validate"].error)
        assert {run[task].state.value for task in ("deploy", "use")} == {"upstream_failed"}
        assert run["curve"].state == "success"
        assert not list(folder.rglob("*.joblib"))


def test_the_gate_deploys_the_first_model_and_then_only_a_better_one(folder: Path) -> None:
    deployed = folder / "champion.json"

    def states(depth: int) -> dict[str, str]:
        run = nbdag.run(folder / "validation_gate.ipynb", parameters={"depth": depth})
        assert run.state == "success", [task.error for task in run]
        return {task.id: task.state.value for task in run}

    first = states(1)
    assert (first["release.deploy"], first["release.check"], first["notify"]) == ("success", "success", "skipped")
    weak = deployed.read_text()
    again = states(1)
    assert (again["release.deploy"], again["release.check"], again["notify"]) == ("skipped", "skipped", "success")
    assert deployed.read_text() == weak
    assert states(3)["release.deploy"] == "success"
    assert deployed.read_text() != weak


def test_the_quickstart_records_a_run(run_example: RunExample) -> None:
    (run,) = list_runs(home=run_example("quickstart", False).home)
    assert run.dag == "diabetes"
    assert run.state == "success"
    assert run.parameters == {"folds": 3}


def test_no_report_shows_the_secrets_of_the_example(run_example: RunExample) -> None:
    home = run_example("secrets", True).home
    reports = [path.read_text(encoding="utf-8") for path in (home.root / "runs").rglob("*.ipynb")]
    outputs = json.dumps([cell.get("outputs") for each in reports for cell in json.loads(each)["cells"]])
    assert "Bearer ***" in outputs and "finance ***" in outputs
    assert "blue-whale" not in outputs and "turtle" not in outputs


def test_parameters_decide_the_tasks_of_the_tuning(folder: Path, run_example: RunExample) -> None:
    (default,) = list_runs(home=run_example("tuning", True).home)
    assert len([task for task in default if task.id != "results"]) == 3 * 2 + 3
    run = nbdag.run(folder / "tuning.ipynb", parameters={"depths": [3], "leaves": [1, 20]})
    assert run.state == "success", [task.error for task in run]
    assert [task.id for task in run] == ["load", "depth_3_leaf_1", "depth_3_leaf_20", "best", "model"]
    assert run.value("best")["depth"] == 3
    assert run.value("accuracy") > 0.8


def test_the_code_in_the_prose_of_the_tuning_makes_its_tasks(tmp_path: Path) -> None:
    tuning = nbformat.read(NOTEBOOKS / "tuning.ipynb", as_version=4)
    prose = "\n".join(cell.source for cell in tuning.cells if cell.cell_type == "markdown")
    (body,) = (block.rstrip() for block in _blocks(prose) if block.startswith("%%dag"))
    setup = "def load(): ...\ndef trial(data, depth): ...\ndef pick(trials): ..."
    cells = [nbformat.v4.new_code_cell(cell) for cell in ("%%params\ndepths = [2, 4, 8]", setup, body)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "tuning.ipynb")
    dag = nbdag.read(tmp_path / "tuning.ipynb")
    assert dag.problems == ()
    assert list(dag.tasks) == ["load", "trial_2", "trial_4", "trial_8", "best", "copy"]
    assert dag.upstream["best"] == ("trial_2", "trial_4", "trial_8")


def _blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)


def test_the_cells_of_the_readme_form_its_pipeline(tmp_path: Path) -> None:
    blocks = _blocks(README.read_text(encoding="utf-8"))
    (language,) = (block.rstrip() for block in blocks if block.startswith("%"))
    cells = language.split("\n\n")  # a blank line separates two cells
    made_up = "read_orders = fit = score = publish = print"
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in (cells[0], made_up, *cells[1:])]
    )
    nbformat.write(notebook, tmp_path / "readme.ipynb")
    dag = nbdag.read(tmp_path / "readme.ipynb")
    assert dag.problems == ()
    assert dag.id == "churn"
    assert dag.options.tz == "Europe/Paris"
    assert [cell.kind for cell in dag.cells] == [
        CellKind.CONTROL,
        CellKind.SETUP,
        *[CellKind.TASK] * 4,
        CellKind.CONTROL,
    ]
    assert {(edge.source, edge.target) for edge in dag.edges} >= {
        ("extract", "train"),
        ("train", "validate"),
        ("validate", "deploy"),
    }
    kept = {name for task in dag.tasks.values() for group in task.exports for name in group}
    asked = set(re.findall(r'run\.value\("(\w+)"\)', "".join(blocks)))
    assert asked
    assert asked <= kept, "the value that the README reads is not stored"


@pytest.mark.parametrize("path", [README, *sorted(NOTEBOOKS.glob("*.ipynb"))], ids=lambda path: path.stem)
def test_prose_has_short_lines(path: Path) -> None:
    texts = [path.read_text(encoding="utf-8")]
    if path.suffix == ".ipynb":
        notebook = nbformat.read(path, as_version=4)
        texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    lines = [line for text in texts for line in text.splitlines() if not line.startswith("|")]
    longest = 110 if path == README else 120  # characters
    assert [line for line in lines if len(line) > longest] == []


def test_prose_mentions_only_commands_that_exist() -> None:
    known = {command for section in main.sections.values() for command in section}
    known.add("load")  # only a notebook has this command
    mentioned = set()
    for path in (README, *NOTEBOOKS.glob("*.ipynb")):
        mentioned |= set(re.findall(r"(?:`|\$ |%)nbdag ([a-z]+)\b", path.read_text(encoding="utf-8")))
    assert len(mentioned) > 20
    assert mentioned - known == set()


def test_the_pictures_of_the_readme_show_the_example_as_it_is() -> None:
    dag = nbdag.read(NOTEBOOKS / "ml_pipeline.ipynb")
    shown = set(re.findall(r"notebooks/(\w+\.(?:svg|png))", README.read_text(encoding="utf-8")))
    assert shown == {path.name for path in NOTEBOOKS.iterdir() if path.suffix in (".svg", ".png")}
    drawn = (NOTEBOOKS / "ml_pipeline.svg").read_text(encoding="utf-8")
    # The rest of the file depends on the version of Graphviz.
    assert re.findall(r"<title>(.*?)\n", drawn) == re.findall(r"<title>(.*?)\n", graphs.svg(dag))
    assert all(f">{task}</text>" in drawn for task in dag.tasks)
    terminal = html.unescape((NOTEBOOKS / "run.svg").read_text(encoding="utf-8"))
    assert [task for task in dag.tasks if not re.search(rf">{task}\s", terminal)] == []
    assert (NOTEBOOKS / "widget.png").stat().st_size <= LARGEST_PICTURE
