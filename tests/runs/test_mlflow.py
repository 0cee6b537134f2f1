"""Runs are logged to MLflow, by a real tracking server on SQLite in an environment of its own."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import patience
import pytest

from nbdag import runs
from nbdag.home import Home
from nbdag.runs.execution.mlflow_log import entry_of

pytestmark = pytest.mark.usefixtures("in_process")
MLFLOW = "mlflow>=3.1,<4"
# Requirements of MLflow that are installed already. Installing them again would take most of the time.
HERE = ("matplotlib", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "skops")
ROOT = Path(__file__).parents[2]
CELLS = (
    "%%params\nalpha = 0.5\ntoken = 'x'",
    "%%task fit --metric accuracy\nimport pathlib\naccuracy = alpha * 1.5\nloss = float('nan')",
    "%%task grid --map k=[1,2,3] --metric score\nscore = k * alpha",
    "%%task use\nprint(loss)",
)
Write = Callable[..., Path]


def test_without_the_package_a_run_has_a_warning_that_names_what_to_install(
    write: Write, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (path := write(*CELLS)).with_name("mlflow.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(path.parent))  # as without the package, also where it is installed
    run = runs.run(path, home=home)
    assert run.state == "success"
    assert [(note.code, note.message) for note in run.warnings] == [
        ("NB418", "the run was not logged to MLflow: mlflow is not installed: pip install 'nbdag[mlflow]'")
    ]


def test_secrets_among_the_parameters_are_masked_and_the_key_tells_homes_apart(write: Write, home: Home) -> None:
    run = runs.run(write(*CELLS), parameters={"token": "hunter2"}, home=home)
    with runs_store(home) as store:
        row = store.named(run.id)[0]
    dag = run.pinned_dag()
    assert dag is not None
    one, other = (entry_of(run, row, dag, database=each, report=None) for each in ("a.db", "b.db"))
    assert "hunter2" not in json.dumps(one)
    assert one["parameters"]["alpha"] == "0.5"
    assert one["tags"]["nbdag.key"] != other["tags"]["nbdag.key"]


def runs_store(home: Home) -> Any:
    import nbdag.store

    return closing(nbdag.store.open(home, read_only=True))


@pytest.fixture(scope="module")
def python(request: pytest.FixtureRequest) -> Path:
    """The Python of an environment with MLflow and nbdag, which is made once."""
    folder = Path(request.config.cache.mkdir("mlflow"))
    python, complete = folder / "venv" / "bin" / "python", folder / "complete"
    uv = [sys.executable, "-m", "uv"]
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists() or not python.exists():
            shutil.rmtree(folder / "venv", ignore_errors=True)
            subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
            (without := folder / "without.txt").write_text("".join(f"{each}; python_version < '3'\n" for each in HERE))
            words = [*uv, "pip", "install", "--quiet", "--python", python, MLFLOW, "--override", without]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                why = f"{MLFLOW} cannot be installed: {done.stderr[-500:]}"
                (pytest.fail if os.environ.get("NBDAG_REQUIRE_MLFLOW") == "1" else pytest.skip)(why)
            complete.touch()
    site = next((folder / "venv").glob("lib/python*/site-packages"))
    # The packages of these tests come after those of the environment.
    (site / "nbdag-tests.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return python


@pytest.fixture(scope="module")
def server(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [
        python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + patience.LONG
        while not is_up(f"{address}/health"):
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def is_up(address: str) -> bool:
    try:
        return bool(urllib.request.urlopen(address, timeout=5).status == 200)
    except OSError:
        return False


def asked(server: str, path: str, **body: Any) -> Any:
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(f"{server}/api/2.0/mlflow/{path}", data, {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=60))


@pytest.mark.slow
def test_a_run_and_its_resumption_are_one_run_of_a_tracking_server(
    write: Write, home: Home, python: Path, server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setenv("NBDAG_URL", "http://pages.example/nbdag")
    monkeypatch.setattr(sys, "executable", str(python))  # with the package, in which runs are logged
    flag = tmp_path / "fixed"
    cells = (*CELLS[:3], f"%%task use\nimport pathlib\nassert pathlib.Path({str(flag)!r}).exists()\nrows = int(loss != loss)\nprint(rows)",
             "%%task last\nprint(rows)")  # fmt: skip
    run = runs.run(write(*cells), parameters={"alpha": 0.25}, home=home)
    assert run.state == "failed"
    assert run.warnings == ()

    experiment = asked(server, "experiments/get-by-name?experiment_name=churn")["experiment"]["experiment_id"]
    (found,) = asked(server, "runs/search", experiment_ids=[experiment])["runs"]
    tags = {each["key"]: each["value"] for each in found["data"]["tags"]}
    assert (found["info"]["run_name"], found["info"]["status"]) == (run.id, "FAILED")
    assert {each["key"]: each["value"] for each in found["data"]["params"]}["alpha"] == "0.25"
    assert (tags["nbdag.dag"], tags["nbdag.run_id"], tags["nbdag.version"]) == ("churn", run.id, run.digest)
    assert tags["nbdag.url"] == f"http://pages.example/nbdag/dags/churn/runs/{run.id}"
    metrics = {each["key"]: each["value"] for each in found["data"]["metrics"]}
    assert metrics == {"fit/accuracy": 0.375, "fit/loss": "NaN", "grid/score": 0.75}
    number = found["info"]["run_id"]
    steps = asked(server, f"metrics/get-history?run_id={number}&metric_key=grid/score")["metrics"]
    # The server returns them in the order in which the instances have ended.
    assert sorted((each.get("step", 0), each["value"]) for each in steps) == [(0, 0.25), (1, 0.5), (2, 0.75)]
    files = asked(server, f"artifacts/list?run_id={number}")["files"]
    assert [each["path"] for each in files] == ["notebook.ipynb"]

    flag.touch()
    runs.resume(run.id, dag="churn", home=home)
    (again,) = asked(server, "runs/search", experiment_ids=[experiment])["runs"]
    assert (again["info"]["run_id"], again["info"]["status"]) == (number, "FINISHED")
    assert {each["key"]: each["value"] for each in again["data"]["metrics"]}["use/rows"] == 1


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_a_warning(
    write: Write, home: Home, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.socket()) as silent:  # accepts connections and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setattr(sys, "executable", str(python))
        run = runs.run(write(*CELLS), home=home)
    assert run.state == "success"
    assert [note.message for note in run.warnings] == [
        f"the run was not logged to MLflow: the tracking server {address} does not answer"
    ]
