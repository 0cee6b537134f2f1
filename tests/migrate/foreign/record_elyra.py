"""Record how Elyra reads and executes `elyra/churn.pipeline`: its operations, and the files that a run leaves.

    uv venv elyra && uv pip install --python elyra/bin/python elyra==4.1.1
    PATH=elyra/bin:$PATH elyra/bin/python tests/migrate/foreign/record_elyra.py

This program writes the document with more settings than the editor's form asks for, and Elyra validates it, parses it
and runs it on this machine. The results are in `elyra.json`. `editor.pipeline` has the same nodes and links: a person's
clicks in the editor of JupyterLab made it (files dragged from the file browser, ports linked, two variables filled in).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from elyra.pipeline.parser import PipelineParser  # type: ignore[import-not-found, unused-ignore]
from elyra.pipeline.pipeline_definition import PipelineDefinition  # type: ignore[import-not-found, unused-ignore]

HERE = Path(__file__).parent
FOLDER = HERE / "elyra"
SPARE = {"runtime_image": "tensorflow/tensorflow:2.8.0", "dependencies": [], "outputs": [], "cpu": 2}


def node(id: str, op: str, label: str, file: str, before: tuple[str, ...] = (), **given: Any) -> dict[str, Any]:
    """Return a node as Elyra's editor writes it."""
    links = [{"id": f"{other}-{id}", "node_id_ref": other, "port_id_ref": "outPort"} for other in before]
    port = {"cardinality": {"min": 0, "max": -1}, "label": "Port"}
    return {
        "id": id,
        "type": "execution_node",
        "op": op,
        "app_data": {
            "component_parameters": {**SPARE, "filename": file, "env_vars": [], **given},
            "label": label,
            "ui_data": {"label": label or Path(file).name, "x_pos": 40, "y_pos": 40, "description": "file"},
        },
        "inputs": [{"id": "inPort", "app_data": {"ui_data": port}, **({"links": links} if links else {})}],
        "outputs": [{"id": "outPort", "app_data": {"ui_data": port}}],
    }


def document() -> dict[str, Any]:
    """Return a pipeline of four nodes; the last one of the file is the first to run."""
    notebook, script = "execute-notebook-node", "execute-python-node"
    nodes = [
        node("n-report", script, "", "report.py", ("n-left", "n-right")),
        node(
            "n-left", notebook, "Left half", "parts/left.ipynb", ("n-load",), env_vars=[{"env_var": "K", "value": "2"}]
        ),
        node("n-right", script, "", "parts/right.py", ("n-load",), mounted_volumes=[{"path": "/d", "pvc_name": "v"}]),
        node("n-load", notebook, "Load", "load.ipynb"),
    ]
    properties = {
        "name": "churn",
        "description": "Who leaves?",
        "runtime": "Generic",
        "pipeline_defaults": {"env_vars": [{"env_var": "STAGE", "value": "test"}]},
    }
    app_data = {"ui_data": {"comments": []}, "version": 8, "properties": properties}
    own = {"id": "primary", "nodes": nodes, "app_data": app_data, "runtime_ref": ""}
    return {
        "doc_type": "pipeline",
        "version": "3.0",
        "json_schema": "http://api.dataplatform.ibm.com/schemas/common-pipeline/pipeline-flow/pipeline-flow-v3-schema.json",
        "id": "elyra-auto-generated-pipeline",
        "primary_pipeline": "primary",
        "pipelines": [own],
        "schemas": [],
    }


def notebook(*cells: str) -> str:
    """Return the text of a notebook with these cells of code."""
    made = [
        {"cell_type": "code", "source": each, "metadata": {}, "outputs": [], "execution_count": None} for each in cells
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(content, indent=1) + "\n"


FILES = {
    "load.ipynb": notebook(
        "import os\nfrom pathlib import Path", "Path('data.txt').write_text('1 2 3 ' + os.environ['STAGE'])"
    ),
    "parts/left.ipynb": notebook(
        "import os\nfrom pathlib import Path\nwords = Path('../data.txt').read_text().split()",
        "Path('left.txt').write_text(words[0] * int(os.environ['K']))",
    ),
    "parts/right.py": "words = open('../data.txt').read().split()\nopen('right.txt', 'w').write(words[-1])\n",
    "report.py": "if __name__ == '__main__':\n"
    "    halves = [open(f'parts/{name}.txt').read() for name in ('left', 'right')]\n"
    "    open('report.txt', 'w').write('|'.join(halves))\n",
}


def main() -> None:
    """Write the files."""
    for name, text in FILES.items():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(text, encoding="utf-8")
    written = json.dumps(document(), indent=1) + "\n"
    (FOLDER / "churn.pipeline").write_text(written, encoding="utf-8")
    problems = PipelineDefinition(pipeline_definition=document()).validate()
    assert not problems, problems
    local = document()
    local["pipelines"][0]["app_data"] |= {"runtime": "local", "runtime_config": "local"}
    pipeline = PipelineParser(root_dir=str(FOLDER)).parse(local)
    labels = {id: Path(each.filename).name for id, each in pipeline.operations.items()}
    found: dict[str, Any] = {"name": pipeline.name, "operations": {}, "files": {}}
    for id, each in pipeline.operations.items():
        before = sorted(labels[other] for other in each.parent_operation_ids)
        found["operations"][labels[id]] = {"after": before, "name": each.name}
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(FOLDER, copy, dirs_exist_ok=True)
        subprocess.run(["elyra-pipeline", "run", "churn.pipeline"], cwd=copy, check=True)
        for file in sorted(Path(copy).rglob("*.txt")):
            found["files"][file.relative_to(copy).as_posix()] = file.read_text(encoding="utf-8")
    (HERE / "elyra.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
