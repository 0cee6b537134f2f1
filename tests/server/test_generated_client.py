"""A generator of clients understands the OpenAPI document, and its client works."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nbdag import runs

from .conftest import TOKEN, Client, write_notebook

# The generated code is typed, so a wrong name or a wrong type of an answer is an error.
SCRIPT = """
import sys
from generated import AuthenticatedClient
from generated.api.dags import get_pipeline, list_pipelines
from generated.api.deployments import deploy_notebook, trigger_run
from generated.models import DeployBody, Problem, TriggerBody, TriggerBodyParameters

with AuthenticatedClient(sys.argv[1], token=sys.argv[2], prefix="token") as client:
    made = deploy_notebook.sync(client=client, body=DeployBody(path="churn.ipynb"))
    page = list_pipelines.sync(client=client, limit=10)
    assert [each.id for each in page.items] == [made.id], page
    values = TriggerBodyParameters.from_dict({"limit": 3})
    run = trigger_run.sync("churn", client=client, body=TriggerBody(parameters=values))
    problem = get_pipeline.sync("chrun", client=client)
    assert isinstance(problem, Problem), problem
    print(run.id, run.state.value, problem.status, problem.next_, sep="|")
"""


@pytest.mark.slow
def test_a_generated_client_deploys_and_triggers(serve: Callable[..., Client], tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    write_notebook(folder, "%%params\nlimit: int = 10", "%%task load\nx = limit")
    client = serve(folder)
    document = tmp_path / "openapi.json"
    document.write_bytes(client.get("openapi.json").body)
    words = ["generate", "--path", str(document), "--output-path", str(tmp_path / "generated"), "--meta", "none"]
    program = Path(sys.executable).parent / "openapi-python-client"
    made = subprocess.run([str(program), *words], cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    omitted = re.findall(r"(?:WARNING|ERROR) parsing (\S+ \S+)", made.stdout + made.stderr)
    assert omitted == ["GET /dags/{dag}/badge.svg"]  # it knows no pictures
    url = f"{client.url}nbdag/api"
    done = subprocess.run([sys.executable, "-c", SCRIPT, url, TOKEN], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run, *rest = done.stdout.strip().split("|")
    assert rest == ["queued", "404", "did you mean churn?"]
    assert runs.find_run(run, home=client.home).parameters == {"limit": 3}
