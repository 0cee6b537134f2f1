"""One pipeline of many operators, executed by papermill's engine and cell by cell in a live notebook."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from patience import LONG

import nbdag
from nbdag.core.model.states import RunState
from nbdag.home import Home

from .conftest import WebServer

sys.path.insert(0, str(Path(__file__).parents[1] / "surfaces"))
from kernel import Kernel

CELLS = (
    "%load_ext nbdag\n%dag many",
    "url = ''\nleast = 2",
    "%%task eu.fill --operator sql --connection local\nDROP TABLE IF EXISTS t;\nCREATE TABLE t (n INT, day TEXT);\n"
    "INSERT INTO t VALUES (1, '{{ ds }}'), (2, '{{ ds }}'), (3, '{{ ds }}')",
    "%%task eu.read --operator sql --connection local --out found --after eu.fill\n"
    "SELECT n, day FROM t WHERE n >= :least AND day = '{{ ds }}' ORDER BY n",
    "%%task rates --operator http --out rates\nGET {url}/rates?day={{ ds }}&task={{ ti.task_id }}",
    '%%task count --operator bash --out count --after eu\necho "$least {{ params.least }} {{ ds_nodash | length }}"',
    "%%task choose --branch --after eu\n'ship' if len(found) == 2 else 'keep'",
    "%%task ship --operator empty --after choose",
    "%%task keep --operator empty --after choose",
    "%%task all --operator sql --out all_rows\nSELECT sum(n) AS total FROM found",
    "%%task report --after ship keep --trigger none_failed_min_one_success\n"
    "said = [list(found['n']), rates, count, int(all_rows['total'][0])]\nprint(said)",
)
SAID = "[[2, 3], {'usd': 1.1}, '2 2 8', 5]"


@pytest.fixture
def environment(web: WebServer, tmp_path: Path) -> dict[str, str]:
    web.answer(200, b'{"usd": 1.1}', Content_Type="application/json")
    return {
        **{name: value for name, value in os.environ.items() if name != "JPY_SESSION_NAME"},
        "NBDAG_HOME": str(tmp_path / "home"),
        "NBDAG_CONN_LOCAL": f"sqlite:///{tmp_path}/data.db",
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }


def test_many_operators_run_in_the_live_notebook(web: WebServer, environment: dict[str, str], tmp_path: Path) -> None:
    kernel = Kernel(cwd=str(tmp_path), env=environment)
    try:
        # The kernel does not see the tag of the parameters cell.
        cells = [cell.replace("url = ''", f"%%params\nurl = '{web.url}'") for cell in CELLS]
        replies = [kernel.run(cell, cell=f"id{n}") for n, cell in enumerate(cells)]
        assert [reply.traceback for reply in replies if reply.status != "ok"] == []
        assert replies[8].stdout == "skipped: choose chose ship\n"
        assert replies[-1].stdout == f"{SAID}\n"
    finally:
        kernel.stop()
    (request,) = web.received
    assert request.path.endswith("&task=rates")


@pytest.mark.slow
def test_many_operators_run_by_papermills_engine(web: WebServer, environment: dict[str, str], tmp_path: Path) -> None:
    made = [nbformat.v4.new_code_cell(source) for source in CELLS]
    made[1].metadata["tags"] = ["parameters"]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": spec}), tmp_path / "in.ipynb")
    words = [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", "--engine", "nbdag", "-p", "url", web.url]
    done = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LONG, check=False
    )
    assert done.returncode == 0, done.stderr
    outputs = [output for cell in nbformat.read(tmp_path / "out.ipynb", as_version=4).cells for output in cell.outputs]
    assert f"{SAID}\n" in [output.get("text") for output in outputs]
    (run,) = nbdag.runs.list_runs(home=Home(tmp_path / "home"))
    assert (run.state, run["keep"].state.value, run["eu.read"].state.value) == (RunState.SUCCESS, "skipped", "success")
    assert [each.path.partition("&")[2] for each in web.received] == ["task=rates"]
