"""The JupyterLab extension as it is installed: no second package, no build, no Node."""

from __future__ import annotations

import json
from importlib.metadata import distribution
from pathlib import Path

FOLDER = "share/jupyter/labextensions/nbdag/"


def test_an_installation_brings_the_extension_to_where_jupyterlab_finds_it():
    files = distribution("nbdag").files or []
    installed = {str(each).partition(FOLDER)[2]: Path(str(each.locate())) for each in files if FOLDER in str(each)}
    described = json.loads(installed["package.json"].read_text(encoding="utf-8"))
    assert described["version"] == distribution("nbdag").version
    assert "schemas/nbdag/plugin.json" in installed
    script = installed[described["jupyterlab"]["_build"]["load"]].read_text(encoding="utf-8")
    assert "_JUPYTERLAB" in script
    assert len(script) < 150_000
