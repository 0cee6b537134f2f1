"""Examples that are exported to Airflow give the same values under its own `airflow dags test`.

Airflow is installed into an environment of its own, in pytest's cache folder, because it needs other versions of
packages. NBDAG_AIRFLOW_PYTHON names the Python of an existing environment with apache-airflow 3. If Airflow cannot be
installed, the tests are skipped; with NBDAG_REQUIRE_AIRFLOW=1 they fail. An example takes a minute or more, so only one
runs by default; NBDAG_ALL_UNDER_AIRFLOW=1 runs all of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from example_results import RESULTS, RunExample, printed_in, with_results
from patience import LONG
from warm import WarmCommands

import nbdag

AIRFLOW = "apache-airflow==3.3.2"
# Modules that its commands import, which takes 3 s of processor time.
MODULES = ("airflow.__main__", "airflow.cli.commands.dag_command", "airflow.cli.commands.db_command")
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

    commands: WarmCommands
    home: Path
    settings: Mapping[str, str]

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m airflow`."""
        return self.commands(words, cwd=self.home, env={**os.environ, **self.settings}, timeout=5 * LONG)


@pytest.fixture(scope="module")
def airflow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    chosen = os.environ.get("NBDAG_AIRFLOW_PYTHON")
    python = Path(chosen) if chosen else installed(Path(request.config.cache.mkdir("airflow")))
    home = tmp_path_factory.mktemp("airflow")
    (home / "dags").mkdir()
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
    }
    with contextlib.closing(WarmCommands("airflow", MODULES, python=str(python), further=settings)) as commands:
        found = Airflow(commands, home, settings)
        done = found("db", "migrate")
        assert done.returncode == 0, done.stderr
        yield found


def installed(folder: Path) -> Path:
    """Return the Python of an environment with Airflow, which is made once."""
    python = folder / "venv" / "bin" / "python"
    complete = folder / AIRFLOW
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(folder / "venv", ignore_errors=True)
            uv = [sys.executable, "-m", "uv"]  # it takes a tenth of the processor time of pip
            subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
            words = [*uv, "pip", "install", "--quiet", "--python", python, AIRFLOW]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                why = f"{AIRFLOW} cannot be installed: {done.stderr[-500:]}"
                (pytest.fail if os.environ.get("NBDAG_REQUIRE_AIRFLOW") == "1" else pytest.skip)(why)
            complete.touch()
    return python


@pytest.mark.parametrize("name", CASES)
def test_an_example_has_the_same_results_under_airflow(
    name: str, airflow: Airflow, run_example: RunExample, tmp_path: Path
) -> None:
    operator, parameters = CASES[name]
    expected = run_example(name, True, parameters).results
    path, storage = with_results(name, tmp_path / "there"), tmp_path / "storage"
    text = nbdag.runs.export_airflow(path, operator=operator, storage=str(storage))
    dag = nbdag.read(path).id
    (airflow.home / "dags" / f"{name}.py").write_text(text, encoding="utf-8")
    done = airflow("dags", "test", dag, "--conf", json.dumps(parameters))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (log,) = storage.glob(f"runs/{dag}/*/tasks/results/1.log")
    assert printed_in(log.read_text(encoding="utf-8")) == expected


def test_airflow_reads_every_golden_file_that_needs_no_further_provider(airflow: Airflow) -> None:
    golden = Path(__file__).parents[1] / "export" / "golden"
    names: Sequence[str] = ("churn", "assets", "external_python")
    for name in names:
        shutil.copy(golden / f"{name}.py.txt", airflow.home / "dags" / f"golden_{name}.py")
    done = airflow("dags", "list-import-errors", "--local")
    assert done.returncode == 0, done.stdout + done.stderr
