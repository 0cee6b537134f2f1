"""Reports, values, resumed runs and the list of notebooks, with runs in real kernels."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from patience import until

from nbdag import runs
from nbdag.home import Home

from .conftest import Client, write_notebook

CELLS = (
    "%%task table\nimport pandas as pd\ndf = pd.DataFrame({'n': range(3)})\n"
    "from IPython.display import HTML\nHTML('<b>bold</b><script>alert(1)</script>')",
    "%%task odd --out o\nimport sys, types\nmodule = sys.modules['gone'] = types.ModuleType('gone')\n"
    "exec('class Odd: pass', module.__dict__)\no = module.Odd()",
    "%%task last\nimport pathlib\ntotal = len(df)\nassert pathlib.Path('fixed').exists()",
    "%%task more\nprint(total)",
)


@pytest.fixture(scope="module")
def client(serve: Callable[..., Client], tmp_path_factory: pytest.TempPathFactory) -> Client:
    """A run in real kernels that fails, and that succeeds once a file exists."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name in ("deep/er/other.ipynb", ".hidden/no.ipynb"):
        write_notebook(folder, "x = 1", name=name)
    path = write_notebook(folder, *CELLS)
    home = Home(folder / ".nbdag")
    runs.deploy(path, home=home)
    runs.run(path, home=home)
    return serve(folder)


RUN = "dags/churn/runs/latest"


@pytest.mark.slow
def test_notebooks_are_listed_with_their_pipelines(client: Client) -> None:
    assert client.get("notebooks").json == {
        "items": [{"path": "churn.ipynb", "dag": "churn"}, {"path": "deep/er/other.ipynb", "dag": None}],
        "complete": True,
    }


def test_a_report_executes_nothing(client: Client) -> None:
    answer = client.get(f"{RUN}/report")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"<b>bold</b>" in answer.body
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert "attachment" in client.get(f"{RUN}/report", download="true").headers["Content-Disposition"]
    assert b"read_orders" not in client.get(f"{RUN}/report", code="hidden").body
    assert client.get(f"{RUN}/report", code="upside-down").status == 422


def test_a_report_is_a_notebook(client: Client) -> None:
    answer = client.get(f"{RUN}/notebook")
    assert len(json.loads(answer.body)["cells"]) >= len(CELLS)
    assert ".ipynb" in answer.headers["Content-Disposition"]


@pytest.mark.slow
def test_a_value_is_previewed_in_another_process(client: Client) -> None:
    found = client.get(f"{RUN}/values/table/df").json
    assert found["kind"] == "value"
    assert found["outputs"][0]["mime"] == "text/html"
    assert "<table" in found["outputs"][0]["data"]
    assert client.get(f"{RUN}/values/last/df").json["outputs"] == found["outputs"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("values/odd/o", 422, "PreviewError"),
        ("values/table/unknown", 404, "ValueNotStoredError"),
        ("values/unknown/df", 404, "TaskNotInRunError"),
        ("values/table/..%2Fdf", 422, "InvalidArgumentError"),
        ("values/table/df?map_index=3", 404, "UnknownInstanceError"),
    ],
)
def test_a_value_that_cannot_be_loaded_is_a_problem(client: Client, path: str, status: int, code: str) -> None:
    answer = client.get(f"{RUN}/{path}")
    assert (answer.status, answer.json["code"]) == (status, code)


@pytest.mark.slow
def test_a_failed_run_is_resumed_without_a_scheduler(client: Client) -> None:
    folder = client.home.root.parent
    run = client.get(RUN).json["run"]
    assert run["state"] == "failed"
    (folder / "fixed").touch()
    answer = client.post(f"{RUN}/resume")
    assert answer.status == 200, answer
    assert answer.json["id"] == run["id"]
    until(lambda: client.get(RUN).json["run"]["state"] not in ("queued", "running"), "the run ends")
    assert client.get(RUN).json["run"]["state"] == "success"
    assert client.post(f"{RUN}/resume").json["code"] == "RunSucceededError"
