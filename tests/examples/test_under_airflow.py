"""Examples that are exported to Airflow give the same values under its own `airflow dags test`.

Airflow is installed into an environment of its own, in pytest's cache folder, because it needs other versions of
packages. NBDAG_AIRFLOW_PYTHON names the Python of an existing environment with apache-airflow 3. If Airflow cannot be
installed, the tests are skipped; with NBDAG_REQUIRE_AIRFLOW=1 they fail. An example takes a minute or more, so only one
runs by default; NBDAG_ALL_UNDER_AIRFLOW=1 runs all of them.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from example_results import RESULTS, printed, printed_in, printing

import nbdag
from nbdag.home import Home

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
AIRFLOW = "apache-airflow==3.3.2"
# Key: example; value: operator of Airflow, and parameters that make the example short. Others run by bash, as they are.
CHOSEN: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "validation_gate": ("bash", {}),  # a branch, groups, a trigger rule
    "from_airflow": ("bash", {"least": 60}),  # a %%dag cell, a mapped task, pulls, a parameter
    "hyperparameters": ("external-python", {"depths": [2, 8], "leaves": [1], "criteria": ["gini"]}),
}
ALL = bool(os.environ.get("NBDAG_ALL_UNDER_AIRFLOW"))
CASES = {name: CHOSEN.get(name, ("bash", {})) for name in (RESULTS if ALL else ["validation_gate"])}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Airflow:
    """An Airflow with a database and a folder of DAG files of its own."""

    program: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        settings = {"AIRFLOW_HOME": self.home, "AIRFLOW__CORE__DAGS_FOLDER": self.home / "dags"}
        return {
            **os.environ,
            **{name: str(value) for name, value in settings.items()},
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        }

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.program), *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def airflow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    chosen = os.environ.get("NBDAG_AIRFLOW_PYTHON")
    python = Path(chosen) if chosen else installed(Path(request.config.cache.mkdir("airflow")))
    home = tmp_path_factory.mktemp("airflow")
    (home / "dags").mkdir()
    found = Airflow(python.with_name("airflow"), home)
    done = found("db", "migrate")
    assert done.returncode == 0, done.stderr
    return found


def installed(folder: Path) -> Path:
    """Return the Python of an environment with Airflow, which is made once."""
    python = folder / "venv" / "bin" / "python"
    complete = folder / AIRFLOW
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(folder / "venv", ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
            words = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", AIRFLOW]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                why = f"{AIRFLOW} cannot be installed: {done.stderr[-500:]}"
                (pytest.fail if os.environ.get("NBDAG_REQUIRE_AIRFLOW") == "1" else pytest.skip)(why)
            complete.touch()
    return python


def with_results(name: str, folder: Path) -> Path:
    """Return a copy of an example with one more task, which prints its results."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(f"%%task results\n{printing(RESULTS[name])}"))
    folder.mkdir()
    nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


@pytest.mark.parametrize("name", CASES)
def test_an_example_has_the_same_results_under_airflow(name: str, airflow: Airflow, tmp_path: Path) -> None:
    operator, parameters = CASES[name]
    run = nbdag.run(with_results(name, tmp_path / "here"), parameters=parameters, home=Home(tmp_path / "home"), jobs=2)
    expected = printed(nbformat.read(run.notebook, as_version=4).cells[-1].outputs)
    assert set(expected) == set(RESULTS[name])

    path, storage = with_results(name, tmp_path / "there"), tmp_path / "storage"
    text = nbdag.runs.export_airflow(path, operator=operator, storage=str(storage))
    (airflow.home / "dags" / f"{name}.py").write_text(text, encoding="utf-8")
    done = airflow("dags", "test", run.dag, "--conf", json.dumps(parameters))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (log,) = storage.glob(f"runs/{run.dag}/*/tasks/results/1.log")
    assert printed_in(log.read_text(encoding="utf-8")) == expected


def test_airflow_reads_every_golden_file_that_needs_no_further_provider(airflow: Airflow) -> None:
    golden = Path(__file__).parents[1] / "export" / "golden"
    names: Sequence[str] = ("churn", "assets", "external_python")
    for name in names:
        shutil.copy(golden / f"{name}.py.txt", airflow.home / "dags" / f"golden_{name}.py")
    done = airflow("dags", "list-import-errors", "--local")
    assert done.returncode == 0, done.stdout + done.stderr
